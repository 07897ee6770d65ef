"""How fast the readiness queue is drained, against receiving alone: `python -m bench.readiness`.

Ours is the Functions host with the app: it receives, checks a flow's configuration, writes its
status to Cosmos DB, logs and completes. Each message is about a flow of its own, so that every one
is written. Theirs is the SDK in this process, which receives and completes; and, in the second
line, which makes all three calls that the host must make for a message: receive, PATCH, complete.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from bench.create_cpu import new_sets
from bench.measure import Compared, seed_bodies, stack
from local.stack import Stack
from shared import bootstrap
from shared.contract import events
from shared.contract.json_body import read_json
from shared.contract.loading import load_flow
from shared.domain import flows
from shared.domain.ids import microseconds
from shared.services.provisioning_flows import new_flow

TARGET = ">= 0.8"
ROUNDS = 5
SETS = 150
WARM_UP = 64
# As many calls at once as host.json allows.
SLOTS = 16
SECONDS = 120.0

Stored = tuple[str, str, dict[str, Any]]


async def new_flows() -> list[Stored]:
    """Store sets with all four flows; no check is requested."""
    prepared = [load_flow(read_json(body, "application/json")) for body in seed_bodies()]
    keyring = bootstrap.settings().keyring
    stored = [
        (set_id, kind, new_flow(kind, values, keyring))
        for set_id in await new_sets(SETS)
        for kind, values in prepared
    ]
    for start in range(0, len(stored), 32):
        await asyncio.gather(
            *(bootstrap.flow_store().add_flow(*each) for each in stored[start : start + 32])
        )
    return stored


async def fill(stored: list[Stored]) -> dict[str, Stored]:
    """Ask for a check of each flow; return the flows by the ids of the messages."""
    sent = {(message := events.check_request(*each)).id: (message, each) for each in stored}
    await asyncio.gather(*(bootstrap.publisher().publish(message) for message, _ in sent.values()))
    return {name: each for name, (_, each) in sent.items()}


async def until_empty(receiver: ServiceBusReceiver) -> None:
    """Wait until no message is in the queue, locked ones included."""
    deadline = time.monotonic() + SECONDS
    while await receiver.peek_messages(max_message_count=1, sequence_number=1):
        assert time.monotonic() < deadline, "the queue was not drained"
        await asyncio.sleep(0.05)


def receiver() -> ServiceBusReceiver:
    """A receiver of the readiness queue; it opens a connection of its own."""
    return bootstrap._service_bus().get_queue_receiver(bootstrap.settings().readiness_queue)


async def drained_by_host(running: Stack) -> float:
    """Return the messages a second that the host takes.

    It is warm, and held while the queue is filled; the time ends with the last write.
    """
    stored = await new_flows()
    running.start("host")
    async with receiver() as looking:
        await fill(stored[:WARM_UP])
        await until_empty(looking)
        os.killpg(running.pid("host"), signal.SIGSTOP)
        await fill(stored[WARM_UP:])
        os.killpg(running.pid("host"), signal.SIGCONT)
        started = microseconds()
        await until_empty(looking)
    running.stop("host")
    ended = [await _applied_at(each) for each in stored]
    assert all(ended), f"{ended.count(0)} were not applied"
    return (len(stored) - WARM_UP) / (max(ended) - started) * 1e6


async def _applied_at(stored: Stored) -> int:
    """When the readiness of a flow was written, in microseconds since 1970; 0 if it was not."""
    set_id, kind, _ = stored
    document = await bootstrap.flow_store().read_set(set_id)
    (latest, *_) = document["flows"][kind]["history"]
    return int(latest["appliedAt"]) if latest["readinessStatus"] != "notReady" else 0


async def drained_by_sdk() -> float:
    """Return the messages a second that a bare loop of the SDK receives and completes."""
    stored = await new_flows()
    await fill(stored)
    async with receiver() as receiving:
        started, count = time.perf_counter(), 0
        while count < len(stored):
            # Asked for more than there are, the SDK waits 0.2 s for them.
            most = min(SLOTS, len(stored) - count)
            batch = await receiving.receive_messages(max_message_count=most, max_wait_time=5)
            for message in batch:
                await receiving.complete_message(message)
            count += len(batch)
        return count / (time.perf_counter() - started)


async def written_by_sdk() -> float:
    """Return the messages a second for which bare loops also write to Cosmos DB."""
    container = bootstrap.flow_store()._container
    stored = await new_flows()
    flow_of = await fill(stored)
    receivers = [receiver() for _ in range(SLOTS)]
    await asyncio.gather(*(each.__aenter__() for each in receivers))

    async def write(message: ServiceBusReceivedMessage) -> None:
        set_id, kind, flow = flow_of.pop(str(message.message_id))
        path = f"/flows/{kind}"
        status = {"readinessStatus": "ready", "reason": None, "revision": flow["revision"]}
        at, key = flow["revisedAt"], str(message.message_id)
        entry = {**status, "eventId": key, "eventAt": at, "appliedAt": at}
        await container.patch_item(
            set_id,
            set_id,
            [
                {"op": "set", "path": f"{path}/readinessStatus", "value": "ready"},
                {"op": "set", "path": f"{path}/reason", "value": None},
                {"op": "set", "path": f"{path}/check", "value": {"status": "ready"}},
                {"op": "set", "path": f"{path}/checkDueAt", "value": None},
                {"op": "set", "path": f"{path}/stamp", "value": key},
                {"op": "remove", "path": f"{path}/history/{flows.HISTORY_ENTRIES - 1}"},
                {"op": "add", "path": f"{path}/history/0", "value": entry},
            ],
            filter_predicate=f"FROM c WHERE c.flows.{kind}.id = '{flow['id']}'",
            no_response=True,
        )

    async def slot(receiving: ServiceBusReceiver) -> float:
        """Return when the last message was completed."""
        ended = 0.0
        while flow_of:
            for message in await receiving.receive_messages(max_wait_time=0.5):
                await write(message)
                await receiving.complete_message(message)
                ended = time.perf_counter()
        return ended

    started = time.perf_counter()
    ended = max(await asyncio.gather(*(slot(each) for each in receivers)))
    await asyncio.gather(*(each.close() for each in receivers))
    return len(stored) / (ended - started)


async def measure(running: Stack) -> None:
    """Print both ratios."""
    ways: list[Callable[[], Awaitable[float]]] = [
        lambda: drained_by_host(running),
        drained_by_sdk,
        written_by_sdk,
    ]
    rates = []
    for turn in range(ROUNDS + 1):
        measured = [await way() for way in ways]
        if turn:  # the first is a warm-up
            rates.append(measured)
    bare = Compared.of([(ours, theirs) for ours, theirs, _ in rates])
    print(bare.line("messages drained", "1/s", TARGET))
    must = Compared.of([(ours, theirs) for ours, _, theirs in rates])
    print(must.line("the same, against SDK calls with the PATCH", "1/s", "none"))
    await bootstrap.close()


def main() -> None:
    """Run on a stack of its own."""
    with stack(host=True) as running:
        running.stop("host")
        asyncio.run(measure(running))


if __name__ == "__main__":
    main()
