"""Doors of outbound provisioning flow sets."""

from __future__ import annotations

from typing import Any

import azure.functions as func

from functions.http.operations import (
    INDUSTRY_DATA,
    check_if_match,
    created,
    guid_param,
    json_body,
    no_content,
    operation,
    updated,
)
from functions.http.query import (
    ListRequest,
    count_options,
    item,
    item_options,
    plain_count,
    whole,
)
from shared import bootstrap, odata
from shared.contract import schemas
from shared.domain import flows, permissions

bp = func.Blueprint()

SETS = f"{INDUSTRY_DATA}/outboundProvisioningFlowSets"
SET = SETS + "/{set_id}"


@operation(bp, "POST", SETS, needs=permissions.OUTBOUND_FLOW_WRITE)
async def create_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Create an empty flow set."""
    document = flows.new_flow_set(schemas.load(schemas.FlowSet, json_body(req)))
    await bootstrap.flow_store().create_set(document)
    return created(
        req,
        whole(flows.SETS, bootstrap.printer().flow_set(document)),
        lambda: flows.entity_tag(document),
    )


@operation(bp, "GET", SETS, needs=permissions.OUTBOUND_FLOW_READ, queried=True)
async def list_flow_sets(req: func.HttpRequest) -> func.HttpResponse:
    """Return a page of flow sets."""
    request = ListRequest.read(req, odata.FLOW_SET, flows.SETS)
    store, options, page = bootstrap.flow_store(), request.options, request.page
    end = page.skip + page.limit
    found = await store.query_sets(odata.page_query(options, page), end + 1) if page.limit else []
    total = await store.count_sets(odata.count_query(options)) if options.count else None
    printed = await _printed(found[page.skip : end], options)
    return request.answer(printed, more=len(found) > end, total=total)


@operation(bp, "GET", SETS + "/$count", needs=permissions.OUTBOUND_FLOW_READ, queried=True)
async def count_flow_sets(req: func.HttpRequest) -> func.HttpResponse:
    """Return the number of flow sets."""
    query = odata.count_query(count_options(req, odata.FLOW_SET))
    return plain_count(await bootstrap.flow_store().count_sets(query))


@operation(bp, "GET", SET, needs=permissions.OUTBOUND_FLOW_READ, queried=True)
async def get_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Return one flow set, with its flows where they are to be expanded."""
    options = item_options(req, odata.FLOW_SET)
    document = await bootstrap.flow_store().read_set(guid_param(req, "set_id"))
    (printed,) = await _printed([document], options)
    return item(req, flows.SETS, options, printed, lambda: flows.entity_tag(document))


async def _printed(
    documents: list[dict[str, Any]], options: odata.QueryOptions
) -> list[dict[str, Any]]:
    printer = bootstrap.printer()
    expand = options.expands("provisioningFlows")
    if expand is None:
        return [printer.flow_set(document) for document in documents]
    groups = await role_groups_of(*(f for doc in documents for f in doc["flows"].values()))
    return [
        {
            **printer.flow_set(document),
            "provisioningFlows@odata.context": printer.context(
                flows.flows_path(document["id"]),
                selected=f"({expand.select.context})" if expand.select else "",
            ),
            "provisioningFlows": [
                expand.select.project(flow) if expand.select else flow
                for flow in printer.flows(document, groups)
            ],
        }
        for document in documents
    ]


@operation(bp, "PATCH", SET, needs=permissions.OUTBOUND_FLOW_WRITE)
async def update_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Change the name or the filter of a flow set."""
    body = json_body(req)

    def change(stored: flows.Stored) -> flows.Stored:
        check_if_match(req, lambda: flows.entity_tag(stored))
        return flows.updated_flow_set(stored, body)

    document = await bootstrap.flow_store().update_set(guid_param(req, "set_id"), change)
    return updated(
        req,
        whole(flows.SETS, bootstrap.printer().flow_set(document)),
        lambda: flows.entity_tag(document),
    )


@operation(bp, "DELETE", SET, needs=permissions.OUTBOUND_FLOW_WRITE)
async def delete_flow_set(req: func.HttpRequest) -> func.HttpResponse:
    """Delete a flow set and the flows in it."""

    def check(stored: flows.Stored) -> None:
        check_if_match(req, lambda: flows.entity_tag(stored))

    conditional = check if "if-match" in req.headers else None
    await bootstrap.flow_store().delete_set(guid_param(req, "set_id"), conditional)
    return no_content()


async def role_groups_of(*stored: flows.Stored) -> flows.RoleGroups:
    """Return the role groups that stored flows refer to, for printing them inline."""
    named = set().union(*(flows.role_groups_of(flow) for flow in stored))
    return await bootstrap.catalog().known_role_groups(named) if named else {}
