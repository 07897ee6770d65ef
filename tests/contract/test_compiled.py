"""The fast way of loading and dumping agrees with the schemas, whatever comes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates

from shared.contract import compiled
from shared.contract.catalog_schemas import (
    ReferenceDefinition,
    ReferenceDefinitionUpdate,
    RoleGroup,
)
from shared.contract.field_types import MAX_NAME, AnyValue, Bool, EnumMember, Items, Text
from shared.contract.json_body import RepeatedMembers
from shared.contract.loading import load_flow
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.schemas import (
    FLOW_SCHEMAS,
    MAX_MAPPINGS,
    MAX_SKUS,
    MAX_VALUES,
    EnrollmentMappings,
    FlowSet,
)
from shared.contract.updates import merge_flow
from shared.contract.wire import Wire, instance, one
from shared.domain.errors import InvalidRequest
from shared.domain.secrets import MASKED_PASSWORD, Secret, StoredPassword

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"


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
    """Values as text in which true is not 1, secrets included."""

    def shown(value: object) -> Any:
        if isinstance(value, Secret):
            return {"secret": value.reveal()}
        assert isinstance(value, StoredPassword)
        return {"sealed": value.sealed}

    return json.dumps(values, sort_keys=not ordered, default=shown)


@pytest.mark.parametrize(("schema", "body"), BODIES, ids=NAMES)
def test_a_plain_body_is_loaded_the_fast_way(schema: type[Wire], body: dict[str, Any]) -> None:
    loaded = compiled.load(schema, body)
    assert loaded is not None
    assert exactly(loaded) == exactly(instance(schema).load(body))


@pytest.mark.parametrize(("schema", "body"), BODIES, ids=NAMES)
def test_values_are_dumped_alike_and_in_the_same_order(
    schema: type[Wire], body: dict[str, Any]
) -> None:
    values = instance(schema).load(body)
    dumped = compiled.dump(schema, values)
    assert exactly(dumped, ordered=True) == exactly(instance(schema).dump(values), ordered=True)


def with_value(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a body with another value at a path of names and indexes."""
    copied = copy.deepcopy(body)
    place: Any = copied
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in way:
        place = place[step]
    place[last] = value
    return copied


USER_ENTRY = "creationOptions/configurations/0"


@pytest.mark.parametrize(
    "path",
    [
        *("createUnmatchedUsers", "creationOptions", "managementOptions/additionalAttributes"),
        "managementOptions/additionalOptions/studentAgeGroup",
        *(f"{USER_ENTRY}/licenseSkus", f"{USER_ENTRY}/defaultPasswordSettings"),
    ],
)
def test_null_is_loaded_the_fast_way_where_it_is_allowed(path: str) -> None:
    schema, body = FLOWS[3]
    body = with_value(body, path, None)
    loaded = compiled.load(schema, body)
    assert loaded is not None
    assert exactly(loaded) == exactly(instance(schema).load(body))


@pytest.mark.parametrize(
    ("number", "path", "entry", "most"),
    [
        (1, "configuration/additionalAttributes", "classCode", MAX_MAPPINGS),
        (1, "configuration/enrollmentMappings/ownerEnrollmentMappings", {"code": "aide"}, 100),
        (3, f"{USER_ENTRY}/licenseSkus", "sku", MAX_SKUS),
        (4, "filter/in", "1001", MAX_VALUES),
        (5, "roles", {"code": "aide"}, MAX_MAPPINGS),
    ],
)
def test_a_list_is_loaded_up_to_its_limit(number: int, path: str, entry: Any, most: int) -> None:
    schema, body = BODIES[number]
    assert compiled.load(schema, with_value(body, path, [entry] * most)) is not None
    assert compiled.load(schema, with_value(body, path, [entry] * (most + 1))) is None


@pytest.mark.parametrize(
    ("number", "path", "longest"),
    [
        (4, "displayName", MAX_NAME),
        (4, "filter/in/1", MAX_NAME),
        (6, "code", 64),
        (3, f"{USER_ENTRY}/licenseSkus/0", 128),
    ],
)
def test_a_text_is_loaded_up_to_its_limit(number: int, path: str, longest: int) -> None:
    schema, body = BODIES[number]
    assert compiled.load(schema, with_value(body, path, "x" * longest)) is not None
    assert compiled.load(schema, with_value(body, path, "x" * (longest + 1))) is None


