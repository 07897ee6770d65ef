"""Handlers about the service itself, and the one for every other path."""

from __future__ import annotations

import json

import azure.functions as func

from functions.http.operations import INDUSTRY_DATA, dispatch, operation, route
from functions.http.replies import ok
from shared import VERSION, bootstrap
from shared.description.operations import Contract
from shared.domain.permissions import OUTBOUND_FLOW_READ

bp = func.Blueprint()

TAG = "Service"
_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


@route(bp, "GET", "health", contract=Contract(TAG, {200: "health"}))
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say that the app is loaded and its settings are complete; no other service is called."""
    bootstrap.settings()
    return func.HttpResponse(
        json.dumps({"status": "healthy", "version": VERSION}),
        headers={"Content-Type": "application/json"},
    )


@operation(bp, "GET", "$metadata", None, Contract(TAG, {200: "application/xml"}))
async def get_metadata(req: func.HttpRequest) -> func.HttpResponse:
    """Return the service's types as CSDL 4.0 in XML."""
    from shared.description.csdl import csdl

    return func.HttpResponse(csdl(), mimetype="application/xml")


@operation(bp, "GET", "", None, Contract(TAG, {200: "serviceDocument"}))
async def get_service_document(req: func.HttpRequest) -> func.HttpResponse:
    """Return what is at the service root."""
    external = {"name": "external", "kind": "Singleton", "url": "external"}
    return ok(req, {"@odata.context": bootstrap.printer().service_context(), "value": [external]})


@operation(bp, "GET", INDUSTRY_DATA, OUTBOUND_FLOW_READ, Contract(TAG, {200: "industryDataRoot"}))
async def get_industry_data(req: func.HttpRequest) -> func.HttpResponse:
    """Return the root of industryData, which holds collections only."""
    context = bootstrap.printer().context(INDUSTRY_DATA, entity=True)
    return ok(req, {"@odata.context": context, "id": "industryData"})


@bp.route("{*path}", methods=_ALL_METHODS, auth_level=func.AuthLevel.ANONYMOUS)
async def z_any_other_request(req: func.HttpRequest) -> func.HttpResponse:
    """Serve keys in parentheses, HEAD and OPTIONS; answer all the rest in Graph's envelope.

    The host's own routes know keys as segments only, and its own 404 has no body. The host tries
    routes in the order of the functions' names, hence the first letter of this one.
    """
    return await dispatch(req, req.route_params.get("path") or "")
