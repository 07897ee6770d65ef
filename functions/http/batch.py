"""The handler of JSON batches: up to twenty requests in one, each answered as if it came alone."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func

from functions.http.operations import MAX_URL_CHARACTERS, ROOT, dispatch, matching, operation
from functions.http.paths import path_segments
from functions.http.replies import ok
from functions.http.requests import json_body, service_root
from shared.contract.json_body import repeated_names
from shared.description.operations import Contract
from shared.domain.errors import MAX_FAULTS, Fault, InvalidRequest, UnsupportedBatch
from shared.domain.permissions import SIGNED_IN

bp = func.Blueprint()

MAX_REQUESTS: Final = 20
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""How long the answers of one batch may be in all; what comes after that is refused."""
MAX_AT_ONCE: Final = 2
"""How many requests of one batch are carried out at the same time: each holds a whole answer."""
MAX_HEADERS: Final = 100
"""How many headers a part may have: as many as the host takes of a request."""
MAX_DEPTH: Final = 50
"""How deep the body of a part may be nested: the deepest that any operation takes has nine."""
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MAX_ID: Final = 128
_MEMBERS: Final = frozenset({"id", "method", "url", "headers", "body", "dependsOn"})
# What the batch itself was sent with counts for each request in it, unless that says otherwise. Not
# its client-request-id: by that, two equal requests of a batch would be taken for one repeated.
_INHERITED: Final = ("authorization", "traceparent")


@dataclass(frozen=True)
class Part:
    """One request of a batch; `depends_on` has the ids of those that must succeed before it.

    `path` and `query` are what its URL has behind the service root. A path may begin with `$` and
    one of these ids: it stands for what that request created or addressed.
    """

    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    depends_on: tuple[str, ...]


@operation(bp, "POST", "$batch", SIGNED_IN, Contract("Service", {200: "batchAnswer"}, "batch"))
async def batch(req: func.HttpRequest) -> func.HttpResponse:
    """Carry out the requests of a batch, at the same time where none waits for another.

    It needs a valid access token; each request in it is checked for the permission of its own.
    """
    if req.headers.get("content-type", "").lstrip().lower().startswith("multipart/"):
        raise UnsupportedBatch
    root = service_root(req)
    parts = read_parts(json_body(req), root)
    return ok(req, {"responses": await _answers(req, parts, root)})


async def _answers(req: func.HttpRequest, parts: Sequence[Part], root: str) -> list[dict[str, Any]]:
    done: dict[str, asyncio.Task[dict[str, Any]]] = {}
    addresses: dict[str, str] = {}
    left = MAX_ANSWER_BYTES
    turns = asyncio.Semaphore(MAX_AT_ONCE)

    async def carried_out(part: Part) -> dict[str, Any]:
        for needed in part.depends_on:
            if (await done[needed])["status"] >= 400:
                return dependency_failed(part, needed)
        async with turns:
            return await served(part)

    async def served(part: Part) -> dict[str, Any]:
        nonlocal left
        if left < 0:
            return _too_long(part, "It was not carried out")
        reference, slash, rest = part.path.partition("/")
        if _referenced(reference) in part.depends_on:
            part = replace(part, path=f"{addresses[reference[1:]]}{slash}{rest}")
        response = await dispatch(_request(req, part, root), f"{ROOT}/{part.path}")
        location = response.headers.get("Location", "")
        addresses[part.id] = location.removeprefix(f"{root}/") or part.path
        left -= len(response.get_body())
        if left < 0:
            return _too_long(part, "It was carried out")
        return _answer(part, response)

    async with asyncio.TaskGroup() as group:
        for part in parts:
            done[part.id] = group.create_task(carried_out(part))
    return [done[part.id].result() for part in parts]


def read_parts(body: Any, root: str = "") -> list[Part]:
    """Check a batch sent to `root`; raises InvalidRequest with every fault of its form.

    What a request means is not checked here: its own answer says what is wrong with it.
    """
    requests = body.get("requests") if isinstance(body, Mapping) else None
    if not isinstance(requests, list) or not 1 <= len(requests) <= MAX_REQUESTS:
        raise InvalidRequest(
            Fault(
                "InvalidValue",
                f"Give an object with 'requests', an array of 1 to {MAX_REQUESTS} requests.",
                "$.requests",
            )
        )
    faults: list[Fault] = []
    parts: list[Part] = []
    for index, given in enumerate(requests):
        path = f"$.requests[{index}]"
        part = _read_part(given, path, {part.id for part in parts}, faults, root)
        if part is not None:
            parts.append(part)
    if faults:
        raise InvalidRequest(*faults[:MAX_FAULTS])
    return parts


