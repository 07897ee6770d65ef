"""The Cosmos DB emulator of the local stack, through the real SDK wherever the SDK can ask."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, ROOT
from local.emulators.cosmos.setup import container_definitions, create_containers
from tests.emulators.cosmos_process import (
    NODE,
    SECONDS,
    SERVER,
    Emulator,
    Item,
    ask,
    connect,
    fill,
    finish,
    launch,
    names,
    running,
    sign,
    signature,
)

SELECT = "SELECT * FROM c WHERE "
SELECT_ID = "SELECT VALUE c.id FROM c WHERE "
MEGABYTE = 1024 * 1024

Changes = dict[str, Callable[[], Awaitable[Any]]]


@pytest.fixture(scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    started = await Emulator.start(tmp_path_factory.mktemp("cosmos"))
    yield started
    _, err = await started.end()
    assert started.process.returncode == 0
    assert err == "", "the emulator failed inside while these tests ran"


@pytest.fixture(scope="module")
async def client(emulator: Emulator) -> AsyncIterator[CosmosClient]:
    async with connect(emulator.url) as connected:
        yield connected


@pytest.fixture(scope="module")
async def database(client: CosmosClient) -> DatabaseProxy:
    return await client.create_database("tests")


@pytest.fixture(scope="module")
async def web(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(emulator.url, middlewares=(sign,)) as session:
        yield session


@pytest.fixture
async def box(database: DatabaseProxy) -> ContainerProxy:
    """An empty container, partitioned by /id."""
    return await database.create_container(next(names), PartitionKey("/id"))


@pytest.fixture(scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DatabaseProxy]:
    """A database whose containers are one range: every query is served without a plan."""
    state = tmp_path_factory.mktemp("whole")
    async with running(state, options=("--ranges", "1")) as (_, client):
        yield await client.create_database("tests")


@pytest.fixture
async def shelf(database: DatabaseProxy) -> ContainerProxy:
    """Six items in the partitions x and y, with a value of each type."""
    return await new_shelf(database)


@pytest.fixture
async def whole_shelf(whole: DatabaseProxy) -> ContainerProxy:
    """The same in one range."""
    return await new_shelf(whole)


async def new_shelf(database: DatabaseProxy) -> ContainerProxy:
    container = await database.create_container(next(names), PartitionKey("/kind"))
    await fill(
        container,
        [
            {"id": "1", "kind": "x", "v": 10, "name": "Anna", "tags": ["a", "b"]},
            {"id": "2", "kind": "x", "v": 20, "name": "ben", "tags": ["b"]},
            {"id": "3", "kind": "x", "v": "10", "name": None},
            {"id": "4", "kind": "y", "v": True, "name": "Carl", "deep": {"er": {"n": 1}}},
            {"id": "5", "kind": "y", "v": None, "name": "anna"},
            {"id": "6", "kind": "y", "name": "Ada", "tags": "none"},
        ],
    )
    return container


async def ids(container: ContainerProxy, condition: str, **options: Any) -> str:
    rows = await ask(container, SELECT_ID + condition, **options)
    return "".join(sorted(rows))


async def read(container: ContainerProxy, item: str, partition: str | None = None) -> Item:
    return dict(await container.read_item(item, partition or item))


def set_(path: str, value: Any) -> dict[str, Any]:
    return {"op": "set", "path": path, "value": value}


def refused(status: int) -> Any:
    return pytest.raises(CosmosHttpResponseError, check=lambda error: error.status_code == status)


def parts(container: ContainerProxy) -> str:
    return f"/{container.container_link}/docs"


# The process


async def test_it_says_where_it_listens_and_nothing_else(tmp_path: Path) -> None:
    started = await Emulator.start(tmp_path)

    assert await started.end(signal.SIGINT) == ("", "")
    assert started.process.returncode == 0


async def test_it_ends_at_once_while_a_connection_is_open(tmp_path: Path) -> None:
    async with running(tmp_path) as (emulator, _), aiohttp.ClientSession() as session:
        async with session.get(emulator.url) as response:
            await response.read()
        started = time.monotonic()
        await emulator.end()

        assert time.monotonic() - started < 5


async def test_a_taken_port_is_one_sentence_and_exit_2(emulator: Emulator, tmp_path: Path) -> None:
    port = str(emulator.port)
    process = await launch(NODE, str(SERVER), "--port", port, "--state", str(tmp_path))
    out, err = await finish(process)

    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert f"127.0.0.1:{port}: the port is taken" in err


@pytest.mark.parametrize(
    "option",
    ["--port=http", "--port=70000", "--port=-1", "--ranges=0", "--ranges=65", "--compact-at=x"],
)
async def test_an_option_that_makes_no_sense_is_one_sentence_and_exit_2(option: str) -> None:
    process = await launch(NODE, str(SERVER), option)
    out, err = await finish(process)

    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "Usage: node local/emulators/cosmos/server.cjs" in err


async def test_missing_packages_name_the_command_that_installs_them(tmp_path: Path) -> None:
    for module in SERVER.parent.glob("*.cjs"):
        shutil.copy(module, tmp_path)
    process = await launch(NODE, str(tmp_path / SERVER.name), "--port", "0")
    _, err = await finish(process)

    assert process.returncode == 2
    assert "npm ci --prefix local" in err


async def test_it_listens_on_loopback_only(emulator: Emulator) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; finds which address this machine would use
        own = probe.getsockname()[0]
    if own.startswith("127."):
        own = "127.0.0.2"

    with pytest.raises(OSError, match=r".*"):
        await asyncio.wait_for(asyncio.open_connection(own, emulator.port), 5)


async def test_connections_are_kept_open(emulator: Emulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
    for _ in range(2):
        writer.write(b"GET /dbs/none HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()

    assert head.startswith(b"HTTP/1.1 401")
    # Longer than any client keeps it, so that no request meets a connection being closed.
    assert b"Keep-Alive: timeout=600\r\n" in head


# What is not there


async def test_a_missing_item_is_404(box: ContainerProxy) -> None:
    with pytest.raises(CosmosResourceNotFoundError):
        await box.read_item("none", "none")


@pytest.mark.parametrize("action", ["delete", "replace", "patch"])
async def test_changing_a_missing_item_is_404(box: ContainerProxy, action: str) -> None:
    changes: Changes = {
        "delete": lambda: box.delete_item("none", "none"),
        "replace": lambda: box.replace_item("none", {"id": "none"}),
        "patch": lambda: box.patch_item("none", "none", [set_("/a", 1)]),
    }
    with pytest.raises(CosmosResourceNotFoundError):
        await changes[action]()


async def test_a_missing_container_is_404(database: DatabaseProxy) -> None:
    with pytest.raises(CosmosResourceNotFoundError):
        await database.get_container_client("none").read_item("a", "a")


async def test_a_missing_database_is_404(client: CosmosClient) -> None:
    missing = client.get_database_client("none")
    with pytest.raises(CosmosResourceNotFoundError):
        await missing.get_container_client("none").upsert_item({"id": "a"})
    with pytest.raises(CosmosResourceNotFoundError):
        await missing.create_container("a", PartitionKey("/id"))


async def test_a_missing_container_has_another_sub_status_than_a_missing_item(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    found = []
    for path in (parts(box), "/dbs/tests/colls/none/docs"):
        async with web.get(f"{path}/a", headers={"x-ms-documentdb-partitionkey": '["a"]'}) as got:
            found.append((got.status, got.headers["x-ms-substatus"]))

    assert found == [(404, "0"), (404, "1003")]


async def test_an_item_is_found_in_its_own_partition_only(shelf: ContainerProxy) -> None:
    assert (await read(shelf, "1", "x"))["name"] == "Anna"
    with pytest.raises(CosmosResourceNotFoundError):
        await shelf.read_item("1", "y")


async def test_databases_and_containers_are_not_deleted_or_changed(
    database: DatabaseProxy, shelf: ContainerProxy
) -> None:
    for refused in (
        database.delete_container(shelf.id),
        database.replace_container(shelf.id, PartitionKey("/kind")),
    ):
        with pytest.raises(CosmosHttpResponseError, match="delete its state folder") as caught:
            await refused
        assert caught.value.status_code == 405


# Items


async def test_a_second_item_with_the_id_is_409(box: ContainerProxy) -> None:
    await box.create_item({"id": "a"})
    with pytest.raises(CosmosResourceExistsError):
        await box.create_item({"id": "a"})


@pytest.mark.parametrize("item", ["ü ñ", "50%+1", "a:b;c=d&e", "'\"<>", "..a", "x" * 255])
async def test_an_id_may_hold_any_other_character(box: ContainerProxy, item: str) -> None:
    await box.create_item({"id": item})
    await box.patch_item(item, item, [set_("/x", 1)])

    assert (await read(box, item))["x"] == 1


async def test_a_client_that_goes_away_in_its_request_leaves_no_trace(
    emulator: Emulator, web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    async with web.delete("/_emulator/requests"):
        pass
    _, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
    date = formatdate(usegmt=True)
    signed = f"x-ms-date: {date}\r\nAuthorization: {signature('POST', parts(box), date)}\r\n"
    head = f"POST {parts(box)} HTTP/1.1\r\nHost: x\r\n{signed}Content-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"id":')
    await writer.drain()
    writer.close()
    deadline = time.monotonic() + SECONDS
    log: list[Any] = []
    while not log and time.monotonic() < deadline:
        async with web.get("/_emulator/requests") as response:
            log = (await response.json())["log"]

    assert [entry["status"] for entry in log] == [400]
    assert await ids(box, "true") == ""


async def test_a_change_feed_is_refused_rather_than_made_up(box: ContainerProxy) -> None:
    with refused(400):
        _ = [item async for item in box.query_items_change_feed()]


async def test_partitions_may_hold_the_same_id(shelf: ContainerProxy) -> None:
    await shelf.create_item({"id": "1", "kind": "y"})

    assert await ids(shelf, "c.id = '1'") == "11"


async def test_every_write_gives_a_new_etag_and_a_time(box: ContainerProxy) -> None:
    writes = [
        await box.create_item({"id": "a"}),
        await box.upsert_item({"id": "a"}),
        await box.replace_item("a", {"id": "a"}),
        await box.patch_item("a", "a", [set_("/x", 1)]),
    ]

    assert len({item["_etag"] for item in writes}) == 4
    assert all(abs(item["_ts"] - time.time()) < 600 for item in writes)


async def test_a_write_keeps_the_item_s_resource_id(box: ContainerProxy) -> None:
    before = await box.create_item({"id": "a"})
    after = await box.replace_item("a", {"id": "a", "_rid": "mine", "_self": "mine"})

    assert (after["_rid"], after["_self"]) == (before["_rid"], before["_self"])


async def test_answers_carry_a_charge_and_the_etag(box: ContainerProxy) -> None:
    item = await box.create_item({"id": "a"})
    headers = item.get_response_headers()

    assert float(headers["x-ms-request-charge"]) > 0
    assert headers["etag"] == item["_etag"]


async def test_no_response_leaves_the_body_out(box: ContainerProxy) -> None:
    answers = [
        await box.create_item({"id": "a"}, no_response=True),
        await box.upsert_item({"id": "a"}, no_response=True),
        await box.replace_item("a", {"id": "a"}, no_response=True),
        await box.patch_item("a", "a", [set_("/x", 1)], no_response=True),
    ]

    assert answers == [{}, {}, {}, {}]
    assert (await read(box, "a"))["x"] == 1


@pytest.mark.parametrize("character", "/\\?#")
async def test_an_id_with_an_illegal_character_is_400(
    web: aiohttp.ClientSession, box: ContainerProxy, character: str
) -> None:
    item = {"id": f"a{character}b"}
    async with web.post(parts(box), json=item) as response:
        assert response.status == 400
        assert "must not contain" in (await response.json())["message"]


@pytest.mark.parametrize("item", [{}, {"id": ""}, {"id": 1}, {"id": "a" * 1024}, [], "a", None])
async def test_what_is_no_item_is_400(
    web: aiohttp.ClientSession, box: ContainerProxy, item: Any
) -> None:
    headers = {"x-ms-documentdb-partitionkey": '["a"]'}
    async with web.post(parts(box), json=item, headers=headers) as response:
        assert response.status == 400


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"id": NaN}', b""])
@pytest.mark.parametrize("upsert", ["true", "false"])
async def test_a_body_that_is_no_json_is_400(
    web: aiohttp.ClientSession, box: ContainerProxy, body: bytes, upsert: str
) -> None:
    headers = {"x-ms-documentdb-partitionkey": '["a"]', "x-ms-documentdb-is-upsert": upsert}
    async with web.post(parts(box), data=body, headers=headers) as response:
        assert response.status == 400


async def test_json_nested_too_deep_is_400(web: aiohttp.ClientSession, box: ContainerProxy) -> None:
    body = b'{"id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    headers = {"x-ms-documentdb-partitionkey": '["a"]'}
    async with web.post(parts(box), data=body, headers=headers) as response:
        assert response.status == 400


async def test_an_item_over_two_megabytes_is_413(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    for size, status in ((2 * MEGABYTE - 1000, 201), (2 * MEGABYTE, 413), (3 * MEGABYTE, 413)):
        # A stream, since aiohttp warns of a body this large given as bytes.
        body = io.BytesIO(json.dumps({"id": str(size), "x": "x" * size}).encode())
        async with web.post(parts(box), data=body) as response:
            assert response.status == status


async def test_a_request_over_two_megabytes_is_413(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    # What is not stored counts as well: each operation is small, their list is not.
    await box.create_item({"id": "a"})
    headers = {"x-ms-documentdb-partitionkey": '["a"]'}
    for size, status in ((MEGABYTE, 200), (2 * MEGABYTE, 413)):
        body = json.dumps({"operations": [set_("/x", 1)], "ignored": "x" * size}).encode()
        async with web.patch(f"{parts(box)}/a", data=io.BytesIO(body), headers=headers) as response:
            assert response.status == status


async def test_a_patch_may_be_its_operations_alone(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    await box.create_item({"id": "a"})
    headers = {"x-ms-documentdb-partitionkey": '["a"]'}
    async with web.patch(f"{parts(box)}/a", json=[set_("/x", 1)], headers=headers) as response:
        assert response.status == 200

    assert (await read(box, "a"))["x"] == 1


async def test_a_patch_that_makes_an_item_too_large_is_413(box: ContainerProxy) -> None:
    await box.create_item({"id": "a"})
    for name in "xy":
        await box.patch_item("a", "a", [set_(f"/{name}", "x" * (900 * 1024))])
    with refused(413):
        await box.patch_item("a", "a", [set_("/z", "x" * (900 * 1024))])


@pytest.mark.parametrize("key", ["nonsense", "{}", "[]", '["a","b"]'])
async def test_a_partition_key_that_does_not_fit_is_400(
    web: aiohttp.ClientSession, box: ContainerProxy, key: str
) -> None:
    headers = {"x-ms-documentdb-partitionkey": key}
    async with web.get(f"{parts(box)}/a", headers=headers) as response:
        assert response.status == 400


async def test_an_item_needs_its_partition_key(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    async with web.get(f"{parts(box)}/a") as response:
        assert response.status == 400


async def test_an_item_of_another_partition_than_the_header_s_is_400(
    web: aiohttp.ClientSession, shelf: ContainerProxy
) -> None:
    headers = {"x-ms-documentdb-partitionkey": '["x"]'}
    async with web.post(parts(shelf), json={"id": "7", "kind": "y"}, headers=headers) as response:
        assert (response.status, response.headers["x-ms-substatus"]) == (400, "1001")


async def test_null_and_absent_partition_keys_are_two(database: DatabaseProxy) -> None:
    container = await database.create_container(next(names), PartitionKey("/kind"))
    await container.create_item({"id": "a", "kind": None})
    await container.create_item({"id": "a"})

    assert len(await ask(container, "SELECT * FROM c")) == 2


@pytest.mark.parametrize("path", ["/dbs/tests/colls/%zz/docs", "/dbs/tests/colls/a/sprocs/b", "/x"])
async def test_a_path_that_nothing_serves_is_a_4xx(web: aiohttp.ClientSession, path: str) -> None:
    async with web.get(path) as response:
        assert 400 <= response.status < 500


@pytest.mark.parametrize(
    "body", ["null", "{}", "{", '{"id":"a/b"}', '{"id":"a","partitionKey":{"paths":["id"]}}']
)
@pytest.mark.parametrize("path", ["/dbs/tests/colls"])
async def test_what_is_no_container_is_400(
    web: aiohttp.ClientSession, database: DatabaseProxy, path: str, body: str
) -> None:
    async with web.post(path, data=body) as response:
        assert response.status == 400


async def test_all_items_can_be_read(shelf: ContainerProxy) -> None:
    assert [item["id"] async for item in shelf.read_all_items(max_item_count=4)] == list("123456")


async def test_many_items_can_be_read_at_once(shelf: ContainerProxy) -> None:
    items = await shelf.read_items([("5", "y"), ("1", "x"), ("9", "x")])

    assert [item["id"] for item in items] == ["5", "1"]


async def test_the_account_names_an_address_that_answers(emulator: Emulator) -> None:
    # With endpoint discovery on, the client goes to the addresses the account names.
    async with CosmosClient(emulator.url, COSMOS_EMULATOR_KEY) as client:
        await client.create_database_if_not_exists("discovered")


# Conditions


@pytest.mark.parametrize("action", ["replace", "upsert", "patch", "delete"])
async def test_if_match_holds_a_write_to_the_version_read(box: ContainerProxy, action: str) -> None:
    old = await box.create_item({"id": "a"})
    current = await box.upsert_item({"id": "a"})

    def write(etag: str) -> Awaitable[Any]:
        only_if: Any = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        if action == "replace":
            return box.replace_item("a", {"id": "a"}, **only_if)
        if action == "upsert":
            return box.upsert_item({"id": "a"}, **only_if)
        if action == "patch":
            return box.patch_item("a", "a", [set_("/x", 1)], **only_if)
        return box.delete_item("a", "a", **only_if)

    with pytest.raises(CosmosAccessConditionFailedError):
        await write(old["_etag"])
    assert await read(box, "a") == current
    await write(current["_etag"])
    assert await ask(box, "SELECT * FROM c") != [current]


async def test_an_unchanged_item_is_304(web: aiohttp.ClientSession, box: ContainerProxy) -> None:
    etag = (await box.create_item({"id": "a"}))["_etag"]
    headers = {"x-ms-documentdb-partitionkey": '["a"]', "If-None-Match": etag}
    for status in (304, 200):
        async with web.get(f"{parts(box)}/a", headers=headers) as response:
            assert response.status == status
        await box.upsert_item({"id": "a"})


async def test_the_id_of_an_item_cannot_be_changed(shelf: ContainerProxy) -> None:
    with refused(400):
        await shelf.replace_item("1", {"id": "9", "kind": "x"})


async def test_if_none_match_refuses_to_overwrite(box: ContainerProxy) -> None:
    await box.create_item({"id": "a"})
    with pytest.raises(CosmosAccessConditionFailedError):
        await box.upsert_item({"id": "a"}, etag="*", match_condition=MatchConditions.IfModified)


# Unique keys


@pytest.fixture
async def unique(database: DatabaseProxy) -> ContainerProxy:
    """Two items in partition x whose sortIndex must differ, 1 and 2."""
    container = await database.create_container(
        next(names),
        PartitionKey("/kind"),
        unique_key_policy={"uniqueKeys": [{"paths": ["/sortIndex"]}]},  # type: ignore[dict-item]
    )
    await fill(container, [{"id": str(n), "kind": "x", "sortIndex": n} for n in (1, 2)])
    return container


@pytest.mark.parametrize("action", ["create", "upsert", "upsert new", "replace", "patch"])
async def test_a_unique_key_used_twice_is_409(unique: ContainerProxy, action: str) -> None:
    changes: Changes = {
        "create": lambda: unique.create_item({"id": "3", "kind": "x", "sortIndex": 1}),
        "upsert": lambda: unique.upsert_item({"id": "2", "kind": "x", "sortIndex": 1}),
        "upsert new": lambda: unique.upsert_item({"id": "3", "kind": "x", "sortIndex": 1}),
        "replace": lambda: unique.replace_item("2", {"id": "2", "kind": "x", "sortIndex": 1}),
        "patch": lambda: unique.patch_item("2", "x", [set_("/sortIndex", 1)]),
    }
    with pytest.raises(CosmosResourceExistsError):
        await changes[action]()
    assert (await read(unique, "2", "x"))["sortIndex"] == 2


async def test_a_unique_key_is_unique_within_its_partition(unique: ContainerProxy) -> None:
    await unique.create_item({"id": "1", "kind": "y", "sortIndex": 1})


async def test_a_unique_key_is_free_again_once_given_up(unique: ContainerProxy) -> None:
    await unique.patch_item("1", "x", [set_("/sortIndex", 9)])
    await unique.delete_item("2", "x")

    await fill(unique, [{"id": str(n), "kind": "x", "sortIndex": n - 2} for n in (3, 4)])


async def test_an_absent_unique_key_counts_as_null(unique: ContainerProxy) -> None:
    await unique.create_item({"id": "3", "kind": "x"})
    with pytest.raises(CosmosResourceExistsError):
        await unique.create_item({"id": "4", "kind": "x", "sortIndex": None})


# Batches


async def test_a_batch_does_all_its_operations(box: ContainerProxy, shelf: ContainerProxy) -> None:
    etag = (await read(shelf, "2", "x"))["_etag"]
    results = await shelf.execute_item_batch(
        [
            ("create", ({"id": "new", "kind": "x"},)),
            ("upsert", ({"id": "1", "kind": "x", "v": 11},)),
            ("replace", ("2", {"id": "2", "kind": "x", "v": 21}), {"if_match_etag": etag}),
            ("patch", ("3", [set_("/v", 31)]), {"filter_predicate": "FROM c WHERE c.v = '10'"}),
            ("read", ("1",)),
            ("delete", ("2",)),
        ],
        "x",
    )

    assert [result["statusCode"] for result in results] == [201, 200, 200, 200, 200, 204]
    assert results[4]["resourceBody"]["v"] == 11
    assert results[0]["eTag"] == (await read(shelf, "new", "x"))["_etag"]
    assert await ids(shelf, "c.kind = 'x'") == "13new"


@pytest.mark.parametrize(
    ("failing", "status"),
    [
        (("create", ({"id": "2", "kind": "x"},)), 409),
        (("read", ("none",)), 404),
        (("delete", ("2",), {"if_match_etag": "old"}), 412),
        (("patch", ("2", [set_("/v", 1)]), {"filter_predicate": "FROM c WHERE c.v = 1"}), 412),
        (("patch", ("2", [{"op": "remove", "path": "/none"}])), 400),
        (("create", ({"id": "9", "kind": "y"},)), 400),
    ],
)
async def test_a_batch_with_one_failure_does_nothing(
    shelf: ContainerProxy, failing: Any, status: int
) -> None:
    before = await ask(shelf, "SELECT * FROM c")
    with pytest.raises(CosmosBatchOperationError) as caught:
        await shelf.execute_item_batch(
            [("delete", ("1",)), ("create", ({"id": "8", "kind": "x"},)), failing], "x"
        )

    statuses = [int(result["statusCode"]) for result in caught.value.operation_responses]
    assert (caught.value.error_index, caught.value.status_code) == (2, status)
    assert statuses == [424, 424, status]
    assert await ask(shelf, "SELECT * FROM c") == before


async def test_operations_of_a_batch_see_those_before_them(unique: ContainerProxy) -> None:
    await unique.execute_item_batch(
        [
            ("delete", ("1",)),
            ("create", ({"id": "3", "kind": "x", "sortIndex": 1},)),
            ("patch", ("3", [{"op": "incr", "path": "/sortIndex", "value": 10}])),
            ("create", ({"id": "1", "kind": "x", "sortIndex": 1},)),
        ],
        "x",
    )
    with pytest.raises(CosmosBatchOperationError):
        await unique.execute_item_batch(
            [("create", ({"id": n, "kind": "x", "sortIndex": 5},)) for n in "78"], "x"
        )
    rows = await ask(unique, "SELECT VALUE c.sortIndex FROM c ORDER BY c.sortIndex")
    assert rows == [1, 2, 11]


async def test_a_batch_of_more_than_100_operations_is_400(box: ContainerProxy) -> None:
    with refused(400):
        await box.execute_item_batch([("read", ("a",))] * 101, "a")


# PATCH

DOCUMENT: Item = {"id": "a", "n": 1, "flows": {"user": {"s": "x"}}, "list": [1, 2], "nil": None}


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        ({"op": "add", "path": "/flows/group", "value": {"r": 1}}, ("flows", "group"), {"r": 1}),
        ({"op": "add", "path": "/n", "value": 2}, ("n",), 2),
        ({"op": "add", "path": "/list/0", "value": 0}, ("list",), [0, 1, 2]),
        ({"op": "add", "path": "/list/2", "value": 3}, ("list",), [1, 2, 3]),
        ({"op": "add", "path": "/list/-", "value": 3}, ("list",), [1, 2, 3]),
        ({"op": "set", "path": "/list/0", "value": 9}, ("list",), [9, 2]),
        ({"op": "set", "path": "/flows/user/s", "value": None}, ("flows", "user"), {"s": None}),
        ({"op": "set", "path": "/a~1b~0c", "value": 1}, ("a/b~c",), 1),
        ({"op": "set", "path": "/__proto__", "value": {"x": 1}}, ("__proto__",), {"x": 1}),
        ({"op": "replace", "path": "/nil", "value": 1}, ("nil",), 1),
        ({"op": "replace", "path": "/list/1", "value": 9}, ("list",), [1, 9]),
        ({"op": "remove", "path": "/flows/user"}, ("flows",), {}),
        ({"op": "remove", "path": "/list/0"}, ("list",), [2]),
        ({"op": "incr", "path": "/n", "value": -3}, ("n",), -2),
        ({"op": "incr", "path": "/fresh", "value": 5}, ("fresh",), 5),
        ({"op": "move", "from": "/flows/user", "path": "/user"}, ("user",), {"s": "x"}),
    ],
)
async def test_each_operation_of_a_patch(
    box: ContainerProxy, operation: dict[str, Any], path: tuple[str, ...], expected: Any
) -> None:
    await box.create_item(DOCUMENT)
    answer: Any = await box.patch_item("a", "a", [operation])
    stored: Any = await read(box, "a")

    assert answer == stored
    for key in path:
        stored = stored[key]
    assert stored == expected


async def test_a_move_leaves_nothing_behind(box: ContainerProxy) -> None:
    await box.create_item(DOCUMENT)
    item = await box.patch_item("a", "a", [{"op": "move", "from": "/n", "path": "/list/0"}])

    assert "n" not in item
    assert item["list"] == [1, 1, 2]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "replace", "path": "/toString", "value": 1},
        {"op": "replace", "path": "/list/2", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": "/list/-"},
        {"op": "set", "path": "/none/below", "value": 1},
        {"op": "set", "path": "/list/2", "value": 1},
        {"op": "set", "path": "/list/0x", "value": 1},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/n/below", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "incr", "path": "/nil", "value": 1},
        {"op": "incr", "path": "/n", "value": "1"},
        {"op": "move", "from": "/none", "path": "/x"},
        {"op": "move", "from": "/flows", "path": "/flows/user"},
        {"op": "set", "path": "/id", "value": "b"},
        {"op": "set", "path": "/_etag", "value": "b"},
        {"op": "set", "path": "n", "value": 1},
        {"op": "set", "value": 1},
        {"op": "test", "path": "/n", "value": 1},
        None,
    ],
)
async def test_an_operation_that_cannot_be_is_400_and_changes_nothing(
    box: ContainerProxy, operation: Any
) -> None:
    created = await box.create_item(DOCUMENT)
    with refused(400):
        await box.patch_item("a", "a", [set_("/n", 7), operation])

    assert await read(box, "a") == created


async def test_the_partition_key_cannot_be_patched(shelf: ContainerProxy) -> None:
    with refused(400):
        await shelf.patch_item("1", "x", [set_("/kind", "y")])


async def test_a_patch_takes_one_to_ten_operations(box: ContainerProxy) -> None:
    await box.create_item(DOCUMENT)
    await box.patch_item("a", "a", [set_(f"/p{n}", n) for n in range(10)])
    for number in (0, 11):
        with refused(400):
            await box.patch_item("a", "a", [set_(f"/q{n}", n) for n in range(number)])


FLOW = {"id": "f1", "revision": 1, "x": {"status": "a"}}


@pytest.mark.parametrize(
    ("predicate", "holds"),
    [
        ("FROM c WHERE NOT IS_DEFINED(c.flows.classGroupFlow)", True),
        ("FROM c WHERE NOT IS_DEFINED(c.flows.userProvisioningFlow)", False),
        ("from c where c.flows.userProvisioningFlow.id = 'f1'", True),
        ("FROM root WHERE root.flows['userProvisioningFlow'].revision >= 2", False),
        (
            "FROM c WHERE c.flows.userProvisioningFlow.id = 'f1' AND "
            "c.flows.userProvisioningFlow.revision = 1 AND "
            "c.flows[\"userProvisioningFlow\"].x.status IN ('a','b')",
            True,
        ),
        ("FROM c WHERE c.flows.userProvisioningFlow.x.status NOT IN ('a','b')", False),
        ("FROM c WHERE c.flows.none.status NOT IN ('a','b')", False),
        ("FROM c WHERE c.flows.userProvisioningFlow.id = 'F1'", False),
    ],
)
async def test_a_patch_happens_only_if_its_predicate_holds(
    box: ContainerProxy, predicate: str, holds: bool
) -> None:
    await box.create_item({"id": "a", "flows": {"userProvisioningFlow": FLOW}})
    change = [set_("/done", True)]
    if holds:
        await box.patch_item("a", "a", change, filter_predicate=predicate)
    else:
        with pytest.raises(CosmosAccessConditionFailedError):
            await box.patch_item("a", "a", change, filter_predicate=predicate)

    assert ("done" in await read(box, "a")) is holds


@pytest.mark.parametrize("predicate", ["c.a = 1", "FROM c WHERE", "FROM c WHERE FOO(c.a)", "from"])
async def test_a_predicate_that_is_none_is_400(box: ContainerProxy, predicate: str) -> None:
    await box.create_item({"id": "a"})
    with refused(400):
        await box.patch_item("a", "a", [set_("/x", 1)], filter_predicate=predicate)


async def test_a_predicate_on_a_missing_item_is_404(box: ContainerProxy) -> None:
    with pytest.raises(CosmosResourceNotFoundError):
        await box.patch_item("a", "a", [set_("/x", 1)], filter_predicate="FROM c WHERE false")


async def test_of_twenty_concurrent_conditional_patches_one_wins(box: ContainerProxy) -> None:
    await box.create_item({"id": "a", "flows": {}})

    async def attempt(number: int) -> bool:
        try:
            await box.patch_item(
                "a",
                "a",
                [{"op": "add", "path": "/flows/user", "value": number}],
                filter_predicate="FROM c WHERE NOT IS_DEFINED(c.flows.user)",
            )
        except CosmosAccessConditionFailedError:
            return False
        return True

    won = await asyncio.gather(*(attempt(number) for number in range(20)))
    assert won.count(True) == 1
    assert (await read(box, "a"))["flows"] == {"user": won.index(True)}


async def test_concurrent_increments_are_all_counted(box: ContainerProxy) -> None:
    await box.create_item({"id": "a", "n": 0})
    one_more = [{"op": "incr", "path": "/n", "value": 1}]
    await asyncio.gather(*(box.patch_item("a", "a", one_more) for _ in range(20)))

    assert (await read(box, "a"))["n"] == 20


# Queries


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("c.v = 10", "1"),
        ("c.v = '10'", "3"),
        ("c.v > 5", "12"),
        ("c.v <= '10'", "3"),
        ("c.v = null", "5"),
        ("c.v != 10", "2345"),
        ("NOT (c.v = 10)", "2345"),
        ("NOT IS_DEFINED(c.v)", "6"),
        ("IS_NULL(c.v)", "5"),
        ("c.v", "4"),
        ("c.none = undefined", ""),
        ("c.none != 1 OR c.id = '1'", "1"),
        ("c.v BETWEEN 10 AND 15", "1"),
        ("c.v NOT BETWEEN 10 AND 15", "2"),
        ("c.v IN (10, '10', null)", "135"),
        ("c.v NOT IN (10, '10', null)", "24"),
        ("c.deep.er.n = 1 AND c['deep']['er'].n < 2", "4"),
        ("IS_DEFINED(c.toString) OR IS_DEFINED(c.tags.length)", ""),
        ("STARTSWITH(c.name, 'An')", "1"),
        ("STARTSWITH(c.name, 'an', true)", "15"),
        ("ENDSWITH(c.name, 'A')", ""),
        ("ENDSWITH(c.name, 'A', true)", "156"),
        ("CONTAINS(c.name, 'NN', false)", ""),
        ("CONTAINS(c.name, 'NN', true)", "15"),
        ("LOWER(c.name) = 'anna'", "15"),
        ("UPPER(c.name) = 'BEN'", "2"),
        ("c.name LIKE 'A%a'", "16"),
        ("ARRAY_CONTAINS(c.tags, 'b')", "12"),
        ("ARRAY_LENGTH(c.tags) = 1", "2"),
        ("EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t = 'a')", "1"),
        ("(((((((c.v = 10) OR (c.v = 20)))))) AND (NOT ((((c.id = '2'))))))", "1"),
        ("c.v + 5 = 15", "1"),
        ("(c.v ?? 'none') = 'none'", "6"),
        ("(c.kind = 'y' ? c.name : c.id) IN ('1', 'Carl')", "14"),
        ('c.name = "Anna" -- a comment', "1"),
        ("c.name = 'An\\u006ea'", "1"),
    ],
)
async def test_conditions_select_as_cosmos_does(
    shelf: ContainerProxy, condition: str, expected: str
) -> None:
    assert await ids(shelf, condition) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT VALUE COUNT(1) FROM c", [6]),
        ("SELECT VALUE COUNT(c.v) FROM c", [5]),
        ("SELECT VALUE SUM(c.v) FROM c WHERE IS_NUMBER(c.v)", [30]),
        ("SELECT VALUE MIN(c.v) FROM c WHERE IS_NUMBER(c.v)", [10]),
        (
            "SELECT MAX(c.v) AS most, COUNT(1) AS n FROM c WHERE c.kind = 'x' AND c.v > 0",
            [{"most": 20, "n": 2}],
        ),
        ("SELECT VALUE COUNT(1) FROM c WHERE c.id = 'none'", [0]),
        ("SELECT DISTINCT VALUE c.kind FROM c", ["x", "y"]),
        ("SELECT DISTINCT c.kind FROM c", [{"kind": "x"}, {"kind": "y"}]),
        ("SELECT VALUE c.id FROM c ORDER BY c.name OFFSET 1 LIMIT 2", ["6", "1"]),
        ("SELECT TOP 2 VALUE c.id FROM c ORDER BY c.name DESC", ["2", "5"]),
        ("SELECT VALUE c.id FROM c ORDER BY c.v", ["5", "4", "1", "2", "3"]),
        ("SELECT VALUE c.id FROM c ORDER BY c.v DESC", ["3", "2", "1", "4", "5"]),
        ("SELECT VALUE c.v FROM c WHERE c.kind = 'y'", [True, None]),
        ("SELECT c.id, c.none FROM c WHERE c.id = '1'", [{"id": "1"}]),
        (
            "SELECT VALUE {'i': c.id, 'l': [c.none, 1]} FROM c WHERE c.v = 10",
            [{"i": "1", "l": [1]}],
        ),
        ("SELECT VALUE [c.id, t] FROM c JOIN t IN c.tags", [["1", "a"], ["1", "b"], ["2", "b"]]),
        ("SELECT VALUE t FROM t IN c.tags WHERE t = 'b'", ["b", "b"]),
        ("SELECT VALUE c FROM c IN c", []),
        ("SELECT VALUE ARRAY(SELECT VALUE t FROM t IN c.tags) FROM c WHERE c.v = 10", [["a", "b"]]),
        (
            "SELECT VALUE (SELECT VALUE COUNT(1) FROM t IN c.tags) FROM c WHERE c.kind = 'x'",
            [2, 1, 0],
        ),
        ("SELECT VALUE 1 + 1", [2]),
        ("SELECT r.id FROM root r WHERE r.v = 20", [{"id": "2"}]),
    ],
)
async def test_what_queries_answer(shelf: ContainerProxy, sql: str, expected: list[Any]) -> None:
    assert await ask(shelf, sql) == expected


async def test_parameters_stand_for_values(shelf: ContainerProxy) -> None:
    sql = "SELECT VALUE c.id FROM c WHERE c[@p] IN (@a, 20) ORDER BY c.id OFFSET @o LIMIT @l"
    parameters = {"@p": "v", "@a": "10", "@o": 1, "@l": 5}

    assert await ask(shelf, sql, parameters=parameters) == ["3"]


async def test_a_partition_s_query_sees_only_that_partition(shelf: ContainerProxy) -> None:
    sql = "SELECT VALUE c.id FROM c WHERE c.v != 20"

    assert await ask(shelf, sql, partition_key="x") == ["1", "3"]
    assert await ask(shelf, "SELECT VALUE COUNT(1) FROM c", partition_key="y") == [3]


async def test_a_query_of_all_partitions_must_say_so(
    web: aiohttp.ClientSession, shelf: ContainerProxy
) -> None:
    headers = {"x-ms-documentdb-isquery": "true"}
    statuses = []
    for condition in ("c.v > 1", "c.v = 1 AND c.kind = 'x'", "c.v = 1 OR c.kind = 'x'"):
        body = {"query": SELECT + condition}
        async with web.post(parts(shelf), json=body, headers=headers) as response:
            statuses.append(response.status)

    assert statuses == [400, 200, 400]


@pytest.mark.parametrize(
    "sql",
    [
        " ",
        "SELECT",
        "SELEC * FROM c",
        "SELECT * FROM c WHERE",
        "SELECT * FROM c WHERE c.a = 'open",
        "SELECT * FROM c WHERE c.a = 1)",
        "SELECT c.order FROM c",
        "SELECT * FROM c WHERE d.a = 1",
        "SELECT * FROM c JOIN t IN c.tags",
        "SELECT * FROM c WHERE NOSUCH(c.a)",
        "SELECT * FROM c WHERE ABS(c.v, 1, 2) = 1",
        "SELECT * FROM c WHERE STARTSWITH(c.name)",
        "SELECT * FROM c WHERE REGEXMATCH(c.name, '(')",
        "SELECT * FROM c WHERE c.a = @missing",
        "SELECT * FROM c WHERE COUNT(c.a) = 1",
        "SELECT c.id, COUNT(1) FROM c",
        "SELECT c.kind, COUNT(1) FROM c GROUP BY c.kind",
        "SELECT * FROM c OFFSET -1 LIMIT 1",
        "SELECT c.id, t FROM c JOIN t IN c.tags ORDER BY t.id",
        "SELECT * FROM c WHERE c.a = " + "(" * 5000 + "1" + ")" * 5000,
        SELECT + " AND ".join(["c.a = 1"] * 80_000),
    ],
    ids=lambda sql: sql[:40],
)
async def test_a_query_that_cannot_be_understood_is_400(shelf: ContainerProxy, sql: str) -> None:
    with refused(400):
        await ask(shelf, sql)


async def pages(
    container: ContainerProxy, sql: str, size: int, token: str | None = None
) -> AsyncIterator[tuple[list[Any], str | None]]:
    iterator = container.query_items(sql, max_item_count=size).by_page(token)
    async for page in iterator:
        yield [row async for row in page], iterator.continuation_token  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT VALUE c.id FROM c",
        "SELECT VALUE c.id FROM c ORDER BY c.name",
        "SELECT VALUE c.id FROM c ORDER BY c.v DESC",
        "SELECT TOP 5 VALUE c.id FROM c",
        "SELECT VALUE c.id FROM c ORDER BY c.name OFFSET 1 LIMIT 4",
        "SELECT DISTINCT VALUE c.name FROM c",
        "SELECT VALUE t FROM c JOIN t IN c.tags",
    ],
)
@pytest.mark.parametrize("size", [1, 2])
async def test_pages_together_are_the_whole_answer(
    whole_shelf: ContainerProxy, sql: str, size: int
) -> None:
    whole = await ask(whole_shelf, sql)
    paged: list[Any] = []
    token: str | None = None
    while True:
        # A new iterator for each page, as a client that keeps only the token would.
        rows, token = await anext(pages(whole_shelf, sql, size, token))
        assert len(rows) <= size
        paged += rows
        if token is None:
            break

    assert paged == whole
    assert len(whole) > 2


@pytest.mark.parametrize("sql", ["SELECT VALUE c.n FROM c", "SELECT VALUE c.n FROM c ORDER BY c.n"])
async def test_a_continuation_is_stable_while_items_come_and_go(
    whole: DatabaseProxy, sql: str
) -> None:
    box = await whole.create_container(next(names), PartitionKey("/id"))
    await fill(box, [{"id": f"{n}", "n": n} for n in range(6)])
    first, token = await anext(pages(box, sql, 3))
    await box.create_item({"id": "new", "n": 0.5})
    await box.delete_item("2", "2")
    await box.upsert_item({"id": "4", "n": 4, "changed": True})
    rest = [row async for rows, _ in pages(box, sql, 3, token) for row in rows]

    assert first == [0, 1, 2]
    assert [row for row in rest if row != 0.5] == [3, 4, 5]


@pytest.mark.parametrize("token", ["nonsense", "e30", "bnVsbA", "eyJhZnRlciI6e319"])
async def test_a_continuation_that_is_none_is_400(shelf: ContainerProxy, token: str) -> None:
    with refused(400):
        await anext(pages(shelf, "SELECT * FROM c", 2, token))


async def test_order_by_two_properties_needs_a_composite_index(
    database: DatabaseProxy, shelf: ContainerProxy
) -> None:
    index = [{"path": "/kind", "order": "ascending"}, {"path": "/n", "order": "descending"}]
    policy: Any = {"includedPaths": [{"path": "/*"}], "compositeIndexes": [index]}
    both = await database.create_container(next(names), PartitionKey("/id"), indexing_policy=policy)
    await fill(both, [{"id": f"{k}{n}", "kind": k, "n": n} for k in "ba" for n in (1, 2)])
    sql = "SELECT VALUE c.id FROM c ORDER BY c.kind {}, c.n {}"

    assert await ask(both, sql.format("ASC", "DESC")) == ["a2", "a1", "b2", "b1"]
    assert await ask(both, sql.format("DESC", "ASC")) == ["b1", "b2", "a1", "a2"]
    for container, directions in ((both, ("ASC", "ASC")), (shelf, ("ASC", "DESC"))):
        with refused(400):
            await ask(container, sql.format(*directions))


async def test_order_by_needs_its_property_in_the_index(whole: DatabaseProxy) -> None:
    policy: Any = {
        "includedPaths": [{"path": "/name/?"}, {"path": "/filter/*"}],
        "excludedPaths": [{"path": "/*"}, {"path": "/filter/secret/*"}],
    }
    container = await whole.create_container(
        next(names), PartitionKey("/id"), indexing_policy=policy
    )
    await fill(container, [{"id": "a", "name": "b", "filter": {"x": 1}}, {"id": "b"}])
    sql = "SELECT VALUE c.id FROM c ORDER BY c."

    # A property that the policy names is sorted with the items that lack it, one under * without.
    assert await ask(container, sql + "name") == ["b", "a"]
    assert await ask(container, sql + "filter.x") == ["a"]
    assert await ask(container, sql + "_ts") == ["a", "b"]
    for path in ("other", "filter.secret.x", "name.first"):
        with refused(400):
            await ask(container, sql + path)


# What tests ask of it


async def test_requests_are_counted_by_operation(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    await box.read()
    async with web.delete("/_emulator/requests") as response:
        assert response.status == 204
    await box.create_item({"id": "a"})
    await box.read_item("a", "a")
    await ask(box, "SELECT * FROM c")
    await box.patch_item("a", "a", [set_("/x", 1)])
    await box.replace_item("a", {"id": "a"})
    await box.upsert_item({"id": "a"})
    await box.execute_item_batch([("read", ("a",))], "a")
    await box.delete_item("a", "a")
    with pytest.raises(CosmosResourceNotFoundError):
        await box.read_item("a", "a")
    await box.read()
    async with web.get("/_emulator/requests") as response:
        answer = await response.json()

    assert answer["total"] == len(answer["log"])
    # The SDK requests the ranges when it has a session token to send.
    log = [entry for entry in answer["log"] if "/pkranges" not in entry["path"]]
    # The query has a page of each of the two ranges.
    assert [(entry["operation"], entry["status"]) for entry in log] == [
        ("create", 201),
        ("read", 200),
        ("query", 200),
        ("query", 200),
        ("patch", 200),
        ("replace", 200),
        ("upsert", 200),
        ("batch", 200),
        ("delete", 204),
        ("read", 404),
        ("other", 200),
    ]
    assert log[1]["method"] == "GET"
    assert log[1]["path"] == f"{parts(box)}/a/"


@asynccontextmanager
async def fault(web: aiohttp.ClientSession, **given: Any) -> AsyncIterator[None]:
    async with web.post("/_emulator/faults", json=given) as response:
        assert response.status == 204, await response.text()
    try:
        yield
    finally:
        async with web.delete("/_emulator/faults") as response:
            assert response.status == 204


async def test_throttling_can_be_injected(web: aiohttp.ClientSession, box: ContainerProxy) -> None:
    await box.create_item({"id": "a"})
    async with web.delete("/_emulator/requests"):
        pass
    async with fault(web, operation="patch", status=429, count=3, retryAfterMs=20):
        await box.read_item("a", "a")
        await box.patch_item("a", "a", [set_("/x", 1)])  # the SDK itself tries again
    async with web.get("/_emulator/requests") as response:
        log = (await response.json())["log"]

    log = [entry for entry in log if entry["operation"] != "other"]
    assert [entry["status"] for entry in log] == [200, 429, 429, 429, 200]


async def test_an_injected_failure_does_nothing_and_then_ends(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    async with fault(web, operation="create", status=403):
        with refused(403):
            await box.create_item({"id": "a"})
        await box.create_item({"id": "a"})


@pytest.mark.parametrize("after", [False, True])
async def test_a_connection_can_be_dropped_before_or_after_the_work(
    web: aiohttp.ClientSession, box: ContainerProxy, after: bool
) -> None:
    async with fault(web, operation="create", drop=True, after=after):
        with pytest.raises(aiohttp.ClientError):
            await web.post(parts(box), json={"id": "a"})
    stored = await ids(box, "true")

    assert stored == ("a" if after else "")


async def test_a_dropped_connection_reaches_the_caller_of_the_sdk(
    web: aiohttp.ClientSession, box: ContainerProxy
) -> None:
    async with fault(web, operation="patch", drop=True, count=1000):
        with pytest.raises(AzureError):
            await box.patch_item("a", "a", [set_("/x", 1)])


async def test_an_answer_can_be_delayed(web: aiohttp.ClientSession, box: ContainerProxy) -> None:
    await box.create_item({"id": "a"})
    async with fault(web, operation="read", delayMs=300):
        started = time.monotonic()
        await box.read_item("a", "a")

        assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(
    "given", [{}, {"status": 200}, {"status": 503, "count": 0}, {"operation": "x", "drop": True}]
)
async def test_a_fault_that_makes_no_sense_is_400(
    web: aiohttp.ClientSession, given: dict[str, Any]
) -> None:
    async with web.post("/_emulator/faults", json=given) as response:
        assert response.status == 400


# What stays


async def test_everything_survives_a_kill(tmp_path: Path) -> None:
    async with running(tmp_path) as (emulator, client):
        database = await client.create_database("d")
        box = await database.create_container(
            "c",
            PartitionKey("/id"),
            unique_key_policy={"uniqueKeys": [{"paths": ["/u"]}]},  # type: ignore[dict-item]
        )
        await fill(box, [{"id": f"{n}", "n": n} for n in range(3)])
        await box.patch_item("0", "0", [set_("/n", 10)])
        await box.execute_item_batch(
            [("delete", ("1",)), ("create", ({"id": "1", "n": 11, "ü": "\u2028"},))], "1"
        )
        await box.delete_item("2", "2")
        expected = await ask(box, "SELECT * FROM c")
        await emulator.end(signal.SIGKILL)

    for _ in range(2):  # the second start reads what the first one compacted
        async with running(tmp_path) as (emulator, client):
            database = client.get_database_client("d")
            box = database.get_container_client("c")
            assert await ask(box, "SELECT * FROM c") == expected
            assert [c["id"] async for c in database.list_containers()] == ["c"]
            await emulator.end(signal.SIGKILL)
    assert {item["id"]: item["n"] for item in expected} == {"0": 10, "1": 11}


async def test_unique_keys_and_positions_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as (emulator, client):
        database = await client.create_database("d")
        policy: Any = {"uniqueKeys": [{"paths": ["/u"]}]}
        box = await database.create_container("c", PartitionKey("/kind"), unique_key_policy=policy)
        await fill(box, [{"id": f"{n}", "kind": "x", "u": n} for n in range(4)])
        _, token = await anext(pages(box, "SELECT VALUE c.u FROM c", 2))
        await box.delete_item("0", "x")
        await emulator.end()

    async with running(tmp_path):
        pass  # compacts: from here on the deleted item has left no trace
    async with running(tmp_path) as (_, client):
        box = client.get_database_client("d").get_container_client("c")
        with pytest.raises(CosmosResourceExistsError):
            await box.create_item({"id": "9", "kind": "x", "u": 1})
        await box.create_item({"id": "9", "kind": "x", "u": 9})
        rows, _ = await anext(pages(box, "SELECT VALUE c.u FROM c", 5, token))
        assert rows == [2, 3, 9]


async def test_a_container_made_after_a_restart_is_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as (emulator, client):
        database = await client.create_database("d")
        old = await database.create_container("old", PartitionKey("/id"))
        await old.create_item({"id": "a"})
        await emulator.end()

    async with running(tmp_path) as (_, client):
        database = client.get_database_client("d")
        new = await database.create_container("new", PartitionKey("/id"))
        assert await ids(new, "true") == ""
        assert await ids(database.get_container_client("old"), "true") == "a"


async def test_starting_compacts_the_journal(tmp_path: Path) -> None:
    async with running(tmp_path) as (emulator, client):
        box = await (await client.create_database("d")).create_container("c", PartitionKey("/id"))
        await box.create_item({"id": "a", "n": 0})
        for number in range(20):
            await box.patch_item("a", "a", [set_("/n", number)])
        await emulator.end()
    before = (tmp_path / "journal.jsonl").read_text().count("\n")
    async with running(tmp_path):
        assert (before, (tmp_path / "journal.jsonl").read_text().count("\n")) == (23, 3)


async def test_a_journal_is_compacted_at_twice_what_is_alive(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    async with running(tmp_path, options=("--compact-at", "4000")) as (emulator, client):
        box = await (await client.create_database("d")).create_container("c", PartitionKey("/id"))
        await box.create_item({"id": "a", "n": 0, "large": "x" * 5000})
        await box.create_item({"id": "b", "n": 0})
        sizes = []
        for number in range(60):
            await box.patch_item("b", "b", [set_("/n", number)])
            sizes.append(journal.stat().st_size)
        expected = await ask(box, "SELECT * FROM c")
        await emulator.end(signal.SIGKILL)
    # The smallest is what is alive and one change, the largest ends with the change too many.
    assert 1.8 * min(sizes) < max(sizes) < 2.2 * min(sizes)

    async with running(tmp_path) as (_, client):
        box = client.get_database_client("d").get_container_client("c")
        assert await ask(box, "SELECT * FROM c") == expected


async def test_lines_of_any_length_are_read_back(tmp_path: Path) -> None:
    # Several times the size of the pieces in which the file is read, which end within characters.
    items = [{"id": f"{n}", "x": "ü€😀" * n} for n in range(40_000, 40_009)]
    async with running(tmp_path) as (emulator, client):
        box = await (await client.create_database("d")).create_container("c", PartitionKey("/id"))
        await fill(box, items)
        await emulator.end(signal.SIGKILL)

    async with running(tmp_path) as (_, client):
        box = client.get_database_client("d").get_container_client("c")
        stored = [item async for item in box.read_all_items()]
        assert {item["id"]: item["x"] for item in stored} == {i["id"]: i["x"] for i in items}


async def test_a_torn_last_line_is_reported_and_left_out(tmp_path: Path) -> None:
    async with running(tmp_path) as (emulator, client):
        box = await (await client.create_database("d")).create_container("c", PartitionKey("/id"))
        await fill(box, [{"id": "a"}, {"id": "b"}])
        await emulator.end()
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])

    async with running(tmp_path) as (emulator, client):
        box = client.get_database_client("d").get_container_client("c")
        assert await ids(box, "true") == "a"
        await box.create_item({"id": "c"})
        _, err = await emulator.end()
    assert "was cut short" in err
    async with running(tmp_path) as (emulator, client):
        box = client.get_database_client("d").get_container_client("c")
        assert await ids(box, "true") == "ac"
        assert await emulator.end() == ("", "")


async def test_a_damaged_journal_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"kind":\n{}\n')
    process = await launch(NODE, str(SERVER), "--port", "0", "--state", str(tmp_path))
    out, err = await finish(process)

    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "damaged at line 1" in err


# Such a process may write no file beyond 32 blocks, as if the disk were full.
LITTLE_DISK = ("sh", "-c", 'ulimit -f 32; exec "$@"', "sh")


async def test_a_full_disk_is_a_logged_500_and_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, *LITTLE_DISK) as (emulator, client):
        box = await (await client.create_database("d")).create_container("c", PartitionKey("/id"))
        with pytest.raises(CosmosHttpResponseError, match="EFBIG"):
            await box.create_item({"id": "a", "x": "x" * 100_000})
        await box.create_item({"id": "b"})
        assert await ids(box, "true") == "b"
        _, err = await emulator.end()
    assert "at Journal.append" in err

    async with running(tmp_path) as (_, client):
        box = client.get_database_client("d").get_container_client("c")
        assert await ids(box, "true") == "b"


async def test_a_full_disk_that_holds_the_log_too_ends_nothing(tmp_path: Path) -> None:
    # Whatever is written to that stderr fails with ENOSPC.
    full = ("sh", "-c", 'ulimit -f 32; exec "$@" 2>/dev/full', "sh")
    async with running(tmp_path, *full) as (_, client):
        box = await (await client.create_database("d")).create_container("c", PartitionKey("/id"))
        for _ in range(3):
            with refused(500):
                await box.create_item({"id": "a", "x": "x" * 100_000})
        await box.create_item({"id": "b"})


async def test_what_is_stored_can_be_read_from_a_full_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        box = await (await client.create_database("d")).create_container("c", PartitionKey("/id"))
        await box.create_item({"id": "a", "x": "x" * 100_000})
    async with running(tmp_path, *LITTLE_DISK) as (emulator, client):
        box = client.get_database_client("d").get_container_client("c")
        with refused(500):
            await box.create_item({"id": "b"})
        assert await ids(box, "true") == "a"
        _, err = await emulator.end()
    assert "could not be compacted" in err
    assert not (tmp_path / "journal.jsonl.new").exists()

    async with running(tmp_path) as (_, client):
        box = client.get_database_client("d").get_container_client("c")
        assert await ids(box, "true") == "a"


# Setup


async def test_the_setup_creates_what_the_file_lists(emulator: Emulator) -> None:
    for _ in range(2):  # a second time it changes nothing
        await create_containers(emulator.url, COSMOS_EMULATOR_KEY)
    async with connect(emulator.url) as client:
        database = client.get_database_client(COSMOS_DATABASE)
        found = {c["id"]: c async for c in database.list_containers()}

    assert set(found) == {c["name"] for c in container_definitions()}
    for wanted in container_definitions():
        container = found[wanted["name"]]
        unique_keys = container.get("uniqueKeyPolicy", {}).get("uniqueKeys", [])
        assert container["partitionKey"]["paths"] == [wanted["partitionKey"]]
        assert [key["paths"] for key in unique_keys] == wanted["uniqueKeys"]
        assert container["indexingPolicy"] == wanted["indexingPolicy"]


async def test_the_setup_says_what_went_wrong() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        command = (sys.executable, "-m", "local.emulators.cosmos.setup", "--endpoint")
        process = await launch(*command, f"http://127.0.0.1:{port}")
        out, err = await finish(process)

    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"Cosmos DB at http://127.0.0.1:{port} did not create the containers")


def test_the_lock_file_pins_the_two_packages_and_names_no_registry() -> None:
    lock = json.loads((ROOT / "local" / "package-lock.json").read_text("utf-8"))
    wanted = {"azurite": "3.37.0", "@vercel/cosmosdb-server": "1.0.1"}

    assert lock["packages"][""]["dependencies"] == wanted
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]


# Authorization


async def test_a_request_that_is_not_signed_with_the_key_is_401(emulator: Emulator) -> None:
    other = base64.b64encode(b"another key").decode()
    async with CosmosClient(emulator.url, COSMOS_EMULATOR_KEY) as client:
        await client.create_database_if_not_exists("guarded")
    client = CosmosClient(emulator.url, other)
    with pytest.raises(CosmosHttpResponseError, match="COSMOS_KEY") as refused:
        await client.__aenter__()
    await client.close()
    assert refused.value.status_code == 401
    async with aiohttp.ClientSession(emulator.url) as plain:
        for headers in ({}, {"Authorization": "%"}, {"Authorization": "type%3daad%26sig%3dx"}):
            answer = await plain.get("/dbs/guarded", headers=headers)
            assert answer.status == 401
