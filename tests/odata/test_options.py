"""Query options one by one: what each takes, and that a wrong one is named."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.domain.context import MAX_STEPS
from shared.domain.errors import Fault, InvalidRequest
from shared.odata.listing import list_page, passing
from shared.odata.model import (
    FLOW_SET,
    PROVISIONING_FLOW,
    REFERENCE_DEFINITION,
    ROLE_GROUP,
    EntityType,
)
from shared.odata.options import COLLECTION, COUNT, ITEM, QueryOptions
from shared.odata.paging import open_page
from shared.odata.prefer import Preferences, parse_prefer

TYPE = "microsoft.graph.industryData.basicFilter"
USER_TYPE = "microsoft.graph.industryData.userProvisioningFlow"
CLASS_TYPE = "microsoft.graph.industryData.classGroupProvisioningFlow"
GROUP_PATH = "creationOptions/configurations/roleGroup"


def parse(entity: EntityType = FLOW_SET, /, **params: str) -> QueryOptions:
    return QueryOptions.parse(params, COLLECTION, entity)


def faults(
    params: dict[str, str],
    allowed: frozenset[str] = COLLECTION,
    entity: EntityType = FLOW_SET,
) -> tuple[Fault, ...]:
    with pytest.raises(InvalidRequest) as refused:
        QueryOptions.parse(params, allowed, entity)
    return tuple(refused.value.faults)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["$top", "top", "$TOP", "Top"])
def test_names_count_with_and_without_dollar_in_any_case(name: str) -> None:
    assert QueryOptions.parse({name: "5"}, COLLECTION, FLOW_SET).top == 5


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("api-version", COLLECTION),
        ("$$top", COLLECTION),
        ("$", COLLECTION),
        ("filter", ITEM),
        ("$top", COUNT),
        ("$select", frozenset()),
    ],
)
def test_refuses_other_options_and_names_those_supported(
    name: str, allowed: frozenset[str]
) -> None:
    (fault,) = faults({name: "1"}, allowed)
    assert fault.code == "UnknownOption"
    assert fault.target == name
    assert name in fault.message
    assert all(f"${each}" in fault.message for each in allowed)


@pytest.mark.parametrize(("name", "instead"), [("$apply", "$count"), ("compute", "properties")])
def test_refuses_in_words_what_is_left_out(name: str, instead: str) -> None:
    (fault,) = faults({name: "1"})
    assert (fault.code, fault.target) == ("UnknownOption", name)
    assert instead in fault.message


def test_parameter_aliases_count_for_the_filter_only() -> None:
    options = parse(**{"$filter": "displayName eq @p", "@p": "'x'"})
    assert options.given == (("filter", "displayName eq @p"), ("@p", "'x'"))
    for params, allowed, target in (
        ({"@p": "'x'"}, COLLECTION, "@p"),
        ({"$filter": "id eq '1'", "@p": "'x'"}, COLLECTION, "@p"),
        ({"@p": "'x'"}, ITEM, "@p"),
        ({"$filter": "id eq @p"}, COLLECTION, "$filter"),
        ({"$filter": "id eq @p", "@p": "'\ud800'"}, COLLECTION, "@p"),
    ):
        found = faults(params, allowed)
        assert target in [fault.target for fault in found]


def test_refuses_an_option_in_two_spellings() -> None:
    (fault,) = faults({"$top": "1", "TOP": "2"})
    assert (fault.code, fault.target) == ("DuplicateOption", "$top")


def test_tells_all_faults_at_once() -> None:
    targets = [
        fault.target for fault in faults({"$top": "x", "filter": "x", "$foo": "", "count": "y"})
    ]
    assert targets == ["$top", "$filter", "$foo", "$count"]


def test_refuses_values_that_are_too_long_or_no_text() -> None:
    assert faults({"$skiptoken": "x" * 4097})[0].target == "$skiptoken"
    assert faults({"$filter": "displayName eq '\ud800'"})[0].target == "$filter"


# --- numbers and flags ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [("top", "0"), ("top", "999"), ("skip", "0"), ("skip", "10000")],
)
def test_takes_whole_numbers_in_range(option: str, value: str) -> None:
    assert getattr(parse(**{option: value}), option) == int(value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("top", value) for value in ("-1", "1000", "1.0", "", "x", " 1", "\u0661", "1" * 50)),
        *(("skip", value) for value in ("-1", "10001", "x")),
        *(("count", value) for value in ("1", "", "yes")),
    ],
)
def test_refuses_other_values(option: str, value: str) -> None:
    (fault,) = faults({option: value})
    assert fault.target == f"${option}"
    assert f"'{value[:5]}" in fault.message


def test_count_is_true_or_false() -> None:
    assert parse(count="true").count
    assert parse(count="True").count
    assert not parse(count="false").count
    assert not parse().count


# --- $orderby ------------------------------------------------------------------------------------


def ordered(
    text: str, entities: list[dict[str, Any]], entity: EntityType = REFERENCE_DEFINITION
) -> list[str]:
    options = parse(entity, orderby=text)
    page = open_page(options, b"")
    return [str(each["id"]) for each in list_page(options, page, entities).entities]


ENTITIES: list[dict[str, Any]] = [
    {"id": "a", "displayName": "same", "sortIndex": 2},
    {"id": "c", "displayName": "same", "sortIndex": 1},
    {"id": "b", "displayName": None, "sortIndex": 10},
    {"id": "d", "displayName": "Same", "sortIndex": 3},
]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id", "abcd"),
        ("id desc", "dcba"),
        ("sortIndex", "cadb"),
        ("sortindex DESC", "bdac"),
        ("displayName", "bdac"),
        ("displayName asc", "bdac"),
        ("displayName desc", "cadb"),
        ("displayName desc, id asc", "acdb"),
        (" displayName , sortIndex ", "bdca"),
    ],
)
def test_orders_nulls_first_and_equals_by_id(text: str, ids: str) -> None:
    assert "".join(ordered(text, ENTITIES)) == ids


def test_orders_by_members_that_only_some_kinds_have() -> None:
    user = {"@odata.type": f"#{USER_TYPE}"}
    flows: list[dict[str, Any]] = [{**user, "id": "a", "createUnmatchedUsers": True}, {"id": "b"}]
    flows.append({**user, "id": "c", "createUnmatchedUsers": False})
    assert ordered(f"{USER_TYPE}/createUnmatchedUsers", flows, PROVISIONING_FLOW) == ["b", "c", "a"]


def test_orders_by_id_where_nothing_is_asked_for() -> None:
    assert [str(sort.path) for sort in parse().order] == ["id"]


@pytest.mark.parametrize(
    ("text", "entity", "name"),
    [
        ("colour", REFERENCE_DEFINITION, "'colour'"),
        ("displayName sideways", REFERENCE_DEFINITION, "sideways"),
        ("tolower(displayName)", REFERENCE_DEFINITION, "tolower"),
        ("displayName,", REFERENCE_DEFINITION, "''"),
        ("", REFERENCE_DEFINITION, "''"),
        ("displayName,displayname desc", REFERENCE_DEFINITION, "twice"),
        ("roles", ROLE_GROUP, "'roles'"),
        ("roles/code", ROLE_GROUP, "'roles'"),
        (f"{USER_TYPE}/creationOptions", PROVISIONING_FLOW, "/creationOptions'"),
        (f"filter/{TYPE}/attribute", FLOW_SET, "/attribute'"),
        ("filter/attribute", FLOW_SET, TYPE),
        ("createUnmatchedUsers", PROVISIONING_FLOW, USER_TYPE),
    ],
)
def test_refuses_orders_there_are_not(text: str, entity: EntityType, name: str) -> None:
    (fault,) = faults({"orderby": text}, entity=entity)
    assert fault.target == "$orderby"
    assert name in fault.message


@pytest.mark.parametrize(
    ("text", "indexed"),
    [
        ("displayName", True),
        ("displayName desc,id desc", True),
        ("id desc", True),
        ("displayName,id desc", False),
        ("displayName,createdDateTime", False),
    ],
)
def test_the_store_sorts_by_one_property_and_id_in_one_direction(text: str, indexed: bool) -> None:
    assert parse(orderby=text).indexed is indexed


# --- the cost of $filter -------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [list_page, passing])
def test_lists_and_counts_stop_where_a_filter_takes_too_many_steps(ask: Any) -> None:
    options = parse(ROLE_GROUP, filter="roles/any(r:r/code eq 'zz')")
    groups = ({"id": f"{n}", "roles": [{"code": "a"}] * 1000} for n in range(MAX_STEPS // 3000 + 1))
    arguments = (
        (options, open_page(options, b""), groups) if ask is list_page else (options, groups)
    )
    with pytest.raises(InvalidRequest, match="too many steps"):
        ask(*arguments)


# --- $search -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("north", ["North East", "northern"]),
        ('"north east"', ["North East"]),
        ("EAST north", ["North East"]),
        ("east AND north", ["North East"]),
        ('"displayName:north e"', ["North East"]),
        ("displayName:east", ["North East", "East"]),
        (r'"say \"x\""', ['Say "X"']),
        ("northern OR say", ["northern", 'Say "X"']),
        ("NOT north", ["East", 'Say "X"']),
        ("east NOT north", ["East"]),
        ("east AND NOT north OR say", ["East", 'Say "X"']),
        ("north AND (east OR northern)", ["North East", "northern"]),
        ("NOT (north OR say)", ["East"]),
        ('NOT "north east" north', ["northern"]),
        ("or", ["North East", "northern"]),
    ],
)
def test_searches_for_all_words_and_phrases(text: str, names: list[str]) -> None:
    options = parse(ROLE_GROUP, search=text)
    entities = [
        {"id": str(number), "displayName": name}
        for number, name in enumerate(["North East", "northern", "East", 'Say "X"'])
    ]
    listing = list_page(options, open_page(options, b""), entities)
    assert [each["displayName"] for each in listing.entities] == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"',
        '""',
        '"a',
        'a"b"',
        '"a"b',
        "a AND",
        "a OR",
        "OR a",
        "AND a",
        "NOT",
        "a NOT",
        "(a",
        "a)",
        "()",
        "NOT " * 12 + "a",
        "(" * 12 + "a" + ")" * 12,
        "displayName:",
        "a " * 11,
        '"\u0301"',
        "a\u200b",
        "\u202eabc",
        "a\tb",
        "a\u2028b",
        "a" * 257,
    ],
)
def test_refuses_other_searches(text: str) -> None:
    (fault,) = faults({"search": text})
    assert fault.target == "$search"


def test_flows_have_nothing_to_search() -> None:
    (fault,) = faults({"search": "x"}, entity=PROVISIONING_FLOW)
    assert "displayName" in fault.message


@pytest.mark.parametrize("name", ["Caf\u00e9 S\u00fcd", "Cafe\u0301 Su\u0308d"])
@pytest.mark.parametrize("term", ["caf\u00e9", "cafe\u0301", "S\u00dcD", "SU\u0308D"])
def test_a_search_finds_composed_and_decomposed_names(name: str, term: str) -> None:
    assert len(passing(parse(ROLE_GROUP, search=term), [{"id": "1", "displayName": name}])) == 1


def test_terms_that_are_hard_to_compose_cost_little() -> None:
    # Terms of marks whose order Unicode reverses; the time of each is quadratic.
    text = " ".join(["a" + "\u0301\u0327" * 127] * 10)
    options = parse(ROLE_GROUP, search=text)
    started = time.process_time()
    assert passing(options, [{"id": "1", "displayName": "x"}]) == []
    assert time.process_time() - started < 0.1


# --- $select and $expand -------------------------------------------------------------------------

SET = {
    "@odata.context": "…",
    "id": "1",
    "createdDateTime": "2024-03-22T21:28:02Z",
    "displayName": "North",
    "filter": {"@odata.type": f"#{TYPE}", "attribute": "orgExternalId", "in": ["10"]},
}
USER_FLOW = {
    "@odata.type": f"#{USER_TYPE}",
    "id": "2",
    "createUnmatchedUsers": True,
    "creationOptions": {
        "configurations": [
            {
                "licenseSkus": ["a"],
                "roleGroup@odata.context": "…",
                "roleGroup": {"id": "staff", "displayName": "Staff", "roles": []},
            }
        ]
    },
}


@pytest.mark.parametrize(
    ("select", "members", "context"),
    [
        ("displayname", {"displayName": "North"}, "(displayName)"),
        ("displayName,id", {"id": "1", "displayName": "North"}, "(displayName,id)"),
        ("id, id", {"id": "1"}, "(id)"),
        ("filter", {"filter": SET["filter"]}, "(filter)"),
        (
            f"filter/{TYPE}/in",
            {"filter": {"@odata.type": f"#{TYPE}", "in": ["10"]}},
            f"(filter/{TYPE}/in)",
        ),
        (
            f"filter/{TYPE.lower()}/attribute",
            {"filter": {"@odata.type": f"#{TYPE}", "attribute": "orgExternalId"}},
            f"(filter/{TYPE}/attribute)",
        ),
        ("provisioningFlows", {}, "(provisioningFlows)"),
        ("*", {key: value for key, value in SET.items() if key[0] != "@"}, "(*)"),
        ("id,*", {key: value for key, value in SET.items() if key[0] != "@"}, "(*)"),
    ],
)
def test_select_keeps_members_in_the_entitys_order(
    select: str, members: dict[str, Any], context: str
) -> None:
    options = parse(select=select)
    expected = {"@odata.context": "…", **members}
    assert list(options.project(SET).items()) == list(expected.items())
    assert options.context_suffix() == context


def test_without_select_everything_stays() -> None:
    assert parse().project(SET) == SET
    assert parse().context_suffix() == ""


def test_select_reaches_into_collections_and_keeps_annotations() -> None:
    options = parse(
        PROVISIONING_FLOW, select=f"{USER_TYPE}/creationOptions/configurations/roleGroup/id"
    )
    assert options.project(USER_FLOW) == {
        "@odata.type": f"#{USER_TYPE}",
        "creationOptions": {
            "configurations": [{"roleGroup@odata.context": "…", "roleGroup": {"id": "staff"}}]
        },
    }


@pytest.mark.parametrize(
    "select",
    [
        f"id,{USER_TYPE}/createUnmatchedUsers,{CLASS_TYPE}/configuration",
        f"id,{USER_TYPE.upper()}/createunmatchedusers",
    ],
)
def test_select_of_members_of_other_kinds_misses_nothing(select: str) -> None:
    assert parse(PROVISIONING_FLOW, select=select).project(USER_FLOW) == {
        "@odata.type": f"#{USER_TYPE}",
        "id": "2",
        "createUnmatchedUsers": True,
    }


def test_a_cast_keeps_nothing_of_another_kind() -> None:
    select = "microsoft.graph.industryData.securityGroupProvisioningFlow/creationOptions"
    assert parse(PROVISIONING_FLOW, select=select).project(USER_FLOW) == {
        "@odata.type": f"#{USER_TYPE}"
    }


@pytest.mark.parametrize(
    ("select", "name"),
    [
        ("colour", "'colour'"),
        ("id,", "comma"),
        ("", "comma"),
        ("id/x", "'x'"),
        (TYPE, TYPE),
        ("filter/in", f"{TYPE}/in"),
    ],
)
def test_refuses_to_select_what_is_not_there(select: str, name: str) -> None:
    (fault,) = faults({"select": select})
    assert fault.target == "$select"
    assert name in fault.message


@pytest.mark.parametrize(
    ("params", "nested", "context"),
    [
        ({"expand": "provisioningFlows"}, None, "(provisioningFlows())"),
        ({"expand": "ProvisioningFlows( $select = id )"}, "id", "(provisioningFlows(id))"),
        (
            {"expand": "provisioningFlows(select=id,readinessStatus)", "select": "id"},
            "id,readinessStatus",
            "(id,provisioningFlows(id,readinessStatus))",
        ),
    ],
)
def test_expands_flows(params: dict[str, str], nested: str | None, context: str) -> None:
    options = parse(**params)
    expand = options.expands("provisioningFlows")
    assert expand is not None
    assert (expand.options.select and expand.options.select.context) == nested
    assert options.context_suffix() == context
    expanded = {**SET, "provisioningFlows@odata.context": "…", "provisioningFlows": [USER_FLOW]}
    kept = options.project(expanded)
    assert kept["provisioningFlows"] == [USER_FLOW]
    assert kept["provisioningFlows@odata.context"] == "…"


def test_expands_nothing_unasked() -> None:
    assert parse().expands("provisioningFlows") is None


@pytest.mark.parametrize(
    ("expand", "entity", "name"),
    [
        ("flows", FLOW_SET, "provisioningFlows"),
        ("*($top=1)", FLOW_SET, "provisioningFlows"),
        ("", FLOW_SET, "provisioningFlows"),
        ("provisioningFlows,provisioningFlows", FLOW_SET, "twice"),
        ("provisioningFlows,*", FLOW_SET, "twice"),
        ("provisioningFlows/$ref", FLOW_SET, "$ref"),
        (f"provisioningFlows/{TYPE}", FLOW_SET, TYPE),
        ("provisioningFlows($filter=colour eq '1')", FLOW_SET, "'colour'"),
        ("provisioningFlows($search=x)", FLOW_SET, "displayName"),
        ("provisioningFlows($levels=2)", FLOW_SET, "$levels"),
        ("provisioningFlows($expand=x)", FLOW_SET, "'x'"),
        ("provisioningFlows($select=id", FLOW_SET, "not closed"),
        ("provisioningFlows($filter=id eq 'x)", FLOW_SET, "not closed"),
        ("provisioningFlows)", FLOW_SET, "not opened"),
        ("provisioningFlows($select=id)x", FLOW_SET, "does not end"),
        ("provisioningFlows($select=id;$select=id)", FLOW_SET, "twice"),
        ("provisioningFlows($select=id;select=id)", FLOW_SET, "twice"),
        ("provisioningFlows()", FLOW_SET, "$select"),
        ("provisioningFlows($top)", FLOW_SET, "$top"),
        (f"{USER_TYPE}/{GROUP_PATH}($select=id)", PROVISIONING_FLOW, "none"),
        ("provisioningFlows($select=colour)", FLOW_SET, "'colour'"),
        ("roleGroup", PROVISIONING_FLOW, "/roleGroup"),
        ("roles", ROLE_GROUP, "roles/value"),
        ("*,roles/value($top=1)", ROLE_GROUP, "$top"),
    ],
)
def test_refuses_other_expansions(expand: str, entity: EntityType, name: str) -> None:
    (fault,) = faults({"expand": expand}, entity=entity)
    assert fault.target == "$expand"
    assert name in fault.message


# --- Prefer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "returns", "size"),
    [
        (None, None, None),
        ("", None, None),
        ("return=minimal", "minimal", None),
        ("Return=Representation", "representation", None),
        ('return="minimal"; foo="a, b", odata.maxpagesize=5', "minimal", 5),
        ("include-unknown-enum-members, maxpagesize = 7", None, 7),
        ('outlook.body-content-type="text, return=minimal"', None, None),
        ("odata.maxpagesize=3, maxpagesize=4", None, 3),
        ("return=minimal, return=representation", "minimal", None),
        ("return=everything, odata.maxpagesize=0", None, None),
        ("odata.maxpagesize=-1", None, None),
        ("odata.maxpagesize=x, ,=,;", None, None),
        (f"return=minimal{' ' * 1000}", None, None),
    ],
)
def test_reads_preferences_and_ignores_the_rest(
    header: str | None, returns: str | None, size: int | None
) -> None:
    preferences = parse_prefer(header)
    assert (preferences.returns, preferences.max_page_size) == (returns, size)


def test_says_which_preference_was_applied_as_the_client_spelled_it() -> None:
    assert parse_prefer("maxpagesize=7").page_size_applied == "maxpagesize=7"
    assert parse_prefer("odata.maxpagesize=7").page_size_applied == "odata.maxpagesize=7"
    assert Preferences().page_size_applied is None