def _read_part(
    given: Any, path: str, earlier: set[str], faults: list[Fault], root: str
) -> Part | None:
    def fault(message: str, member: str = "") -> None:
        faults.append(Fault("InvalidValue", message, path + member))

    if not isinstance(given, Mapping):
        fault("Give a JSON object with id, method and url.")
        return None
    before = len(faults)
    part_id = given.get("id")
    if not isinstance(part_id, str) or not 0 < len(part_id) <= _MAX_ID:
        fault(f"Give an id, a text of up to {_MAX_ID} characters.", ".id")
    elif part_id in earlier:
        fault("This id is taken by an earlier request; give each its own.", ".id")
    method = given.get("method")
    if not isinstance(method, str) or method.upper() not in _METHODS:
        fault(f"Give one of {', '.join(_METHODS)}.", ".method")
    relative = _relative(given.get("url"), root)
    if relative is None:
        fault("Give a URL relative to the service root, such as /external/industryData.", ".url")
    elif len(relative[0]) <= MAX_URL_CHARACTERS and _is_batch(relative[0]):
        fault("A batch cannot hold a batch; put its requests here.", ".url")
    headers = given.get("headers", {})
    if not isinstance(headers, Mapping) or len(headers) > MAX_HEADERS:
        fault(f"Give an object of up to {MAX_HEADERS} texts.", ".headers")
        headers = {}
    elif not all(isinstance(value, str) for value in headers.values()):
        fault("Give an object of texts.", ".headers")
    depends_on = given.get("dependsOn", [])
    if (
        not isinstance(depends_on, list)
        or len(depends_on) > MAX_REQUESTS
        or not all(isinstance(each, str) and each in earlier for each in depends_on)
    ):
        # Only earlier ones: so nothing can wait for itself.
        fault("Give an array of ids of requests that come before this one.", ".dependsOn")
    elif relative is not None:
        needed = _referenced(relative[0].partition("/")[0])
        if needed in earlier and needed not in depends_on:
            fault(f"A URL with ${needed} needs '{needed}' in dependsOn.", ".dependsOn")
    if "atomicityGroup" in given:
        fault(
            "Requests of a batch are carried out one by one, never all or none: remove "
            "atomicityGroup.",
            ".atomicityGroup",
        )
    unknown = (name for name in given if name not in _MEMBERS and name != "atomicityGroup")
    for name in itertools.islice(unknown, MAX_FAULTS):
        fault(f"A request has {', '.join(sorted(_MEMBERS))}; remove '{name[:64]}'.")
    if _is_deep(given):
        fault(f"A body is nested at most {MAX_DEPTH} deep here.", ".body")
    elif _has_repeated_members(given):
        # Checked here: in a body that is written again for its own request they would not show.
        fault("A member of this request is given more than once; keep one.")
    if len(faults) > before or relative is None:
        return None
    names = {name.lower(): value for name, value in headers.items()}
    return Part(
        str(part_id),
        str(method).upper(),
        *relative,
        names,
        _body(given.get("body"), names),
        tuple(depends_on),
    )


def _relative(url: object, root: str) -> tuple[str, str] | None:
    """Return path and query of a URL behind the service root; None for any other value."""
    if not isinstance(url, str) or not url:
        return None
    if len(url) > MAX_URL_CHARACTERS:
        return url, ""  # the request's own answer refuses it, unread
    if root and url.lower().startswith(root.lower()) and url[len(root) : len(root) + 1] in "/?":
        url = url[len(root) :]
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets or characters that no host name has
        return None
    if parts.scheme or parts.netloc:
        return None
    first, slash, rest = parts.path.strip("/").partition("/")
    path = rest if first.lower() == ROOT else f"{first}{slash}{rest}"
    return path, parts.query


def _referenced(segment: str) -> str | None:
    """Return the id of the request that the first segment of a path refers to, if it does."""
    return segment[1:] if segment.startswith("$") else None


def _is_batch(path: str) -> bool:
    return any(each.name == "batch" for each in matching(path_segments(f"{ROOT}/{path}")))


def _is_deep(value: Any) -> bool:
    """Tell whether a value is nested deeper than MAX_DEPTH; counts with a list, not with calls."""
    level = [value]
    for _ in range(MAX_DEPTH + 2):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _has_repeated_members(value: Any) -> bool:
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, dict):
            if repeated_names(inner):
                return True
            left += inner.values()
        elif isinstance(inner, list):
            left += inner
    return False


def _body(value: Any, headers: Mapping[str, str]) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str) and "json" not in headers.get("content-type", "json").lower():
        return value.encode()
    return json.dumps(value, ensure_ascii=False).encode()


def _request(req: func.HttpRequest, part: Part, root: str) -> func.HttpRequest:
    """Return a part as the request that it would be alone."""
    inherited = {name: req.headers[name] for name in _INHERITED if name in req.headers}
    # As the host does: a parameter without a value is no parameter.
    params = {name: value for name, value in parse_qsl(part.query) if value}
    return func.HttpRequest(
        part.method,
        f"{root}/{part.path}{'?' if part.query else ''}{part.query}",
        headers={**inherited, **part.headers},
        params=params,
        body=part.body,
    )


def _answer(part: Part, response: func.HttpResponse) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": part.id,
        "status": response.status_code,
        "headers": dict(response.headers.items()),
    }
    body = response.get_body()
    media_type = response.headers.get("Content-Type") or response.mimetype or ""
    answer["headers"].setdefault("Content-Type", media_type)
    if not body:
        del answer["headers"]["Content-Type"]
    elif "json" in media_type:
        answer["body"] = json.loads(body)
    elif media_type.startswith("text/"):
        answer["body"] = body.decode()
    else:
        answer["body"] = base64.b64encode(body).decode()
    return answer


def dependency_failed(part: Part, needed: str) -> dict[str, Any]:
    """Return the answer to a part that was not carried out, as one that it needs failed."""
    message = f"The request '{needed}', on which this one depends, failed."
    return _failed(part, 424, "FailedDependency", message)


def _too_long(part: Part, what: str) -> dict[str, Any]:
    message = (
        f"The answers of this batch are longer than {MAX_ANSWER_BYTES} bytes in all. {what}; "
        "send it in a batch of its own, or ask for less."
    )
    return _failed(part, 413, "RequestEntityTooLarge", message)


def _failed(part: Part, status: int, code: str, message: str) -> dict[str, Any]:
    return {
        "id": part.id,
        "status": status,
        "headers": {"Content-Type": "application/json"},
        "body": {"error": {"code": code, "message": message}},
    }