@pytest.mark.parametrize("name", ["displayname", "DISPLAYNAME", "DisplayName"])
def test_names_in_another_case_are_loaded_the_fast_way(name: str) -> None:
    assert compiled.load(FlowSet, {name: "Contoso"}) == {"display_name": "Contoso", "filter": None}


ROLE = "sectionRoleReferenceValue"
REFERENCES: list[dict[str, Any]] = [
    {"code": "teacher"},
    {"code": "TEACHER"},
    {"CODE": "teacher"},
    {TYPE_MEMBER: f"#{NAMESPACE}{ROLE}", "code": "paraProfessional"},
    {"value@odata.bind": "external/industryData/referenceDefinitions/RefRole-Aide"},
    {
        "code": None,
        "value@odata.bind": "external/industryData/referenceDefinitions('RefRole-aide')",
    },
]


@pytest.mark.parametrize("reference", REFERENCES, ids=str)
def test_every_right_form_of_a_role_reference_is_loaded_the_fast_way(
    reference: dict[str, Any],
) -> None:
    schema = EnrollmentMappings
    body = {"ownerEnrollmentMappings": [reference]}
    loaded = compiled.load(schema, body)
    assert loaded is not None
    assert exactly(loaded) == exactly(instance(schema).load(body))


@pytest.mark.parametrize(("schema", "body"), FLOWS, ids=NAMES[:4])
def test_what_is_loaded_and_dumped_can_be_changed_apart(
    schema: type[Wire], body: dict[str, Any]
) -> None:
    given_body = copy.deepcopy(body)
    values = compiled.load(schema, given_body)
    assert values is not None
    before = exactly(values)
    for other in (given_body, compiled.dump(schema, values)):
        for place in list(places(other)):
            place.clear()
    assert exactly(values) == before


# --- bodies with something unusual about them ----------------------------------------------------

NEW_NAMES = [
    *("id", "readinessStatus", "CreatedDateTime", "nothing", "@odata.context", "x@odata.type"),
    *("@odata.type", "@OData.Type", "roleGroup", "roleGroup@odata.bind", "value@odata.bind"),
    *("code", "Code", "configurations", "studentAgeGroup", "provisioningFlows", "source", "in_"),
    *("odata_type", "display_name", "creation_options", "value_bind", "inline_role_group"),
]
BIND = "https://graph.microsoft.com/beta/external/industryData/"


class Word(str):
    """Text of a class of its own."""


def marked(members: Mapping[str, Any], *repeated: str) -> RepeatedMembers:
    """An object that names members twice."""
    copied = RepeatedMembers(members)
    copied.repeated = repeated
    return copied


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 1.5, "", " ", "x", "x" * 300, "a\x00b", "a\x85b", "é\n"),
    *([], {}, [None], [[]], [{}], {"a": 1}, ["courseTitle"], ["courseTitle"] * 101, ["x"] * 1001),
    *(Word("teacher"), Word("x"), Word("classCode"), "TeacherAssi\u017ftant", "  x  "),
    *([True], ["classCode", None], [{"code": 1}, {"code": "aide"}]),
    *(marked({"code": "teacher"}, "code"), marked({}, "x"), [marked({"code": "aide"}, "Code")]),
    *("teacher", "TEACHER", "notMinor", "minor", "adult", "userNumber", "*" * 15, "RefRace"),
    *(BIND + "roleGroups/staff", BIND + "roleGroups('students')", BIND + "roleGroups/nobody"),
    *(BIND + "referenceDefinitions/RefRole-aide", "#microsoft.graph.industryData.basicFilter"),
    *(
        BIND[28:] + "roleGroups/STAFF",
        BIND + "roleGroups/staff/",
        BIND.upper() + "roleGroups/staff",
    ),
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


def mark(data: st.DataObject, place: dict[str, Any] | list[Any]) -> None:
    """Let an object inside name a member twice."""
    entries = place.items() if isinstance(place, dict) else enumerate(place)
    objects = [(key, value) for key, value in entries if isinstance(value, dict) and value]
    if objects:
        key, value = data.draw(st.sampled_from(objects))
        cast("dict[Any, Any]", place)[key] = marked(value, data.draw(st.sampled_from(list(value))))


