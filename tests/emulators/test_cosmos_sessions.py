"""Session tokens: sent with every answer about items, honoured, and missed where reads lag."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError

from tests.emulators.cosmos_process import Emulator, ask, connect, fill, names, running

TOKEN = "x-ms-session-token"


@pytest.fixture(scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with running(tmp_path_factory.mktemp("sessions")) as (started, _):
        yield started


@pytest.fixture
async def lag(emulator: Emulator, writer: ContainerProxy) -> AsyncIterator[None]:
    """Reads lag behind what a test writes."""
    assert writer
    url = f"{emulator.url}/_emulator/lag"
    async with aiohttp.ClientSession() as web:
        await web.post(url)
        yield
        await web.delete(url)


@pytest.fixture
async def writer(emulator: Emulator) -> AsyncIterator[ContainerProxy]:
    """A container through the client that writes to it; a and c lie in other ranges than b."""
    async with connect(emulator.url) as client:
        database = await client.create_database_if_not_exists("tests")
        container = await database.create_container(next(names), PartitionKey("/id"))
        await fill(container, [{"id": each, "n": 1} for each in "abc"])
        yield container


@pytest.fixture
async def other(emulator: Emulator, writer: ContainerProxy) -> AsyncIterator[ContainerProxy]:
    """The same container through a client of another process, say."""
    async with connect(emulator.url) as client:
        yield client.get_database_client("tests").get_container_client(writer.id)


async def number(container: ContainerProxy, item: str, **options: Any) -> int:
    found: int = (await container.read_item(item, item, **options))["n"]
    return found


async def change(container: ContainerProxy, item: str, value: int) -> str:
    operations = [{"op": "set", "path": "/n", "value": value}]
    answer = await container.patch_item(item, item, operations)
    token: str = answer.get_response_headers()[TOKEN]
    return token


@pytest.mark.usefixtures("lag")
async def test_a_client_reads_what_it_wrote(writer: ContainerProxy) -> None:
    for value in (2, 3):
        await change(writer, "a", value)
        assert await number(writer, "a") == value
    assert await ask(writer, "SELECT VALUE c.n FROM c WHERE c.id = 'a'") == [3]


@pytest.mark.usefixtures("lag")
async def test_another_client_reads_one_version_less(
    writer: ContainerProxy, other: ContainerProxy
) -> None:
    for value in (2, 3):
        await change(writer, "a", value)
        assert await number(other, "a") == value - 1
    assert await number(other, "b") == 1


@pytest.mark.usefixtures("lag")
async def test_another_client_lacks_the_last_create_and_the_last_delete(
    writer: ContainerProxy, other: ContainerProxy
) -> None:
    await writer.create_item({"id": "new", "n": 1})
    await writer.delete_item("c", "c")

    with pytest.raises(CosmosResourceNotFoundError):
        await number(other, "new")
    assert await number(other, "c") == 1
    for sql in ("SELECT VALUE c.id FROM c", "SELECT VALUE c.id FROM c ORDER BY c.id"):
        assert sorted(await ask(other, sql)) == ["a", "b", "c"]
        assert sorted(await ask(writer, sql)) == ["a", "b", "new"]
    assert await ask(other, "SELECT VALUE COUNT(1) FROM c WHERE c.id = 'new'") == [0]


@pytest.mark.usefixtures("lag")
async def test_a_token_that_was_handed_on_is_honoured(
    writer: ContainerProxy, other: ContainerProxy
) -> None:
    first = await change(writer, "a", 2)
    last = await change(writer, "a", 3)

    assert await number(other, "a", session_token=last) == 3
    assert await number(other, "a", session_token=first) == 2


@pytest.mark.usefixtures("lag")
async def test_a_write_is_made_to_the_newest_state(
    writer: ContainerProxy, other: ContainerProxy
) -> None:
    await change(writer, "a", 2)
    answer = await other.patch_item("a", "a", [{"op": "incr", "path": "/n", "value": 10}])

    assert answer["n"] == 12


async def test_without_lag_all_read_the_newest(
    writer: ContainerProxy, other: ContainerProxy
) -> None:
    await change(writer, "a", 2)

    assert await number(other, "a") == 2


@pytest.mark.usefixtures("lag")
async def test_a_session_that_is_not_available_is_404_with_its_sub_status(
    writer: ContainerProxy,
) -> None:
    token = await change(writer, "a", 2)
    ahead = f"{token.partition('#')[0]}#{int(token.partition('#')[2]) + 1}"
    with pytest.raises(CosmosResourceNotFoundError) as caught:
        await number(writer, "a", session_token=ahead)
    assert caught.value.sub_status == 1002
    # What is said of another range says nothing here.
    elsewhere = f"{1 - int(ahead[0])}{ahead[1:]}"
    assert await number(writer, "a", session_token=elsewhere) == 1


@pytest.mark.parametrize("token", ["nonsense", "0:1", "0:-1#x", "0:-1#1,", "0" * 5000])
async def test_a_token_that_is_none_is_400(writer: ContainerProxy, token: str) -> None:
    with pytest.raises(CosmosHttpResponseError, check=lambda error: error.status_code == 400):
        await number(writer, "a", session_token=token)


async def test_tokens_outlive_the_process(tmp_path: Path) -> None:
    token = ""
    for start in range(3):  # the second start reads what the first one compacted
        async with running(tmp_path) as (emulator, client):
            database = await client.create_database_if_not_exists("d")
            box = await database.create_container_if_not_exists("c", PartitionKey("/id"))
            if start == 0:
                await fill(box, [{"id": "a", "n": 1}])
                for value in range(9):
                    token = await change(box, "a", value)
            assert await number(box, "a", session_token=token) == 8
            await emulator.end()
