"""Doors of the provisioning flows inside a flow set."""

from __future__ import annotations

import json
import logging

import azure.functions as func

from functions.flow_sets import SETS
from functions.http import created, guid_param, json_body, ok, operation
from shared import clients, events, flows, schemas
from shared.errors import NotFound, PublishFailed

bp = func.Blueprint()
log = logging.getLogger("provisioning.flows")

FLOWS = SETS + "/{set_id}/provisioningFlows"


@operation(bp, "POST", FLOWS)
async def create_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Create a flow of one of the four kinds and ask for its readiness check."""
    set_id = guid_param(req, "set_id")
    kind, values = schemas.load_flow(json_body(req))
    flow = flows.new_flow(kind, values, clients.settings().keyring)
    await clients.flow_store().add_flow(set_id, kind, flow)
    try:
        await clients.publisher().publish(events.check_request(set_id, kind, flow))
    except PublishFailed as exc:
        # The flow is stored and says notReady: that is enough for the check to be asked for again.
        log.warning(
            "%s",
            json.dumps(
                {
                    "event": "checkNotRequested",
                    "flowSetId": set_id,
                    "flowId": flow["id"],
                    "why": str(exc)[:200],
                }
            ),
        )
    return created(req, clients.printer().created_flow(set_id, kind, flow))


@operation(bp, "GET", FLOWS)
async def list_provisioning_flows(req: func.HttpRequest) -> func.HttpResponse:
    """Return all flows of a set."""
    document = await clients.flow_store().read_set(guid_param(req, "set_id"))
    return ok(clients.printer().flow_list(document))


@operation(bp, "GET", FLOWS + "/{flow_id}")
async def get_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Return one flow as its own type."""
    flow_id = guid_param(req, "flow_id")
    document = await clients.flow_store().read_set(guid_param(req, "set_id"))
    for kind, flow in document["flows"].items():
        if flow["id"] == flow_id:
            return ok(clients.printer().flow(document["id"], kind, flow))
    raise NotFound(flow_id)
