"""Containers of several ranges: what the SDK makes of their parts is what one range answers."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from azure.cosmos import CosmosClient as SyncClient
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from local.config import COSMOS_EMULATOR_KEY
from tests.emulators.cosmos_process import Emulator, Item, ask, connect, fill, names, running, sign

INDEXES: Any = {
    "includedPaths": [{"path": "/*"}],
    "compositeIndexes": [
        [{"path": "/kind", "order": "ascending"}, {"path": "/n", "order": "descending"}],
        [{"path": "/n", "order": "ascending"}, {"path": "/id", "order": "ascending"}],
    ],
}
ITEMS: list[Item] = [
    {
        "id": f"{number:03}",
        "kind": "abc"[number % 3],
        "n": (number * 37) % 61,
        "tags": [{"id": number % 4}, {"id": 9}][: number % 3],
        **({"rare": number / 2} if number % 7 == 0 else {}),
    }
    for number in range(60)
]
# Half of them in order; one range and several answer every query alike.
ORDERED = [
    "SELECT * FROM c ORDER BY c.id",
    "SELECT * FROM c ORDER BY c.id DESC",
    "SELECT TOP @top * FROM c WHERE c.n > @n ORDER BY c.n, c.id",
    "SELECT TOP @top * FROM c WHERE c.n > @n OR c.n < @n ORDER BY c.n",
    "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 7 LIMIT 11",
    "SELECT c.id, c.n AS number FROM c ORDER BY c.n DESC",
    'SELECT c.kind FROM c -- all\nORDER BY c["kind"] ASC, c.n DESC OFFSET @n LIMIT @top',
    "SELECT VALUE c.rare FROM c ORDER BY c.id",
    "SELECT DISTINCT VALUE c.kind FROM c ORDER BY c.kind",
    "SELECT VALUE i FROM items i WHERE NOT IS_DEFINED(i.rare) ORDER BY i.id",
    "SELECT c.id, t FROM c JOIN t IN c.tags WHERE t.id = 9 ORDER BY c.id",
    "SELECT VALUE COUNT(1) FROM c",
    "SELECT VALUE COUNT(1) FROM c WHERE c.none = 1",
    "SELECT VALUE COUNT(c.rare) FROM c WHERE c.n > @n",
    "SELECT VALUE SUM(c.n) FROM c",
    "SELECT VALUE MIN(c.rare) FROM c",
    "SELECT VALUE MAX(c.n) FROM c WHERE c.id < '010'",
    "SELECT VALUE AVG(c.n) FROM c",
]
UNORDERED = [
    "SELECT * FROM c",
    "SELECT VALUE c.id FROM c WHERE c.id IN ('001', '017', '059', 'none')",
    "SELECT VALUE c.n FROM c WHERE c.id = '017' OR c.id = '018'",
    "SELECT DISTINCT VALUE c.kind FROM c",
    "SELECT DISTINCT c.kind, c.rare FROM c",
    "SELECT VALUE t FROM t IN c.tags",
    "SELECT * FROM c WHERE EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t.id = @n)",
]
PARAMETERS = {"@top": 13, "@n": 9}


@pytest.fixture(scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with running(tmp_path_factory.mktemp("ranges")) as (started, _):
        yield started


@pytest.fixture(scope="module")
async def client(emulator: Emulator) -> AsyncIterator[CosmosClient]:
    async with connect(emulator.url) as connected:
        yield connected


@pytest.fixture(scope="module")
async def two(client: CosmosClient) -> ContainerProxy:
    """The items in two ranges, as a container has by default."""
    return await filled(client)


@pytest.fixture(scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ContainerProxy]:
    """The items in one range, which serves everything by itself."""
    state = tmp_path_factory.mktemp("one")
    async with running(state, options=("--ranges", "1")) as (_, client):
        yield await filled(client)


async def filled(client: CosmosClient) -> ContainerProxy:
    database = await client.create_database_if_not_exists("tests")
    container = await database.create_container(
        next(names), PartitionKey("/id"), indexing_policy=INDEXES
    )
    await fill(container, ITEMS)
    return container


@pytest.fixture
async def web(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(emulator.url, middlewares=(sign,)) as session:
        await session.delete("/_emulator/requests")
        yield session


async def requests(web: aiohttp.ClientSession) -> list[tuple[str, int]]:
    async with web.get("/_emulator/requests") as response:
        log = (await response.json())["log"]
    return [(each["operation"], each["status"]) for each in log if each["operation"] != "other"]


def plain(rows: list[Any]) -> list[Any]:
    """Rows without what the system adds, which differs between two containers."""
    return [
        {name: value for name, value in row.items() if not name.startswith("_")}
        if isinstance(row, dict)
        else row
        for row in rows
    ]


@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.parametrize("sql", ORDERED + UNORDERED)
async def test_several_ranges_answer_as_one(
    one: ContainerProxy, two: ContainerProxy, sql: str, size: int
) -> None:
    given = {name: value for name, value in PARAMETERS.items() if name in sql}
    expected, found = [
        plain(await ask(container, sql, parameters=given, max_item_count=size))
        for container in (one, two)
    ]
    if sql in UNORDERED:
        expected, found = sorted(expected, key=repr), sorted(found, key=repr)

    assert found == expected
    assert found


async def test_the_synchronous_sdk_is_answered_alike(
    emulator: Emulator, two: ContainerProxy
) -> None:
    with SyncClient(emulator.url, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False) as client:
        container = client.get_database_client("tests").get_container_client(two.id)
        rows = container.query_items(
            "SELECT TOP 5 VALUE c.id FROM c ORDER BY c.id", enable_cross_partition_query=True
        )
        assert list(rows) == ["000", "001", "002", "003", "004"]


async def test_a_list_is_a_refused_try_a_plan_and_a_query_of_each_range(
    web: aiohttp.ClientSession, two: ContainerProxy
) -> None:
    await ask(two, "SELECT TOP 10 * FROM c ORDER BY c.id")

    assert await requests(web) == [("query", 400), ("plan", 200), ("query", 200), ("query", 200)]


async def test_a_plain_query_goes_from_range_to_range_without_a_plan(
    web: aiohttp.ClientSession, two: ContainerProxy
) -> None:
    rows = await ask(two, "SELECT VALUE c.id FROM c")

    assert await requests(web) == [("query", 200), ("query", 200)]
    assert sorted(rows) == [item["id"] for item in ITEMS] != rows


async def test_a_query_that_fixes_the_partition_key_is_one_request(
    web: aiohttp.ClientSession, two: ContainerProxy
) -> None:
    await ask(two, "SELECT TOP 1 * FROM c WHERE c.n >= 0 AND '017' = c.id ORDER BY c.n")

    assert await requests(web) == [("query", 200)]


@pytest.mark.parametrize("operation", ["plan", "query"])
async def test_a_plan_that_is_throttled_is_requested_again(
    web: aiohttp.ClientSession, two: ContainerProxy, operation: str
) -> None:
    fault = {"operation": operation, "status": 429, "retryAfterMs": 10}
    async with web.post("/_emulator/faults", json=fault):
        assert await ask(two, "SELECT VALUE COUNT(1) FROM c") == [len(ITEMS)]

    assert (operation, 429) in await requests(web)


async def test_the_ranges_are_those_that_the_sdk_computes(two: ContainerProxy) -> None:
    feeds = [feed async for feed in two.read_feed_ranges()]
    ids = ["", "ü€😀", "x" * 200, *(item["id"] for item in ITEMS)]
    for item_id in ids[1:3]:
        await two.upsert_item({"id": item_id})
    stored = [await ask(two, "SELECT VALUE c.id FROM c", feed_range=feed) for feed in feeds]
    for item_id in ids[1:3]:
        await two.delete_item(item_id, item_id)
    for item_id in ids[1:]:
        own = await two.feed_range_from_partition_key(item_id)
        holds = [await two.is_feed_range_subset(feed, own) for feed in feeds]
        assert holds == [item_id in each for each in stored]

    assert len(feeds) == 2
    assert all(stored)


async def test_items_of_both_ranges_can_be_read_at_once(two: ContainerProxy) -> None:
    wanted = [item["id"] for item in ITEMS[::2]]
    items = await two.read_items([(item_id, item_id) for item_id in wanted])

    assert sorted(item["id"] for item in items) == wanted


async def test_what_one_range_cannot_do_alone_is_refused(two: ContainerProxy) -> None:
    for sql in (
        "SELECT c.kind, COUNT(1) AS n FROM c GROUP BY c.kind",
        "SELECT COUNT(1) AS n, MAX(c.n) AS most FROM c",
    ):
        with pytest.raises(CosmosHttpResponseError, check=lambda error: error.status_code == 400):
            await ask(two, sql)


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, (400, "1004")),
        ({"x-ms-documentdb-query-enablecrosspartition": "True"}, (400, "1004")),
        ({"x-ms-documentdb-partitionkeyrangeid": "1"}, (200, None)),
        ({"x-ms-documentdb-partitionkeyrangeid": "2"}, (410, "1002")),
        ({"x-ms-documentdb-partitionkeyrangeid": "1", "x-ms-start-epk": "30"}, (400, "0")),
        ({"x-ms-documentdb-partitionkey": '["017"]'}, (200, None)),
    ],
)
async def test_where_a_query_may_go(
    web: aiohttp.ClientSession,
    two: ContainerProxy,
    headers: dict[str, str],
    answer: tuple[int, str | None],
) -> None:
    body = {"query": "SELECT VALUE COUNT(1) FROM c"}
    headers = {"x-ms-documentdb-isquery": "true", **headers}
    async with web.post(f"/{two.container_link}/docs", json=body, headers=headers) as response:
        assert (response.status, response.headers.get("x-ms-substatus")) == answer


async def test_ranges_are_of_the_process_and_not_of_the_state(tmp_path: Any) -> None:
    for ranges in ("1", "5", "64"):
        async with running(tmp_path / "state", options=("--ranges", ranges)) as (emulator, client):
            database = await client.create_database_if_not_exists("tests")
            if ranges == "1":
                await filled(client)
            [described] = [each async for each in database.list_containers()]
            container = database.get_container_client(described["id"])
            feeds = [feed async for feed in container.read_feed_ranges()]
            found = await ask(container, "SELECT VALUE c.id FROM c ORDER BY c.id")
            assert len(feeds) == int(ranges)
            assert found == [item["id"] for item in ITEMS]
            await emulator.end()
    shutil.rmtree(tmp_path / "state")
