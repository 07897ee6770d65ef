"""The wire contract, type by type: what is taken, what is refused, and where the fault is put."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.binds import MAX_URL
from shared.contract.catalog_schemas import ReferenceDefinition, ReferenceDefinitionUpdate
from shared.contract.json_body import read_json
from shared.contract.loading import load, load_flow, role_group_ids, unknown_role_groups
from shared.contract.names import NAMESPACE
from shared.contract.schemas import FLOW_SCHEMAS, FlowSet
from shared.contract.wire import Wire, instance
from shared.domain.catalog import ROLE_CODES
from shared.domain.errors import MAX_FAULTS, Fault, InvalidRequest
from shared.domain.secrets import MASKED_PASSWORD, Secret

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
KINDS = {
    "administrative_unit": "administrativeUnitProvisioningFlow",
    "class_group": "classGroupProvisioningFlow",
    "security_group": "securityGroupProvisioningFlow",
    "user": "userProvisioningFlow",
}


def body(name: str) -> dict[str, Any]:
    """Return one of the published request bodies."""
    loaded: dict[str, Any] = json.loads((PAYLOADS / f"{name}.request.json").read_bytes())
    return loaded


def targets(value: Any) -> dict[str, str]:
    """Load a flow that must be refused; return the code of the fault at each path."""
    with pytest.raises(InvalidRequest) as refused:
        load_flow(value)
    return {str(fault.target): fault.code for fault in refused.value.faults}


def changed(name: str, path: list[str | int], value: Any) -> dict[str, Any]:
    """Return a published body with one member set to another value."""
    flow = body(name)
    place: Any = flow
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return flow


def without(name: str, path: list[str | int]) -> dict[str, Any]:
    """Return a published body with one member left out."""
    flow = body(name)
    place: Any = flow
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return flow


@pytest.mark.parametrize("name", KINDS)
def test_published_bodies_load_as_their_kind(name: str) -> None:
    kind, values = load_flow(body(name))
    assert kind == KINDS[name]
    assert values["odata_type"] == f"#{NAMESPACE}{kind}"


@pytest.mark.parametrize("name", ["administrative_unit", "class_group", "security_group"])
def test_dumped_members_are_the_published_answers_members_in_order(name: str) -> None:
    kind, values = load_flow(body(name))
    dumped = instance(FLOW_SCHEMAS[kind]).dump(values)
    answer = json.loads((PAYLOADS / f"{name}.response.json").read_bytes())
    own = {key: value for key, value in answer.items() if key in dumped}
    assert json.dumps(dumped) == json.dumps(own)


def test_property_names_are_matched_in_any_case() -> None:
    flow = body("administrative_unit")
    flow = {"CREATIONOPTIONS": flow["creationOptions"], "@OData.Type": flow["@odata.type"]}
    assert load_flow(flow)[0] == "administrativeUnitProvisioningFlow"


@pytest.mark.parametrize(
    "given_type",
    [
        "#microsoft.graph.industryData.userProvisioningFlow",
        "microsoft.graph.industryData.userProvisioningFlow",
        "#Microsoft.Graph.IndustryData.UserProvisioningFlow",
        "https://graph.microsoft.com/beta/$metadata#microsoft.graph.industryData.userProvisioningFlow",
    ],
)
def test_type_names_are_matched_in_the_forms_that_odata_allows(given_type: str) -> None:
    kind, _ = load_flow(changed("user", ["@odata.type"], given_type))
    assert kind == "userProvisioningFlow"


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        ({}, "MissingType"),
        ({"@odata.type": None}, "MissingType"),
        ({"@odata.type": "#microsoft.graph.industryData.provisioningFlow"}, "AbstractType"),
        ({"@odata.type": "#microsoft.graph.userProvisioningFlow"}, "InvalidType"),
        ({"@odata.type": "#microsoft.graph.industryData.nothing"}, "InvalidType"),
        ({"@odata.type": 7}, "InvalidType"),
        ({"@odata.type": {"a": 1}}, "InvalidType"),
    ],
)
def test_a_flow_without_a_concrete_type_is_refused(flow: dict[str, Any], code: str) -> None:
    assert targets(flow) == {"$['@odata.type']": code}


def test_the_abstract_flow_type_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="provisioningFlow' is abstract"):
        load_flow({"@odata.type": "#microsoft.graph.industryData.provisioningFlow"})


@pytest.mark.parametrize("value", [None, [], "text", 7, True])
def test_a_body_that_is_not_an_object_is_refused(value: Any) -> None:
    assert targets(value) == {"$": "InvalidValue"}


CREATION = "$.creationOptions"
ENTRY = "$.creationOptions.configurations[0]"
PASSWORD = f"{ENTRY}.defaultPasswordSettings"
OWNERS = "$.configuration.enrollmentMappings.ownerEnrollmentMappings"

FAULTS: list[tuple[str, list[str | int], Any, str, str]] = [
    ("administrative_unit", ["creationOptions"], None, CREATION, "NullValue"),
    ("administrative_unit", ["creationOptions"], [], CREATION, "InvalidValue"),
    ("administrative_unit", ["creationOptions"], "x", CREATION, "InvalidValue"),
    (
        "administrative_unit",
        ["creationOptions", "createBasedOnOrg"],
        "true",
        f"{CREATION}.createBasedOnOrg",
        "InvalidValue",
    ),
    (
        "administrative_unit",
        ["creationOptions", "createBasedOnOrg"],
        1,
        f"{CREATION}.createBasedOnOrg",
        "InvalidValue",
    ),
    (
        "administrative_unit",
        ["creationOptions", "createBasedOnOrg"],
        None,
        f"{CREATION}.createBasedOnOrg",
        "NullValue",
    ),
    (
        "administrative_unit",
        ["creationOptions", "createBasedOnRoleGroup"],
        True,
        f"{CREATION}.createBasedOnRoleGroup",
        "UnknownProperty",
    ),
    ("administrative_unit", ["surprise"], 1, "$.surprise", "UnknownProperty"),
    ("administrative_unit", ["it's a \\"], 1, "$['it\\'s a \\\\']", "UnknownProperty"),
    ("administrative_unit", ["x@odata.bind"], "y", "$['x@odata.bind']", "UnknownProperty"),
    (
        "security_group",
        ["creationOptions", "@odata.type"],
        "#x",
        f"{CREATION}['@odata.type']",
        "InvalidType",
    ),
    ("class_group", ["configuration"], None, "$.configuration", "NullValue"),
    (
        "class_group",
        ["configuration", "additionalAttributes", 0],
        "unknownFutureValue",
        "$.configuration.additionalAttributes[0]",
        "InvalidValue",
    ),
    (
        "class_group",
        ["configuration", "additionalAttributes", 1],
        None,
        "$.configuration.additionalAttributes[1]",
        "NullValue",
    ),
    (
        "class_group",
        ["configuration", "additionalAttributes"],
        "courseTitle",
        "$.configuration.additionalAttributes",
        "InvalidValue",
    ),
    (
        "class_group",
        ["configuration", "additionalOptions"],
        None,
        "$.configuration.additionalOptions",
        "NullValue",
    ),
    (
        "class_group",
        ["configuration", "enrollmentMappings", "ownerEnrollmentMappings", 0, "code"],
        "nobody",
        f"{OWNERS}[0].code",
        "UnknownReference",
    ),
    (
        "class_group",
        ["configuration", "enrollmentMappings", "ownerEnrollmentMappings", 0, "code"],
        None,
        f"{OWNERS}[0].code",
        "MissingProperty",
    ),
    (
        "class_group",
        ["configuration", "enrollmentMappings", "ownerEnrollmentMappings", 0, "@odata.type"],
        "#microsoft.graph.industryData.referenceValue",
        f"{OWNERS}[0]['@odata.type']",
        "InvalidType",
    ),
    (
        "class_group",
        ["configuration", "enrollmentMappings", "ownerEnrollmentMappings"],
        [{"code": "teacher"}] * 101,
        OWNERS,
        "InvalidValue",
    ),
    ("user", ["managementOptions"], None, "$.managementOptions", "NullValue"),
    ("user", ["createUnmatchedUsers"], "no", "$.createUnmatchedUsers", "InvalidValue"),
    (
        "user",
        ["managementOptions", "additionalOptions", "studentAgeGroup"],
        "unknownFutureValue",
        "$.managementOptions.additionalOptions.studentAgeGroup",
        "InvalidValue",
    ),
    (
        "user",
        ["creationOptions", "configurations", 0, "defaultPasswordSettings", "@odata.type"],
        "#microsoft.graph.industryData.passwordSettings",
        f"{PASSWORD}['@odata.type']",
        "AbstractType",
    ),
    (
        "user",
        ["creationOptions", "configurations", 0, "defaultPasswordSettings", "password"],
        None,
        f"{PASSWORD}.password",
        "NullValue",
    ),
    (
        "user",
        ["creationOptions", "configurations", 0, "defaultPasswordSettings", "password"],
        MASKED_PASSWORD,
        f"{PASSWORD}.password",
        "InvalidValue",
    ),
    (
        "user",
        ["creationOptions", "configurations", 0, "licenseSkus", 0],
        " ",
        f"{ENTRY}.licenseSkus[0]",
        "InvalidValue",
    ),
    (
        "user",
        ["creationOptions", "configurations", 0, "licenseSkus", 0],
        "a\nb",
        f"{ENTRY}.licenseSkus[0]",
        "InvalidValue",
    ),
    (
        "user",
        ["creationOptions", "configurations", 0, "licenseSkus", 0],
        "s" * 129,
        f"{ENTRY}.licenseSkus[0]",
        "InvalidValue",
    ),
    (
        "user",
        ["creationOptions", "configurations", 0, "roleGroup"],
        {"id": "students"},
        f"{ENTRY}.roleGroup",
        "InvalidValue",
    ),
    (
        "user",
        ["creationOptions", "configurations", 1, "roleGroup@odata.bind"],
        "external/industryData/roleGroups/staff",
        "$.creationOptions.configurations[1]['roleGroup@odata.bind']",
        "InvalidValue",
    ),
]


@pytest.mark.parametrize(("name", "path", "value", "target", "code"), FAULTS)
def test_one_wrong_member_is_one_fault_at_its_path(
    name: str, path: list[str | int], value: Any, target: str, code: str
) -> None:
    assert targets(changed(name, path, value)) == {target: code}


@pytest.mark.parametrize(
    ("name", "path", "target"),
    [
        ("administrative_unit", ["creationOptions"], CREATION),
        (
            "administrative_unit",
            ["creationOptions", "createBasedOnOrg"],
            f"{CREATION}.createBasedOnOrg",
        ),
        (
            "security_group",
            ["creationOptions", "createBasedOnroleGroup"],
            f"{CREATION}.createBasedOnRoleGroup",
        ),
        (
            "class_group",
            ["configuration", "additionalOptions"],
            "$.configuration.additionalOptions",
        ),
        (
            "class_group",
            ["configuration", "enrollmentMappings"],
            "$.configuration.enrollmentMappings",
        ),
        ("user", ["managementOptions"], "$.managementOptions"),
        (
            "user",
            ["managementOptions", "additionalOptions"],
            "$.managementOptions.additionalOptions",
        ),
        (
            "user",
            ["creationOptions", "configurations", 0, "roleGroup@odata.bind"],
            f"{ENTRY}['roleGroup@odata.bind']",
        ),
        (
            "user",
            ["creationOptions", "configurations", 0, "defaultPasswordSettings", "password"],
            f"{PASSWORD}.password",
        ),
    ],
)
def test_what_is_not_nullable_must_be_given(name: str, path: list[str | int], target: str) -> None:
    assert targets(without(name, path)) == {target: "MissingProperty"}


@pytest.mark.parametrize(
    ("name", "path", "printed"),
    [
        ("class_group", ["configuration", "additionalAttributes"], []),
        ("class_group", ["configuration", "enrollmentMappings", "ownerEnrollmentMappings"], []),
        ("user", ["createUnmatchedUsers"], None),
        ("user", ["creationOptions"], None),
        ("user", ["creationOptions", "configurations"], []),
        ("user", ["managementOptions", "additionalAttributes"], []),
        (
            "user",
            ["managementOptions", "additionalOptions", "allowStudentContactAssociation"],
            None,
        ),
        ("user", ["creationOptions", "configurations", 0, "licenseSkus"], []),
        ("user", ["creationOptions", "configurations", 0, "defaultPasswordSettings"], None),
    ],
)
def test_nullable_members_may_be_null_or_absent_and_print_the_same(
    name: str, path: list[str | int], printed: Any
) -> None:
    for flow in (changed(name, path, None), without(name, path)):
        kind, values = load_flow(flow)
        dumped: Any = instance(FLOW_SCHEMAS[kind]).dump(values)
        for step in path:
            dumped = dumped[step]
        assert dumped == printed


def test_everything_wrong_is_reported_in_one_answer() -> None:
    flow = read_json(
        b"""{
          "@odata.type": "#microsoft.graph.industryData.classGroupProvisioningFlow",
          "surprise": 1,
          "configuration": {
            "additionalAttributes": ["courseTitle", "nonsense", null],
            "additionalOptions": {"createTeam": "yes", "createteam": true},
            "enrollmentMappings": null
          }
        }""",
        "application/json",
    )
    assert targets(flow) == {
        "$.surprise": "UnknownProperty",
        "$.configuration.additionalAttributes[1]": "InvalidValue",
        "$.configuration.additionalAttributes[2]": "NullValue",
        "$.configuration.additionalOptions.createteam": "DuplicateProperty",
        "$.configuration.additionalOptions.writeDisplayNameOnCreateOnly": "MissingProperty",
        "$.configuration.enrollmentMappings": "NullValue",
    }


def test_a_repeated_json_key_is_refused_even_with_the_same_value() -> None:
    raw = (PAYLOADS / "administrative_unit.request.json").read_bytes()
    twice = raw.replace(b'"createBasedOnOrg": true,', b'"createBasedOnOrg": true,' * 2)
    assert targets(read_json(twice, "application/json")) == {
        f"{CREATION}.createBasedOnOrg": "DuplicateProperty"
    }


def test_two_casings_of_one_name_are_refused() -> None:
    flow = changed("user", ["CREATEUNMATCHEDUSERS"], True)
    assert targets(flow) == {"$.CREATEUNMATCHEDUSERS": "DuplicateProperty"}


def test_faults_are_bounded_however_many_there_are() -> None:
    flow = body("administrative_unit") | {f"x{number}": 0 for number in range(5000)}
    assert len(targets(flow)) == MAX_FAULTS


def test_no_more_unknown_members_are_looked_at_than_are_reported() -> None:
    known = {"displayName": "a", "FILTER": None}
    kept = instance(FlowSet).use_declared_names(
        known | {f"x{number}": 0 for number in range(70_000)}
    )
    assert len(kept) == MAX_FAULTS + 2
    assert {"displayName", "filter"} <= kept.keys()


@pytest.mark.parametrize(
    "member",
    ["id", "createdDateTime", "lastModifiedDateTime", "readinessStatus", "READINESSSTATUS"],
)
def test_what_the_server_owns_is_ignored_on_input(member: str) -> None:
    _, values = load_flow(changed("administrative_unit", [member], "ready"))
    assert set(values) == {"odata_type", "creation_options"}


@pytest.mark.parametrize(
    "member", ["@odata.context", "@odata.etag", "creationOptions@odata.type", "@odata.id"]
)
def test_control_information_that_clients_echo_is_ignored(member: str) -> None:
    _, values = load_flow(changed("administrative_unit", [member], "anything"))
    assert set(values) == {"odata_type", "creation_options"}


@pytest.mark.parametrize("code", ROLE_CODES)
def test_role_codes_match_in_any_case_and_come_back_as_declared(code: str) -> None:
    path = ["configuration", "enrollmentMappings", "ownerEnrollmentMappings"]
    _, values = load_flow(changed("class_group", [*path], [{"code": code.upper()}]))
    mappings = values["configuration"]["enrollment_mappings"]
    assert mappings["owner_enrollment_mappings"] == [{"code": code}]


def test_a_role_may_be_bound_by_the_url_of_its_definition() -> None:
    path: list[str | int] = ["configuration", "enrollmentMappings", "ownerEnrollmentMappings"]
    bind = "external/industryData/referenceDefinitions/RefRole-TEACHER"
    _, values = load_flow(changed("class_group", path, [{"value@odata.bind": bind}]))
    mappings = values["configuration"]["enrollment_mappings"]
    assert mappings["owner_enrollment_mappings"] == [{"code": "teacher"}]


@pytest.mark.parametrize(
    ("bind", "code"),
    [
        ("external/industryData/referenceDefinitions/RefGradeLevel-01", "UnknownReference"),
        ("external/industryData/referenceDefinitions/RefRole-nobody", "UnknownReference"),
        ("somewhere", "InvalidValue"),
        (7, "InvalidValue"),
    ],
)
def test_a_bind_that_names_no_role_is_refused(bind: Any, code: str) -> None:
    path: list[str | int] = ["configuration", "enrollmentMappings", "ownerEnrollmentMappings"]
    flow = changed("class_group", path, [{"value@odata.bind": bind}])
    assert targets(flow) == {f"{OWNERS}[0]['value@odata.bind']": code}


def long_url(length: int) -> str:
    """A bind to a role group of so many characters, most of them the host's."""
    path = "/external/industryData/roleGroups/staff"
    return f"https://{'x' * (length - len(path) - 8)}{path}"


