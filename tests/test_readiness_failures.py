"""What throttling, lost answers and lost events cost: time, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.servicebus.aio import ServiceBusClient

from local.config import COSMOS_EMULATOR_KEY, READINESS_QUEUE
from local.cosmos.setup import container_definitions
from local.stack import Stack, throwaway_config
from shared.catalog_store import CatalogStore
from shared.cosmos import Cosmos
from shared.flows import FIRST_ASK_AGAIN
from shared.messages import QueuePublisher
from shared.processing import Processor
from shared.store import FLOW_SETS, FlowStore
from tests.api import (
    Api,
    CosmosFaults,
    CosmosRequests,
    Flow,
    Queue,
    assert_envelope,
    logged,
)
from tests.service_bus_fixtures import SDK_LEAKS_SOCKETS

# README: a caller waits ten seconds; a slow machine may add some.
CALLER_WAITS_SECONDS = 12.0
MANY = 100_000
OUTAGES = [{"status": 429, "retryAfterMs": 50}, {"status": 503}]


def names(outage: dict[str, Any]) -> str:
    """A test's name for an outage."""
    return str(outage["status"])


@pytest.fixture
async def ready_flow(service: Api) -> Flow:
    """A flow whose first check was applied."""
    flow = await service.new_flow()
    await flow.until_status("ready")
    return flow


async def stored_flow(sets: ContainerProxy, flow: Flow) -> dict[str, Any]:
    """A flow as it is stored."""
    document = await sets.read_item(flow.set_id, flow.set_id)
    stored: dict[str, Any] = document["flows"][flow.kind]
    return stored


# --- Cosmos DB, while a caller waits -----------------------------------------------------------


async def test_a_create_outlasts_a_short_throttling(
    service: Api, set_id: str, cosmos_faults: CosmosFaults, cosmos_requests: CosmosRequests
) -> None:
    await cosmos_requests.reset()
    async with cosmos_faults(operation="patch", status=429, count=3, retryAfterMs=20):
        answer = await service.create(set_id)
    assert answer.status == 201, answer.text
    statuses = [entry["status"] for entry in await cosmos_requests.read()]
    assert statuses.count(429) == 3


