"""What all HTTP doors share: the operation decorator, replies in Graph's form, the error table."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import azure.functions as func

from shared import bootstrap, deadline, logs, odata, trace
from shared.adapters.entra import Forbidden, Unauthenticated, current_caller
from shared.adapters.signing_keys import KeysUnavailable
from shared.contract.json_body import read_json, write_json
from shared.domain.errors import (
    BodyTooLarge,
    Conflict,
    Fault,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    PublishFailed,
    ServiceError,
    StoreUnavailable,
    UnknownPath,
    UrlTooLong,
)
from shared.domain.ids import as_guid, new_id
from shared.domain.permissions import Permission

ROOT: Final = "beta"
# For the store; an event may take a few seconds more (shared/adapters/service_bus.py).
CALLER_WAITS_SECONDS: Final = 10.0
INDUSTRY_DATA: Final = "external/industryData"
JSON: Final = {
    level: f"application/json;odata.metadata={level};odata.streaming=true;"
    "IEEE754Compatible=false;charset=utf-8"
    for level in ("minimal", "full", "none")
}
"""Content-Type by the metadata that a client asks for."""

STATUSES: Final[dict[type[ServiceError], tuple[int, str]]] = {
    InvalidRequest: (400, "BadRequest"),
    NotFound: (404, "Request_ResourceNotFound"),
    UnknownPath: (404, "ResourceNotFound"),
    MethodNotAllowed: (405, "Request_MethodNotAllowed"),
    Conflict: (409, "Conflict"),
    PreconditionFailed: (412, "PreconditionFailed"),
    BodyTooLarge: (413, "RequestEntityTooLarge"),
    UrlTooLong: (414, "RequestUriTooLong"),
    Unauthenticated: (401, "InvalidAuthenticationToken"),
    Forbidden: (403, "Authorization_RequestDenied"),
    StoreUnavailable: (503, "serviceNotAvailable"),
    PublishFailed: (503, "serviceNotAvailable"),
    KeysUnavailable: (503, "serviceNotAvailable"),
}
"""Error class to HTTP status and Graph error code; a subclass counts as its base."""

MAX_URL_CHARACTERS: Final = 8000
"""The hosts in front read request lines of 8 KiB; the parts of a batch have no other limit."""

SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}

Door = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]

Tag = Callable[[], str]
"""What makes an entity's ETag: few requests need it, and it costs a walk through the entity."""

_CLIENT_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_METADATA = re.compile(r"odata\.metadata\s*=\s*(minimal|full|none)", re.IGNORECASE)
_PARENTHESISED_KEY = re.compile(r"(?P<name>[^()/']+)\('(?P<key>[^()/']+)'\)")


# --- operations --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One method on one path template (below /beta), and the door behind it."""

    method: str
    segments: tuple[str, ...]
    door: Door
    needs: Permission | None

    def matched(self, segments: list[str]) -> int:
        """Count the leading segments of a path that are this operation's."""
        for count, (own, given) in enumerate(zip(self.segments, segments, strict=False)):
            if not own.startswith("{") and own.lower() != given.lower():
                return count
        return min(len(self.segments), len(segments))

    def route_params(self, segments: list[str]) -> dict[str, str]:
        """Return what the template's parameters stand for in a path that matches."""
        pairs = zip(self.segments, segments, strict=True)
        return {own.strip("{}"): given for own, given in pairs if own.startswith("{")}


OPERATIONS: Final[list[Operation]] = []
"""Every operation of the API, in the order in which the doors were imported."""


def operation(
    blueprint: func.Blueprint,
    method: str,
    template: str,
    *,
    needs: Permission | None,
    queried: bool = False,
) -> Callable[[Door], Callable[..., Any]]:
    """Register a door for one method and one path below /beta.

    `needs` is the permission that a caller must have; None opens the door to anyone. A door that
    is `queried` reads the query options itself; every other takes none.

    Errors of the table become answers in Graph's envelope. Everything else propagates: the host
    logs it as a failed invocation and answers an empty 500.
    """

    def register(given: Door) -> Callable[..., Any]:
        door = given if queried else _without_options(given)

        @functools.wraps(door)
        async def answer(req: func.HttpRequest) -> func.HttpResponse:
            return await answered(door, req, needs)

        OPERATIONS.append(Operation(method, tuple(template.split("/")), door, needs))
        registered: Callable[..., Any] = blueprint.route(
            f"{ROOT}/{template}".rstrip("/"), methods=[method], auth_level=func.AuthLevel.ANONYMOUS
        )(answer)
        return registered

    return register


