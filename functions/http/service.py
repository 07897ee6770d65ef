"""Handlers about the service itself, and the one for every other path."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import azure.functions as func

from functions.http.compression import compressed
from functions.http.operations import INDUSTRY_DATA, ROOT, dispatch, operation, route
from functions.http.replies import ok
from functions.http.requests import asked
from shared import VERSION, bootstrap
from shared.description.operations import Contract
from shared.domain.permissions import OUTBOUND_FLOW_READ

if TYPE_CHECKING:
    from shared.services.roots import Authorize

bp = func.Blueprint()

TAG = "Service"


def _root(schema: str) -> Contract:
    return Contract(TAG, {200: schema}, takes="item", entity=schema)


@route(bp, "GET", "health", contract=Contract(TAG, {200: "health", 503: "health"}))
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say within a second whether the app can work, and how each service behind it is.

    200 also where Service Bus or Blob Storage is away: what is stored is safe, and events wait.
    503 where no request can be served.
    """
    works, body = await bootstrap.health().read()
    return func.HttpResponse(
        json.dumps({**body, "version": VERSION}),
        status_code=200 if works else 503,
        headers={"Content-Type": "application/json"},
    )


@operation(bp, "GET", "$metadata", None, Contract(TAG, {200: "application/xml"}))
async def get_metadata(req: func.HttpRequest) -> func.HttpResponse:
    """Return the service's types as CSDL 4.0 in XML."""
    from shared.description.csdl import csdl

    return func.HttpResponse(csdl(), mimetype="application/xml")


@operation(bp, "GET", "", None, _root("serviceDocument"))
async def get_service_document(req: func.HttpRequest) -> func.HttpResponse:
    """Return what is at the service root."""
    from shared.services.roots import service_document

    return ok(req, service_document(asked(req), bootstrap.printer()))


@operation(bp, "GET", "external", OUTBOUND_FLOW_READ, _root("external"))
async def get_external(req: func.HttpRequest) -> func.HttpResponse:
    """Return the singleton that leads to industryData."""
    return ok(req, await bootstrap.roots().external(asked(req), _authorizing(req)))


@operation(bp, "GET", INDUSTRY_DATA, OUTBOUND_FLOW_READ, _root("industryDataRoot"))
async def get_industry_data(req: func.HttpRequest) -> func.HttpResponse:
    """Return the root of industryData, which holds collections only.

    To expand one of them, a caller needs the permission to list it.
    """
    return ok(req, await bootstrap.roots().industry_data(asked(req), _authorizing(req)))


def _authorizing(req: func.HttpRequest) -> Authorize:
    return functools.partial(bootstrap.authorizer().authorize, req.headers.get("authorization"))


# Without methods it gets those too that the binding has no name for, TRACE for one.
@bp.route("{*path}", auth_level=func.AuthLevel.ANONYMOUS)
async def z_any_other_request(req: func.HttpRequest) -> func.HttpResponse:
    """Serve keys in parentheses, HEAD, OPTIONS and `/`; answer all the rest in Graph's envelope.

    The host's own routes know keys as segments only, and its own 404 has no body. The host tries
    routes in the order of the functions' names, hence the first letter of this one.
    """
    return compressed(req, await dispatch(req, req.route_params.get("path") or ROOT))
