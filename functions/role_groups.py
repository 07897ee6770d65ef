"""Doors of role groups."""

from __future__ import annotations

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
from shared import catalog, clients, flows, schemas
from shared.errors import NotFound
from shared.ids import as_guid

bp = func.Blueprint()

GROUPS = f"{INDUSTRY_DATA}/roleGroups"
GROUP = GROUPS + "/{group_id}"


@operation(bp, "GET", GROUPS)
async def list_role_groups(req: func.HttpRequest) -> func.HttpResponse:
    """Return all role groups."""
    groups = await clients.catalog().role_groups()
    return ok(req, clients.printer().collection("roleGroups", map(flows.role_group, groups)))


@operation(bp, "GET", GROUP)
async def get_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Return one role group."""
    group = await clients.catalog().role_group(_group_id(req))
    return ok(req, clients.printer().one_of("roleGroups", flows.role_group(group)))


@operation(bp, "POST", GROUPS)
async def create_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Create a role group beside the built-in ones."""
    document = flows.new_role_group(schemas.load(schemas.RoleGroup, json_body(req)))
    await clients.catalog().create_role_group(document)
    return created(req, clients.printer().one_of("roleGroups", document))


@operation(bp, "PATCH", GROUP)
async def update_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name or the roles of a role group."""
    body = json_body(req)

    def change(stored: flows.Stored) -> dict[str, Any]:
        return flows.updated_role_group(stored, body)

    document = await clients.catalog().update_role_group(_group_id(req), change)
    return updated(req, clients.printer().one_of("roleGroups", document))


@operation(bp, "DELETE", GROUP)
async def delete_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Delete a role group."""
    await clients.catalog().delete_role_group(_group_id(req))
    return no_content()


def _group_id(req: func.HttpRequest) -> str:
    """Return the key of the path: a GUID, or the word of a built-in group."""
    text: str = req.route_params["group_id"].lower()
    if text in catalog.BUILT_IN_ROLE_GROUPS:
        return text
    guid = as_guid(text)
    if guid is None:
        raise NotFound(text[:64])
    return guid
