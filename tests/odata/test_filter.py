"""What a $filter may say, what it finds among printed entities, and how a wrong one is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.context import Steps
from shared.domain.errors import InvalidRequest
from shared.odata.filters import MAX_DEPTH, MAX_NODES, parse_filter
from shared.odata.memory import Matcher
from shared.odata.model import (
    FLOW_SET,
    PROVISIONING_FLOW,
    REFERENCE_DEFINITION,
    ROLE_GROUP,
    EntityType,
)
from shared.odata.syntax import MAX_LENGTH, MAX_PARENTHESES
from shared.odata.values import stored_time

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
KINDS = ("administrative_unit", "class_group", "security_group", "user")
FLOWS = {
    kind: json.loads((PAYLOADS / f"{kind}.response.json").read_text("utf-8")) for kind in KINDS
}
FLOWS["security_group"]["readinessStatus"] = "ready"
FLOWS["user"]["creationOptions"]["configurations"][0]["roleGroup"] = {
    "id": "staff",
    "displayName": "Staff",
    "roles": [{"code": "teacher"}],
}

SET = {
    "id": "aa050bbc-c4b3-4b2f-b1de-0a8d3ac7f1f1",
    "createdDateTime": "2024-03-22T21:28:02.5Z",
    "lastModifiedDateTime": "2024-03-22T21:28:02.7164229Z",
    "displayName": "O'Neil North",
    "filter": {
        "@odata.type": "#microsoft.graph.industryData.basicFilter",
        "attribute": "orgExternalId",
        "in": ["10", "20"],
    },
}
BARE_SET = {**SET, "filter": None}
GROUP = {"id": "staff", "displayName": "Staff", "roles": [{"code": "coach"}, {"code": "teacher"}]}
DEFINITION = {
    "id": "RefGradeLevel-01",
    "referenceType": "RefGradeLevel",
    "displayName": None,
    "code": "01",
    "source": "CEDS",
    "isDisabled": False,
    "sortIndex": 60,
    "createdDateTime": "0001-01-01T00:00:00Z",
    "lastModifiedDateTime": "0001-01-01T00:00:00Z",
}


def found(text: str, entity: EntityType, printed: dict[str, Any]) -> bool:
    return Matcher(parse_filter(text, entity)).matches(printed)


@pytest.mark.parametrize(
    "text",
    [
        "displayName eq 'O''Neil North'",
        "'O''Neil North' eq displayName",
        "displayname EQ 'O''Neil North'",
        "displayName in ('O''Neil North')",
        "displayName in ('x','O''Neil North')",
        "displayName in('O''Neil North')",
        "displayName gt 'O' and displayName lt 'P'",
        "'P' gt displayName",
        "startswith(displayName,'O') and endsWith( displayName , 'North' )",
        "contains(tolower(displayName),'north')",
        "contains(displayName,'North') eq true",
        "false eq contains(displayName,'north')",
        "toupper(displayName) eq toupper(trim(displayName))",
        "length(displayName) eq 12",
        "not contains(displayName,'x')",
        "not(displayName eq 'x')",
        "NOT (displayName eq 'x') AND (displayName ne 'y' or displayName eq 'x')",
        "displayName eq 'x' and displayName eq 'y' or displayName ne 'z'",
        "filter ne null",
        "filter/attribute eq 'orgExternalId'",
        "filter/attribute eq microsoft.graph.industryData.filterOptions'orgExternalId'",
        "filter/attribute in ('orgExternalId', 'unknownFutureValue')",
        "filter/microsoft.graph.industryData.basicFilter/attribute ne null",
        "microsoft.graph.industryData.outboundProvisioningFlowSet/displayName ne null",
        "filter/in/any(x:x eq '10')",
        "filter/in/all(org:org in ('10','20'))",
        "filter/in/any()",
        "filter/in/any(x:x lt '15' and contains(displayName,'North'))",
        "createdDateTime eq 2024-03-22T21:28:02.50Z",
        "createdDateTime eq 2024-03-22T23:28:02.5+02:00",
        "createdDateTime lt lastModifiedDateTime",
        "lastModifiedDateTime le 2024-03-22T21:28:02.7164229Z",
        "createdDateTime ge 2024-03-22 and createdDateTime lt 2024-03-23",
        "createdDateTime gt 0001-01-01T00:00Z",
        "true",
    ],
)
def test_finds_a_set(text: str) -> None:
    assert found(text, FLOW_SET, SET)


@pytest.mark.parametrize(
    "text",
    [
        "displayName eq 'o''neil north'",
        "startswith(displayName,'o')",
        "displayName gt null",
        "displayName eq null",
        "filter/in/any(x:x eq '1')",
        "filter/in/all(x:x eq '10')",
        "filter/microsoft.graph.industryData.basicFilter/attribute eq 'unknownFutureValue'",
        "createdDateTime lt 2024-03-22T21:28:02.4999999Z",
        "not true",
    ],
)
def test_does_not_find_a_set(text: str) -> None:
    assert not found(text, FLOW_SET, SET)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filter eq null", True),
        ("filter/attribute eq null", True),
        ("filter/attribute ne 'orgExternalId'", True),
        ("not (filter/attribute eq 'orgExternalId')", True),
        ("filter/attribute in ('orgExternalId')", False),
        ("filter/attribute in ('orgExternalId', null)", True),
        ("filter/in/any(x:x eq '10')", False),
        ("filter/in/all(x:x eq '10')", True),
        ("filter/in/any()", False),
    ],
)
def test_a_missing_value_is_null_and_a_missing_collection_is_empty(
    text: str, expected: bool
) -> None:
    assert found(text, FLOW_SET, BARE_SET) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contains(displayName,'x')", False),
        ("not contains(displayName,'x')", False),
        ("not contains(displayName,'x') or sortIndex eq 60", True),
        ("not (contains(displayName,'x') and sortIndex eq 61)", True),
        ("contains(displayName,'x') eq false", False),
        ("contains(displayName,'x') ne true", True),
        ("tolower(displayName) eq null", True),
        ("length(displayName) ge 0", False),
    ],
)
def test_a_function_of_null_is_null_and_neither_true_nor_false(text: str, expected: bool) -> None:
    assert found(text, REFERENCE_DEFINITION, DEFINITION) is expected


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("creationOptions/createBasedOnOrg eq true", ["administrative_unit"]),
        ("creationOptions/createBasedOnRoleGroup eq true", ["security_group"]),
        (
            "creationOptions/createBasedOnOrgPlusRoleGroup ne null",
            ["administrative_unit", "security_group"],
        ),
        (
            "microsoft.graph.industryData.securityGroupProvisioningFlow/creationOptions"
            "/createBasedOnOrgPlusRoleGroup ne null",
            ["security_group"],
        ),
        ("microsoft.graph.industryData.userProvisioningFlow/createUnmatchedUsers", ["user"]),
        ("createUnmatchedUsers eq null", ["administrative_unit", "class_group", "security_group"]),
        ("managementOptions/additionalOptions/markAllStudentsAsMinors eq true", ["user"]),
        ("managementOptions/additionalOptions/allowStudentContactAssociation ne null", ["user"]),
        ("managementOptions/additionalAttributes/any(a:a eq 'userGradeLevel')", ["user"]),
        (
            "configuration/enrollmentMappings/ownerEnrollmentMappings/any(o:o/code eq 'teacher')",
            ["class_group"],
        ),
        ("creationOptions/configurations/any(c:c/roleGroup/id eq 'staff')", ["user"]),
        (
            "creationOptions/configurations/any(c:c/roleGroup/roles/any(r:r/code eq 'teacher'))",
            ["user"],
        ),
        ("readinessStatus eq 'ready'", ["security_group"]),
        (
            "readinessStatus eq microsoft.graph.industryData.readinessStatus'ready'",
            ["security_group"],
        ),
        ("readinessStatus in ('failed', 'ready')", ["security_group"]),
    ],
)
def test_finds_flows_by_members_of_their_kind(text: str, kinds: list[str]) -> None:
    assert [kind for kind in KINDS if found(text, PROVISIONING_FLOW, FLOWS[kind])] == kinds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sortIndex gt 59.5 and sortIndex le 60", True),
        ("sortIndex lt -1", False),
        ("isDisabled", False),
        ("not isDisabled", True),
        ("isDisabled eq false", True),
        ("createdDateTime eq 0001-01-01T00:00:00Z", True),
        ("referenceType eq 'RefGradeLevel' and code eq '01'", True),
    ],
)
def test_finds_reference_definitions(text: str, expected: bool) -> None:
    assert found(text, REFERENCE_DEFINITION, DEFINITION) is expected


def test_finds_role_groups_by_their_roles() -> None:
    assert found("roles/any(r:r/code eq 'teacher')", ROLE_GROUP, GROUP)
    assert not found("roles/all(r:r/code eq 'teacher')", ROLE_GROUP, GROUP)


@pytest.mark.parametrize(
    ("text", "entity", "names"),
    [
        ("colour eq 'x'", FLOW_SET, ["'colour'", "displayName"]),
        ("filter/colour eq 'x'", FLOW_SET, ["'colour'", "attribute"]),
        ("displayName/x eq 'x'", FLOW_SET, ["'displayName'", "'x'"]),
        ("provisioningFlows/any(f:f/id eq 'x')", FLOW_SET, ["'provisioningFlows'"]),
        ("filter/microsoft.graph.industryData.other/in/any()", FLOW_SET, ["other", "basicFilter"]),
        ("microsoft.graph.industryData.userProvisioningFlow eq null", PROVISIONING_FLOW, ["type"]),
        ("filter/any eq 'x'", FLOW_SET, ["'any'", "attribute"]),
        ("soundex(displayName) eq 'x'", FLOW_SET, ["'soundex'", "contains", "tolower"]),
        ("concat(displayName,'x') eq 'x'", FLOW_SET, ["'concat'", "contains"]),
        ("any(x:x eq 'a')", FLOW_SET, ["':x eq"]),
        ("displayName has 'x'", FLOW_SET, ["'has'", "eq"]),
        ("length(displayName) add 1 eq 2", FLOW_SET, ["'add'"]),
        ("contains(displayName)", FLOW_SET, ["'contains'", "1 arguments"]),
        ("displayName eq 1", FLOW_SET, ["'displayName'", "Edm.String", "1"]),
        ("createdDateTime gt 'yesterday'", FLOW_SET, ["'createdDateTime'", "'yesterday'"]),
        ("createdDateTime gt '2024-03-22T21:28:02Z'", FLOW_SET, ["without quotes"]),
        ("length(displayName) eq \u0661", FLOW_SET, ["character 24"]),
        ("createdDateTime gt 2024-02-30", FLOW_SET, ["2024-02-30"]),
        ("createdDateTime gt 2024-02-03T00:00:00.1234567890123Z", FLOW_SET, ["90123Z"]),
        ("createdDateTime gt 0001-01-01T00:00:00+01:00", FLOW_SET, ["0001"]),
        ("createdDateTime eq displayName", FLOW_SET, ["Edm.DateTimeOffset", "Edm.String"]),
        ("id eq aa050bbc-c4b3-4b2f-b1de-0a8d3ac7f1f1", FLOW_SET, ["'id'", "single quotes"]),
        ("filter/attribute eq 'orgexternalid'", FLOW_SET, ["'orgexternalid'", "orgExternalId"]),
        ("filter/attribute eq other'orgExternalId'", FLOW_SET, ["other'orgExternalId'"]),
        ("filter/attribute gt 'orgExternalId'", FLOW_SET, ["'filter/attribute'", "eq, ne or in"]),
        ("filter eq 'x'", FLOW_SET, ["'filter'", "null"]),
        ("filter gt null", FLOW_SET, ["'filter'"]),
        ("filter in ('x')", FLOW_SET, ["'filter'"]),
        ("filter/in eq '10'", FLOW_SET, ["'filter/in'", "any"]),
        ("filter/in/any(x:x/code eq '10')", FLOW_SET, ["'x'"]),
        (
            "creationOptions/configurations/any(x:x/licenseSkus/any(x:x eq '1'))",
            PROVISIONING_FLOW,
            ["'x'", "name of its own"],
        ),
        ("displayName/any(x:x eq '10')", FLOW_SET, ["'displayName'", "any"]),
        ("displayName in (displayName)", FLOW_SET, ["literals"]),
        ("displayName in ()", FLOW_SET, ["character"]),
        ("tolower(createdDateTime) eq 'x'", FLOW_SET, ["'createdDateTime'", "Edm.String"]),
        ("contains(displayName, 5)", FLOW_SET, ["5"]),
        ("displayName", FLOW_SET, ["'displayName'", "compare"]),
        ("'x'", FLOW_SET, ["'x'"]),
        ("1 eq 1", FLOW_SET, ["1", "property"]),
        ("not displayName eq 'x'", FLOW_SET, ["parentheses"]),
        ("isDisabled gt false", REFERENCE_DEFINITION, ["'isDisabled'"]),
        ("isDisabled eq 'false'", REFERENCE_DEFINITION, ["true or false"]),
        ("sortIndex eq '60'", REFERENCE_DEFINITION, ["a number"]),
        ("sortIndex eq int'60'", REFERENCE_DEFINITION, ["a number"]),
        ("sortIndex eq 1e999", REFERENCE_DEFINITION, ["1e999"]),
        (
            "creationOptions/configurations/any(c:c/defaultPasswordSettings/password eq 'x')",
            PROVISIONING_FLOW,
            ["'password'"],
        ),
        (
            "creationOptions/configurations/any(c:c/defaultPasswordSettings"
            "/microsoft.graph.industryData.simplePasswordSettings/password ge 'a')",
            PROVISIONING_FLOW,
            ["'password'"],
        ),
        ("displayName eq 'x", FLOW_SET, ["character 16"]),
        ("displayName eq", FLOW_SET, ["character 13", "eq"]),
        ("(displayName eq 'x'", FLOW_SET, ["stops"]),
        ("displayName eq 'x' displayName", FLOW_SET, ["character 20"]),
        ("displayName ; drop", FLOW_SET, ["character 13"]),
        ("", FLOW_SET, ["empty"]),
        ("  ", FLOW_SET, ["empty"]),
    ],
)
def test_refuses_and_names_what_is_wrong(text: str, entity: EntityType, names: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_filter(text, entity)
    (fault,) = refused.value.faults
    assert fault.target == "$filter"
    assert [name for name in names if name not in fault.message] == []


def test_bounds_length() -> None:
    longest = f"displayName eq '{'x' * (MAX_LENGTH - 18)}'"
    parse_filter(f"{longest} ", FLOW_SET)
    with pytest.raises(InvalidRequest, match=str(MAX_LENGTH)):
        parse_filter(f"{longest}  ", FLOW_SET)


def test_bounds_the_number_of_parts() -> None:
    # Each comparison has three parts, and the chain is one.
    def chain(length: int) -> str:
        return " or ".join(["id eq 'x'"] * length)

    parse_filter(chain(MAX_NODES // 3), FLOW_SET)
    with pytest.raises(InvalidRequest, match=str(MAX_NODES)):
        parse_filter(chain(MAX_NODES // 3 + 1), FLOW_SET)


def test_bounds_depth_but_not_the_length_of_a_chain() -> None:
    def nested(depth: int) -> str:
        return "not " * depth + "(id eq 'x')"

    parse_filter(nested(MAX_DEPTH - 2), FLOW_SET)
    with pytest.raises(InvalidRequest, match=str(MAX_DEPTH)):
        parse_filter(nested(MAX_DEPTH), FLOW_SET)
    parse_filter(" and ".join(["id eq 'x'"] * (MAX_DEPTH + 5)), FLOW_SET)


NESTED = "roles/any(a:roles/any(b:roles/any(c:roles/any(d:roles/any(e:e/code eq 'zz')))))"


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        (NESTED, ROLE_GROUP),
        ("roles/any(a:roles/any(b:b/code eq 'x'))", ROLE_GROUP),
        ("not (roles/all(a:a/code eq 'x' or roles/any()))", ROLE_GROUP),
        (
            "configuration/enrollmentMappings/ownerEnrollmentMappings/any(o:"
            "configuration/enrollmentMappings/memberEnrollmentMappings/any(m:m/code eq o/code))",
            PROVISIONING_FLOW,
        ),
        (
            "creationOptions/configurations/any(c:c/roleGroup/roles/any(r:"
            "c/roleGroup/roles/any(s:s/code eq r/code)))",
            PROVISIONING_FLOW,
        ),
    ],
)
def test_a_lambda_in_another_looks_only_into_the_entry(text: str, entity: EntityType) -> None:
    with pytest.raises(InvalidRequest, match="look into the entry itself") as refused:
        parse_filter(text, entity)
    assert refused.value.faults[0].target == "$filter"


def test_a_filter_stops_at_its_budget_of_steps_over_all_entities() -> None:
    group = {"id": "x", "roles": [{"code": "a"}] * 100}
    predicate = parse_filter("roles/any(r:r/code eq 'zz')", ROLE_GROUP)
    # One step for the lambda, and three for each entry.
    matcher = Matcher(predicate, Steps(2 * 301))
    assert [matcher.matches(group) for _ in range(2)] == [False, False]
    with pytest.raises(InvalidRequest, match="too many steps") as refused:
        matcher.matches(group)
    assert refused.value.faults[0].target == "$filter"


def test_parts_that_decide_nothing_any_more_are_not_looked_at() -> None:
    group = {"id": "x", "roles": [{"code": "zz"}] * 100}
    for text in (
        "roles/any(r:r/code eq 'zz')",
        "id eq 'x' or roles/any(r:r/code eq 'a')",
        "not (id ne 'x' and roles/any(r:r/code eq 'a'))",
        "not roles/all(r:r/code ne 'zz')",
    ):
        assert Matcher(parse_filter(text, ROLE_GROUP), Steps(10)).matches(group)


def test_parentheses_are_nested_to_a_limit_only() -> None:
    def nested(depth: int) -> str:
        return "(" * depth + "id eq 'a'" + ")" * depth

    parse_filter(nested(MAX_PARENTHESES), ROLE_GROUP)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_PARENTHESES} deep"):
        parse_filter(nested(MAX_PARENTHESES + 1), ROLE_GROUP)


PIECES = (
    *("displayName", "filter", "/in", "/any(", "x:x", "'a'", "1", "2024-01-01", "true", "null"),
    *("eq", "ne", "not", "and", "or", "in", "(", ")", ",", "contains(", "tolower(", "/", "'", ":"),
    *("microsoft.graph.industryData.basicFilter", "$", "é", "\x00", "\ud800", "any(", "length("),
)


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        predicate = parse_filter(text, FLOW_SET)
    except InvalidRequest:
        return
    Matcher(predicate).matches(SET)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("2024-03-22T21:28:02.7164229Z", "2024-03-22T21:28:02.7164229Z"),
        ("2024-03-22t21:28:02.5z", "2024-03-22T21:28:02.5000000Z"),
        ("2024-03-22T21:28:02.500000000000Z", "2024-03-22T21:28:02.5000000Z"),
        ("2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00.0000000Z"),
        ("2024-01-01T23:30-01:00", "2024-01-02T00:30:00.0000000Z"),
        ("2024-01-01", "2024-01-01T00:00:00.0000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.0000000Z"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999Z"),
        ("9999-12-31T23:59:59-00:01", None),
        ("2024-13-01", None),
        ("2024-01-01T24:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_times_are_compared_in_the_form_they_are_stored_in(
    written: str, stored: str | None
) -> None:
    assert stored_time(written) == stored


@pytest.mark.parametrize("literal", ["02.716422901Z", "02.716422950000Z", "02.716422999999Z"])
def test_more_digits_than_are_stored_lie_between_two_stored_times(literal: str) -> None:
    times = [f"2024-03-22T21:28:{seconds}Z" for seconds in ("02.7164229", "02.716423")]
    for operator, expected in {"le": times[:1], "gt": times[1:], "eq": [], "ne": times}.items():
        predicate = parse_filter(f"createdDateTime {operator} 2024-03-22T21:28:{literal}", FLOW_SET)
        matcher = Matcher(predicate)
        assert [each for each in times if matcher.matches({"createdDateTime": each})] == expected
