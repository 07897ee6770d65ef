"""Requests made to cost as much as they can: one of each kind at each place that takes bytes.

A place is an operation's headers, path, query options or body, or a part of a batch. `hostile`
makes them all; `bench.worst_case` measures what they cost, and a test counts what they set off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from bench.hostile_bodies import FILTERS, JSON, batches, bodies, filled, packed
from functions.http.operations import MAX_URL_CHARACTERS, ROUTES, Route
from shared.contract.json_body import MAX_BODY_BYTES

HEADER_BYTES: Final = 24_000
"""What the host takes in all is 32 KiB, and the token is one of the headers."""
QUERY_BYTES: Final = 4_000
"""What fits behind a path in the 4,096 characters of query that the host takes."""
PATH_BYTES: Final = 7_800
_UNKNOWN: Final = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Hostile:
    """A request: its target starts with a slash and is encoded."""

    operation: str
    place: str
    kind: str
    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"{self.operation}: {self.place}, {self.kind}"


def hostile(keys: Mapping[str, str]) -> list[Hostile]:
    """Return every request, `keys` being those of a flow set and a flow that exist."""
    return [
        request
        for route in ROUTES
        for request in (
            *_with_headers(route, keys),
            *_with_paths(route, keys),
            *_with_queries(route, keys),
            *_with_bodies(route, keys),
        )
    ] + list(_unknown_paths())


def _target(route: Route, keys: Mapping[str, str]) -> str:
    # What is to be deleted does not exist: the requests that follow need what does.
    keys = dict.fromkeys(keys, _UNKNOWN) if route.method == "DELETE" else keys
    return "/" + "/".join(keys.get(s.strip("{}"), s) for s in route.segments)


def _takes_body(route: Route) -> bool:
    return route.contract is not None and route.contract.body is not None


def _request(
    route: Route, keys: Mapping[str, str], place: str, kind: str, **members: Any
) -> Hostile:
    target = members.pop("target", None) or _target(route, keys)
    if _takes_body(route):
        members.setdefault("body", b"{}")
        members["headers"] = {**JSON, **members.get("headers", {})}
    return Hostile(route.name, place, kind, route.method, target, **members)


# --- headers -------------------------------------------------------------------------------------

HEADERS: Final = {
    "prefer": {
        "backslashes": 'a="' + filled("\\", HEADER_BYTES),
        "quotes": filled('a;"', HEADER_BYTES),
        "names": filled("a=b;c,", HEADER_BYTES),
        "spaces, as long as is read": filled(" ", 998) + "=",
    },
    "accept": {
        "almost metadata": filled("odata.metadata       =", HEADER_BYTES),
        "types": filled("a/b,", HEADER_BYTES),
    },
    "if-none-match": {"tags": filled('W/"a",', HEADER_BYTES), "commas": filled(",", HEADER_BYTES)},
    "if-match": {"tags": filled('W/"a",', HEADER_BYTES), "commas": filled(",", HEADER_BYTES)},
    "content-type": {"parameters": "application/json" + filled(";a=b", HEADER_BYTES)},
    "content-encoding": {"codings": filled("gzip,", HEADER_BYTES)},
    "client-request-id": {"long": filled("a", HEADER_BYTES)},
    "traceparent": {"long": filled("00-", HEADER_BYTES)},
    "x": {"long": filled("a", HEADER_BYTES)},
}


def _with_headers(route: Route, keys: Mapping[str, str]) -> Iterator[Hostile]:
    for name, values in HEADERS.items():
        for kind, value in values.items():
            yield _request(route, keys, f"header {name}", kind, headers={name: value})
    many = {f"x-{number}": "a" for number in range(85)}
    yield _request(route, keys, "headers", "many", headers=many)


# --- paths ---------------------------------------------------------------------------------------

_SEGMENTS: Final = {
    "long key": "a",
    "escapes": "%41",
    "parentheses": "('a')",
    "opened parentheses": "(",
    "quotes": "'",
}


def _with_paths(route: Route, keys: Mapping[str, str]) -> Iterator[Hostile]:
    for kind, text in _SEGMENTS.items():
        for name in (s for s in route.segments if s.startswith("{")):
            long = _target(route, {**keys, name.strip("{}"): filled(text, PATH_BYTES - 200)})
            yield _request(route, keys, f"path {name}", kind, target=long)


def _unknown_paths() -> Iterator[Hostile]:
    for kind, text in {"slashes": "/", "segments": "/a", "keys": "/a('b')", **_SEGMENTS}.items():
        for method in ("GET", "OPTIONS", "POST"):
            target = "/beta/" + filled(text, PATH_BYTES)
            yield Hostile("z_any_other_request", "path", kind, method, target)
    yield Hostile("z_any_other_request", "body", "long", "POST", "/beta/x", body=b"a" * 2**20)
    yield Hostile("z_any_other_request", "path", "too long", "GET", "/" + "a" * MAX_URL_CHARACTERS)


# --- query options -------------------------------------------------------------------------------


QUERIES: Final = {
    "names": "&".join(f"{number}=1" for number in range(QUERY_BYTES // 6)),
    "separators": filled("&", QUERY_BYTES),
    "equal signs": filled("=", QUERY_BYTES),
    "escapes": "a=" + filled("%41", QUERY_BYTES),
    "$select, one name": "$select=" + filled("id,", QUERY_BYTES - 1),
    "$select, many paths": "$select=" + filled("id/id/id/id,", QUERY_BYTES - 1),
    "$select, commas": "$select=" + filled(",", QUERY_BYTES),
    "$orderby": "$orderby=" + filled("id%20asc,", 3000) + "id",
    "$orderby, spaces": "$orderby=id" + filled("+", 3000) + "x",
    "$expand": "$expand=provisioningFlows($select=" + filled("id,", 3000) + "id)",
    "$expand, parentheses": "$expand=a" + filled("+", 3000) + "(",
    "$expand, conditions": "$expand=provisioningFlows($filter="
    + quote(" or ".join(["id eq 'a'"] * 32), safe="")
    + ";$orderby=id;$count=true)",
    "aliases": "$filter=id%20eq%20@a&@a=@b&@b=@a" + "".join(f"&@x{n}='a'" for n in range(300)),
    "$search, words": "$search=" + filled("a+", 3000),
    "$search, quotes": "$search=" + filled("%22", 3000),
    "$search, backslashes": "$search=%22" + filled("%5C", 3000),
    "$search, combining marks": "$search=a" + filled("%CC%81%CC%A3", 3000),
    "$search, marks as many as a name has": "$search=a" + "%CD%84" * 255,
    "$skiptoken": "$skiptoken=" + filled("A", QUERY_BYTES),
    "$top": "$top=999",
    "$top and $expand": "$top=999&$expand=provisioningFlows",
    "$top and $skip": "$top=999&$skip=10000",
    "$top and $count": "$top=999&$count=true&$search=a",
    "status": "search=" + filled("%41", 3000),
    **{f"$filter, {kind}": "$filter=" + quote(text, safe="") for kind, text in FILTERS.items()},
}


def _with_queries(route: Route, keys: Mapping[str, str]) -> Iterator[Hostile]:
    for kind, query in QUERIES.items():
        target = f"{_target(route, keys)}?{query[:4096]}"
        yield _request(route, keys, "query", kind, target=target)


# --- bodies --------------------------------------------------------------------------------------


def _with_bodies(route: Route, keys: Mapping[str, str]) -> Iterator[Hostile]:
    if not _takes_body(route):
        yield _request(route, keys, "body", "not wanted", body=b"[" * MAX_BODY_BYTES)
        return
    texts = {**bodies(), **batches(keys)} if route.name == "batch" else bodies()
    for kind, text in texts.items():
        body = text.encode()
        assert len(body) <= MAX_BODY_BYTES, kind
        yield _request(route, keys, "body", kind, body=body)
    for kind, body in packed().items():
        headers = {"content-encoding": "gzip"}
        yield _request(route, keys, "body", f"gzip, {kind}", body=body, headers=headers)
