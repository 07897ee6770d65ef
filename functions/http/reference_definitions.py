"""Doors of reference definitions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import azure.functions as func

from functions.http.operations import (
    INDUSTRY_DATA,
    created,
    json_body,
    no_content,
    operation,
    updated,
)
from functions.http.publishing import catalog_change
from functions.http.query import (
    ListRequest,
    count_options,
    counted,
    item,
    item_options,
    plain_count,
    whole,
)
from shared import bootstrap, odata
from shared.contract import schemas
from shared.domain import definitions, permissions
from shared.domain.catalog import ROLE_REFERENCE_TYPE
from shared.domain.errors import NotFound

bp = func.Blueprint()

DEFINITIONS = f"{INDUSTRY_DATA}/referenceDefinitions"
DEFINITION = DEFINITIONS + "/{definition_id}"
_ID = re.compile(r"[A-Za-z0-9]{1,64}-[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@operation(bp, "GET", DEFINITIONS, needs=permissions.REFERENCE_LIST, queried=True)
async def list_reference_definitions(req: func.HttpRequest) -> func.HttpResponse:
    """Return the reference definitions, built in and added."""
    request = ListRequest.read(req, odata.REFERENCE_DEFINITION, DEFINITIONS)
    return request.from_all(await _all_definitions())


@operation(bp, "GET", DEFINITIONS + "/$count", needs=permissions.REFERENCE_LIST, queried=True)
async def count_reference_definitions(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of reference definitions."""
    options = count_options(req, odata.REFERENCE_DEFINITION)
    return plain_count(counted(options, await _all_definitions()))


async def _all_definitions() -> list[dict[str, Any]]:
    return [definitions.printed(each) for each in await bootstrap.catalog().definitions()]


@operation(bp, "GET", DEFINITION, needs=permissions.REFERENCE_GET, queried=True)
async def get_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Return one reference definition."""
    options = item_options(req, odata.REFERENCE_DEFINITION)
    found = await bootstrap.catalog().definition(_definition_id(req))
    return item(req, DEFINITIONS, options, definitions.printed(found))


@operation(bp, "POST", DEFINITIONS, needs=permissions.REFERENCE_WRITE)
async def create_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Add an entry to one of the code lists that can be extended."""
    document = definitions.new(schemas.load(schemas.ReferenceDefinition, json_body(req)))
    await bootstrap.catalog().create_definition(document)
    # The documented answer to this operation, unlike all others, prints the declared type.
    printed = {
        schemas.TYPE_MEMBER: f"#{schemas.NAMESPACE}referenceDefinition",
        **definitions.printed(document),
    }
    return created(req, whole(DEFINITIONS, printed))


@operation(bp, "PATCH", DEFINITION, needs=permissions.REFERENCE_WRITE)
async def update_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name, the place or the state of an entry."""
    body = json_body(req)

    def change(stored: definitions.Stored) -> dict[str, Any]:
        return definitions.updated(stored, body)

    document = await _update(_definition_id(req), change)
    printed = definitions.printed(document)
    return updated(req, whole(DEFINITIONS, printed))


@operation(bp, "DELETE", DEFINITION, needs=permissions.REFERENCE_WRITE)
async def delete_reference_definition(req: func.HttpRequest) -> func.HttpResponse:
    """Disable an entry: it stays readable, for data that refers to it."""
    await _update(_definition_id(req), definitions.disabled)
    return no_content()


async def _update(
    definition_id: str, change: Callable[[definitions.Stored], dict[str, Any]]
) -> dict[str, Any]:
    catalog = bootstrap.catalog()
    known = await catalog.definition(definition_id)
    if known["referenceType"] != ROLE_REFERENCE_TYPE:
        # Flows refer to roles only; no other list bears on their readiness.
        return await catalog.update_definition(definition_id, change)
    change(known)  # what is refused is refused here: no event tells of it
    async with catalog_change(role_code=known["code"]):
        return await catalog.update_definition(definition_id, change)


def _definition_id(req: func.HttpRequest) -> str:
    text: str = req.route_params["definition_id"]
    if not _ID.fullmatch(text):
        raise NotFound(text[:64])
    return text
