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
NAMESPACE = "microsoft.graph.industryData"
BASIC = f"filter/{NAMESPACE}.basicFilter"
UNIT = f"{NAMESPACE}.administrativeUnitProvisioningFlow"
CLASS = f"{NAMESPACE}.classGroupProvisioningFlow"
SECURITY = f"{NAMESPACE}.securityGroupProvisioningFlow"
USER = f"{NAMESPACE}.userProvisioningFlow"
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
        "filter/microsoft.graph.industryData.basicFilter/attribute eq 'orgExternalId'",
        f"{BASIC}/attribute eq microsoft.graph.industryData.filterOptions'orgExternalId'",
        f"{BASIC}/attribute in ('orgExternalId', 'unknownFutureValue')",
        "filter/microsoft.graph.industryData.basicFilter/attribute ne null",
        "microsoft.graph.industryData.outboundProvisioningFlowSet/displayName ne null",
        "filter/microsoft.graph.industryData.basicFilter/in/any(x:x eq '10')",
        "filter/microsoft.graph.industryData.basicFilter/in/all(org:org in ('10','20'))",
        "filter/microsoft.graph.industryData.basicFilter/in/any()",
        f"{BASIC}/in/any(x:x lt '15' and contains(displayName,'North'))",
        "createdDateTime eq 2024-03-22T21:28:02.50Z",
        "createdDateTime eq 2024-03-22T23:28:02.5+02:00",
        "createdDateTime lt lastModifiedDateTime",
        "lastModifiedDateTime le 2024-03-22T21:28:02.7164229Z",
        "createdDateTime ge 2024-03-22 and createdDateTime lt 2024-03-23",
        "createdDateTime gt 0001-01-01T00:00Z",
        "true",
        "startswith(concat(concat(displayName,'!'),id),'O''Neil North!aa05')",
        "indexof(displayName,'North') eq 7 and indexof(displayName,'x') eq -1",
        "substring(displayName,7) eq 'North' and substring(displayName,2,4) eq 'Neil'",
        "substring(displayName,99) eq '' and substring(displayName,0,1) eq 'O'",
        "year(createdDateTime) eq 2024 and month(createdDateTime) eq 3",
        "day(createdDateTime) eq 22 and hour(createdDateTime) eq 21",
        "minute(createdDateTime) eq 28 and second(createdDateTime) eq 2",
        "date(createdDateTime) eq 2024-03-22 and date(createdDateTime) lt 2024-04-01",
        "createdDateTime lt now() and now() gt lastModifiedDateTime",
        "length(displayName) add 1 mul 2 eq 14",
        "length(displayName) sub 20 div 3 eq 6",
        "(length(displayName) sub 20) div 3 eq -2",
        "(length(displayName) sub 20) mod 3 eq -2",
        f"{BASIC}/in/$count eq 2 and {BASIC}/in/$count mod 2 eq 0",
        "$it/displayName eq displayName",
        "isof($it,microsoft.graph.industryData.outboundProvisioningFlowSet)",
        f"{BASIC}/in/any(x:x eq '10' and startswith($it/displayName,'O'))",
        "isof(filter,microsoft.graph.industryData.basicFilter)",
        "isof(filter,'microsoft.graph.industryData.filter')",
        "not isof(filter,microsoft.graph.industryData.basicFilter) eq false",
        f"{BASIC}/attribute has microsoft.graph.industryData.filterOptions'orgExternalId'",
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
        "filter/microsoft.graph.industryData.basicFilter/in/any(x:x eq '1')",
        "filter/microsoft.graph.industryData.basicFilter/in/all(x:x eq '10')",
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
        ("filter/microsoft.graph.industryData.basicFilter/attribute eq null", True),
        ("filter/microsoft.graph.industryData.basicFilter/attribute ne 'orgExternalId'", True),
        (
            "not (filter/microsoft.graph.industryData.basicFilter/attribute eq 'orgExternalId')",
            True,
        ),
        (f"{BASIC}/attribute in ('orgExternalId')", False),
        (
            f"{BASIC}/attribute in ('orgExternalId', null)",
            True,
        ),
        ("filter/microsoft.graph.industryData.basicFilter/in/any(x:x eq '10')", False),
        ("filter/microsoft.graph.industryData.basicFilter/in/all(x:x eq '10')", True),
        ("filter/microsoft.graph.industryData.basicFilter/in/any()", False),
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
        (f"{UNIT}/creationOptions/createBasedOnOrg eq true", ["administrative_unit"]),
        (f"{SECURITY}/creationOptions/createBasedOnRoleGroup eq true", ["security_group"]),
        (
            f"{UNIT}/creationOptions/createBasedOnOrgPlusRoleGroup ne null or "
            f"{SECURITY}/creationOptions/createBasedOnOrgPlusRoleGroup ne null",
            ["administrative_unit", "security_group"],
        ),
        (
            "microsoft.graph.industryData.securityGroupProvisioningFlow/creationOptions"
            "/createBasedOnOrgPlusRoleGroup ne null",
            ["security_group"],
        ),
        ("microsoft.graph.industryData.userProvisioningFlow/createUnmatchedUsers", ["user"]),
        (
            f"{USER}/createUnmatchedUsers eq null",
            ["administrative_unit", "class_group", "security_group"],
        ),
        (f"{USER}/managementOptions/additionalOptions/markAllStudentsAsMinors eq true", ["user"]),
        (
            f"{USER}/managementOptions/additionalOptions/allowStudentContactAssociation ne null",
            ["user"],
        ),
        (f"{USER}/managementOptions/additionalAttributes/any(a:a eq 'userGradeLevel')", ["user"]),
        (
            f"{CLASS}/configuration/enrollmentMappings/ownerEnrollmentMappings"
            "/any(o:o/code eq 'teacher')",
            ["class_group"],
        ),
        (f"{USER}/creationOptions/configurations/any(c:c/roleGroup/id eq 'staff')", ["user"]),
        (
            f"{USER}/creationOptions/configurations"
            "/any(c:c/roleGroup/roles/any(r:r/code eq 'teacher'))",
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
        (
            "filter/microsoft.graph.industryData.basicFilter/colour eq 'x'",
            FLOW_SET,
            ["'colour'", "attribute"],
        ),
        ("displayName/x eq 'x'", FLOW_SET, ["'displayName'", "'x'"]),
        ("provisioningFlows/id eq 'x'", FLOW_SET, ["'provisioningFlows'", "any"]),
        ("provisioningFlows eq null", FLOW_SET, ["'provisioningFlows'", "any"]),
        ("provisioningFlows/any(f:f/createUnmatchedUsers)", FLOW_SET, [f"{USER}/create"]),
        (f"provisioningFlows/{NAMESPACE}.roleGroup/any()", FLOW_SET, [USER]),
        ("displayName/$count gt 1", FLOW_SET, ["'displayName'"]),
        ("roles/$count eq 'x'", ROLE_GROUP, ["roles/$count", "a number"]),
        ("roles/$count", ROLE_GROUP, ["roles/$count", "compare"]),
        ("$it eq 'x'", FLOW_SET, ["'$it'"]),
        ("isof($it)", FLOW_SET, ["'$it'", "cast"]),
        ("isof(displayName,Edm.String)", FLOW_SET, ["'displayName'", "no object"]),
        (f"isof({USER})", FLOW_SET, [USER]),
        ("isof(1,2)", FLOW_SET, ["isof"]),
        ("cast(displayName,'x') eq 'x'", FLOW_SET, ["'cast'"]),
        ("displayName eq @name", FLOW_SET, ["'@name'"]),
        ("filter/microsoft.graph.industryData.other/in/any()", FLOW_SET, ["other", "basicFilter"]),
        ("microsoft.graph.industryData.userProvisioningFlow eq null", PROVISIONING_FLOW, ["type"]),
        (
            "filter/microsoft.graph.industryData.basicFilter/any eq 'x'",
            FLOW_SET,
            ["'any'", "attribute"],
        ),
        ("filter/in/any()", FLOW_SET, ["'in'", "industryData.basicFilter/in"]),
        ("createUnmatchedUsers", PROVISIONING_FLOW, [f"{USER}/createUnmatchedUsers"]),
        ("creationOptions ne null", PROVISIONING_FLOW, [f"{UNIT}/creationOptions"]),
        ("soundex(displayName) eq 'x'", FLOW_SET, ["'soundex'", "contains", "tolower"]),
        ("round(sortIndex) eq 1", REFERENCE_DEFINITION, ["'round'", "contains"]),
        ("concat(displayName,1) eq 'x'", FLOW_SET, ["single quotes", "1"]),
        ("concat(displayName) eq 'x'", FLOW_SET, ["'concat'", "1 arguments"]),
        ("substring(displayName,'1') eq 'x'", FLOW_SET, ["number", "'1'"]),
        ("substring(displayName,1.5) eq 'x'", FLOW_SET, ["number", "1.5"]),
        ("substring(displayName,-1) eq 'x'", FLOW_SET, ["substring", "not negative"]),
        ("substring(displayName,length(id)) eq 'x'", FLOW_SET, ["substring", "not negative"]),
        ("year(displayName) eq 1", FLOW_SET, ["Edm.DateTimeOffset", "'displayName'"]),
        ("date(createdDateTime) eq '2024-03-22'", FLOW_SET, ["a date without quotes"]),
        ("date(createdDateTime) eq 2024-03-22T00:00:00Z", FLOW_SET, ["a date without quotes"]),
        ("any(x:x eq 'a')", FLOW_SET, ["':x eq"]),
        ("displayName has 'x'", FLOW_SET, ["'displayName'", "has"]),
        ("readinessStatus has null", PROVISIONING_FLOW, ["'readinessStatus'", "has"]),
        ("'ready' has readinessStatus", PROVISIONING_FLOW, ["has"]),
        ("displayName add 1 eq 2", FLOW_SET, ["Edm.Int32", "'displayName'"]),
        ("length(displayName) add 99999999999 eq 2", FLOW_SET, ["number", "99999999999"]),
        ("length(displayName) divby 2 eq 2", FLOW_SET, ["'divby'", "div"]),
        ("length(displayName) div 0 eq 2", FLOW_SET, ["other than 0"]),
        ("length(displayName) mod length(id) eq 2", FLOW_SET, ["other than 0"]),
        ("length(displayName) add 1", FLOW_SET, ["true nor false"]),
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
        (
            "filter/microsoft.graph.industryData.basicFilter/attribute eq 'orgexternalid'",
            FLOW_SET,
            ["'orgexternalid'", "orgExternalId"],
        ),
        (
            "filter/microsoft.graph.industryData.basicFilter/attribute eq other'orgExternalId'",
            FLOW_SET,
            ["other'orgExternalId'"],
        ),
        (
            "filter/microsoft.graph.industryData.basicFilter/attribute gt 'orgExternalId'",
            FLOW_SET,
            ["'filter/m", "eq, ne or in"],
        ),
        ("filter eq 'x'", FLOW_SET, ["'filter'", "null"]),
        ("filter gt null", FLOW_SET, ["'filter'"]),
        ("filter in ('x')", FLOW_SET, ["'filter'"]),
        (
            "filter/microsoft.graph.industryData.basicFilter/in eq '10'",
            FLOW_SET,
            ["'filter/m", "any"],
        ),
        (
            "filter/microsoft.graph.industryData.basicFilter/in/any(x:x/code eq '10')",
            FLOW_SET,
            ["'x'"],
        ),
        (
            f"{USER}/creationOptions/configurations/any(x:x/licenseSkus/any(x:x eq '1'))",
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
            f"{USER}/creationOptions/configurations"
            "/any(c:c/defaultPasswordSettings/password eq 'x')",
            PROVISIONING_FLOW,
            ["'password'"],
        ),
        (
            f"{USER}/creationOptions/configurations/any(c:c/defaultPasswordSettings"
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
            f"{CLASS}/configuration/enrollmentMappings/ownerEnrollmentMappings/any(o:"
            f"{CLASS}/configuration/enrollmentMappings/memberEnrollmentMappings"
            "/any(m:m/code eq o/code))",
            PROVISIONING_FLOW,
        ),
        (
            f"{USER}/creationOptions/configurations/any(c:c/roleGroup/roles/any(r:"
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


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [
        ({"@name": "'O''Neil North'"}, True),
        ({"@name": " 'x' "}, False),
        ({"@name": "null"}, False),
    ],
)
def test_a_parameter_alias_stands_for_a_literal(aliases: dict[str, str], expected: bool) -> None:
    assert Matcher(parse_filter("displayName eq @name", FLOW_SET, aliases)).matches(SET) is expected


@pytest.mark.parametrize(
    "text", ["displayName", "'a' or true", "('a','b')", "", "@name", "'" + "a" * MAX_LENGTH + "'"]
)
def test_a_parameter_alias_stands_for_nothing_else(text: str) -> None:
    with pytest.raises(InvalidRequest, match="one literal") as refused:
        parse_filter("displayName eq @name", FLOW_SET, {"@name": text})
    assert refused.value.faults[0].target == "@name"


def test_texts_are_counted_as_cosmos_db_counts_them() -> None:
    printed = {**SET, "displayName": "\U0001f600x"}
    for text in (
        "length(displayName) eq 3",
        "indexof(displayName,'x') eq 2",
        "substring(displayName,2) eq 'x'",
        "substring(displayName,0,2) eq '\U0001f600'",
    ):
        assert found(text, FLOW_SET, printed), text


def test_entries_that_a_cast_skips_take_steps_too() -> None:
    flow_set = {"id": "x", "provisioningFlows": [{"id": "a"}] * 100}
    for text in (
        f"provisioningFlows/{USER}/any(f:f/id eq 'b')",
        f"provisioningFlows/{USER}/$count gt 0",
    ):
        predicate = parse_filter(text, FLOW_SET)
        assert not Matcher(predicate, Steps(105)).matches(flow_set)
        with pytest.raises(InvalidRequest, match="too many steps"):
            Matcher(predicate, Steps(99)).matches(flow_set)


PIECES = (
    *("displayName", "filter", "/in", "/any(", "x:x", "'a'", "1", "2024-01-01", "true", "null"),
    *("eq", "ne", "not", "and", "or", "in", "(", ")", ",", "contains(", "tolower(", "/", "'", ":"),
    *("add", "mod", "has", "/$count", "$it", "@p", "substring(", "isof(", "provisioningFlows"),
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
