"""Handlers of outbound provisioning flow sets."""

from __future__ import annotations

import azure.functions as func

from functions.http.operations import INDUSTRY_DATA, operation
from functions.http.replies import collection, created, entity, no_content, plain_count, updated
from functions.http.requests import asked, client_request_id, conditions, guid_param, json_body
from shared import bootstrap
from shared.description.operations import Noun
from shared.domain.permissions import OUTBOUND_FLOW_READ, OUTBOUND_FLOW_WRITE

bp = func.Blueprint()

SETS = f"{INDUSTRY_DATA}/outboundProvisioningFlowSets"
SET = SETS + "/{set_id}"
NOUN = Noun("Flow sets", "outboundProvisioningFlowSet")


@operation(bp, "POST", SETS, OUTBOUND_FLOW_WRITE, NOUN.create())
async def create_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Create an empty flow set."""
    new = await bootstrap.flow_sets().create(json_body(req), client_request_id(req))
    return created(req, new)


@operation(bp, "GET", SETS, OUTBOUND_FLOW_READ, NOUN.page())
async def list_flow_sets(req: func.HttpRequest) -> func.HttpResponse:
    """Return a page of flow sets."""
    return collection(req, await bootstrap.flow_sets().page(asked(req)))


@operation(bp, "GET", SETS + "/$count", OUTBOUND_FLOW_READ, NOUN.count())
async def count_flow_sets(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of flow sets."""
    return plain_count(await bootstrap.flow_sets().count(asked(req)))


@operation(bp, "GET", SET, OUTBOUND_FLOW_READ, NOUN.get())
async def get_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Return one flow set, with its flows where they are to be expanded."""
    return entity(req, await bootstrap.flow_sets().get(guid_param(req, "set_id"), asked(req)))


@operation(bp, "PATCH", SET, OUTBOUND_FLOW_WRITE, NOUN.update())
async def update_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name or the filter of a flow set."""
    set_id = guid_param(req, "set_id")
    changed = await bootstrap.flow_sets().update(set_id, json_body(req), conditions(req))
    return updated(req, changed)


@operation(bp, "DELETE", SET, OUTBOUND_FLOW_WRITE, NOUN.delete())
async def delete_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Delete a flow set and the flows in it."""
    await bootstrap.flow_sets().delete(guid_param(req, "set_id"), conditions(req))
    return no_content()
