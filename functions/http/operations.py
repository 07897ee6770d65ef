"""Registers handlers as operations, and serves requests by them.

Each operation is declared once, beside its handler: method, path, permission and contract.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import azure.functions as func

from functions.http.errors import refusal
from functions.http.requests import client_request_id
from shared import bootstrap
from shared.description.operations import Contract, Operation
from shared.domain.context import Caller, continued, current_caller, current_trace, within
from shared.domain.errors import (
    Fault,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    ServiceError,
    UnknownPath,
    UrlTooLong,
)
from shared.domain.ids import as_guid, new_id
from shared.domain.permissions import Permission
from shared.telemetry import log_event

ROOT: Final = "beta"
# For the store; an event may take a few seconds more (shared/adapters/service_bus.py).
DEADLINE_SECONDS: Final = 10.0
INDUSTRY_DATA: Final = "external/industryData"

MAX_URL_CHARACTERS: Final = 8000
"""The hosts in front read request lines of 8 KiB; the parts of a batch have no other limit."""

SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]

_PARENTHESISED_KEY = re.compile(r"(?P<name>[^()/']+)\('(?P<key>[^()/']+)'\)")
_log = logging.getLogger("provisioning")


# --- registering -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    """One method on one path template, and the handler that serves it.

    `contract` is None for what the API's description does not have, such as pages.
    """

    method: str
    segments: tuple[str, ...]
    handler: Handler
    needs: Permission | None
    contract: Contract | None

    @property
    def name(self) -> str:
        """The name of the handler, by which logs and the API's description call the operation."""
        return self.handler.__name__

    def matched(self, segments: Sequence[str]) -> int:
        """Count the leading segments of a path that are this route's."""
        for count, (own, given) in enumerate(zip(self.segments, segments, strict=False)):
            if not own.startswith("{") and own.lower() != given.lower():
                return count
        return min(len(self.segments), len(segments))

    def route_params(self, segments: Sequence[str]) -> dict[str, str]:
        """Return what the template's parameters stand for in a path that matches."""
        pairs = zip(self.segments, segments, strict=True)
        return {own.strip("{}"): given for own, given in pairs if own.startswith("{")}


ROUTES: Final[list[Route]] = []
"""Every route of the app but the one for all other paths, in the order of registration."""


def operation(
    blueprint: func.Blueprint,
    method: str,
    template: str,
    needs: Permission | None,
    contract: Contract,
) -> Callable[[Handler], Callable[..., Any]]:
    """Register a handler for one method and one path below /beta.

    `needs` is the permission that a caller must have; None admits every caller, without a token.
    Query options are refused unless the contract takes some.
    """
    return route(blueprint, method, f"{ROOT}/{template}".rstrip("/"), needs, contract)


def route(
    blueprint: func.Blueprint,
    method: str,
    path: str,
    needs: Permission | None = None,
    contract: Contract | None = None,
) -> Callable[[Handler], Callable[..., Any]]:
    """Register a handler for one method and one whole path, as `operation` does."""

    def register(given: Handler) -> Callable[..., Any]:
        in_api = path == ROOT or path.startswith(f"{ROOT}/")
        takes_none = in_api and (contract is None or contract.takes is None)
        handler = _without_options(given) if takes_none else given

        @functools.wraps(handler)
        async def answer(req: func.HttpRequest) -> func.HttpResponse:
            return await answered(handler, req, needs)

        ROUTES.append(Route(method, tuple(path.split("/")), handler, needs, contract))
        registered: Callable[..., Any] = blueprint.route(
            path, methods=[method], auth_level=func.AuthLevel.ANONYMOUS
        )(answer)
        return registered

    return register


def operations() -> list[Operation]:
    """Return every operation of the API's description, in the order of registration."""
    return [
        Operation(
            each.name,
            each.method,
            "/" + "/".join(each.segments),
            each.handler.__doc__ or "",
            each.needs,
            each.contract,
        )
        for each in ROUTES
        if each.contract is not None
    ]


def _without_options(handler: Handler) -> Handler:
    @functools.wraps(handler)
    async def checked(req: func.HttpRequest) -> func.HttpResponse:
        if req.params:
            raise InvalidRequest(
                *(
                    Fault(
                        "UnknownOption",
                        f"The query option '{name[:64]}' is not supported here; omit it.",
                        name[:64],
                    )
                    for name in req.params
                )
            )
        return await handler(req)

    return checked


# --- serving -----------------------------------------------------------------------------------