CHANGES: list[Change] = [set_value, remove, repeat, rename, add, mark]


def changed(data: st.DataObject, body: dict[str, Any]) -> dict[str, Any]:
    """A copy of a body with up to four changes in it."""
    copied = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(0, 4))):
        filled = [place for place in places(copied) if place]
        if filled:
            data.draw(st.sampled_from(CHANGES))(data, data.draw(st.sampled_from(filled)))
    return copied


def check_both_ways(schema: type[Wire], body: Any) -> None:
    """Load a body both ways, and dump what came of it, both ways."""
    loaded = compiled.load(schema, copy.deepcopy(body))
    try:
        expected = instance(schema).load(copy.deepcopy(body))
    except ValidationError:
        assert loaded is None
        return
    if loaded is not None:  # else the schema itself reads the body
        assert exactly(loaded) == exactly(expected)
    dumped = instance(schema).dump(expected)
    assert exactly(compiled.dump(schema, expected), ordered=True) == exactly(dumped, ordered=True)


@pytest.mark.parametrize(("schema", "body"), BODIES, ids=NAMES)
@given(data=st.data())
def test_what_the_fast_way_loads_the_schema_loads_alike(
    schema: type[Wire], body: dict[str, Any], data: st.DataObject
) -> None:
    check_both_ways(schema, changed(data, body))


@pytest.mark.parametrize(("schema", "body"), BODIES, ids=NAMES)
def test_every_value_at_every_place_is_loaded_alike(
    schema: type[Wire], body: dict[str, Any]
) -> None:
    copied = copy.deepcopy(body)
    for place in list(places(copied)):
        for key in list(place) if isinstance(place, dict) else range(min(len(place), 2)):
            kept = cast("dict[Any, Any]", place)[key]
            for value in VALUES:
                cast("dict[Any, Any]", place)[key] = value
                check_both_ways(schema, copied)
            cast("dict[Any, Any]", place)[key] = kept


def written(make_body: Callable[[], Any]) -> Any:
    """What loading a flow gives: the values, or the faults."""
    try:
        return exactly(load_flow(copy.deepcopy(make_body())))
    except InvalidRequest as refused:
        return refused.faults


@pytest.mark.parametrize(("schema", "body"), FLOWS, ids=NAMES[:4])
@given(data=st.data())
def test_flows_are_loaded_or_refused_alike(
    schema: type[Wire], body: dict[str, Any], data: st.DataObject
) -> None:
    given_body = changed(data, body)
    check_flow_both_ways(lambda: given_body)


