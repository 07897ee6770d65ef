"""Doors of the provisioning flows inside a flow set."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from functions.http.flow_sets import SET, role_groups_of
from functions.http.operations import (
    accepted,
    check_if_match,
    created,
    guid_param,
    json_body,
    no_content,
    ok,
    operation,
    updated,
)
from functions.http.publishing import publish
from functions.http.query import (
    ListRequest,
    count_options,
    counted,
    item,
    item_options,
    plain_count,
    whole,
)
from shared import bootstrap, logs, odata, trace
from shared.adapters.entra import current_caller
from shared.contract import events, schemas
from shared.domain import flows, permissions
from shared.domain.catalog import is_role_group_id

bp = func.Blueprint()

FLOWS = SET + "/provisioningFlows"
FLOW = FLOWS + "/{flow_id}"


@operation(bp, "POST", FLOWS, needs=permissions.OUTBOUND_FLOW_WRITE)
async def create_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Create a flow of one of the four kinds and ask for its readiness check."""
    set_id = guid_param(req, "set_id")
    body = json_body(req)
    kind, values = schemas.load_flow(body, await _role_groups_in(body))
    flow = flows.new_flow(kind, values, bootstrap.settings().keyring)
    await bootstrap.flow_store().add_flow(set_id, kind, flow)
    await _ask_for_check(set_id, kind, flow)
    printed = bootstrap.printer().created_flow(set_id, kind, flow)
    return created(req, whole(flows.flows_path(set_id), printed), lambda: flows.entity_tag(flow))


@operation(bp, "GET", FLOWS, needs=permissions.OUTBOUND_FLOW_READ, queried=True)
async def list_provisioning_flows(req: func.HttpRequest) -> func.HttpResponse:
    """Return the flows of a set."""
    set_id = guid_param(req, "set_id")
    request = ListRequest.read(req, odata.PROVISIONING_FLOW, flows.flows_path(set_id))
    return request.from_all(await _all_flows(set_id))


