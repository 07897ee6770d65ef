"""Orders that the Cosmos DB emulator keeps, against the sort that it does where there is a JOIN.

All items of a container here are in one partition. A query of that partition, or of all, follows a
kept order where the indexing policy names one; the same query with a JOIN that changes nothing
looks at all items and sorts. They must answer each query alike, page by page.
"""

from __future__ import annotations

import itertools
import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey
from azure.cosmos.exceptions import CosmosHttpResponseError
from hypothesis import given, settings
from hypothesis import strategies as st

from local.config import COSMOS_EMULATOR_KEY, ROOT
from local.emulators.cosmos.setup import container_definitions
from shared.odata.cosmos import Query, page_query, skip_query
from shared.odata.model import FLOW_SET
from shared.odata.options import COLLECTION, QueryOptions
from shared.odata.paging import Page

POLICY = next(each for each in container_definitions() if each["name"] == "tenantFlowSets")[
    "indexingPolicy"
]
PARTITION = "x"
# Of each type that has an order, and more than once, so that keys are alike.
NAMES: Sequence[Any] = ("North", "north", "South", "", "éß", None, True, False, 0, 5, -3.5, [1], {})
MISSING = object()
AT = [f"2024-03-0{day}T00:00:00.0000000Z" for day in range(1, 6)]
SET_NAME = {"op": "set", "path": "/displayName", "value": "North"}
IDS = [f"{number:02}" for number in range(40)]

seeded = random.Random
names = (f"orders{number}" for number in itertools.count())


@contextmanager
def emulator(state: Path) -> Iterator[tuple[subprocess.Popen[str], DatabaseProxy]]:
    command = [
        "node",
        str(ROOT / "local" / "emulators" / "cosmos" / "server.cjs"),
        "--port=0",
        f"--state={state}",
        # Of one range, so that no client takes part in the sorting.
        "--ranges=1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            match = re.search(r"listening on (\S+:\d+)", server.stdout.readline())
            assert match is not None
            with CosmosClient(
                f"http://{match[1]}", COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
            ) as client:
                yield server, client.create_database_if_not_exists("orders")
        finally:
            server.kill()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseProxy]:
    with emulator(tmp_path_factory.mktemp("orders")) as (_, database):
        yield database


def new_container(database: DatabaseProxy) -> ContainerProxy:
    """An empty container, indexed as tenantFlowSets is."""
    return database.create_container(next(names), PartitionKey("/kind"), indexing_policy=POLICY)


def item(random_: random.Random, item_id: str) -> dict[str, Any]:
    name = random_.choice([*NAMES, MISSING])
    return {
        "id": item_id,
        "kind": PARTITION,
        "one": [1],
        "createdDateTime": random_.choice(AT),
        "lastModifiedDateTime": random_.choice(AT),
        "parts": [{"id": str(random_.randrange(9))} for _ in range(random_.randrange(4))],
        **({} if name is MISSING else {"displayName": name}),
    }


@pytest.fixture(scope="module")
def filled(database: DatabaseProxy) -> ContainerProxy:
    """Items that no test changes, created in another order than that of their ids."""
    container = new_container(database)
    random_ = seeded(1)
    for item_id in random_.sample(IDS, len(IDS)):
        container.create_item(item(random_, item_id))
    return container


def one_page(
    container: ContainerProxy, query: Query, size: int, token: str | None = None, **partition: str
) -> tuple[list[Any], str | None]:
    """A page and the token of the next one; of all partitions unless one is given."""
    where: dict[str, Any] = partition or {"enable_cross_partition_query": True}
    pager = container.query_items(
        query.text, parameters=query.parameters, max_item_count=size, **where
    ).by_page(token)
    rows = list(next(pager, ()))
    return rows, pager.continuation_token  # type: ignore[attr-defined]


def both(
    container: ContainerProxy, query: Query, size: int = 1000, token: str | None = None
) -> tuple[list[Any], str | None]:
    """A page, which must be the one that the sort gives."""
    kept = one_page(container, query, size, token)
    assert kept == one_page(container, query, size, token, partition_key=PARTITION)
    assert kept == one_page(container, that_sorts(query), size, token)
    return kept


def that_sorts(query: Query) -> Query:
    """The same query, which follows no kept order."""
    text = query.text.replace("* FROM c", "VALUE c FROM c", 1)
    text, found = re.subn(r"\bFROM (c|items i)\b", r"FROM \1 JOIN o IN ITEM.one", text, count=1)
    assert found == 1
    return Query(text.replace("ITEM", "i" if "FROM items i" in text else "c"), query.parameters)