@pytest.mark.parametrize("outage", OUTAGES, ids=names)
async def test_a_create_during_an_outage_is_told_in_time_when_to_try_again(
    service: Api, set_id: str, cosmos_faults: CosmosFaults, outage: dict[str, Any]
) -> None:
    began = time.monotonic()
    async with cosmos_faults(operation="patch", count=MANY, **outage):
        answer = await service.create(set_id)
    assert time.monotonic() - began < CALLER_WAITS_SECONDS
    assert_envelope(answer, 503, "serviceNotAvailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10
    # Nothing of it is stored: what is told to be repeated can be.
    assert (await service.create(set_id)).status == 201


async def test_a_cosmos_db_that_does_not_answer_keeps_no_caller_waiting(
    service: Api, set_id: str, cosmos_faults: CosmosFaults
) -> None:
    began = time.monotonic()
    async with cosmos_faults(operation="read", count=MANY, delayMs=30_000):
        answer = await service.get(service.set(set_id))
    assert time.monotonic() - began < CALLER_WAITS_SECONDS
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_flow_whose_answer_was_lost_is_created_once(
    service: Api, set_id: str, cosmos_faults: CosmosFaults, cosmos_requests: CosmosRequests
) -> None:
    await cosmos_requests.reset()
    async with cosmos_faults(operation="patch", drop=True, after=True):
        answer = await service.create(set_id)
    assert answer.status == 201, answer.text
    requests = await cosmos_requests.read()
    ours = [e["status"] for e in requests if set_id in e["path"] and e["method"] == "PATCH"]
    assert ours[:2] == [0, 412], "the answer was not lost, or the write not repeated"
    [flow] = (await service.get(service.flows(set_id))).json()["value"]
    assert flow["id"] == answer.json()["id"]
    await Flow(service, set_id, flow["id"], "").until_status("ready")


async def test_a_set_whose_answer_was_lost_is_created_once(
    service: Api, cosmos_faults: CosmosFaults, cosmos_requests: CosmosRequests
) -> None:
    name = f"Lost {uuid.uuid4()}"
    await cosmos_requests.reset()
    async with cosmos_faults(operation="create", drop=True, after=True):
        answer = await service.post(service.sets, {"displayName": name})
    assert answer.status == 201, answer.text
    creates = [e["status"] for e in await cosmos_requests.read() if e["operation"] == "create"]
    assert creates == [0, 409], "the answer was not lost, or the write not repeated"
    found = await service.get(service.sets, {"$filter": f"displayName eq '{name}'"})
    assert [each["id"] for each in found.json()["value"]] == [answer.json()["id"]]


# --- Cosmos DB, while an event is processed ----------------------------------------------------


@pytest.mark.parametrize("outage", OUTAGES, ids=names)
async def test_an_event_waits_in_the_queue_for_the_store_and_is_applied(
    queue: Queue, stack: Stack, ready_flow: Flow, cosmos_faults: CosmosFaults, outage: Any
) -> None:
    event_id, message = ready_flow.report("failed", datetime.now(UTC))
    async with cosmos_faults(operation="patch", count=MANY, **outage):
        await queue.send(message)
        [put_back] = await logged(stack, '"event": "eventPutBack"', event_id)
    assert put_back["attempts"] == 1
    assert 1.0 <= put_back["wait"] <= 3.0
    await ready_flow.until_status("failed")
    applied = await logged(stack, event_id, '"outcome"')
    assert [line["outcome"] for line in applied] == ["applied"]


async def test_an_event_whose_write_lost_its_answer_counts_once(
    queue: Queue, stack: Stack, ready_flow: Flow, cosmos_faults: CosmosFaults
) -> None:
    event_id, message = ready_flow.report("failed", datetime.now(UTC))
    async with cosmos_faults(operation="patch", drop=True, after=True):
        await queue.send(message)
        [line] = await logged(stack, event_id, '"outcome"')
    assert line["outcome"] == "duplicate"
    answer = await ready_flow.api.get(f"{ready_flow.url}/readinessHistory")
    told = [entry["eventId"] for entry in answer.json()["value"]]
    assert told.count(event_id) == 1


# --- events that were lost ---------------------------------------------------------------------


async def lose_event(
    sets: ContainerProxy, flow: Flow, *, asks: int = 1, ask_again_at: int = 0
) -> None:
    """Make a ready flow what it is when its request for a check never came.

    A crash between write and publish leaves just this behind. It is due at `ask_again_at`.
    """
    members = {
        "readinessStatus": "notReady",
        "appliedAt": 0,
        "appliedKey": "",
        "asks": asks,
        "askAgainAt": ask_again_at,
    }
    await sets.patch_item(
        flow.set_id,
        flow.set_id,
        [
            {"op": "set", "path": f"/flows/{flow.kind}/{name}", "value": value}
            for name, value in members.items()
        ],
    )


async def fire_timer(service: Api) -> None:
    """Run reconcile_readiness now."""
    root = service.root.removesuffix("/beta")
    answer = await service.post(f"{root}/admin/functions/reconcile_readiness", {})
    assert answer.status in (200, 202), answer.text


@pytest.mark.parametrize("asks", [1, 3])
async def test_a_flow_whose_event_was_lost_is_asked_for_again_and_waits_longer_each_time(
    service: Api, stored_sets: ContainerProxy, ready_flow: Flow, asks: int
) -> None:
    before = time.time_ns() // 1000
    await lose_event(stored_sets, ready_flow, asks=asks)
    await fire_timer(service)
    await ready_flow.until_status("ready")
    stored = await stored_flow(stored_sets, ready_flow)
    assert stored["asks"] == asks + 1
    waits = FIRST_ASK_AGAIN * 2**asks
    assert before + waits <= stored["askAgainAt"] <= time.time_ns() // 1000 + waits


async def test_a_flow_that_is_not_due_is_left_alone(
    service: Api, stored_sets: ContainerProxy, ready_flow: Flow
) -> None:
    due = await service.new_flow()
    await due.until_status("ready")
    in_an_hour = time.time_ns() // 1000 + 3600 * 1_000_000
    await lose_event(stored_sets, ready_flow, ask_again_at=in_an_hour)
    await lose_event(stored_sets, due)
    await fire_timer(service)
    await due.until_status("ready")
    stored = await stored_flow(stored_sets, ready_flow)
    assert (stored["readinessStatus"], stored["asks"]) == ("notReady", 1)


# --- what one run of the timer does, in a database that the host's own does not see ------------


class Lost:
    """Flows of a database of their own whose events were lost, and what asks for them."""

    def __init__(self, cosmos: Cosmos, sets: ContainerProxy, connection: str) -> None:
        self.sets = sets
        self.flows: list[Flow] = []
        self._cosmos = cosmos
        self._connection = connection

    @contextlib.asynccontextmanager
    async def processor(self, connection: str | None = None) -> AsyncIterator[Processor]:
        """What the timer runs, publishing to the queue or elsewhere."""
        client = ServiceBusClient.from_connection_string(
            connection or self._connection, retry_total=0
        )
        publisher = QueuePublisher(client, READINESS_QUEUE)
        yield Processor(FlowStore(self._cosmos), CatalogStore(self._cosmos), publisher)
        await publisher.close()

    async def asks(self) -> list[int]:
        """How often each flow was asked for, in ascending order."""
        return sorted([(await stored_flow(self.sets, flow))["asks"] for flow in self.flows])


@pytest.fixture
async def lost(
    service: Api,
    stack: Stack,
    stored_sets: ContainerProxy,
) -> AsyncIterator[Lost]:
    """Five flows that are due."""
    [definition] = [each for each in container_definitions() if each["name"] == FLOW_SETS]
    name = f"lost-{uuid.uuid4()}"
    async with CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    ) as client:
        database = await client.create_database(name)
        sets = await database.create_container(
            FLOW_SETS, PartitionKey("/id"), indexing_policy=definition["indexingPolicy"]
        )
        found = Lost(Cosmos(client, name), sets, stack.config.service_bus_connection)
        for _ in range(5):
            flow = await service.new_flow()
            await flow.until_status("ready")
            await sets.create_item(await stored_sets.read_item(flow.set_id, flow.set_id))
            await lose_event(sets, flow)
            found.flows.append(flow)
        yield found
        await client.delete_database(name)


