"""Doors about the service itself, and the one for what no other door answers."""

from __future__ import annotations

import json

import azure.functions as func

from functions.http.operations import (
    INDUSTRY_DATA,
    ROOT,
    SECURITY_HEADERS,
    dispatch,
    ok,
    operation,
)
from shared import bootstrap
from shared.description import csdl
from shared.domain import permissions

bp = func.Blueprint()

_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


@bp.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say that the app is loaded and its settings are complete; asks no other service."""
    bootstrap.settings()
    return func.HttpResponse(
        json.dumps({"status": "healthy"}),
        headers={"Content-Type": "application/json", **SECURITY_HEADERS},
    )


@operation(bp, "GET", "$metadata", needs=None)
async def get_metadata(req: func.HttpRequest) -> func.HttpResponse:
    """Return the service's types as CSDL 4.0 in XML."""
    return func.HttpResponse(csdl.csdl(), mimetype="application/xml")


@operation(bp, "GET", "", needs=None)
async def get_service_document(req: func.HttpRequest) -> func.HttpResponse:
    """Return what is at the service root."""
    external = {"name": "external", "kind": "Singleton", "url": "external"}
    return ok(req, {"@odata.context": bootstrap.printer().service_context(), "value": [external]})


@operation(bp, "GET", INDUSTRY_DATA, needs=permissions.OUTBOUND_FLOW_READ)
async def get_industry_data(req: func.HttpRequest) -> func.HttpResponse:
    """Return the root of industryData, which holds collections only."""
    context = bootstrap.printer().context(INDUSTRY_DATA, entity=True)
    return ok(req, {"@odata.context": context, "id": "industryData"})


@bp.route("{*path}", methods=_ALL_METHODS, auth_level=func.AuthLevel.ANONYMOUS)
async def z_any_other_request(req: func.HttpRequest) -> func.HttpResponse:
    """Serve keys in parentheses; tell all the rest, in Graph's envelope, what is wrong.

    The host's own routes know keys as segments only, and its own 404 has no body. The host tries
    routes in the order of the functions' names, whence the first letter of this one.
    """
    root, _, path = req.route_params.get("path", "").partition("/")
    # Only paths below the service root are ours; any other is looked up whole and not found.
    return await dispatch(req, path if root.lower() == ROOT else f"{root}/{path}")