@pytest.mark.parametrize(
    "url",
    [
        "https://graph.microsoft.com/beta/external/industryData/roleGroups/staff",
        "https://graph.microsoft.com/beta/external/industryData/roleGroups('staff')",
        "http://127.0.0.1:7071/beta/external/industrydata/ROLEGROUPS/Staff",
        "external/industryData/roleGroups/staff",
        "/external/industryData/roleGroups('staff')",
        "/beta/external/industryData/roleGroups/staff",
        long_url(MAX_URL),
    ],
    ids=lambda url: url[:80],
)
def test_a_role_group_is_bound_by_every_documented_form_of_url(url: str) -> None:
    path: list[str | int] = ["creationOptions", "configurations", 0, "roleGroup@odata.bind"]
    _, values = load_flow(changed("user", path, url))
    assert values["creation_options"]["configurations"][0]["role_group"] == "staff"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("external/industryData/roleGroups/nobody", "UnknownReference"),
        ("external/industryData/referenceDefinitions/staff", "UnknownReference"),
        ("external/industryData/yearTimePeriodDefinitions/staff", "UnknownReference"),
        (long_url(MAX_URL + 1), "InvalidValue"),
        (long_url(MAX_URL * 2), "InvalidValue"),
        ("https://graph.microsoft.com/beta/external/industryData/roleGroups", "InvalidValue"),
        ("staff", "InvalidValue"),
        ("", "InvalidValue"),
        (None, "NullValue"),
        (["external/industryData/roleGroups/staff"], "InvalidValue"),
    ],
    ids=lambda value: str(value)[:80],
)
def test_a_bind_that_names_no_role_group_is_refused(url: Any, code: str) -> None:
    path: list[str | int] = ["creationOptions", "configurations", 0, "roleGroup@odata.bind"]
    assert targets(changed("user", path, url)) == {f"{ENTRY}['roleGroup@odata.bind']": code}