def check_flow_both_ways(make_body: Callable[[], Any]) -> None:
    """Load a flow with the help of the fast way and without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "load", lambda schema, body: None)
        expected = written(make_body)
    assert written(make_body) == expected


STORED_USER_FLOW = with_value(
    {
        **with_value(FLOWS[3][1], f"{USER_ENTRY}/defaultPasswordSettings", None),
    },
    "creationOptions/configurations/1/defaultPasswordSettings/password",
    StoredPassword({"key": "a", "text": "b"}),
)
"""A flow as `merge_flow` takes it: one entry without a password, one whose password is stored."""
SETTINGS = published("user")["creationOptions"]["configurations"][0]["defaultPasswordSettings"]
ENTRY_CHANGES: list[dict[str, Any]] = [
    {},
    {"licenseSkus": ["Sku3"]},
    {"DefaultPasswordSettings": {"Password": "Other1!"}},
    {"defaultPasswordSettings": None},
    *({"defaultPasswordSettings": {**SETTINGS, "password": p}} for p in (MASKED_PASSWORD, "x", 1)),
]


@given(
    entries=st.lists(
        st.tuples(st.sampled_from(["staff", "students", "nobody"]), st.sampled_from(ENTRY_CHANGES)),
        max_size=3,
    ),
    data=st.data(),
)
def test_updates_are_loaded_or_refused_alike(
    entries: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    configurations = [
        {"roleGroup@odata.bind": f"{BIND}roleGroups/{group}", **copy.deepcopy(entry)}
        for group, entry in entries
    ]
    update = changed(data, {"creationOptions": {"configurations": configurations}})
    check_flow_both_ways(lambda: merge_flow("userProvisioningFlow", STORED_USER_FLOW, update))


def test_an_update_that_keeps_a_password_is_loaded_the_fast_way() -> None:
    schema, _ = FLOWS[3]
    merged = merge_flow("userProvisioningFlow", STORED_USER_FLOW, {"createUnmatchedUsers": None})
    loaded = compiled.load(schema, merged)
    assert loaded is not None
    assert exactly(loaded) == exactly(instance(schema).load(merged))


def test_a_member_that_is_repeated_is_left_to_the_schema() -> None:
    schema, body = BODIES[0]
    assert compiled.load(schema, marked(body, "creationOptions")) is None


# --- binds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["staff", "STAFF", "9ab41255-5364-4c53-e15c-08dc4ab6ee03"])
def test_a_bind_is_the_id_that_it_names_in_lower_case(group: str) -> None:
    path = f"{USER_ENTRY}/roleGroup@odata.bind"
    body = with_value(published("user"), path, f"{BIND}roleGroups/{group}")
    _, values = load_flow(body)
    assert values["creation_options"]["configurations"][0]["role_group"] == group.lower()


@pytest.mark.parametrize("group", ["9ab41255", "teachers", "..%2Fusers", "staff%00", ""])
def test_a_bind_to_what_can_be_no_role_group_is_refused(group: str) -> None:
    path = f"{USER_ENTRY}/roleGroup@odata.bind"
    with pytest.raises(InvalidRequest):
        load_flow(with_value(published("user"), path, f"{BIND}roleGroups/{group}"))


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
    assert compiled.load(schema, {"name": "wrong"}) is None


def test_a_schema_that_changes_what_it_is_given_reads_it_itself() -> None:
    assert compiled.load(WithPreLoad, {"name": "x"}) is None


def test_a_field_that_loads_as_marshmallow_does_is_called_as_it_is() -> None:
    assert isinstance(instance(WithRule), Schema)
    assert compiled.load(WithRule, {"name": "right"}) == {"name": "right"}
    assert isinstance(instance(WithRule).fields["name"], fields.Field)


class Yes(Bool):
    """A kind of member that goes beyond the one it is made from."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if not super()._deserialize(value, attr, data, **kwargs):
            raise ValidationError("wrong")
        return True


class Lower(EnumMember):
    """A kind of member that says something of its place."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        return f"{attr} of {len(data) if data else 0}: {value}"


class WithKindsOfItsOwn(Wire):
    """Members of classes that the fast way does not know, and optional ones before others."""

    odata_name = "withKindsOfItsOwn"
    maybe = Bool(data_key="Maybe")
    certain = Yes(required=True)
    place = Lower("x", ["a"], load_default="none", data_key="in")
    places = Items(Lower("x", ["a"]), most=2, load_default=list)
    any_value = AnyValue()
    entries = Items(AnyValue(allow_none=True), most=2, load_default=None)
    inner = one(RoleGroup, allow_none=True, load_default=None)


@pytest.mark.parametrize(
    "body",
    [
        {"certain": True},
        {"certain": True, "Maybe": False},
        {"in": "a", "MAYBE": True, "certain": True, "places": ["b"], "any_value": {"x": [1]}},
        {"certain": True, "entries": [None, 1], "inner": BODIES[5][1]},
    ],
)
def test_kinds_of_members_that_no_schema_has_yet_are_loaded_and_dumped(body: Any) -> None:
    loaded = compiled.load(WithKindsOfItsOwn, body)
    assert loaded is not None
    check_both_ways(WithKindsOfItsOwn, body)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"certain": False},
        {"certain": True, "any_value": None},
        {"certain": True, "places": None},
        {"certain": True, "entries": [1, 2, 3]},
        {"certain": True, "Maybe": None},
    ],
)
def test_rules_of_members_that_no_schema_has_yet_are_kept(wrong: dict[str, Any]) -> None:
    assert compiled.load(WithKindsOfItsOwn, wrong) is None
    check_both_ways(WithKindsOfItsOwn, wrong)