async def answered(
    handler: Handler, req: func.HttpRequest, needs: Permission | None
) -> func.HttpResponse:
    """Have a handler serve a caller that has the permission, and complete the answer.

    Errors are answered in Graph's envelope, unexpected ones as a 500 that is logged with its
    traceback. Each request leaves one log line.
    """
    request_id = new_id()
    client_id = client_request_id(req) or request_id
    current_trace.set(continued(req.headers.get("traceparent")))
    started = time.perf_counter()
    caller: Caller | None = None
    try:
        _check_length(req.url)
        if needs is not None:
            caller = await bootstrap.authorizer().authorize(req.headers.get("authorization"), needs)
        current_caller.set(caller)
        with within(DEADLINE_SECONDS):
            response = await handler(req)
    except ServiceError as exc:
        response = refusal(exc, request_id, client_id)
        if isinstance(exc, Forbidden):
            caller = exc.caller
        if response.status_code == 500:
            _log.exception("request %s failed", request_id)
    except Exception as exc:
        response = refusal(exc, request_id, client_id)
        _log.exception("request %s failed", request_id)
    headers = response.headers
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    headers["request-id"] = request_id
    headers["client-request-id"] = client_id
    headers["OData-Version"] = "4.0"
    log_event(
        "request",
        operation=handler.__name__,
        status=response.status_code,
        requestId=request_id,
        ms=round((time.perf_counter() - started) * 1000, 1),
        caller=None if caller is None else vars(caller),
        keys={name: as_guid(value) for name, value in req.route_params.items()},
    )
    return response


def _check_length(url: str) -> None:
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlTooLong(len(url), MAX_URL_CHARACTERS)


async def dispatch(req: func.HttpRequest, path: str) -> func.HttpResponse:
    """Serve a request by its path, its keys as segments or in parentheses.

    HEAD is served as GET, without the body. OPTIONS is answered with the methods of the path.
    """
    segments = path_segments(path)
    method = "GET" if req.method == "HEAD" else req.method
    try:
        if req.method == "OPTIONS":
            return await answered(_options_of(segments), req, None)
        found = _find(method, segments)
    except ServiceError as exc:
        error = exc

        async def unknown_operation(req: func.HttpRequest) -> func.HttpResponse:
            raise error

        return _for_method(req.method, await answered(unknown_operation, req, None))
    routed = func.HttpRequest(
        method,
        req.url,
        headers=req.headers,
        params=req.params,
        route_params=found.route_params(segments),
        body=req.get_body(),
    )
    return _for_method(req.method, await answered(found.handler, routed, found.needs))


def path_segments(path: str) -> list[str]:
    """Return a path's segments, unescaped, its keys in parentheses as segments of their own."""
    with_keys = "/".join(
        f"{match['name']}/{match['key']}"
        if (match := _PARENTHESISED_KEY.fullmatch(unquote(segment)))
        else segment
        for segment in path.strip("/").split("/")
    )
    return [unquote(segment) for segment in with_keys.split("/")]


def matching(segments: Sequence[str]) -> list[Route]:
    """Return the routes of a path, those with the fewest parameters first."""
    matches = [
        each for each in ROUTES if len(each.segments) == len(segments) == each.matched(segments)
    ]
    # A literal segment goes before a key: provisioningFlows/$count is no flow's id.
    fewest = min((_parameters(each) for each in matches), default=0)
    return [each for each in matches if _parameters(each) == fewest]


def _parameters(route: Route) -> int:
    return sum(own.startswith("{") for own in route.segments)


def allowed(matches: Sequence[Route]) -> list[str]:
    """Return the methods of a path, by its routes."""
    methods = {each.method for each in matches}
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def _find(method: str, segments: Sequence[str]) -> Route:
    matches = matching(segments)
    for candidate in matches:
        if candidate.method == method:
            return candidate
    if matches:
        raise MethodNotAllowed(method, allowed(matches))
    known = max((candidate.matched(segments) for candidate in ROUTES), default=0)
    raise UnknownPath(segments[min(known, len(segments) - 1)])


def _options_of(segments: Sequence[str]) -> Handler:
    matches = matching(segments)

    async def options(req: func.HttpRequest) -> func.HttpResponse:
        if not matches:
            _find("OPTIONS", segments)
        return func.HttpResponse(status_code=204, headers={"Allow": ", ".join(allowed(matches))})

    return options


def _for_method(method: str, response: func.HttpResponse) -> func.HttpResponse:
    if method != "HEAD":
        return response
    return func.HttpResponse(
        status_code=response.status_code,
        headers=dict(response.headers.items()),
        mimetype=response.mimetype,
    )