GUID = "9ab41255-5364-4c53-e15c-08dc4ab6ee03"


@pytest.mark.parametrize(
    ("inline", "group"),
    [
        ({"id": "staff"}, "staff"),
        ({"ID": "STAFF"}, "staff"),
        ({"id": GUID.upper(), "displayName": "Tutors", "roles": []}, GUID),
        ({"@odata.id": "external/industryData/roleGroups/staff"}, "staff"),
        ({"@ODATA.ID": f"external/industryData/roleGroups('{GUID}')"}, GUID),
        ({"id": "staff", "@odata.id": "external/industryData/roleGroups/staff"}, "staff"),
    ],
)
def test_an_inline_role_group_counts_as_a_bind(inline: dict[str, Any], group: str) -> None:
    flow = body("user")
    entry = flow["creationOptions"]["configurations"][0]
    del entry["roleGroup@odata.bind"]
    del flow["creationOptions"]["configurations"][1]
    entry["roleGroup"] = inline
    _, values = load_flow(flow)
    assert role_group_ids(values) == [group]


@pytest.mark.parametrize(
    "inline",
    [
        {},
        None,
        7,
        "staff",
        [],
        {"id": None},
        {"id": ""},
        {"id": "elsewhere"},
        {"id": "..%2F..%2F..%2Fusers"},
        {"id": ["staff"]},
        {"id": "staff", "@odata.id": "external/industryData/roleGroups/students"},
        {"@odata.id": "external/industryData/roleGroups/../../users"},
        {"@odata.id": "https://elsewhere.example/roleGroups/staff"},
    ],
)
def test_an_inline_role_group_that_names_none_is_refused_at_its_place(inline: Any) -> None:
    flow = body("user")
    entry = flow["creationOptions"]["configurations"][0]
    del entry["roleGroup@odata.bind"]
    entry["roleGroup"] = inline
    assert f"{ENTRY}.roleGroup" in targets(flow)