async def test_a_run_asks_for_so_many_flows_and_the_next_goes_on(lost: Lost) -> None:
    async with lost.processor() as processor:
        assert [await processor.reconcile(2, 30.0) for _ in range(4)] == [2, 2, 1, 0]
    assert await lost.asks() == [2] * 5


async def test_two_runs_at_once_ask_once_for_each_flow(lost: Lost) -> None:
    async with lost.processor() as one, lost.processor() as other:
        asked = await asyncio.gather(one.reconcile(100, 30.0), other.reconcile(100, 30.0))
    assert sum(asked) == 5
    assert await lost.asks() == [2] * 5


async def test_a_run_without_time_asks_for_nothing(lost: Lost) -> None:
    async with lost.processor() as processor:
        assert await processor.reconcile(100, -1.0) == 0
    assert await lost.asks() == [1] * 5


@SDK_LEAKS_SOCKETS
async def test_an_ask_that_could_not_be_sent_does_not_count(lost: Lost, tmp_path: Path) -> None:
    nowhere = throwaway_config(tmp_path).service_bus_connection
    async with lost.processor(nowhere) as processor:
        assert await processor.reconcile(100, 30.0) == 0
    assert await lost.asks() == [1] * 5
    stored = await stored_flow(lost.sets, lost.flows[0])
    assert stored["askAgainAt"] == 0
