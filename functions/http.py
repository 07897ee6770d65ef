"""What all HTTP doors share: the operation decorator, replies in Graph's form, the error table."""

from __future__ import annotations

import functools
import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import azure.functions as func

from shared.errors import (
    BodyTooLarge,
    Conflict,
    Fault,
    InvalidRequest,
    NotFound,
    ServiceError,
    StoreUnavailable,
)
from shared.ids import as_guid
from shared.payload import read_json

log = logging.getLogger("provisioning.http")

BASE: Final = "beta/external/industryData"
JSON: Final = (
    "application/json;odata.metadata=minimal;odata.streaming=true;"
    "IEEE754Compatible=false;charset=utf-8"
)

STATUSES: Final[dict[type[ServiceError], tuple[int, str]]] = {
    InvalidRequest: (400, "BadRequest"),
    NotFound: (404, "Request_ResourceNotFound"),
    Conflict: (409, "Conflict"),
    BodyTooLarge: (413, "RequestEntityTooLarge"),
    StoreUnavailable: (503, "serviceNotAvailable"),
}
"""Error class to HTTP status and Graph error code; a subclass counts as its base."""

_CLIENT_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

Door = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


def operation(
    blueprint: func.Blueprint, method: str, template: str
) -> Callable[[Door], Callable[..., Any]]:
    """Register a door for one method and one path below /beta/external/industryData.

    Errors of the table become answers in Graph's envelope. Everything else propagates: the host
    logs it as a failed invocation and answers an empty 500.
    """

    def register(door: Door) -> Callable[..., Any]:
        @functools.wraps(door)
        async def answer(req: func.HttpRequest) -> func.HttpResponse:
            request_id = str(uuid.uuid4())
            try:
                response = await door(req)
            except ServiceError as exc:
                response = _refusal(exc, request_id, client_request_id(req) or request_id)
            response.headers["request-id"] = request_id
            response.headers["client-request-id"] = client_request_id(req) or request_id
            response.headers["OData-Version"] = "4.0"
            response.headers["Cache-Control"] = "no-cache"
            log.info(
                "%s",
                json.dumps(
                    {
                        "event": "request",
                        "operation": door.__name__,
                        "status": response.status_code,
                        "requestId": request_id,
                        **{name: as_guid(value) for name, value in req.route_params.items()},
                    }
                ),
            )
            return response

        registered: Callable[..., Any] = blueprint.route(
            f"{BASE}/{template}", methods=[method], auth_level=func.AuthLevel.ANONYMOUS
        )(answer)
        return registered

    return register


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


def ok(body: Mapping[str, Any]) -> func.HttpResponse:
    """Answer 200 with an entity or a collection."""
    return _json(200, body)


def created(req: func.HttpRequest, body: Mapping[str, Any]) -> func.HttpResponse:
    """Answer 201 with the new entity, and where it can be read."""
    response = _json(201, body)
    response.headers["Location"] = f"{req.url.partition('?')[0].rstrip('/')}/{body['id']}"
    return response


def client_request_id(req: func.HttpRequest) -> str | None:
    """Return the caller's own id for the request, if it is one that can be echoed."""
    given = req.headers.get("client-request-id", "")
    return given if _CLIENT_REQUEST_ID.fullmatch(given) else None


def _json(status: int, body: Mapping[str, Any]) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(body, ensure_ascii=False), status_code=status, headers={"Content-Type": JSON}
    )


def _refusal(error: ServiceError, request_id: str, client_id: str) -> func.HttpResponse:
    status, code = next(
        (row for kind, row in STATUSES.items() if isinstance(error, kind)),
        (500, "generalException"),
    )
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
    if isinstance(error, StoreUnavailable):
        headers["Retry-After"] = str(error.retry_after)
    # Text of the request may be repeated in it, with halves of surrogate pairs: those are escaped.
    text = json.dumps({"error": body}, ensure_ascii=False).encode(errors="backslashreplace")
    return func.HttpResponse(text, status_code=status, headers=headers)


def _message(error: ServiceError, faults: list[Fault]) -> str:
    if len(faults) > 1:
        return f"{len(faults)} faults were found; details lists each. First: {faults[0].message}"
    return faults[0].message if faults else str(error)