def test_unknown_role_groups_are_refused_each_at_its_place() -> None:
    flow = body("user")
    bind = f"external/industryData/roleGroups/{GUID}"
    flow["creationOptions"]["configurations"][1]["roleGroup@odata.bind"] = bind
    _, values = load_flow(flow)
    assert unknown_role_groups(values, {"staff", GUID}) is None
    error = unknown_role_groups(values, {"staff"})
    assert error is not None
    [fault] = error.faults
    assert (fault.code, fault.target) == (
        "UnknownReference",
        "$.creationOptions.configurations[1]['roleGroup@odata.bind']",
    )


@pytest.mark.parametrize(
    ("group", "minors"), [("minor", True), ("notAdult", False), ("adult", False), (None, False)]
)
def test_the_age_group_decides_the_older_flag(group: str | None, minors: bool) -> None:
    path: list[str | int] = ["managementOptions", "additionalOptions"]
    kind, values = load_flow(changed("user", path, {"studentAgeGroup": group}))
    dumped = instance(FLOW_SCHEMAS[kind]).dump(values)
    assert dumped["managementOptions"]["additionalOptions"] == {
        "markAllStudentsAsMinors": minors,
        "allowStudentContactAssociation": None,
        "studentAgeGroup": group,
    }


def test_a_password_is_loaded_as_a_secret_that_does_not_show() -> None:
    _, values = load_flow(body("user"))
    entry = values["creation_options"]["configurations"][0]
    assert entry["default_password_settings"]["password"] == Secret("********")
    assert "********" not in repr(values).replace(MASKED_PASSWORD, "")


