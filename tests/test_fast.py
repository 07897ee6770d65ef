"""The fast way of loading and dumping agrees with the schemas, whatever comes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates

from shared import fast, schemas
from shared.errors import InvalidRequest
from shared.payload import RepeatedMembers
from shared.schemas import (
    FLOW_SCHEMAS,
    MAX_MAPPINGS,
    FlowSet,
    ReferenceDefinition,
    ReferenceDefinitionUpdate,
    RoleGroup,
    Secret,
    StoredPassword,
    Text,
    Wire,
    instance,
)

PAYLOADS = Path(__file__).parent / "payloads"


def published(name: str) -> dict[str, Any]:
    """One of the published request bodies."""
    loaded: dict[str, Any] = json.loads((PAYLOADS / f"{name}.request.json").read_bytes())
    return loaded


FLOWS: list[tuple[type[Wire], dict[str, Any]]] = [
    (FLOW_SCHEMAS["administrativeUnitProvisioningFlow"], published("administrative_unit")),
    (FLOW_SCHEMAS["classGroupProvisioningFlow"], published("class_group")),
    (FLOW_SCHEMAS["securityGroupProvisioningFlow"], published("security_group")),
    (FLOW_SCHEMAS["userProvisioningFlow"], published("user")),
]
BODIES: list[tuple[type[Wire], dict[str, Any]]] = [
    *FLOWS,
    (
        FlowSet,
        {
            "displayName": "Contoso schools",
            "filter": {
                "@odata.type": "#microsoft.graph.industryData.basicFilter",
                "attribute": "orgExternalId",
                "in": ["1001", "1002"],
            },
        },
    ),
    (RoleGroup, {"displayName": "Heads", "roles": [{"code": "principal"}, {"code": "chair"}]}),
    (
        ReferenceDefinition,
        {
            "referenceType": "RefGradeLevel",
            "code": "13",
            "displayName": "Thirteen",
            "isDisabled": False,
            "sortIndex": 130,
        },
    ),
    (ReferenceDefinitionUpdate, {"isDisabled": True, "sortIndex": 130}),
]
NAMES = [schema.__name__ for schema, _ in BODIES]


def exactly(values: Any, *, ordered: bool = False) -> str:
    """Values as text that tells true from 1, secrets included."""

    def shown(value: object) -> Any:
        if isinstance(value, Secret):
            return {"secret": value.reveal()}
        assert isinstance(value, StoredPassword)
        return {"sealed": value.sealed}

    return json.dumps(values, sort_keys=not ordered, default=shown)


@pytest.mark.parametrize(("schema", "body"), BODIES, ids=NAMES)
def test_a_plain_body_is_loaded_the_fast_way(schema: type[Wire], body: dict[str, Any]) -> None:
    loaded = fast.load(schema, body)
    assert loaded is not None
    assert exactly(loaded) == exactly(instance(schema).load(body))


@pytest.mark.parametrize(("schema", "body"), BODIES, ids=NAMES)
def test_values_are_dumped_alike_and_in_the_same_order(
    schema: type[Wire], body: dict[str, Any]
) -> None:
    values = instance(schema).load(body)
    dumped = fast.dump(schema, values)
    assert exactly(dumped, ordered=True) == exactly(instance(schema).dump(values), ordered=True)


@pytest.mark.parametrize("name", ["createUnmatchedUsers", "creationOptions"])
def test_null_is_loaded_the_fast_way_where_it_is_allowed(name: str) -> None:
    schema, body = FLOWS[3]
    assert fast.load(schema, {**body, name: None}) is not None


@pytest.mark.parametrize(("count", "plain"), [(MAX_MAPPINGS, True), (MAX_MAPPINGS + 1, False)])
def test_a_list_is_loaded_up_to_its_limit(count: int, plain: bool) -> None:
    schema, body = BODIES[5]
    loaded = fast.load(schema, {**body, "roles": [{"code": "aide"}] * count})
    assert (loaded is not None) == plain


# --- bodies with something unusual about them ----------------------------------------------------

NEW_NAMES = [
    *("id", "readinessStatus", "CreatedDateTime", "nothing", "@odata.context", "x@odata.type"),
    *("@odata.type", "@OData.Type", "roleGroup", "roleGroup@odata.bind", "value@odata.bind"),
    *("code", "Code", "configurations", "studentAgeGroup", "provisioningFlows", "source", "in_"),
    *("odata_type", "display_name", "creation_options", "value_bind", "inline_role_group"),
]
BIND = "https://graph.microsoft.com/beta/external/industryData/"
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 1.5, "", " ", "x", "x" * 300, "a\x00b", "a\x85b", "é\n"),
    *([], {}, [None], [[]], [{}], {"a": 1}, ["courseTitle"], ["courseTitle"] * 101, ["x"] * 1001),
    *("teacher", "TEACHER", "notMinor", "minor", "adult", "userNumber", "*" * 15, "RefRace"),
    *(BIND + "roleGroups/staff", BIND + "roleGroups('students')", BIND + "roleGroups/nobody"),
    *(BIND + "referenceDefinitions/RefRole-aide", "#microsoft.graph.industryData.basicFilter"),
    *({"id": "staff"}, {"code": "teacher"}, {"@odata.type": "#microsoft.graph.industryData.x"}),
    "microsoft.graph.industryData.simplePasswordSettings",
    {"@odata.type": "#microsoft.graph.industryData.simplePasswordSettings", "password": "Aa1!"},
    {"@ODATA.TYPE": "#microsoft.graph.industryData.simplePasswordSettings", "password": "Aa1!"},
]


def places(value: Any) -> Iterator[dict[str, Any] | list[Any]]:
    """Every object and array in a value."""
    if isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from places(inner)


Change = Callable[[st.DataObject, dict[str, Any] | list[Any]], None]


def set_value(data: st.DataObject, place: dict[str, Any] | list[Any]) -> None:
    """Put a value where another is."""
    key: Any = data.draw(
        st.sampled_from(list(place if isinstance(place, dict) else range(len(place))))
    )
    place[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))


def remove(data: st.DataObject, place: dict[str, Any] | list[Any]) -> None:
    """Take a member or an entry out."""
    key: Any = data.draw(
        st.sampled_from(list(place if isinstance(place, dict) else range(len(place))))
    )
    del place[key]


def repeat(data: st.DataObject, place: dict[str, Any] | list[Any]) -> None:
    """Repeat an entry, or a member in another case."""
    if isinstance(place, list):
        place.append(copy.deepcopy(data.draw(st.sampled_from(place))))
        return
    name = data.draw(st.sampled_from(list(place)))
    place[name.upper()] = copy.deepcopy(place[name])


def rename(data: st.DataObject, place: dict[str, Any] | list[Any]) -> None:
    """Write a name in another case; it comes last then."""
    if isinstance(place, dict):
        name = data.draw(st.sampled_from(list(place)))
        place[name.swapcase()] = place.pop(name)


def add(data: st.DataObject, place: dict[str, Any] | list[Any]) -> None:
    """Add a member or an entry."""
    value = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    if isinstance(place, list):
        place.append(value)
    else:
        place[data.draw(st.sampled_from(NEW_NAMES))] = value


CHANGES: list[Change] = [set_value, remove, repeat, rename, add]


def changed(data: st.DataObject, body: dict[str, Any]) -> dict[str, Any]:
    """A copy of a body with up to four changes in it."""
    copied = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(0, 4))):
        filled = [place for place in places(copied) if place]
        if filled:
            data.draw(st.sampled_from(CHANGES))(data, data.draw(st.sampled_from(filled)))
    return copied


@pytest.mark.parametrize(("schema", "body"), BODIES, ids=NAMES)
@given(data=st.data())
def test_what_the_fast_way_loads_the_schema_loads_alike(
    schema: type[Wire], body: dict[str, Any], data: st.DataObject
) -> None:
    given_body = changed(data, body)
    loaded = fast.load(schema, copy.deepcopy(given_body))
    if loaded is not None:  # else the schema itself reads the body
        assert exactly(loaded) == exactly(instance(schema).load(given_body))
        dumped = instance(schema).dump(loaded)
        assert exactly(fast.dump(schema, loaded), ordered=True) == exactly(dumped, ordered=True)


def told(load: Callable[[Any], Any], body: Any) -> Any:
    """What loading a body gives: the values, or the faults."""
    try:
        return exactly(load(copy.deepcopy(body)))
    except InvalidRequest as refused:
        return refused.faults


@pytest.mark.parametrize(("schema", "body"), FLOWS, ids=NAMES[:4])
@given(data=st.data())
def test_flows_are_loaded_or_refused_alike(
    schema: type[Wire], body: dict[str, Any], data: st.DataObject
) -> None:
    given_body = changed(data, body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "load", lambda schema, body: None)
        expected = told(schemas.load_flow, given_body)
    assert told(schemas.load_flow, given_body) == expected


def test_a_member_that_is_repeated_is_left_to_the_schema() -> None:
    schema, body = BODIES[0]
    marked = RepeatedMembers(body)
    marked.repeated = ("creationOptions",)
    assert fast.load(schema, marked) is None


# --- schemas of another kind ---------------------------------------------------------------------


class WithRule(Wire):
    """A member that has a validator of the library."""

    odata_name = "withRule"
    name = Text(validate=validate.Equal("right"))


class WithMemberHook(Wire):
    """A member that a method validates."""

    odata_name = "withMemberHook"
    name = Text()

    @validates("name")
    def is_right(self, value: str, data_key: str) -> None:
        """Accept one value only."""
        if value != "right":
            raise ValidationError("wrong")


class WithPreLoad(Wire):
    """A hook of its own before loading."""

    odata_name = "withPreLoad"
    name = Text()

    @pre_load
    def double(self, data: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Write the name twice."""
        return {"name": data["name"] * 2}


@pytest.mark.parametrize("schema", [WithRule, WithMemberHook])
def test_rules_of_a_kind_that_no_schema_has_yet_are_kept(schema: type[Wire]) -> None:
    assert fast.load(schema, {"name": "wrong"}) is None


def test_a_schema_that_changes_what_it_is_given_reads_it_itself() -> None:
    assert fast.load(WithPreLoad, {"name": "x"}) is None


def test_a_field_that_loads_as_marshmallow_does_is_called_as_it_is() -> None:
    assert isinstance(instance(WithRule), Schema)
    assert fast.load(WithRule, {"name": "right"}) == {"name": "right"}
    assert isinstance(instance(WithRule).fields["name"], fields.Field)