def change_some(container: ContainerProxy, random_: random.Random) -> None:
    """Write to what is there in every way."""
    there = [each["id"] for each in container.query_items("SELECT c.id FROM c", partition_key="x")]
    moved, patched, replaced, deleted = random_.sample(there, 4)
    container.upsert_item(item(random_, moved))
    container.upsert_item(item(random_, str(random_.randrange(1000))))
    container.replace_item(replaced, {**item(random_, replaced), "unordered": random_.random()})
    container.patch_item(patched, PARTITION, [SET_NAME])
    again = item(random_, deleted)
    container.execute_item_batch(
        [("delete", (deleted,)), ("create", (again,)), ("patch", (moved, [SET_NAME]))], PARTITION
    )
    container.delete_item(deleted, PARTITION)


def listed(page: Page, **params: str) -> Query:
    """The query of the service for a list of flow sets."""
    return page_query(QueryOptions.parse(params, COLLECTION, FLOW_SET), page)


SOME = Page(25)
LISTS = [
    listed(SOME),
    skip_query(QueryOptions.parse({}, COLLECTION, FLOW_SET), Page(25, skip=5)),
    skip_query(
        QueryOptions.parse({"orderby": "displayName desc"}, COLLECTION, FLOW_SET), Page(25, skip=30)
    ),
    listed(SOME, orderby="id desc"),
    listed(SOME, orderby="displayName"),
    listed(SOME, orderby="displayName desc"),
    listed(SOME, orderby="createdDateTime desc"),
    listed(SOME, orderby="lastModifiedDateTime,id"),
    listed(SOME, filter="contains(displayName,'orth')", orderby="displayName"),
    listed(SOME, filter="createdDateTime ge 2024-03-02", orderby="createdDateTime desc"),
    listed(SOME, search="north"),
    listed(Page(25, after=("17",))),
    listed(Page(25, after=("North", "17")), orderby="displayName"),
    listed(Page(25, after=("north", "17")), orderby="displayName desc"),
    listed(Page(25, after=(AT[2], "17")), orderby="createdDateTime"),
    listed(Page(25, after=(AT[2], "17")), filter="id ne '20'", orderby="createdDateTime desc"),
]
OTHERS = [
    "SELECT * FROM c ORDER BY c.id",
    "SELECT VALUE i.displayName FROM items i ORDER BY i.displayName",
    "SELECT * FROM c ORDER BY c.displayName DESC",
    "SELECT * FROM c ORDER BY c.displayName, c.id OFFSET 3 LIMIT 20",
    "SELECT DISTINCT VALUE c.displayName FROM c ORDER BY c.displayName",
    "SELECT c.id, p FROM c JOIN p IN c.parts ORDER BY c.id",
]


@pytest.mark.parametrize(
    "query",
    [*LISTS, *(Query(text, []) for text in OTHERS)],
    ids=lambda query: query.text.removeprefix("SELECT ")[:60],
)
@pytest.mark.parametrize("size", [3, 20])
def test_pages_are_those_of_a_sort_while_items_change(
    database: DatabaseProxy, query: Query, size: int
) -> None:
    random_ = seeded(size)
    container = new_container(database)
    for item_id in random_.sample(IDS, len(IDS)):
        container.create_item(item(random_, item_id))
    rows, token = both(container, query, size)
    while token is not None:
        change_some(container, random_)
        rows, token = both(container, query, size, token)
    assert len(rows) <= size


# --- which part of an order a condition needs ----------------------------------------------------

ORDERS = ["c.id", "c.id DESC", "c.displayName, c.id", "c.displayName DESC"]
OPERATORS = ["=", "!=", "<", "<=", ">", ">="]
VALUES = ["@north", "@none", "'17'", "null", "true", "5", "[1]", "undefined"]
PROPERTIES = ["c.id", 'c["displayName"]', "c.createdDateTime"]
PARAMETERS = [{"name": "@north", "value": "North"}, {"name": "@none", "value": "none"}]


def ordered_ids(condition: str, order: str) -> Query:
    return Query(f"SELECT VALUE c.id FROM c WHERE {condition} ORDER BY {order}", PARAMETERS)  # noqa: S608 - ours


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_no_comparison_loses_an_item(filled: ContainerProxy, operator: str, order: str) -> None:
    for one, other in itertools.product(PROPERTIES, VALUES):
        both(filled, ordered_ids(f"{one} {operator} {other}", order))
        both(filled, ordered_ids(f"{other} {operator} {one}", order))