def _without_options(door: Door) -> Door:
    @functools.wraps(door)
    async def checked(req: func.HttpRequest) -> func.HttpResponse:
        if req.params:
            raise InvalidRequest(
                *(
                    Fault(
                        "UnknownOption",
                        f"The query option '{name[:64]}' is not supported here; leave it out.",
                        name[:64],
                    )
                    for name in req.params
                )
            )
        return await door(req)

    return checked


async def answered(
    door: Door, req: func.HttpRequest, needs: Permission | None
) -> func.HttpResponse:
    """Let a caller with the permission through a door, and complete the answer.

    Errors are told in Graph's envelope; each request leaves one log line.
    """
    request_id = new_id()
    client_id = client_request_id(req) or request_id
    trace.current.set(trace.continued(req.headers.get("traceparent")))
    started = time.perf_counter()
    caller = None
    try:
        if len(req.url) > MAX_URL_CHARACTERS:
            raise UrlTooLong(len(req.url), MAX_URL_CHARACTERS)
        if needs is not None:
            caller = await bootstrap.authorizer().authorize(req.headers.get("authorization"), needs)
        current_caller.set(caller)
        with deadline.within(CALLER_WAITS_SECONDS):
            response = await door(req)
    except ServiceError as exc:
        response = _refusal(exc, request_id, client_id)
        if isinstance(exc, Forbidden):
            caller = exc.caller
    response.headers.extend(
        {
            "request-id": request_id,
            "client-request-id": client_id,
            "OData-Version": "4.0",
            **SECURITY_HEADERS,
        }
    )
    logs.line(
        "request",
        operation=door.__name__,
        status=response.status_code,
        requestId=request_id,
        ms=round((time.perf_counter() - started) * 1000, 1),
        caller=None if caller is None else vars(caller),
        keys={name: as_guid(value) for name, value in req.route_params.items()},
    )
    return response


async def dispatch(req: func.HttpRequest, path: str) -> func.HttpResponse:
    """Serve a request by its path below /beta, its keys as segments or in parentheses."""
    segments = [unquote(segment) for segment in _keys_as_segments(path).split("/")]
    try:
        found = _find_operation(req.method, segments)
    except ServiceError as exc:
        error = exc

        async def unknown_operation(req: func.HttpRequest) -> func.HttpResponse:
            raise error

        return await answered(unknown_operation, req, None)
    routed = func.HttpRequest(
        req.method,
        req.url,
        headers=req.headers,
        params=req.params,
        route_params=found.route_params(segments),
        body=req.get_body(),
    )
    return await answered(found.door, routed, found.needs)


def _find_operation(method: str, segments: list[str]) -> Operation:
    matches = [
        candidate
        for candidate in OPERATIONS
        if len(candidate.segments) == len(segments) == candidate.matched(segments)
    ]
    # A literal segment is meant before a key: provisioningFlows/$count is no flow's id.
    matches.sort(key=lambda candidate: sum(own.startswith("{") for own in candidate.segments))
    for candidate in matches:
        if candidate.method == method:
            return candidate
    if matches:
        raise MethodNotAllowed(method, sorted({candidate.method for candidate in matches}))
    known = max((candidate.matched(segments) for candidate in OPERATIONS), default=0)
    raise UnknownPath(segments[min(known, len(segments) - 1)])


def _keys_as_segments(path: str) -> str:
    return "/".join(
        f"{match['name']}/{match['key']}"
        if (match := _PARENTHESISED_KEY.fullmatch(unquote(segment)))
        else segment
        for segment in path.strip("/").split("/")
    )


# --- reading requests --------------------------------------------------------------------------


def guid_param(req: func.HttpRequest, name: str) -> str:
    """Return a key of the path as a lower-case GUID; raises NotFound for all else."""
    text = req.route_params[name]
    guid = as_guid(text)
    if guid is None:
        raise NotFound(text[:64])
    return guid


def json_body(req: func.HttpRequest) -> Any:
    """Return the request's JSON; raises UnreadableBody or BodyTooLarge."""
    return read_json(req.get_body(), req.headers.get("content-type"))


def client_request_id(req: func.HttpRequest) -> str | None:
    """Return the caller's own id for the request, if it is one that can be echoed."""
    given = req.headers.get("client-request-id", "")
    return given if _CLIENT_REQUEST_ID.fullmatch(given) else None


def check_if_match(req: func.HttpRequest, tag: Tag) -> None:
    """Raise PreconditionFailed where If-Match names another version than that of `tag`."""
    given = req.headers.get("if-match")
    if given is not None and not names_tag(given, tag()):
        raise PreconditionFailed


def names_tag(header: str, tag: str) -> bool:
    """Tell whether an If-Match or If-None-Match header names this version, or any."""
    tags = [part.strip() for part in header.split(",")]
    return "*" in tags or any(part.removeprefix("W/") == tag.removeprefix("W/") for part in tags)


