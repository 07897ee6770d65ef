"""Errors as Microsoft Graph sends them when it, or a gateway before it, fails.

429 is the one of Graph's throttling guidance, with its documented members. 502 and 504 come from
gateways, which name no reason. The others are those that this service itself answers with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import azure.functions as func

from functions.http.cors import sharing
from functions.http.operations import DIAGNOSTIC, SECURITY_HEADERS
from functions.http.requests import client_request_id
from local.faults.reading import Fault
from local.host.invocation import HttpAnswer
from local.host.layer import Asked
from shared import bootstrap
from shared.domain.errors import SettingsError
from shared.domain.ids import passing_id

_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    401: ("InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
    412: ("PreconditionFailed", "The entity has changed since it was read."),
    429: ("TooManyRequests", "Please retry again later."),
    500: ("InternalServerError", "The service failed unexpectedly."),
    502: ("UnknownError", ""),
    503: ("serviceNotAvailable", "The service is temporarily unavailable."),
    504: ("UnknownError", ""),
}
#: seconds, where a fault says nothing else: those that always have Retry-After
_RETRY_AFTER: Final = {429: 1, 503: 1}


def failed(asked: Asked, status: int, fault: Fault) -> HttpAnswer:
    """Answer with one of reading.STATUSES, as Graph does."""
    code, message = _ERRORS[status]
    headers: dict[str, str] = {}
    retry_after = _RETRY_AFTER.get(status) if fault.retry_after is None else fault.retry_after
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = _challenge()
    more: dict[str, Any] = {}
    if status == 429:
        more = {"code": "429", "message": "Please retry after", "status": "429"}
    return _answer(asked, status, code, message, headers, more)


def refused(asked: Asked, sentences: Sequence[str]) -> HttpAnswer:
    """Answer 400 to a header that asks for no fault that there is."""
    message = f"The header Local-Fault cannot be used. {' '.join(sentences)}"
    return _answer(asked, 400, "BadRequest", message, {}, {})


def _answer(
    asked: Asked,
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str],
    more: Mapping[str, str],
) -> HttpAnswer:
    request_id = passing_id()
    request = func.HttpRequest(asked.method, asked.path, headers=asked.headers, body=b"")
    client_id = client_request_id(request) or request_id
    inner = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": client_id,
        **more,
    }
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    response = func.HttpResponse(status_code=status, headers={"Content-Type": "application/json"})
    response.headers.update(
        SECURITY_HEADERS
        | dict(headers)
        | {"request-id": request_id, "client-request-id": client_id, "OData-Version": "4.0"}
        | {"x-ms-ags-diagnostic": DIAGNOSTIC}
    )
    response.headers.extend(sharing(request, response))
    content = b"" if asked.method == "HEAD" else json.dumps(body).encode()
    return HttpAnswer(str(status), list(response.headers.items()), content)


def _challenge() -> str:
    try:
        return bootstrap.settings().auth.challenge
    except SettingsError:
        return "Bearer"
