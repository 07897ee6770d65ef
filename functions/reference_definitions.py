"""Doors of reference definitions."""

from __future__ import annotations

import re
from typing import Any

import azure.functions as func

from functions.http import (
    INDUSTRY_DATA,
    created,
    json_body,
    no_content,
    ok,
    operation,
    updated,
)
from shared import clients, definitions, schemas
from shared.errors import NotFound

bp = func.Blueprint()

DEFINITIONS = f"{INDUSTRY_DATA}/referenceDefinitions"
DEFINITION = DEFINITIONS + "/{definition_id}"
_ID = re.compile(r"[A-Za-z0-9]{1,64}-[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@operation(bp, "GET", DEFINITIONS)
async def list_reference_definitions(req: func.HttpRequest) -> func.HttpResponse:
    """Return all reference definitions."""
    found = await clients.catalog().definitions()
    printed = map(definitions.printed, found)
    return ok(req, clients.printer().collection("referenceDefinitions", printed))


@operation(bp, "GET", DEFINITION)
async def get_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Return one reference definition."""
    found = await clients.catalog().definition(_definition_id(req))
    return ok(req, clients.printer().one_of("referenceDefinitions", definitions.printed(found)))


@operation(bp, "POST", DEFINITIONS)
async def create_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Add an entry to one of the code lists that can be extended."""
    document = definitions.new(schemas.load(schemas.ReferenceDefinition, json_body(req)))
    await clients.catalog().create_definition(document)
    # The documented answer to this operation, unlike all others, prints the declared type.
    printed = {
        schemas.TYPE_MEMBER: f"#{schemas.NAMESPACE}referenceDefinition",
        **definitions.printed(document),
    }
    return created(req, clients.printer().one_of("referenceDefinitions", printed))


@operation(bp, "PATCH", DEFINITION)
async def update_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name, the place or the state of an entry."""
    body = json_body(req)

    def change(stored: definitions.Stored) -> dict[str, Any]:
        return definitions.updated(stored, body)

    document = await clients.catalog().update_definition(_definition_id(req), change)
    printed = definitions.printed(document)
    return updated(req, clients.printer().one_of("referenceDefinitions", printed))


@operation(bp, "DELETE", DEFINITION)
async def delete_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Disable an entry: it stays readable, for data that refers to it."""
    await clients.catalog().update_definition(_definition_id(req), definitions.disabled)
    return no_content()


def _definition_id(req: func.HttpRequest) -> str:
    text: str = req.route_params["definition_id"]
    if not _ID.fullmatch(text):
        raise NotFound(text[:64])
    return text
