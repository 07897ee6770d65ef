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
    schema,
)

PAYLOADS = ROOT / "shared" / "contract" / "examples"


@pytest.mark.parametrize("form", ["", "Create", "Update"])
def test_flows_have_a_base_whose_kinds_generated_clients_write(form: str) -> None:
    base = schema(f"provisioningFlow{form}")
    assert base["discriminator"]["propertyName"] == "@odata.type"
    targets = base["discriminator"]["mapping"]
    assert len(targets) == 4
    for odata_type, reference in targets.items():
        kind = schema(reference.rpartition(".")[2])
        assert kind["x-ms-discriminator-value"] == odata_type
        assert kind["allOf"][0] == component(f"provisioningFlow{form}")
        written = kind["allOf"][1]["properties"]["@odata.type"]
        assert written["default"] == odata_type
        assert re.search(written["pattern"], odata_type)
        assert [each for each in targets if re.search(written["pattern"], each)] == [odata_type]
    shared = {"id", "createdDateTime", "lastModifiedDateTime", "readinessStatus"}
    assert (shared <= base["properties"].keys()) is (form == "")


def test_what_holds_a_flow_refers_to_the_base() -> None:
    page = schema("provisioningFlowCollectionResponse")["allOf"][1]
    for holder, member in (
        (page, "value"),
        (schema("outboundProvisioningFlowSet"), "provisioningFlows"),
    ):
        items = holder["properties"][member]["items"]
        assert items["$ref"] == component("provisioningFlow")["$ref"]
    assert flow_to_create()["$ref"] == component("provisioningFlowCreate")["$ref"]


def test_ids_are_of_one_type_in_paths_and_bodies() -> None:
    parameters = description()["components"]["parameters"]
    for name in (
        "outboundProvisioningFlowSet",
        "provisioningFlow",
        "roleGroup",
        "referenceDefinition",
    ):
        in_body = schema(name)["properties"]["id"]
        assert in_body == parameters[f"{name}-id"]["schema"]
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


def test_no_object_is_a_choice_as_well() -> None:
    """Generators make a choice of it, of types that have no members."""
    schemas = description()["components"]["schemas"]
    chosen = {name for name, each in schemas.items() if {"anyOf", "oneOf"} & each.keys()}
    assert [name for name in chosen if "properties" in schemas[name]] == []


def test_answers_are_open_and_what_is_sent_is_not() -> None:
    for name in ("outboundProvisioningFlowSet", "roleGroup", "referenceDefinition"):
        assert "additionalProperties" not in schema(name)
        assert schema(f"{name}Create")["additionalProperties"] is False
        assert schema(f"{name}Update")["additionalProperties"] is False


def test_enums_are_evolvable_types() -> None:
    for name in (
        "readinessStatus",
        "filterOptions",
        "studentAgeGroup",
        "additionalUserAttributes",
        "additionalClassGroupAttributes",
    ):
        assert schema(name)["enum"][-1] == "unknownFutureValue"


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
