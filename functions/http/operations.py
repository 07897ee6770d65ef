"""Registers handlers as operations, and serves requests by them.

Each operation is declared once, beside its handler: method, path, permission and contract.
"""

from __future__ import annotations

import functools
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import azure.functions as func

from functions.http.compression import compressed
from functions.http.cors import sharing
from functions.http.errors import refusal
from functions.http.negotiation import (
    apply_preference,
    check_accepted,
    check_values,
    check_versions,
    is_format,
)
from functions.http.paths import is_qualified, path_segments, without_casts
from functions.http.requests import client_request_id
from shared import bootstrap
from shared.description.operations import Contract, Operation
from shared.domain.context import Caller, continued, current_trace, serve, within
from shared.domain.errors import (
    MAX_FAULTS,
    Fault,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    ServiceError,
    UnknownPath,
    UrlTooLong,
)
from shared.domain.ids import as_guid, passing_id
from shared.domain.permissions import Permission
from shared.telemetry import log_event

ROOT: Final = "beta"
INDUSTRY_DATA: Final = "external/industryData"
# For the store; an event may take a few seconds more (shared/adapters/service_bus.py).
DEADLINE_SECONDS: Final = 10.0
# The hosts in front read request lines of 8 KiB; the parts of a batch have no other limit.
MAX_URL_CHARACTERS: Final = 8000

SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}

# In Graph's form. The instance is a name of this process's own, as new as it is.
DIAGNOSTIC: Final = json.dumps(
    {
        "ServerInfo": {
            "DataCenter": "Self-hosted",
            "Slice": "E",
            "Ring": "0",
            "ScaleUnit": "000",
            "RoleInstance": secrets.token_hex(8),
        }
    },
    separators=(",", ":"),
)

Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]

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
    contract: Contract | None = None
    optionless: bool = False
    """Whether query options are refused."""

    @property
    def name(self) -> str:
        """The name of the handler, by which logs and the API's description call the operation."""
        return getattr(self.handler, "__name__", "get_property")

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


ROUTES: Final[list[Route]] = []  # all but the one for all other paths, as registered


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

    def register(handler: Handler) -> Callable[..., Any]:
        in_api = path == ROOT or path.startswith(f"{ROOT}/")
        optionless = in_api and (contract is None or contract.takes is None)
        registered = Route(method, tuple(path.split("/")), handler, needs, contract, optionless)

        @functools.wraps(handler)
        async def answer(req: func.HttpRequest) -> func.HttpResponse:
            keys = req.route_params.values()
            if any(key.startswith("$") or is_qualified(key) for key in keys):
                # A cast, or $count with a method of a key, which the host took for a key.
                response = await dispatch(req, urlsplit(req.url).path)
            else:
                response = await answered(registered, req)
            return compressed(req, response) if in_api else response

        ROUTES.append(registered)
        function: Callable[..., Any] = blueprint.route(
            path, methods=[method], auth_level=func.AuthLevel.ANONYMOUS
        )(answer)
        return function

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


# --- serving -----------------------------------------------------------------------------------


async def answered(route: Route, req: func.HttpRequest) -> func.HttpResponse:
    """Have a route's handler serve a caller that has the permission, and complete the answer.

    Errors are answered in Graph's envelope, unexpected ones as a 500 that is logged with its
    traceback. Each request leaves one log line.
    """
    request_id = passing_id()
    client_id = client_request_id(req) or request_id
    current_trace.set(continued(req.headers.get("traceparent")))
    started = time.perf_counter()
    caller: Caller | None = None
    try:
        if len(req.url) > MAX_URL_CHARACTERS:
            raise UrlTooLong(len(req.url), MAX_URL_CHARACTERS)  # noqa: TRY301 - answered below
        if route.needs is not None:
            authorization = req.headers.get("authorization")
            caller = await bootstrap.authorizer().authorize(authorization, route.needs)
        serve(caller)
        _check(route, req)
        with within(DEADLINE_SECONDS):
            response = await route.handler(req)
    except ServiceError as exc:
        response = refusal(exc, request_id, client_id)
        if isinstance(exc, Forbidden):
            caller = exc.caller
        if response.status_code == 500:
            _log.exception("request %s failed", request_id)
    except Exception as exc:
        response = refusal(exc, request_id, client_id)
        _log.exception("request %s failed", request_id)
    own = {name.lower() for name, _ in response.headers}
    added = {**SECURITY_HEADERS, "request-id": request_id, "client-request-id": client_id}
    added |= {"OData-Version": "4.0", "x-ms-ags-diagnostic": DIAGNOSTIC, **sharing(req, response)}
    # At once: setting one of them looks through all others.
    response.headers.extend({name: text for name, text in added.items() if name.lower() not in own})
    apply_preference(req, response)
    log_event(
        "request",
        operation=route.name,
        status=response.status_code,
        requestId=request_id,
        ms=round((time.perf_counter() - started) * 1000, 1),
        caller=None if caller is None else vars(caller),
        keys={name: as_guid(value) for name, value in req.route_params.items()},
    )
    return response


