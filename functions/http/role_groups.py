"""Doors of role groups."""

from __future__ import annotations

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
from shared.domain import catalog, flows, permissions
from shared.domain.errors import NotFound
from shared.domain.ids import as_guid

bp = func.Blueprint()

GROUPS = f"{INDUSTRY_DATA}/roleGroups"
GROUP = GROUPS + "/{group_id}"


@operation(bp, "GET", GROUPS, needs=permissions.ROLE_GROUP_LIST, queried=True)
async def list_role_groups(req: func.HttpRequest) -> func.HttpResponse:
    """Return the role groups, built in and created."""
    return ListRequest.read(req, odata.ROLE_GROUP, GROUPS).from_all(await _all_role_groups())


@operation(bp, "GET", GROUPS + "/$count", needs=permissions.ROLE_GROUP_LIST, queried=True)
async def count_role_groups(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of role groups."""
    return plain_count(counted(count_options(req, odata.ROLE_GROUP), await _all_role_groups()))


async def _all_role_groups() -> list[dict[str, Any]]:
    return [flows.role_group(group) for group in await bootstrap.catalog().role_groups()]


@operation(bp, "GET", GROUP, needs=permissions.ROLE_GROUP_GET, queried=True)
async def get_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Return one role group."""
    options = item_options(req, odata.ROLE_GROUP)
    group = await bootstrap.catalog().role_group(_group_id(req))
    return item(req, GROUPS, options, flows.role_group(group))


@operation(bp, "POST", GROUPS, needs=permissions.ROLE_GROUP_WRITE)
async def create_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Create a role group beside the built-in ones."""
    document = flows.new_role_group(schemas.load(schemas.RoleGroup, json_body(req)))
    await bootstrap.catalog().create_role_group(document)
    return created(req, whole(GROUPS, document))


@operation(bp, "PATCH", GROUP, needs=permissions.ROLE_GROUP_WRITE)
async def update_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name or the roles of a role group."""
    body = json_body(req)

    def change(stored: flows.Stored) -> dict[str, Any]:
        return flows.updated_role_group(stored, body)

    group_id = _group_id(req)
    # What is refused is refused here: no event may tell of a change that never happened.
    change(await bootstrap.catalog().changeable_role_group(group_id))
    async with catalog_change(role_group=group_id):
        document = await bootstrap.catalog().update_role_group(group_id, change)
    return updated(req, whole(GROUPS, document))


@operation(bp, "DELETE", GROUP, needs=permissions.ROLE_GROUP_WRITE)
async def delete_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Delete a role group."""
    group_id = _group_id(req)
    await bootstrap.catalog().changeable_role_group(group_id)
    async with catalog_change(role_group=group_id):
        await bootstrap.catalog().delete_role_group(group_id)
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
