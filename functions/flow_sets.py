"""Doors of outbound provisioning flow sets."""

from __future__ import annotations

import azure.functions as func

from functions.http import INDUSTRY_DATA, created, guid_param, json_body, ok, operation
from shared import clients, flows, schemas

bp = func.Blueprint()

SETS = f"{INDUSTRY_DATA}/outboundProvisioningFlowSets"


@operation(bp, "POST", SETS)
async def create_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Create an empty flow set."""
    document = flows.new_flow_set(schemas.load(schemas.FlowSet, json_body(req)))
    await clients.flow_store().create_set(document)
    return created(req, clients.printer().flow_set(document))


@operation(bp, "GET", SETS + "/{set_id}")
async def get_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Return one flow set, without its flows."""
    document = await clients.flow_store().read_set(guid_param(req, "set_id"))
    return ok(clients.printer().flow_set(document))
