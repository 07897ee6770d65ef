"""What the description calls things: as Graph's own OpenAPI document does, if Graph has them.

The names come from the rules of the generator that Graph's document is made with, and from Graph's
settings of it. Ids that end in four digits have the hash of that generator.
"""

from __future__ import annotations

import hashlib

import pytest

from functions.http import operations as registry
from shared.description.names import names
from tests.support.description import SETS, description, operations

ROOT = "/beta/external/industryData"
SET = f"{SETS}/{{outboundProvisioningFlowSet-id}}"
FLOW = f"{SET}/provisioningFlows/{{provisioningFlow-id}}"
IDS = {
    ("get", "/beta/external"): "external.external.GetExternal",
    ("get", ROOT): "external.GetIndustryData",
    ("post", f"{ROOT}/resealPasswords"): "external.industryData.resealPasswords",
    ("post", f"{ROOT}/assignEarlierDocuments"): "external.industryData.assignEarlierDocuments",
    **{
        key: f"external.industryData.{name}"
        for collection, entity, digits in (
            ("outboundProvisioningFlowSets", "outboundProvisioningFlowSet", "ce07"),
            ("roleGroups", "roleGroup", "77ec"),
            ("referenceDefinitions", "referenceDefinition", "6401"),
        )
        for key, name in (
            (("get", f"{ROOT}/{collection}"), f"List{collection[0].upper()}{collection[1:]}"),
            (("post", f"{ROOT}/{collection}"), f"Create{collection[0].upper()}{collection[1:]}"),
            (("get", f"{ROOT}/{collection}/$count"), f"{collection}.GetCount-{digits}"),
            *(
                (
                    (method, f"{ROOT}/{collection}/{{{entity}-id}}"),
                    f"{verb}{collection[0].upper()}{collection[1:]}",
                )
                for method, verb in (("get", "Get"), ("patch", "Update"), ("delete", "Delete"))
            ),
        )
    },
    **{
        key: f"external.industryData.outboundProvisioningFlowSets.{name}"
        for key, name in (
            (("get", f"{SET}/provisioningFlows"), "ListProvisioningFlows"),
            (("post", f"{SET}/provisioningFlows"), "CreateProvisioningFlows"),
            (("get", f"{SET}/provisioningFlows/$count"), "provisioningFlows.GetCount-4ce2"),
            (("get", FLOW), "GetProvisioningFlows"),
            (("patch", FLOW), "UpdateProvisioningFlows"),
            (("delete", FLOW), "DeleteProvisioningFlows"),
        )
    },
    **{
        (method, f"{FLOW}/{segment}"): "external.industryData.outboundProvisioningFlowSets."
        f"outboundProvisioningFlowSet.provisioningFlows.provisioningFlow.{name}"
        for method, segment, name in (
            ("post", "microsoft.graph.industryData.reset", "reset"),
            ("post", "reset", "reset-01be"),
            ("get", "readinessHistory", "readinessHistory"),
            ("post", "readPasswords", "readPasswords"),
        )
    },
}


def test_operations_of_graph_have_the_ids_that_graph_gives() -> None:
    found = {
        (each.method, each.path): each.content["operationId"]
        for each in operations()
        if each.path.startswith("/beta/external")
    }
    assert found == IDS


def test_operations_of_subscriptions_have_the_ids_that_graph_gives() -> None:
    found = {
        (each.method, each.path.removeprefix("/beta/")): each.content["operationId"]
        for each in operations()
        if each.path.startswith("/beta/subscriptions")
    }
    one = "subscriptions/{subscription-id}"
    assert found == {
        ("get", "subscriptions"): "subscriptions.subscription.ListSubscription",
        ("post", "subscriptions"): "subscriptions.subscription.CreateSubscription",
        ("get", one): "subscriptions.subscription.GetSubscription",
        ("patch", one): "subscriptions.subscription.UpdateSubscription",
        ("delete", one): "subscriptions.subscription.DeleteSubscription",
    }


def test_operations_of_the_service_itself_have_the_names_of_their_functions() -> None:
    of_graph = ("/beta/external", "/beta/subscriptions")
    own = [each for each in operations() if not each.path.startswith(of_graph)]
    functions = {each.path: each.name for each in registry.operations()}
    assert len(own) > 8
    for each in own:
        assert each.content["operationId"] == functions[each.path]
        assert each.content["tags"] == ["service"]


def test_functions_keep_their_own_names() -> None:
    by_path = {(each.method, each.path): each.name for each in registry.operations()}
    assert by_path["GET", SETS] == "list_flow_sets"
    assert by_path["POST", f"{SETS}/{{set_id}}/provisioningFlows"] == "create_provisioning_flow"


def test_the_hash_of_a_count_is_over_all_of_its_path() -> None:
    """As in the generator's tests: of `People/$count` its id ends in dd8d, made in this way."""
    assert hashlib.sha256(b"$countPeople/$count").hexdigest()[:4] == "dd8d"
    path = "external/industryData/outboundProvisioningFlowSets/$count"
    digits = hashlib.sha256(f"$count{path}".encode()).hexdigest()[:4]
    named = names("GET", f"/beta/{path}", ())
    assert named is not None
    assert named.operation_id.endswith(f"-{digits}")