@operation(bp, "GET", FLOWS + "/$count", needs=permissions.OUTBOUND_FLOW_READ, queried=True)
async def count_provisioning_flows(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of flows of a set."""
    options = count_options(req, odata.PROVISIONING_FLOW)
    return plain_count(counted(options, await _all_flows(guid_param(req, "set_id"))))


async def _all_flows(set_id: str) -> list[dict[str, Any]]:
    document = await bootstrap.flow_store().read_set(set_id)
    return bootstrap.printer().flows(document, await role_groups_of(*document["flows"].values()))


@operation(bp, "GET", FLOW, needs=permissions.OUTBOUND_FLOW_READ, queried=True)
async def get_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Return one flow as its own type."""
    options = item_options(req, odata.PROVISIONING_FLOW)
    set_id = guid_param(req, "set_id")
    kind, flow = await bootstrap.flow_store().read_flow(set_id, guid_param(req, "flow_id"))
    printed = bootstrap.printer().flow(set_id, kind, flow, await role_groups_of(flow))
    return item(req, flows.flows_path(set_id), options, printed, lambda: flows.entity_tag(flow))


@operation(bp, "GET", FLOW + "/readinessHistory", needs=permissions.OUTBOUND_FLOW_READ)
async def list_readiness_history(req: func.HttpRequest) -> func.HttpResponse:
    """Return what has happened to a flow's readiness, newest first."""
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    _, flow = await bootstrap.flow_store().read_flow(set_id, flow_id)
    context = bootstrap.printer().context(
        f"{flows.flows_path(set_id)}('{flow_id}')/readinessHistory"
    )
    return ok(req, {"@odata.context": context, "value": flows.readiness_history(flow)})


@operation(bp, "PATCH", FLOW, needs=permissions.OUTBOUND_FLOW_WRITE)
async def update_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Change a flow's configuration, which is then checked anew."""
    set_id = guid_param(req, "set_id")
    body = json_body(req)
    known = await _role_groups_in(body)

    def change(kind: str, stored: flows.Stored) -> dict[str, Any]:
        check_if_match(req, lambda: flows.entity_tag(stored))
        # What the flow refers to already stays possible, also after such a group was deleted.
        groups = known.keys() | flows.role_groups_of(stored)
        return flows.updated_flow(kind, stored, body, bootstrap.settings().keyring, groups)

    kind, flow = await bootstrap.flow_store().update_flow(
        set_id, guid_param(req, "flow_id"), change
    )
    await _ask_for_check(set_id, kind, flow)
    printed = bootstrap.printer().flow(set_id, kind, flow, await role_groups_of(flow))
    return updated(req, whole(flows.flows_path(set_id), printed), lambda: flows.entity_tag(flow))


@operation(bp, "DELETE", FLOW, needs=permissions.OUTBOUND_FLOW_WRITE)
async def delete_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Take a flow out of its set."""

    def check(stored: flows.Stored) -> None:
        check_if_match(req, lambda: flows.entity_tag(stored))

    set_id = guid_param(req, "set_id")
    await bootstrap.flow_store().delete_flow(set_id, guid_param(req, "flow_id"), check)
    return no_content()


async def _reset(req: func.HttpRequest) -> func.HttpResponse:
    def change(kind: str, stored: flows.Stored) -> dict[str, Any]:
        check_if_match(req, lambda: flows.entity_tag(stored))
        return flows.reset_flow(stored)

    set_id = guid_param(req, "set_id")
    kind, flow = await bootstrap.flow_store().update_flow(
        set_id, guid_param(req, "flow_id"), change
    )
    await _ask_for_check(set_id, kind, flow)
    return accepted()


@operation(bp, "POST", FLOW + "/reset", needs=permissions.OUTBOUND_FLOW_WRITE)
async def reset_provisioning_flow(req: func.HttpRequest) -> func.HttpResponse:
    """Start a flow anew, as the documentation addresses the action."""
    return await _reset(req)


@operation(
    bp, "POST", FLOW + "/microsoft.graph.industryData.reset", needs=permissions.OUTBOUND_FLOW_WRITE
)
async def reset_provisioning_flow_by_full_name(req: func.HttpRequest) -> func.HttpResponse:
    """Start a flow anew, as Graph's clients address the action."""
    return await _reset(req)


@operation(bp, "POST", FLOW + "/readPasswords", needs=permissions.PASSWORD_READ)
async def read_passwords(req: func.HttpRequest) -> func.HttpResponse:
    """Return the initial passwords of a flow's users in clear, to the provisioning engine.

    Not one of Graph's operations. A flow of a kind that has no passwords gives an empty list. Each
    reading leaves a log line that names the caller.
    """
    set_id, flow_id = guid_param(req, "set_id"), guid_param(req, "flow_id")
    _, flow = await bootstrap.flow_store().read_flow(set_id, flow_id)
    found = flows.passwords(flow, bootstrap.settings().keyring)
    caller = current_caller.get()
    logs.line(
        "passwordsRead",
        flowSetId=set_id,
        flowId=flow_id,
        caller=None if caller is None else vars(caller),
        count=len(found),
    )
    context = bootstrap.printer().context(f"{flows.flows_path(set_id)}('{flow_id}')/readPasswords")
    value = [{"roleGroup": group, "password": secret.reveal()} for group, secret in found]
    return ok(req, {"@odata.context": context, "value": value})


async def _role_groups_in(body: Any) -> flows.RoleGroups:
    # Only ids that can exist, and no more than a valid body has: all else is refused unread.
    named = {each for each in schemas.bound_role_groups(body) if is_role_group_id(each)}
    if len(named) > schemas.MAX_CONFIGURATIONS:
        return {}
    return await bootstrap.catalog().known_role_groups(named) if named else {}


async def _ask_for_check(set_id: str, kind: str, flow: flows.Stored) -> None:
    # Where publishing fails, the flow is stored and says notReady: it is asked for again later.
    await publish(events.check_request(set_id, kind, flow, traceparent=trace.current.get()))