def _check(route: Route, req: func.HttpRequest) -> None:
    """Check what is the same for all operations of the API: versions, formats, options."""
    if route.contract is None or route.segments[:1] != (ROOT,):
        return
    for key in req.route_params.values():
        if key.startswith("$"):
            # No key begins so: it is a segment such as $ref, which this service does not have.
            raise UnknownPath(key)
    check_versions(req)
    check_values(req)
    media_type = route.contract.media_type
    if media_type is not None:
        check_accepted(req, media_type)
    if not route.optionless:
        return
    formats = route.method == "GET"
    names = [name[:64] for name in req.params if not (formats and is_format(name))]
    if names:
        text = "The query option '{}' is not supported here; omit it."
        raise InvalidRequest(
            *(Fault("UnknownOption", text.format(name), name) for name in names[:MAX_FAULTS])
        )


async def dispatch(req: func.HttpRequest, path: str) -> func.HttpResponse:
    """Serve a request by its path, its keys as segments or in parentheses.

    HEAD is served as GET, without the body. OPTIONS is answered with the methods of the path.
    """
    method = "GET" if req.method == "HEAD" else req.method
    route_params: dict[str, str] = {}
    try:
        if len(req.url) > MAX_URL_CHARACTERS:  # before its path is split
            raise UrlTooLong(len(req.url), MAX_URL_CHARACTERS)
        segments, cast = without_casts(path_segments(path))
        if req.method == "OPTIONS":
            found = Route("OPTIONS", (), _options_of(segments, cast), None)
        else:
            found = _find(method, segments, cast)
            route_params = found.route_params(segments) | ({"cast": cast} if cast else {})
    except ServiceError as exc:
        found = Route(method, (), _refusing(exc), None)
    routed = func.HttpRequest(
        method,
        req.url,
        headers=req.headers,
        params=req.params,
        route_params=route_params,
        body=req.get_body(),
    )
    response = await answered(found, routed)
    if req.method != "HEAD":
        return response
    return func.HttpResponse(
        status_code=response.status_code,
        headers=dict(response.headers.items()),
        mimetype=response.mimetype,
    )


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


def _find(method: str, segments: Sequence[str], cast: str | None) -> Route:
    matches = _served(segments, cast)
    for candidate in matches:
        if candidate.method == method:
            return candidate
    if matches:
        raise MethodNotAllowed(method, allowed(matches))
    if cast is not None and matching(segments):
        raise UnknownPath(cast)
    known = max((candidate.matched(segments) for candidate in ROUTES), default=0)
    raise UnknownPath(segments[min(known, len(segments) - 1)])


def _served(segments: Sequence[str], cast: str | None) -> list[Route]:
    """Return the routes of a path; one that names a property gets a route of its own.

    What a path casts to another type can only be read. Raises UnknownPath for a property of a
    property that there is not.
    """
    matches = matching(segments)
    if cast is not None:
        matches = [each for each in matches if each.contract and each.contract.takes]
        matches = [each for each in matches if each.method == "GET"]
    if matches:
        return matches
    found = _property(segments, cast)
    return [] if found is None else [found]


def _property(segments: Sequence[str], cast: str | None) -> Route | None:
    """Return a route to a property of an entity, served by what serves the entity."""
    from functions.http.properties import property_of

    longest = max(len(each.segments) for each in ROUTES)
    for end in range(min(len(segments) - 1, longest), 1, -1):
        for item in matching(segments[:end]):
            contract = item.contract
            if (
                item.method != "GET"
                or not (contract and contract.entity)
                or contract.takes != "item"
                or not item.segments[-1].startswith("{")
            ):
                continue
            named = property_of(contract.entity, segments[end:], cast)
            if named is None:
                return None
            read = functools.partial(_read_property, item.handler, named.answer)
            answers = Contract(contract.tag, {200: named.media_type})
            names = (*item.segments, *segments[end:])
            return Route("GET", names, read, item.needs, answers, optionless=True)
    return None


async def _read_property(
    handler: Handler,
    answer: Callable[[func.HttpRequest, Any], func.HttpResponse],
    req: func.HttpRequest,
) -> func.HttpResponse:
    # The entity itself, whole and with its types, whatever the caller asks of the property.
    whole = func.HttpRequest("GET", req.url, route_params=req.route_params, body=b"")
    response = await handler(whole)
    return answer(req, json.loads(response.get_body()))


def _options_of(segments: Sequence[str], cast: str | None) -> Handler:
    """Return a handler that answers with the methods of a path; raises UnknownPath."""
    matches = _served(segments, cast)
    if not matches:
        _find("OPTIONS", segments, cast)

    async def options(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(status_code=204, headers={"Allow": ", ".join(allowed(matches))})

    return options


def _refusing(error: ServiceError) -> Handler:
    async def unknown_operation(req: func.HttpRequest) -> func.HttpResponse:
        raise error

    return unknown_operation
