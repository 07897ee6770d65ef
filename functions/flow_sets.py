"""Doors of outbound provisioning flow sets."""

from __future__ import annotations

import azure.functions as func

from functions.http import (
    INDUSTRY_DATA,
    check_if_match,
    created,
    entity,
    guid_param,
    json_body,
    no_content,
    operation,
    updated,
)
from shared import clients, flows, schemas

bp = func.Blueprint()

SETS = f"{INDUSTRY_DATA}/outboundProvisioningFlowSets"
SET = SETS + "/{set_id}"


@operation(bp, "POST", SETS)
async def create_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Create an empty flow set."""
    document = flows.new_flow_set(schemas.load(schemas.FlowSet, json_body(req)))
    await clients.flow_store().create_set(document)
    return created(req, clients.printer().flow_set(document), flows.entity_tag(document))


@operation(bp, "GET", SET)
async def get_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Return one flow set, without its flows."""
    document = await clients.flow_store().read_set(guid_param(req, "set_id"))
    return entity(req, clients.printer().flow_set(document), flows.entity_tag(document))


@operation(bp, "PATCH", SET)
async def update_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name or the filter of a flow set."""
    body = json_body(req)

    def change(stored: flows.Stored) -> flows.Stored:
        check_if_match(req, flows.entity_tag(stored))
        return flows.updated_flow_set(stored, body)

    document = await clients.flow_store().update_set(guid_param(req, "set_id"), change)
    return updated(req, clients.printer().flow_set(document), flows.entity_tag(document))


@operation(bp, "DELETE", SET)
async def delete_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Delete a flow set and the flows in it."""

    def check(stored: flows.Stored) -> None:
        check_if_match(req, flows.entity_tag(stored))

    conditional = check if "if-match" in req.headers else None
    await clients.flow_store().delete_set(guid_param(req, "set_id"), conditional)
    return no_content()
