"""What throttling, outages and lost answers of Cosmos DB cost: time, and nothing else."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from local.stack import Stack
from tests.support.api import Api, Flow, assert_envelope
from tests.support.cosmos import CosmosFaults, CosmosRequests
from tests.support.logs import logged
from tests.support.queue import Queue

# README: a caller waits ten seconds; a slow machine may add some.
CALLER_WAITS_SECONDS = 12.0
MANY = 100_000
OUTAGES = [{"status": 429, "retryAfterMs": 50}, {"status": 503}]


def names(outage: dict[str, Any]) -> str:
    """A test's name for an outage."""
    return str(outage["status"])


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
async def test_a_create_during_an_outage_is_answered_in_time_with_retry_after(
    service: Api, set_id: str, cosmos_faults: CosmosFaults, outage: dict[str, Any]
) -> None:
    began = time.monotonic()
    async with cosmos_faults(operation="patch", count=MANY, **outage):
        answer = await service.create(set_id)
    assert time.monotonic() - began < CALLER_WAITS_SECONDS
    if outage["status"] == 429:
        assert_envelope(answer, 429, "TooManyRequests")
    else:
        assert_envelope(answer, 503, "serviceNotAvailable")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10
    # Nothing of it is stored: a caller who was asked to repeat it can do so.
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
    # A throttled event waits for as long as a caller is asked to: three seconds at most, and more.
    assert 1.0 <= put_back["wait"] <= (5.0 if outage["status"] == 429 else 3.0)
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
    reported = [entry["eventId"] for entry in answer.json()["value"]]
    assert reported.count(event_id) == 1