def test_a_password_of_the_wrong_type_is_not_repeated_in_the_fault() -> None:
    path: list[str | int] = ["creationOptions", "configurations", 0, "defaultPasswordSettings"]
    flow = changed("user", [*path, "password"], ["hunter2"])
    with pytest.raises(InvalidRequest) as refused:
        load_flow(flow)
    assert "hunter2" not in repr(refused.value.faults)


# --- flow sets ---------------------------------------------------------------------------------

BASIC = {
    "@odata.type": "#microsoft.graph.industryData.basicFilter",
    "attribute": "orgExternalId",
    "in": ["10", "20"],
}


def test_a_flow_set_keeps_its_filter_with_its_type_first() -> None:
    values = load(FlowSet, {"displayName": "North", "filter": BASIC})
    dumped = instance(FlowSet).dump(values)
    assert json.dumps(dumped) == json.dumps({"displayName": "North", "filter": BASIC})


@pytest.mark.parametrize(
    ("flow_set", "expected"),
    [
        ({}, {"$.displayName": "MissingProperty"}),
        ({"displayName": None}, {"$.displayName": "NullValue"}),
        ({"displayName": ""}, {"$.displayName": "InvalidValue"}),
        ({"displayName": "n" * 257}, {"$.displayName": "InvalidValue"}),
        ({"displayName": 7}, {"$.displayName": "InvalidValue"}),
        (
            {"displayName": "n", "@odata.type": "#microsoft.graph.industryData.roleGroup"},
            {"$['@odata.type']": "InvalidType"},
        ),
        ({"displayName": "n", "filter": {}}, {"$.filter['@odata.type']": "MissingType"}),
        ({"displayName": "n", "filter": []}, {"$.filter": "InvalidValue"}),
        (
            {"displayName": "n", "filter": BASIC | {"@odata.type": f"#{NAMESPACE}filter"}},
            {"$.filter['@odata.type']": "AbstractType"},
        ),
        ({"displayName": "n", "filter": BASIC | {"in": None}}, {"$.filter.in": "NullValue"}),
        ({"displayName": "n", "filter": BASIC | {"in": [7]}}, {"$.filter.in[0]": "InvalidValue"}),
        (
            {"displayName": "n", "filter": BASIC | {"attribute": "unknownFutureValue"}},
            {"$.filter.attribute": "InvalidValue"},
        ),
        (
            {"displayName": "n", "provisioningFlows": [{}]},
            {"$.provisioningFlows": "InvalidValue"},
        ),
    ],
)
def test_flow_sets_are_refused_with_the_path_of_each_fault(
    flow_set: dict[str, Any], expected: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        load(FlowSet, flow_set)
    assert {str(f.target): f.code for f in refused.value.faults} == expected


def test_a_redundant_type_and_empty_flows_are_accepted_on_a_set() -> None:
    values = load(
        FlowSet,
        {
            "@odata.type": "#microsoft.graph.industryData.outboundProvisioningFlowSet",
            "displayName": "n",
            "provisioningFlows": [],
        },
    )
    assert values == {"display_name": "n", "filter": None}


# --- properties --------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        inner = [place for key, item in value.items() for place in _places(item, (*path, key))]
    elif isinstance(value, list):
        inner = [place for key, item in enumerate(value) for place in _places(item, (*path, key))]
    else:
        inner = []
    return [path, *inner] if path else inner


@given(st.data())
def test_any_value_in_any_place_is_loaded_or_refused_with_a_path(data: st.DataObject) -> None:
    flow = body(data.draw(st.sampled_from(sorted(KINDS))))
    path = data.draw(st.sampled_from(_places(flow)))
    place: Any = flow
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = data.draw(json_values)
    faults: Sequence[Fault] = ()
    try:
        load_flow(flow)
    except InvalidRequest as refused:
        faults = refused.faults
    assert all(str(fault.target).startswith("$") and fault.message for fault in faults)


@given(st.data())
def test_the_case_of_names_never_matters(data: st.DataObject) -> None:
    def recased(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                (
                    key if key == "@odata.type" else data.draw(st.sampled_from(casings(key)))
                ): recased(item)
                for key, item in value.items()
            }
        return [recased(item) for item in value] if isinstance(value, list) else value

    def casings(key: str) -> list[str]:
        return [key, key.upper(), key.lower(), key.swapcase()]

    flow = body(data.draw(st.sampled_from(sorted(KINDS))))
    assert load_flow(recased(copy.deepcopy(flow))) == load_flow(flow)


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (ReferenceDefinition, "source"),
        (ReferenceDefinitionUpdate, "source"),
        (ReferenceDefinitionUpdate, "code"),
        (ReferenceDefinitionUpdate, "referenceType"),
    ],
)
def test_null_for_a_member_that_is_not_kept_is_a_fault_like_any_other(
    schema: type[Wire], name: str
) -> None:
    body = {"referenceType": "RefRole", "code": "x", "isDisabled": False, "sortIndex": 1}
    with pytest.raises(InvalidRequest) as refused:
        load(schema, {**body, name: None})
    assert ("NullValue", f"$.{name}") in [(each.code, each.target) for each in refused.value.faults]
