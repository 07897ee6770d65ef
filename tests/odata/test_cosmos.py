"""The SQL that queries become, run by the Cosmos DB emulator, against the same query in memory."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from azure.cosmos import ContainerProxy
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract.names import NAMESPACE
from shared.contract.printing import Printer
from shared.domain import flows, ids
from shared.odata.conditions import Conditions
from shared.odata.cosmos import (
    Query,
    count_query,
    documents_query,
    keys_query,
    page_query,
    skip_query,
)
from shared.odata.filters import MAX_NODES, parse_filter
from shared.odata.listing import list_page
from shared.odata.memory import Matcher
from shared.odata.model import FLOW_SET, Complex, Edm, EntityType, Enum, Property
from shared.odata.options import COLLECTION, QueryOptions
from shared.odata.paging import Page, next_token, open_page
from shared.odata.sql import Parameters
from tests.odata.cosmos_queries import run

KEY = b"k" * 32
SPECIAL = "microsoft.graph.industryData.special"
BASIC = "filter/microsoft.graph.industryData.basicFilter"


# --- every kind of value, missing, null and there ------------------------------------------------

INNER = {
    "alias": Property("alias", Edm.STRING, nullable=True),
    "in": Property("in", Edm.STRING, nullable=True, collection=True),
}
PROBE = EntityType(
    "probe",
    {
        each.name.lower(): each
        for each in (
            Property("id", Edm.STRING),
            Property("name", Edm.STRING),
            Property("alias", Edm.STRING, nullable=True),
            Property("flag", Edm.BOOLEAN, nullable=True),
            Property("number", Edm.INT32, nullable=True),
            Property("created", Edm.DATE_TIME_OFFSET, nullable=True),
            Property("state", Enum("states", ("on", "off")), nullable=True),
            Property("in", Edm.STRING, nullable=True, collection=True),
            Property(
                "inner",
                Complex("inner", INNER, {"special": Complex("special", INNER)}),
                nullable=True,
            ),
            Property(
                "parts",
                Complex("part", {"code": Property("code", Edm.STRING, nullable=True)}),
                collection=True,
            ),
        )
    },
)

TEXTS = (
    "Alpha",
    "alpha",
    "ALPHA beta",
    " Beta ",
    "O'Neil",
    'say "no"',
    "back\\slash",
    "@p0",
    "éß",
    "",
)
TIMES = (
    "2024-03-22T21:28:02.7164229Z",
    "2024-03-22T21:28:03.5000000Z",
    "0001-01-01T00:00:00.0000000Z",
)


def _documents() -> list[dict[str, Any]]:
    aliases: Iterator[Any] = itertools.cycle([*TEXTS, None, "missing"])
    optional: dict[str, Iterator[Any]] = {
        "flag": itertools.cycle([True, False, None, "missing"]),
        "number": itertools.cycle([0, 5, -3, None, "missing"]),
        "created": itertools.cycle([*TIMES, None, "missing"]),
        "state": itertools.cycle(["on", "off", None, "missing"]),
        "in": itertools.cycle([[], ["10"], ["10", "20", "Alpha"], ["alpha"], None, "missing"]),
        "inner": itertools.cycle(
            [
                {"alias": "Alpha", "in": ["10", "alpha"]},
                {
                    "@odata.type": "#microsoft.graph.industryData.special",
                    "alias": "Alpha",
                    "in": ["10"],
                },
                {"alias": None, "in": None},
                {},
                None,
                "missing",
                {"@odata.type": f"#{NAMESPACE}other", "alias": "beta", "in": []},
            ]
        ),
    }
    parts = itertools.cycle([[], [{"code": "Alpha"}], [{"code": None}, {"code": "beta"}], [{}]])
    documents = []
    for number, name in enumerate(TEXTS * 5):
        document = {"id": f"{number:02d}", "name": name, "alias": next(aliases)}
        document |= {member: next(values) for member, values in optional.items()}
        document["parts"] = next(parts)
        documents.append({key: value for key, value in document.items() if value != "missing"})
    return documents


DOCUMENTS = _documents()


@pytest.fixture(scope="module")
def probes(container: Callable[[str], ContainerProxy]) -> ContainerProxy:
    filled = container("probes")
    for document in DOCUMENTS:
        filled.create_item(document)
    return filled


def printed(document: Mapping[str, Any]) -> dict[str, Any]:
    created = document.get("created")
    return {**document, "created": created and ids.printed_time(created)}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


numbers = st.sampled_from(["-1", "0", "1", "2"])
PATHS = ("name", "alias", "inner/alias", "inner/microsoft.graph.industryData.special/alias")
texts = st.sampled_from([*TEXTS, "a", "l", "10", "20"]).map(quoted)
texts_or_null = st.one_of(texts, st.just("null"))
equalities = st.sampled_from(["eq", "ne"])
orders = st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"])


def operands(paths: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(paths),
        lambda inner: (
            st.builds("{}({})".format, st.sampled_from(["tolower", "toupper", "trim"]), inner)
            | st.builds("concat({},{})".format, inner, st.one_of(inner, texts))
            | st.builds("substring({},{})".format, inner, st.sampled_from(["0", "1", "1,2", "99"]))
        ),
        max_leaves=2,
    )


def text_conditions(paths: tuple[str, ...]) -> st.SearchStrategy[str]:
    text = operands(paths)
    functions = st.sampled_from(["contains", "startswith", "endswith"])
    return st.one_of(
        st.builds("{} {} {}".format, text, orders, texts_or_null),
        st.builds("{} {} {}".format, texts_or_null, orders, text),
        st.builds("{} {} {}".format, text, orders, text),
        st.builds(
            lambda left, values: f"{left} in ({', '.join(values)})",
            text,
            st.lists(texts_or_null, min_size=1, max_size=3),
        ),
        st.builds("{}({},{})".format, functions, text, st.one_of(texts, text)),
        st.builds("{}({},{})".format, functions, texts, text),
        st.builds("length({}) {} {}".format, text, orders, st.integers(-1, 8)),
        st.builds("indexof({},{}) {} {}".format, text, st.one_of(texts, text), orders, numbers),
    )


def combined(leaves: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("not ({})".format, inner),
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            st.builds("({}) {} {}".format, inner, equalities, st.sampled_from(["true", "false"])),
        ),
        max_leaves=most,
    )


times = st.sampled_from(
    [
        "2024-03-22T21:28:02.7164229Z",
        "2024-03-22T21:28:02.716422900001Z",
        "2024-03-22T21:28:02.71642289Z",
        "2024-03-22T22:28:03.5+01:00",
        "2024-03-22T21:28:03.5000000Z",
        "2024-03-22",
        "0001-01-01T00:00:00Z",
        "null",
    ]
)
lambdas = st.one_of(
    st.builds(
        "{}/{}(x:{})".format,
        st.sampled_from(["in", "inner/in", "inner/microsoft.graph.industryData.special/in"]),
        st.sampled_from(["any", "all"]),
        combined(text_conditions(("x", "x", "alias")), 2),
    ),
    st.builds(
        "parts/{}(p:{})".format,
        st.sampled_from(["any", "all"]),
        combined(text_conditions(("p/code", "name")), 2),
    ),
    st.sampled_from(["in/any()", "parts/any()", "parts/any(p:name eq p/code)"]),
)
filters = combined(
    st.one_of(
        text_conditions(PATHS),
        lambdas,
        st.builds("created {} {}".format, orders, times),
        st.builds("number {} {}".format, orders, st.sampled_from(["0", "-3", "4.5", "null"])),
        st.builds(
            "number {} {} {} {}".format,
            st.sampled_from(["add", "sub", "mul", "div", "mod"]),
            st.sampled_from(["1", "2", "-2", "7"]),
            orders,
            numbers,
        ),
        st.builds(
            "{}/$count {} {}".format,
            st.sampled_from(["in", "parts", "inner/in", f"inner/{SPECIAL}/in"]),
            orders,
            numbers,
        ),
        st.builds(
            "{}(created) {} {}".format,
            st.sampled_from(["year", "month", "day", "hour", "minute", "second"]),
            orders,
            st.sampled_from(["1", "2", "3", "21", "22", "2024"]),
        ),
        st.builds("date(created) {} {}".format, orders, st.sampled_from(["2024-03-22", "null"])),
        st.sampled_from(
            [f"isof(inner,{SPECIAL})", "isof(inner,microsoft.graph.industryData.inner)"]
        ),
        st.builds("state {} {}".format, equalities, st.sampled_from(["'on'", "'off'", "null"])),
        st.builds("flag {} {}".format, equalities, st.sampled_from(["true", "false", "null"])),
        st.builds("inner {} null".format, equalities),
        st.sampled_from(
            ["flag", "not (true)", "not (false)", "state in ('on', null)", "number in (5, 7)"]
        ),
    ),
    6,
)


@settings(max_examples=400, deadline=None)
@given(filters)
def test_cosmos_and_memory_give_the_same_entities(probes: ContainerProxy, text: str) -> None:
    predicate = parse_filter(text, PROBE)
    parameters = Parameters()
    where = Conditions(parameters).condition(predicate)
    query = Query(f"SELECT VALUE c.id FROM c WHERE {where}", parameters.values)  # noqa: S608 - ours
    found = run(probes, query)
    assert sorted(found) == [
        document["id"] for document in DOCUMENTS if Matcher(predicate).matches(printed(document))
    ]


@settings(max_examples=100, deadline=None)
@given(filters)
def test_a_filter_and_its_opposite_share_no_entity(text: str) -> None:
    both = parse_filter(f"({text}) and not ({text})", PROBE)
    assert not any(Matcher(both).matches(printed(document)) for document in DOCUMENTS)


@pytest.mark.parametrize(
    "text",
    [
        " or ".join(["alias eq inner/alias"] * 25),
        "not (" * 15 + " or ".join(["alias ne inner/alias"] * 20) + ")" * 15,
        " and ".join(["parts/all(p:p/code eq alias or p/code eq null)"] * 12),
        f"alias in ({', '.join(['null', *map(quoted, map(str, range(90)))])})",
        "(" * 9 + "alias eq inner/alias" + " eq true)" * 9,
    ],
    ids=range(5),
)
def test_sql_is_as_long_as_its_filter(text: str) -> None:
    parameters = Parameters()
    where = Conditions(parameters).condition(parse_filter(text, PROBE))
    assert len(where) < 20 * len(text)
    assert len(parameters.values) <= MAX_NODES


# --- flow sets -----------------------------------------------------------------------------------


def stored_set(number: int) -> dict[str, Any]:
    names = ("North", "south", "East wing", "north annex", "West", "S\u00fcd", "Su\u0308d 2")
    name = names[number % len(names)]
    restricted = number % 3
    document = flows.new_flow_set({"displayName": name, "filter": None})
    if restricted:
        document["filter"] = {
            "@odata.type": "#microsoft.graph.industryData.basicFilter",
            "attribute": "orgExternalId",
            "in": [str(10 * each) for each in range(restricted)],
        }
    document["createdDateTime"] = f"2024-03-{number % 7 + 1:02d}T00:00:00.0000000Z"
    return document


SETS = sorted((stored_set(number) for number in range(30)), key=lambda document: document["id"])
PRINTED = [Printer("https://graph.microsoft.com/beta").flow_set(each) for each in SETS]


@pytest.fixture(scope="module")
def sets(container: Callable[[str], ContainerProxy]) -> ContainerProxy:
    filled = container("sets")
    for document in SETS:
        filled.create_item(document)
    return filled


def options(**params: str) -> QueryOptions:
    return QueryOptions.parse(params, COLLECTION, FLOW_SET)


def documents_of(sets: ContainerProxy, asked: QueryOptions, page: Page) -> list[dict[str, Any]]:
    """The documents of a page, in two queries where it skips some."""
    if page.skip:
        skipped = run(sets, skip_query(asked, page))
        assert all(len(each) == len(asked.order) for each in skipped)
        if len(skipped) < page.skip:
            return []
        page = page.behind(skipped[-1], asked)
    return run(sets, page_query(asked, page))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"filter": "filter eq null"},
        {"filter": f"{BASIC}/attribute eq 'orgExternalId' and displayName ne 'West'"},
        {"filter": f"{BASIC}/in/any(x:x eq '10')"},
        {"filter": f"{BASIC}/in/all(x:x in ('0', '20'))"},
        {"filter": "createdDateTime gt 2024-03-04T01:00:00+02:00", "orderby": "createdDateTime"},
        {"filter": "startswith(tolower(displayName), 'north')", "orderby": "displayName desc"},
        {"filter": f"id in ('{SETS[3]['id']}', '{SETS[4]['id']}', 'x')"},
        {"search": "nor"},
        {"search": '"East wing" EAST'},
        {"search": "S\u00dcD"},
        {"search": "north AND NOT annex OR wing"},
        {"filter": "concat(displayName, '!') eq 'West!' or indexof(displayName, 'th') eq 3"},
        {"filter": "substring(displayName, 1) eq 'est' or substring(displayName, 0, 1) eq 'N'"},
        {"filter": "year(createdDateTime) eq 2024 and day(createdDateTime) mod 2 eq 1"},
        {"filter": "date(createdDateTime) ge 2024-03-04 and hour(createdDateTime) eq 0"},
        {"filter": "month(createdDateTime) eq 3 and createdDateTime lt now()"},
        {"filter": f"{BASIC}/in/$count eq 2"},
        {"filter": f"{BASIC}/in/$count add 1 eq 1"},
        {"filter": "(length(displayName) sub 9) div 2 eq -2"},
        {"filter": "(length(displayName) sub 9) mod 2 eq -1"},
        {"filter": "isof(filter, 'microsoft.graph.industryData.basicFilter')"},
        {"filter": "not isof(filter, microsoft.graph.industryData.filter)"},
        {"filter": f"{BASIC}/in/any(x:x eq '10' and $it/displayName eq 'West')"},
        {"search": '"su\u0308d 2" s\u00fcd'},
        {"orderby": "displayName"},
        {"orderby": "displayName desc,id desc"},
        {"orderby": "createdDateTime desc"},
        {"orderby": "lastModifiedDateTime"},
        {"orderby": "id desc"},
        {"orderby": "displayName", "top": "3", "skip": "3", "filter": "displayName ne 'West'"},
        {"top": "0"},
        {"skip": "29"},
        {"skip": "31"},
    ],
    # Ids of sets are made anew by each process, and names of tests must not be.
    ids=lambda params: re.sub(r"'[0-9a-f-]{36}'", "'…'", str(params)),
)
def test_pages_from_cosmos_are_those_from_memory(
    sets: ContainerProxy, params: dict[str, str]
) -> None:
    asked = options(**params)
    total = list_page(asked, open_page(asked, KEY), PRINTED).total
    assert sum(run(sets, count_query(asked))) == total
    served = 0
    for _ in range(len(SETS)):
        page = open_page(asked, KEY, max_page_size=4)
        expected = list_page(asked, page, PRINTED)
        found = documents_of(sets, asked, page)
        assert [each["id"] for each in found[: page.limit]] == [
            each["id"] for each in expected.entities
        ]
        assert (len(found) > page.limit) == expected.more
        served += len(expected.entities)
        if not expected.more:
            break
        if not page.limit:
            return
        token = next_token(asked, page, found[: page.limit][-1], KEY)
        asked = options(**params, skiptoken=token)
    assert served == max(0, total - int(params.get("skip", 0)))


@pytest.mark.parametrize(
    "params",
    [
        {"orderby": "displayName,createdDateTime desc"},
        {"orderby": "lastModifiedDateTime desc,id", "filter": "displayName ne 'West'"},
        {"orderby": "createdDateTime,displayName", "search": "nor", "skip": "1"},
    ],
    ids=str,
)
def test_orders_without_an_index_are_those_from_memory(
    sets: ContainerProxy, params: dict[str, str]
) -> None:
    asked = options(**params)
    assert not asked.indexed
    page = open_page(asked, KEY, max_page_size=5)
    keys = run(sets, keys_query(asked))
    listing = list_page(replace(asked, filter=None, search=None), page, keys)
    assert listing.total == len(keys)
    found = [each["id"] for each in listing.entities]
    assert found == [each["id"] for each in list_page(asked, page, PRINTED).entities]
    documents = run(sets, documents_query(found))
    assert sorted(each["id"] for each in documents) == sorted(found)
    assert all("flows" in each for each in documents)


def test_values_of_the_client_are_parameters_only(sets: ContainerProxy) -> None:
    hostile = "x' OR true --\" ] c"
    query = page_query(
        options(filter=f"displayName eq {quoted(hostile)}", search=f'"{hostile[:5]}"'),
        open_page(options(), KEY),
    )
    assert hostile in [each["value"] for each in query.parameters]
    assert "OR true" not in query.text
    assert run(sets, query) == []


NESTED = {
    "tolower": ("tolower(", "id", ")", "'a'"),
    "concat": ("concat(", "id", ",id)", "'a'"),
    "substring": ("substring(", "id", ",1)", "'a'"),
    "substring with a length": ("substring(", "id", ",1,2)", "'a'"),
    "add": ("(", "length(id)", " add 1)", "1"),
    "div": ("(", "length(id)", " div 1)", "1"),
    "not": ("not (", "id eq 'a'", ")", ""),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_query_grows_with_its_filter_and_no_faster(name: str) -> None:
    opening, inner, closing, value = NESTED[name]

    def length(depth: int) -> int:
        text = opening * depth + inner + closing * depth + (f" eq {value}" if value else "")
        options = QueryOptions.parse({"$filter": text}, COLLECTION, FLOW_SET)
        return len(count_query(options).text)

    step = length(3) - length(2)
    assert length(16) - length(2) <= 14 * max(step, 60)
