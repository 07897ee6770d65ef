"""The types of the description: what generators make classes of, and what they refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from local.config import ROOT
from tests.support.description import (
    body,
    component,
    description,
    faults,
    flow_to_create,
    operations,
)

PAYLOADS = ROOT / "shared" / "contract" / "examples"


@pytest.mark.parametrize("form", ["", "Create", "Update"])
def test_flows_have_a_base_whose_kinds_generated_clients_write(form: str) -> None:
    schemas = description()["components"]["schemas"]
    base = schemas[f"provisioningFlow{form}"]
    assert base["discriminator"]["propertyName"] == "@odata.type"
    targets = base["discriminator"]["mapping"]
    assert len(targets) == 4
    for odata_type, reference in targets.items():
        kind = schemas[reference.rpartition("/")[2]]
        assert kind["allOf"][0] == component(f"provisioningFlow{form}")
        written = kind["allOf"][1]["properties"]["@odata.type"]
        assert written["default"] == odata_type
        assert re.search(written["pattern"], odata_type)
        assert [each for each in targets if re.search(written["pattern"], each)] == [odata_type]
    shared = {"id", "createdDateTime", "lastModifiedDateTime", "readinessStatus"}
    assert (shared <= base["properties"].keys()) is (form == "")


def test_what_holds_a_flow_refers_to_the_base() -> None:
    schemas = description()["components"]["schemas"]
    for holder, member in (
        ("provisioningFlowCollection", "value"),
        ("outboundProvisioningFlowSet", "provisioningFlows"),
    ):
        items = schemas[holder]["properties"][member]["items"]
        assert items["$ref"] == component("provisioningFlow")["$ref"]
    assert flow_to_create()["$ref"] == component("provisioningFlowCreate")["$ref"]


def test_ids_are_of_one_type_in_paths_and_bodies() -> None:
    parts = description()["components"]
    for schema, parameter in (
        ("outboundProvisioningFlowSet", "set_id"),
        ("provisioningFlow", "flow_id"),
        ("roleGroup", "group_id"),
        ("referenceDefinition", "definition_id"),
    ):
        in_body = parts["schemas"][schema]["properties"]["id"]
        assert in_body == parts["parameters"][parameter]["schema"]
        assert "format" not in in_body  # with it, generators have a type of their own


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node:
        if isinstance(inner, dict | list):
            yield from nodes(inner)


def test_every_array_says_what_is_in_it() -> None:
    arrays = [
        each for each in nodes(description()["components"]) if "array" in each.get("type", ())
    ]
    assert len(arrays) > 20
    assert [each for each in arrays if "items" not in each] == []


def test_answers_are_open_and_what_is_sent_is_not() -> None:
    schemas = description()["components"]["schemas"]
    for name in ("outboundProvisioningFlowSet", "roleGroup", "referenceDefinition"):
        assert "additionalProperties" not in schemas[name]
        assert schemas[f"{name}Create"]["additionalProperties"] is False
        assert schemas[f"{name}Update"]["additionalProperties"] is False


def test_enums_are_evolvable_types() -> None:
    schemas = description()["components"]["schemas"]
    for name in (
        "readinessStatus",
        "filterOptions",
        "studentAgeGroup",
        "additionalUserAttributes",
        "additionalClassGroupAttributes",
    ):
        assert schemas[name]["enum"][-1] == "unknownFutureValue"


def test_lists_say_how_their_pages_are_linked() -> None:
    paged = {
        each.path: each.content["x-ms-pageable"]
        for each in operations()
        if each.method == "get" and "x-ms-pageable" in each.content
    }
    assert {path.rpartition("/")[2] for path in paged} == {
        "outboundProvisioningFlowSets",
        "provisioningFlows",
        "roleGroups",
        "referenceDefinitions",
    }
    for each in paged.values():
        assert (each["nextLinkName"], each["itemName"]) == ("@odata.nextLink", "value")


# --- what schemas refuse -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["user", "class_group", "security_group", "administrative_unit"])
def test_a_shown_request_differs_from_the_published_one_in_case_only(name: str) -> None:
    published = (PAYLOADS / f"{name}.request.json").read_text("utf-8")
    assert json.dumps(body(name)).lower() == json.dumps(json.loads(published)).lower()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("security_group", {"@odata.type": "#microsoft.graph.industryData.provisioningFlow"}),
        ("security_group", {"creationOptions": None}),
        ("security_group", {"creationOptions": {"createBasedOnRoleGroup": True}}),
        ("security_group", {"displayName": "unknown"}),
        ("user", {"createUnmatchedUsers": "yes"}),
        ("class_group", {"configuration": {}}),
        ("user", {"creationOptions": {"configurations": [{"licenseSkus": []}]}}),
    ],
    ids=["abstract", "null", "missing", "unknown", "word", "empty", "no role group"],
)
def test_a_body_that_the_service_refuses_is_not_described(
    name: str, change: dict[str, Any]
) -> None:
    assert faults(flow_to_create(), body(name)) == []
    assert faults(flow_to_create(), {**body(name), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"createUnmatchedUsers": None},
        {"creationOptions": None},
        {"id": "ignored", "x@odata.context": "ignored"},
    ],
)
def test_a_body_that_the_service_takes_is_described(change: dict[str, Any]) -> None:
    assert faults(flow_to_create(), {**body("user"), **change}) == []