@pytest.mark.parametrize(
    "condition",
    [
        "{'id': 'a'}.id = 'a'",
        "NOT (c.id > '17')",
        "(c.id > '17') = false",
        "c.id < c.createdDateTime",
        "EXISTS(SELECT VALUE p FROM p IN c.parts WHERE p.id = '1')",
        "(c.id > '17' ? false : true)",
        "c.id >= '10' AND c.id < '2'",
        "c.id >= '2' AND c.id < '10'",
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_no_plain_comparison_loses_no_item(
    filled: ContainerProxy, condition: str, order: str
) -> None:
    both(filled, ordered_ids(condition, order))


comparisons = st.builds(
    "{} {} {}".format,
    st.sampled_from(PROPERTIES),
    st.sampled_from(OPERATORS),
    st.sampled_from(VALUES),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.builds(
        "({})".format,
        st.one_of(
            st.lists(inner, min_size=2, max_size=4).map(" AND ".join),
            st.lists(inner, min_size=2, max_size=4).map(" OR ".join),
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(conditions, st.sampled_from(ORDERS))
def test_no_combination_loses_an_item(filled: ContainerProxy, condition: str, order: str) -> None:
    both(filled, ordered_ids(condition, order))


def test_a_condition_of_very_many_parts_is_understood(filled: ContainerProxy) -> None:
    many = " OR ".join(f"c.id = '{number % 100:02}'" for number in range(15_000))

    assert both(filled, ordered_ids(many, "c.id"))[0] == IDS


# --- what an order is ----------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_items_that_are_alike_stay_in_the_order_of_creation(
    database: DatabaseProxy, direction: str
) -> None:
    container = new_container(database)
    query = Query(f"SELECT VALUE c.kind FROM c ORDER BY c.id {direction}", [])  # noqa: S608 - ours
    for kind in "bac":
        container.create_item({"id": "same", "kind": kind})
        one_page(container, query, 10)
    container.upsert_item({"id": "same", "kind": "a"})

    assert one_page(container, query, 10)[0] == list("bac")
    assert one_page(container, query, 10, partition_key="a")[0] == ["a"]


def test_what_lies_behind_the_page_is_not_looked_at(database: DatabaseProxy) -> None:
    container = new_container(database)
    for item_id, pattern in (("2", "("), ("1", "x")):
        container.create_item({"id": item_id, "kind": PARTITION, "one": [1], "pattern": pattern})
    first = "SELECT TOP {} VALUE c.id FROM c WHERE REGEXMATCH('x', c.pattern) ORDER BY c.id"

    assert one_page(container, Query(first.format(1), []), 10)[0] == ["1"]
    with pytest.raises(CosmosHttpResponseError, match="REGEXMATCH failed"):
        one_page(container, Query(first.format(2), []), 10)
    assert one_page(container, Query(first.format(1), []), 10, partition_key=PARTITION)[0] == ["1"]
    # A sort looks at all, on which this file relies.
    with pytest.raises(CosmosHttpResponseError, match="REGEXMATCH failed"):
        one_page(container, that_sorts(Query(first.format(1), [])), 10)


@pytest.fixture(scope="module")
def many(database: DatabaseProxy) -> tuple[ContainerProxy, list[str]]:
    """So many items that a search for few in order is given up, and the ids of the few in order."""
    container = new_container(database)
    ids = [f"{number:04}" for number in range(2500)]
    rare = set(seeded(1).sample(ids, 9)) | {ids[1999], ids[2000], ids[2001], ids[-1]}
    shuffled = seeded(2).sample(ids, len(ids))
    for start in range(0, len(ids), 100):
        items = [
            {
                "id": each,
                "kind": PARTITION,
                "one": [1],
                "displayName": "rare" if each in rare else "other",
            }
            for each in shuffled[start : start + 100]
        ]
        container.execute_item_batch([("create", (each,)) for each in items], PARTITION)
    return container, sorted(rare)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("size", [2, 20])
def test_few_among_many_are_found_in_order(
    many: tuple[ContainerProxy, list[str]], size: int, direction: str
) -> None:
    container, rare = many
    query = ordered_ids("c.displayName = 'rare'", f"c.id {direction}")
    found, token = both(container, query, size)
    while token is not None:
        rows, token = both(container, query, size, token)
        found += rows

    assert found == (rare if direction == "ASC" else rare[::-1])


def test_orders_survive_a_kill(tmp_path: Path) -> None:
    queries = [Query(f"SELECT * FROM c ORDER BY c.{key}", []) for key in ("id", "displayName")]  # noqa: S608 - ours
    random_ = seeded(3)
    with emulator(tmp_path) as (server, database):
        container = new_container(database)
        for item_id in random_.sample(IDS, len(IDS)):
            container.create_item(item(random_, item_id))
        for query in queries:
            both(container, query)
        change_some(container, random_)
        pages = [both(container, query, 7) for query in queries]
        name = container.id
        server.kill()
    with emulator(tmp_path) as (_, database):
        container = database.get_container_client(name)
        assert [both(container, query, 7) for query in queries] == pages
        change_some(container, random_)
        for query, (_, token) in zip(queries, pages, strict=True):
            both(container, query, 7, token)
