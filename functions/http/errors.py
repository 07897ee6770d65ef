"""Errors as Graph answers them: one table of statuses and codes, one envelope."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import azure.functions as func

from shared.domain.errors import (
    BodyTooLarge,
    Conflict,
    Fault,
    Forbidden,
    InvalidRequest,
    LengthRequired,
    LimitReached,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PreconditionFailed,
    ReceiverRefused,
    ServiceError,
    Throttled,
    Unauthenticated,
    Unavailable,
    UnknownPath,
    UnsupportedBatch,
    UnsupportedEncoding,
    UrlTooLong,
)

STATUSES: Final[dict[type[ServiceError], tuple[int, str]]] = {
    InvalidRequest: (400, "BadRequest"),
    ReceiverRefused: (400, "ValidationError"),
    Unauthenticated: (401, "InvalidAuthenticationToken"),
    Forbidden: (403, "Authorization_RequestDenied"),
    LimitReached: (403, "ExtensionError"),
    NotFound: (404, "Request_ResourceNotFound"),
    UnknownPath: (400, "BadRequest"),
    MethodNotAllowed: (405, "Request_MethodNotAllowed"),
    NotAcceptable: (406, "NotAcceptable"),
    Conflict: (409, "Conflict"),
    LengthRequired: (411, "LengthRequired"),
    PreconditionFailed: (412, "PreconditionFailed"),
    BodyTooLarge: (413, "RequestEntityTooLarge"),
    UrlTooLong: (414, "RequestUriTooLong"),
    UnsupportedEncoding: (415, "UnsupportedMediaType"),
    UnsupportedBatch: (415, "UnsupportedMediaType"),
    Throttled: (429, "TooManyRequests"),
    Unavailable: (503, "serviceNotAvailable"),
}
"""Error class to HTTP status and Graph error code; a class that is missing counts as its base."""

UNEXPECTED: Final = (500, "InternalServerError")
"""The status and code of every error that is not in the table."""


def status_of(error: Exception) -> tuple[int, str]:
    """Return the status and the code of an error: those of its nearest base class in the table."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return UNEXPECTED


def refusal(error: Exception, request_id: str, client_id: str) -> func.HttpResponse:
    """Answer with an error in Graph's envelope; of one not in the table, only the ids are shown."""
    status, code = status_of(error)
    faults = list(error.faults) if isinstance(error, InvalidRequest) else []
    body: dict[str, Any] = {"code": code, "message": _message(error, status, faults)}
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
    # Text of the request may be repeated in it, with halves of surrogate pairs: those are escaped.
    text = json.dumps({"error": body}, ensure_ascii=False).encode(errors="backslashreplace")
    return func.HttpResponse(text, status_code=status, headers=_headers(error))


def _message(error: Exception, status: int, faults: list[Fault]) -> str:
    if status == UNEXPECTED[0]:
        return "The service failed unexpectedly. Give the request-id to its operator."
    if len(faults) > 1:
        return f"{len(faults)} faults were found; details lists each. First: {faults[0].message}"
    return faults[0].message if faults else str(error)


def _headers(error: Exception) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    match error:
        case Unavailable():
            headers["Retry-After"] = str(error.retry_after)
        case Unauthenticated():
            headers["WWW-Authenticate"] = error.challenge
        case MethodNotAllowed():
            headers["Allow"] = ", ".join(error.allowed)
        case UnsupportedEncoding():
            headers["Accept-Encoding"] = "gzip"
    return headers
