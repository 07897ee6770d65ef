"""The data of the status page: who may read it, what it has, and what it says in an outage."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from azure.cosmos.aio import CosmosClient
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from local.access_token import READ, application_token
from local.components import free_ports
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, READINESS_QUEUE, LocalConfig
from local.stack import Stack
from shared.adapters.archive import Archive
from shared.adapters.cosmos import Cosmos
from shared.adapters.flow_store import FlowStore
from shared.adapters.partition import FLOW_SETS, Partition
from shared.adapters.queue_depth import QueueDepth
from shared.domain.context import LOCAL_TENANT
from shared.services.overview import DEAD_LETTER_DAYS, Overview
from tests.support.letters import dead_letter
from tests.support.waiting import until


@pytest.fixture
def url(api: str) -> str:
    return f"{api.removesuffix('/beta')}/status/overview"


async def get(url: str, token: str, **headers: str) -> tuple[int, Any, Any]:
    """Ask for the overview; return status, body and headers of the answer."""
    sent = {"Authorization": f"Bearer {token}", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=sent) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text) if text else None, response.headers


async def test_callers_who_may_read_flows_may_read_it_and_no_others(url: str, stack: Stack) -> None:
    reader = application_token(stack.config, *READ)
    other = application_token(stack.config, "IndustryData.ReadBasic.All")
    assert [(await get(url, token))[0] for token in (reader, other, "")] == [200, 403, 401]


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("status=Ready", "status"),
        ("top=0", "top"),
        ("top=501", "top"),
        ("top=x", "top"),
        (f"search={'x' * 257}", "search"),
        ("$filter=x", "$filter"),
    ],
)
async def test_an_option_that_cannot_be_used_is_refused_with_a_reason(
    url: str, token: str, query: str, target: str
) -> None:
    status, body, _ = await get(f"{url}?{query}", token)
    assert status == 400
    assert [each["target"] for each in body["error"]["details"]] == [target]


async def test_sets_come_by_name_and_it_is_said_that_there_are_more(
    url: str, token: str, http: aiohttp.ClientSession, api: str
) -> None:
    name = str(uuid.uuid4())
    for letter in "bca":
        sets = f"{api}/external/industryData/outboundProvisioningFlowSets"
        async with http.post(sets, json={"displayName": f"{name} {letter}"}) as response:
            assert response.status == 201
    _, two, _ = await get(f"{url}?search={name}&top=2", token)
    assert [each["displayName"][-1] for each in two["value"]] == ["a", "b"]
    assert two["more"] is True
    _, three, _ = await get(f"{url}?search={name}&top=3", token)
    assert len(three["value"]) == 3
    assert three["more"] is False


async def test_what_has_not_changed_is_not_sent_again(url: str, token: str) -> None:
    wanted = f"{url}?search={uuid.uuid4()}"
    _, _, headers = await get(wanted, token)
    status, body, _ = await get(wanted, token, **{"If-None-Match": headers["ETag"]})
    # Counts may have changed in between, once.
    if status == 200:
        _, _, headers = await get(wanted, token)
        status, body, _ = await get(wanted, token, **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, None)


# --- the queue and the dead letters ------------------------------------------------------------


async def test_messages_are_counted_and_stay_in_the_queue(
    service_bus_client: ServiceBusClient,
) -> None:
    depth = QueueDepth(service_bus_client, READINESS_QUEUE)
    deadline = time.monotonic() + 60
    # What earlier tests scheduled comes due.
    while (before := await depth.read()) is None or before["scheduled"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    later = datetime.now(UTC) + timedelta(hours=1)
    async with service_bus_client.get_queue_sender(READINESS_QUEUE) as sender:
        numbers = await sender.schedule_messages(
            [ServiceBusMessage(b"1"), ServiceBusMessage(b"2")], later
        )
        counted = [await depth.read(), await depth.read()]
        await sender.cancel_scheduled_messages(numbers)
    for each in counted:
        assert each is not None
        assert (each["scheduled"], each["complete"]) == (2, True)


async def test_a_queue_out_of_reach_is_unknown_and_not_empty() -> None:
    config = LocalConfig(service_bus_port=free_ports(1)[0])
    async with ServiceBusClient.from_connection_string(
        config.service_bus_connection, retry_total=0
    ) as client:
        assert await QueueDepth(client, READINESS_QUEUE).read() is None


async def dead_letters(archive: Archive, store: FlowStore, depth: QueueDepth) -> Any:
    overview = Overview(store, archive, depth, LOCAL_TENANT)

    async def are_looked_at() -> bool:
        return (await overview.read({}))["queue"] is not None

    await until(are_looked_at, "queue and archive looked at")
    return (await overview.read({}))["deadLetters"]


@pytest.fixture
async def store(stack: Stack) -> AsyncIterator[FlowStore]:
    client = CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    )
    cosmos = Cosmos(client, COSMOS_DATABASE)
    yield FlowStore(Partition(cosmos, FLOW_SETS, LOCAL_TENANT))
    await cosmos.close()


@pytest.fixture
def depth(service_bus_client: ServiceBusClient) -> QueueDepth:
    return QueueDepth(service_bus_client, READINESS_QUEUE)


async def test_dead_letters_of_the_last_days_are_counted_until_they_are_put_back(
    stack: Stack, store: FlowStore, depth: QueueDepth
) -> None:
    connection = stack.config.storage_connection
    async with BlobServiceClient.from_connection_string(connection) as client:
        archive = Archive(client, LOCAL_TENANT)
        await archive.keep(dead_letter(age=timedelta(days=DEAD_LETTER_DAYS + 1)))
        before = await dead_letters(archive, store, depth)
        first = await archive.keep(dead_letter(age=timedelta()))
        await archive.keep(dead_letter(age=timedelta(days=DEAD_LETTER_DAYS - 1)))
        await archive.claim(first)
        after = await dead_letters(archive, store, depth)
    assert after["kept"] == before["kept"] + 2
    assert after["notReplayed"] == before["notReplayed"] + 1


async def test_an_archive_out_of_reach_is_unknown_and_not_empty(
    store: FlowStore, depth: QueueDepth
) -> None:
    connection = LocalConfig(azurite_blob_port=free_ports(1)[0]).storage_connection
    async with BlobServiceClient.from_connection_string(connection, retry_total=0) as client:
        assert await dead_letters(Archive(client, LOCAL_TENANT), store, depth) is None
