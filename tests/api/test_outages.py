"""Deadlines, and what parts that are killed cost a caller."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient
from azure.functions.servicebus import ServiceBusMessage
from azure.servicebus import ServiceBusMessage as Sent

from functions.http.operations import DEADLINE_SECONDS
from functions.queue import update_readiness_status
from local.components import free_ports
from local.config import AZURITE_KEY, COSMOS_EMULATOR_KEY, HOST
from local.settings import example_values
from local.stack import Stack
from shared import bootstrap
from shared.adapters.cosmos import Cosmos
from shared.adapters.partition import FLOW_SETS
from shared.contract import events
from shared.domain.context import LOCAL_TENANT, left, within
from shared.domain.errors import PublishFailed, StoreUnavailable
from shared.services.receiving import (
    MAX_ATTEMPTS,
    PAUSE_SECONDS,
    attempts_of,
    put_back_delay,
)
from tests.emulators.service_bus_fixtures import SDK_LEAKS_SOCKETS
from tests.support.api import Answer, Api, Flow, assert_envelope
from tests.support.app import forget
from tests.support.bodies import request_body
from tests.support.cosmos import CosmosFaults
from tests.support.logs import event_outcomes, logged
from tests.support.queue import Queue
from tests.support.waiting import until

pytestmark = SDK_LEAKS_SOCKETS
# A caller is answered within that; a slow machine may add some.
BOUND_SECONDS = DEADLINE_SECONDS + 4.0


@pytest.fixture(autouse=True, scope="module")
def leaks_are_collected_here() -> Iterator[None]:
    """What the SDK leaves of a connection whose peer was killed must not trouble other modules."""
    yield
    gc.collect()


def assert_unavailable_with_retry_after(answer: Answer) -> None:
    """A 503 that says when to repeat the request."""
    assert_envelope(answer, 503, "serviceNotAvailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10


# --- throttling --------------------------------------------------------------------------------


async def test_all_waits_of_a_request_together_are_cut_short_of_what_a_caller_waits(
    service: Api, set_id: str, cosmos_faults: CosmosFaults
) -> None:
    body = json.loads(request_body("user"))
    entry = body["creationOptions"]["configurations"][0]
    group_id = await service.new_role_group("coach")
    entry["roleGroup@odata.bind"] = f"external/industryData/roleGroups/{group_id}"
    async with (
        # The role group is there after five seconds at least, and nothing can be written then.
        cosmos_faults(operation="read", status=429, count=2, retryAfterMs=2_500),
        cosmos_faults(operation="patch", status=429, count=1000, retryAfterMs=60_000),
    ):
        began = time.monotonic()
        answer = await service.post(service.flows(set_id), body)
        assert_envelope(answer, 429, "TooManyRequests")
        assert 60 <= int(answer.headers["Retry-After"]) <= 62
        assert time.monotonic() - began < BOUND_SECONDS


# --- Cosmos DB is away -------------------------------------------------------------------------


def received(body: bytes, properties: Any = None) -> ServiceBusMessage:
    """A message as the trigger hands it over."""
    return ServiceBusMessage(
        body=body, application_properties=properties, message_id="m", user_properties={}
    )


@dataclass(frozen=True)
class CosmosOutage:
    """What happened while Cosmos DB was away."""

    flow: Flow
    event_id: str
    put_back: dict[str, Any]
    create: Answer
    took: float


@pytest.fixture(scope="module")
async def cosmos_outage(service: Api, stack: Stack, queue: Queue) -> CosmosOutage:
    """Send a report and a create while Cosmos DB is away; it is back afterwards."""
    flow = await service.new_flow()
    await flow.until_status("ready")
    event_id, message = flow.report("failed", datetime.now(UTC))
    await asyncio.to_thread(stack.kill, "cosmos")
    try:
        await queue.send(message)
        began = time.monotonic()
        create = await service.create(flow.set_id, "user")
        took = time.monotonic() - began
        [put_back, *_] = await logged(stack, "eventPutBack", event_id)
    finally:
        await asyncio.to_thread(stack.start, "cosmos")
    return CosmosOutage(flow, event_id, put_back, create, took)


async def test_without_cosmos_db_a_create_is_a_503_with_retry_after(
    cosmos_outage: CosmosOutage,
) -> None:
    assert_unavailable_with_retry_after(cosmos_outage.create)
    assert cosmos_outage.took < BOUND_SECONDS


async def test_without_cosmos_an_event_waits_and_is_applied_afterwards(
    cosmos_outage: CosmosOutage, stack: Stack
) -> None:
    assert cosmos_outage.put_back["attempts"] == 1
    assert 1 < cosmos_outage.put_back["wait"] < 3
    assert await event_outcomes(stack, cosmos_outage.event_id) == ["applied"]
    await cosmos_outage.flow.until_status("failed")


def test_an_event_waits_longer_each_time_up_to_five_minutes() -> None:
    for attempts, seconds in [(1, 2), (2, 4), (3, 8), (7, 128), (8, 256), (9, 300), (300, 300)]:
        delays = [put_back_delay(attempts) for _ in range(200)]
        assert min(delays) >= 0.8 * seconds
        assert max(delays) <= 1.2 * seconds
        assert max(delays) - min(delays) > 0.1 * seconds, "all would come back together"


def test_events_are_put_back_for_about_a_day() -> None:
    hours = sum(put_back_delay(n + 1) for n in range(MAX_ATTEMPTS)) / 3600
    assert 22 < hours < 27


@pytest.mark.parametrize(
    ("properties", "attempts"),
    [
        ({}, 0),
        ({"attempts": True}, 0),
        ({"attempts": 3}, 3),
        ({"attempts": -9}, 0),
        ({"attempts": "3"}, 0),
    ],
)
def test_only_a_count_of_ours_is_a_count(properties: Any, attempts: int) -> None:
    assert attempts_of(properties) == attempts


@pytest.fixture
async def nothing_answers(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> AsyncIterator[None]:
    """The app in this process, with settings that name ports without a listener."""
    cosmos, service_bus = free_ports(2)
    settings = {
        **example_values(),
        **stack.config.app_settings(),
        "COSMOS_ENDPOINT": f"http://{HOST}:{cosmos}",
        "ServiceBus": stack.config.service_bus_connection.replace(
            f":{stack.config.service_bus_port};", f":{service_bus};"
        ),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    forget()
    yield
    await bootstrap.cosmos().close()
    await bootstrap.publisher().close()
    forget()


async def test_an_event_that_cannot_even_be_put_back_is_held_before_it_is_given_back(
    nothing_answers: None, monkeypatch: pytest.MonkeyPatch, ready_flow: Flow
) -> None:
    held: list[float] = []

    sleep = asyncio.sleep

    async def quickly(seconds: float) -> None:
        # Others sleep in this loop as well.
        if seconds == PAUSE_SECONDS:
            held.append(seconds)
        else:
            await sleep(seconds)

    body = events.report(ready_flow.set_id, ready_flow.kind, ready_flow.id, "failed").body
    monkeypatch.setattr(asyncio, "sleep", quickly)
    with pytest.raises(PublishFailed):
        await update_readiness_status(received(body))
    # The publisher's rest is over then; otherwise five deliveries would pass within it.
    assert held


async def test_a_store_request_ends_at_the_deadline_of_its_request(
    stack: Stack, cosmos_faults: CosmosFaults, set_id: str
) -> None:
    client = CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    )
    cosmos = Cosmos(client, "industryData")
    container = cosmos.container(FLOW_SETS)
    async with cosmos.request():
        await container.read_item(set_id, LOCAL_TENANT)
    began = time.monotonic()
    async with cosmos_faults(operation="read", delayMs=8_000):
        with within(60), within(0.3), pytest.raises(StoreUnavailable):
            async with cosmos.request():
                await container.read_item(set_id, LOCAL_TENANT)
    assert time.monotonic() - began < 5
    assert left(60) == 60
    await cosmos.close()


# --- the storage is away -----------------------------------------------------------------------


async def test_what_cannot_be_understood_waits_while_the_storage_is_away(
    queue: Queue, stack: Stack
) -> None:
    message = Sent("not an event", message_id=str(uuid.uuid4()))
    refused = f"Failed (readiness, message {message.message_id}"
    log = stack.log_file("host")
    before = len(log.read_text("utf-8", errors="replace"))
    await asyncio.to_thread(stack.kill, "azurite")
    began = time.monotonic()

    def refusals() -> int:
        return log.read_text("utf-8", errors="replace")[before:].count(refused)

    async def once() -> bool:
        return refusals() > 0

    try:
        await queue.send(message)
        await until(once, "archiving fails")
    finally:
        await asyncio.to_thread(stack.start, "azurite")
    [found] = await queue.dead_lettered(message.message_id)
    assert found["bodySha256"] == hashlib.sha256(b"not an event").hexdigest()
    # Held for a moment each time, not delivered over and over.
    assert refusals() <= 1 + (time.monotonic() - began) / PAUSE_SECONDS


# --- and after all that ------------------------------------------------------------------------


async def test_no_secret_is_in_any_log(
    cosmos_outage: CosmosOutage,
    stack: Stack,
    token: str,
    password_keys: str,
) -> None:
    logs = {
        path.name: path.read_text("utf-8", errors="replace")
        for path in stack.log_file("host").parent.iterdir()
    }
    assert "eventPutBack" in logs["host.log"]
    secrets = {
        "token": token,
        "its signature": token.rpartition(".")[2],
        "Cosmos DB": COSMOS_EMULATOR_KEY,
        "storage": AZURITE_KEY,
        "passwords": password_keys.partition(":")[2].partition(",")[0],
        "former passwords": password_keys.rpartition(":")[2],
        "Service Bus": "SharedAccessKey=",
    }
    for what, secret in secrets.items():
        assert [name for name, text in logs.items() if secret in text] == [], what
