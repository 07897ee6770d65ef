"""Handlers of role groups."""

from __future__ import annotations

import azure.functions as func

from functions.http.operations import INDUSTRY_DATA, operation
from functions.http.replies import collection, created, entity, no_content, plain_count, updated
from functions.http.requests import asked, client_request_id, conditions, json_body
from shared import bootstrap
from shared.description.operations import Noun
from shared.domain.catalog import is_role_group_id
from shared.domain.errors import NotFound
from shared.domain.permissions import ROLE_GROUP_GET, ROLE_GROUP_LIST, ROLE_GROUP_WRITE

bp = func.Blueprint()

GROUPS = f"{INDUSTRY_DATA}/roleGroups"
GROUP = GROUPS + "/{group_id}"
NOUN = Noun("Role groups", "roleGroup")


@operation(bp, "GET", GROUPS, ROLE_GROUP_LIST, NOUN.page())
async def list_role_groups(req: func.HttpRequest) -> func.HttpResponse:
    """Return the role groups, built in and created."""
    return collection(req, await bootstrap.role_groups().page(asked(req)))


@operation(bp, "GET", GROUPS + "/$count", ROLE_GROUP_LIST, NOUN.count())
async def count_role_groups(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of role groups."""
    return plain_count(await bootstrap.role_groups().count(asked(req)))


@operation(bp, "GET", GROUP, ROLE_GROUP_GET, NOUN.get())
async def get_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Return one role group."""
    return entity(req, await bootstrap.role_groups().get(_group_id(req), asked(req)))


@operation(bp, "POST", GROUPS, ROLE_GROUP_WRITE, NOUN.create())
async def create_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Create a role group beside the built-in ones."""
    new = await bootstrap.role_groups().create(json_body(req), client_request_id(req))
    return created(req, new)


@operation(bp, "PATCH", GROUP, ROLE_GROUP_WRITE, NOUN.update().failing(409))
async def update_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name or the roles of a role group."""
    groups, group_id = bootstrap.role_groups(), _group_id(req)
    return updated(req, await groups.update(group_id, json_body(req), conditions(req)))


@operation(bp, "DELETE", GROUP, ROLE_GROUP_WRITE, NOUN.delete().failing(409))
async def delete_role_group(req: func.HttpRequest) -> func.HttpResponse:
    """Delete a role group."""
    await bootstrap.role_groups().delete(_group_id(req), conditions(req))
    return no_content()


def _group_id(req: func.HttpRequest) -> str:
    """Return the key of the path: a GUID, or the word of a built-in group."""
    text: str = req.route_params["group_id"].lower()
    if not is_role_group_id(text):
        raise NotFound(text[:64])
    return text