def test_operations_are_grouped_and_summed_up_as_in_graph() -> None:
    found = {(each.method, each.path): each.content for each in operations()}
    assert found["get", "/beta/external"]["tags"] == ["external.external"]
    tags = {tuple(each["tags"]) for (_, path), each in found.items() if path.startswith(ROOT)}
    assert tags == {("external.industryDataRoot",)}
    assert [each["name"] for each in description()["tags"]] == [
        "external.industryDataRoot",
        "external.external",
        "subscriptions.subscription",
        "service",
    ]
    for method, path, summary in (
        ("get", SETS, "List outboundProvisioningFlowSets"),
        ("post", f"{SET}/provisioningFlows", "Create provisioningFlow"),
        ("patch", FLOW, "Update provisioningFlow"),
        ("get", f"{SETS}/$count", "Get the number of the resource"),
        ("post", f"{FLOW}/reset", "Invoke action reset"),
        ("get", f"{FLOW}/readinessHistory", "Invoke function readinessHistory"),
    ):
        assert found[method, path]["summary"] == summary


def test_operations_say_what_sort_they_are() -> None:
    found = {
        (each.method, each.path): each.content.get("x-ms-docs-operation-type")
        for each in operations()
    }
    assert found["get", SETS] == "operation"
    assert found["delete", FLOW] == "operation"
    assert found["post", f"{FLOW}/microsoft.graph.industryData.reset"] == "action"
    assert found["get", f"{FLOW}/readinessHistory"] == "function"
    assert found["get", f"{SETS}/$count"] is None
    assert found["get", "/health"] is None


@pytest.mark.parametrize(
    "entity",
    ["outboundProvisioningFlowSet", "provisioningFlow", "roleGroup", "referenceDefinition"],
)
def test_keys_and_pages_are_named_by_the_type(entity: str) -> None:
    parts = description()["components"]
    key = parts["parameters"][f"{entity}-id"]
    assert (key["name"], key["x-ms-docs-key-type"]) == (f"{entity}-id", entity)
    name = f"microsoft.graph.industryData.{entity}CollectionResponse"
    page = {"$ref": f"#/components/schemas/{name}"}
    assert parts["responses"][name]["content"]["application/json"]["schema"] == page
    base, _ = parts["schemas"][name]["allOf"]
    assert base == {"$ref": "#/components/schemas/BaseCollectionPaginationCountResponse"}
    shared = parts["schemas"]["BaseCollectionPaginationCountResponse"]["properties"]
    assert shared.keys() == {"@odata.count", "@odata.nextLink"}


def test_options_and_counts_are_shared_by_all_lists() -> None:
    parts = description()["components"]
    for name in ("top", "skip", "search", "filter", "count"):
        assert parts["parameters"][name]["name"] == f"${name}"
    number = {"$ref": "#/components/schemas/ODataCountResponse"}
    assert parts["responses"]["ODataCountResponse"]["content"]["text/plain"]["schema"] == number


def test_no_search_is_described_where_there_is_none() -> None:
    found = {(each.method, each.path): each.content["parameters"] for each in operations()}
    search = {"$ref": "#/components/parameters/search"}
    assert search in found["get", SETS]
    assert search not in found["get", f"{SET}/provisioningFlows"]


def test_types_of_graph_have_their_namespace_and_those_of_the_service_none() -> None:
    schemas = description()["components"]["schemas"]
    namespaces = {name.rpartition(".")[0] for name in schemas}
    assert namespaces == {
        "",
        "microsoft.graph",
        "microsoft.graph.industryData",
        "microsoft.graph.externalConnectors",
        "microsoft.graph.ODataErrors",
    }
    assert {name.rpartition(".")[2] for name in schemas if "ODataErrors" in name} == {
        "ODataError",
        "MainError",
        "ErrorDetails",
        "InnerError",
    }
    assert "microsoft.graph.externalConnectors.external" in schemas
    assert {"health", "batch", "overview"} <= schemas.keys()
    # Generators that make classes of titles have no namespaces in them.
    assert all(each["title"] == name.rpartition(".")[2] for name, each in schemas.items())


def test_what_leads_to_entities_is_marked_as_in_graph() -> None:
    schemas = description()["components"]["schemas"]
    for name, member in (
        ("microsoft.graph.externalConnectors.external", "industryData"),
        ("microsoft.graph.industryData.industryDataRoot", "roleGroups"),
        ("microsoft.graph.industryData.outboundProvisioningFlowSet", "provisioningFlows"),
        ("microsoft.graph.industryData.userConfiguration", "roleGroup"),
        ("microsoft.graph.industryData.roleReferenceValue", "value"),
    ):
        assert schemas[name]["properties"][member]["x-ms-navigationProperty"] is True