def _metadata_level(req: func.HttpRequest) -> str:
    """Return minimal, full or none, as the Accept header asks."""
    accept = req.headers.get("accept")
    match = _METADATA.search(accept) if accept else None
    return match[1].lower() if match else "minimal"


# --- replies -----------------------------------------------------------------------------------


def ok(req: func.HttpRequest, body: Mapping[str, Any]) -> func.HttpResponse:
    """Answer 200 with a collection, or with an entity that has no ETag."""
    return _json(req, 200, body)


def entity(
    req: func.HttpRequest, body: Mapping[str, Any], tag: Tag | None, status: int = 200
) -> func.HttpResponse:
    """Answer with an entity, or 304 where the caller has this version of it.

    The documented bodies hold no ETag: it is given only to who asks for full metadata or sends a
    conditional header. Without a `tag` there is none.
    """
    if tag is None:
        return _json(req, status, body)
    if_none_match = req.headers.get("if-none-match")
    conditional = if_none_match is not None or "if-match" in req.headers
    if not conditional and _metadata_level(req) != "full":
        return _json(req, status, body)
    version = tag()
    if req.method == "GET" and if_none_match is not None and names_tag(if_none_match, version):
        return func.HttpResponse(status_code=304, headers={"ETag": version})
    context = {name: body[name] for name in ("@odata.context",) if name in body}
    response = _json(req, status, {**context, "@odata.etag": version, **body})
    response.headers["ETag"] = version
    return response


def created(
    req: func.HttpRequest, body: Mapping[str, Any], tag: Tag | None = None
) -> func.HttpResponse:
    """Answer 201 with the new entity, and where it can be read.

    `Prefer: return=minimal` gets 204 instead, with the same address.
    """
    # Ids hold nothing that a URL would have to escape (domain/ids.py, contract/schemas.py).
    location = f"{req.url.partition('?')[0].rstrip('/')}/{body['id']}"
    response = entity(req, body, tag, 201)
    if odata.parse_prefer(req.headers.get("prefer")).returns == "minimal":
        response = no_content()
        response.headers["OData-EntityId"] = location
        response.headers["Preference-Applied"] = "return=minimal"
    response.headers["Location"] = location
    return response


def updated(
    req: func.HttpRequest, body: Mapping[str, Any], tag: Tag | None = None
) -> func.HttpResponse:
    """Answer 204; `Prefer: return=representation` gets 200 with the entity as it is now."""
    if odata.parse_prefer(req.headers.get("prefer")).returns != "representation":
        return no_content()
    response = entity(req, body, tag)
    response.headers["Preference-Applied"] = "return=representation"
    return response


def accepted() -> func.HttpResponse:
    """Answer 202: it will be done."""
    return func.HttpResponse(status_code=202)


def no_content() -> func.HttpResponse:
    """Answer 204: done, and nothing to say about it."""
    return func.HttpResponse(status_code=204)


def _json(req: func.HttpRequest, status: int, body: Mapping[str, Any]) -> func.HttpResponse:
    level = _metadata_level(req)
    content = _without_metadata(body) if level == "none" else body
    return func.HttpResponse(
        write_json(content),
        status_code=status,
        headers={"Content-Type": JSON[level]},
    )


def _without_metadata(value: Any) -> Any:
    """Leave out all control information except what a client cannot do without."""
    if isinstance(value, Mapping):
        return {
            name: _without_metadata(inner)
            for name, inner in value.items()
            if "@odata." not in name or name in ("@odata.nextLink", "@odata.count")
        }
    return [_without_metadata(inner) for inner in value] if isinstance(value, list) else value


def _refusal(error: ServiceError, request_id: str, client_id: str) -> func.HttpResponse:
    status, code = next(row for kind, row in STATUSES.items() if isinstance(error, kind))
    faults = list(error.faults) if isinstance(error, InvalidRequest) else []
    body: dict[str, Any] = {"code": code, "message": _message(error, faults)}
    if faults and faults[0].target is not None:
        body["details"] = [
            {"code": fault.code, "message": fault.message, "target": fault.target}
            for fault in faults
        ]
    body["innerError"] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": client_id,
    }
    headers = {"Content-Type": "application/json"}
    if isinstance(error, (StoreUnavailable, PublishFailed, KeysUnavailable)):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    # Text of the request may be repeated in it, with halves of surrogate pairs: those are escaped.
    text = json.dumps({"error": body}, ensure_ascii=False).encode(errors="backslashreplace")
    return func.HttpResponse(text, status_code=status, headers=headers)


def _message(error: ServiceError, faults: list[Fault]) -> str:
    if len(faults) > 1:
        return f"{len(faults)} faults were found; details lists each. First: {faults[0].message}"
    return faults[0].message if faults else str(error)
