"""Handlers of the provisioning flows inside a flow set."""

from __future__ import annotations

import azure.functions as func

from functions.http.flow_sets import SET
from functions.http.operations import operation
from functions.http.replies import (
    accepted,
    collection,
    created,
    entity,
    no_content,
    ok,
    plain_count,
    updated,
)
from functions.http.requests import asked, client_request_id, conditions, guid_param, json_body
from shared import bootstrap
from shared.description.operations import Noun
from shared.domain.permissions import OUTBOUND_FLOW_READ, OUTBOUND_FLOW_WRITE, PASSWORD_READ

bp = func.Blueprint()

FLOWS = SET + "/provisioningFlows"
FLOW = FLOWS + "/{flow_id}"
NOUN = Noun("Provisioning flows", "provisioningFlow")
_HISTORY = NOUN.act({200: "readinessChangeCollectionResponse"})
_PASSWORDS = NOUN.act({200: "initialPasswordCollectionResponse"}).failing(409)
_RESET = NOUN.conditional_act({202: None})


@operation(bp, "POST", FLOWS, OUTBOUND_FLOW_WRITE, NOUN.create().failing(404, 409))
async def create_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Create a flow of one of the four kinds and request its readiness check."""
    set_id, flows = guid_param(req, "set_id"), bootstrap.provisioning_flows()
    return created(req, await flows.create(set_id, json_body(req), client_request_id(req)))


@operation(bp, "GET", FLOWS, OUTBOUND_FLOW_READ, NOUN.page().failing(404))
async def list_provisioning_flows(req: func.HttpRequest) -> func.HttpResponse:
    """Return the flows of a set."""
    set_id = guid_param(req, "set_id")
    return collection(req, await bootstrap.provisioning_flows().page(set_id, asked(req)))


@operation(bp, "GET", FLOWS + "/$count", OUTBOUND_FLOW_READ, NOUN.count().failing(404))
async def count_provisioning_flows(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of flows of a set."""
    set_id = guid_param(req, "set_id")
    return plain_count(await bootstrap.provisioning_flows().count(set_id, asked(req)))


@operation(bp, "GET", FLOW, OUTBOUND_FLOW_READ, NOUN.get())
async def get_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Return one flow as its own type."""
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    return entity(req, await bootstrap.provisioning_flows().get(set_id, flow_id, asked(req)))


@operation(bp, "GET", FLOW + "/readinessHistory", OUTBOUND_FLOW_READ, _HISTORY)
async def list_readiness_history(req: func.HttpRequest) -> func.HttpResponse:
    """Return what has happened to a flow's readiness, newest first."""
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    return ok(req, await bootstrap.provisioning_flows().history(set_id, flow_id))


@operation(bp, "PATCH", FLOW, OUTBOUND_FLOW_WRITE, NOUN.update())
async def update_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Change a flow's configuration, which is then checked again."""
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    flows = bootstrap.provisioning_flows()
    return updated(req, await flows.update(set_id, flow_id, json_body(req), conditions(req)))


@operation(bp, "DELETE", FLOW, OUTBOUND_FLOW_WRITE, NOUN.delete())
async def delete_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Remove a flow from its set."""
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    await bootstrap.provisioning_flows().delete(set_id, flow_id, conditions(req))
    return no_content()


async def _reset(req: func.HttpRequest) -> func.HttpResponse:
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    await bootstrap.provisioning_flows().reset(set_id, flow_id, conditions(req))
    return accepted()


@operation(bp, "POST", FLOW + "/reset", OUTBOUND_FLOW_WRITE, _RESET)
async def reset_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Restart a flow, as the documentation addresses the action."""
    return await _reset(req)


@operation(bp, "POST", FLOW + "/microsoft.graph.industryData.reset", OUTBOUND_FLOW_WRITE, _RESET)
async def reset_provisioning_flow_by_full_name(req: func.HttpRequest) -> func.HttpResponse:
    """Restart a flow, as Graph's clients address the action."""
    return await _reset(req)


@operation(bp, "POST", FLOW + "/readPasswords", PASSWORD_READ, _PASSWORDS)
async def read_passwords(req: func.HttpRequest) -> func.HttpResponse:
    """Return the initial passwords of a flow's users in clear, to the provisioning engine.

    Not one of Graph's operations. A flow of a kind that has no passwords gives an empty list. Each
    reading is recorded with its caller before the answer; where it cannot be, the answer is 503.
    """
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    return ok(req, await bootstrap.provisioning_flows().read_passwords(set_id, flow_id))
