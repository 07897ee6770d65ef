"""How fast the readiness queue is drained, against receiving alone: `python -m bench.readiness`.

Theirs is the SDK in this process, which receives and completes. Ours is the Functions host with the
app: it receives, checks a flow's configuration, writes its status to Cosmos DB, logs and completes.
Each message is about a flow of its own, so that every one is written.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.create_cpu import new_sets
from bench.measure import Compared, seed_bodies, stack
from local.stack import Stack
from shared import clients, events, flows, schemas
from shared.payload import read_json

TARGET = ">= 0.8"
ROUNDS = 5
SETS = 100
SECONDS = 120.0

Stored = list[tuple[str, str, dict[str, Any]]]


async def new_flows() -> Stored:
    """Store sets with all four flows; nobody is asked to check them."""
    prepared = [schemas.load_flow(read_json(body, "application/json")) for body in seed_bodies()]
    keyring = clients.settings().keyring
    stored = [
        (set_id, kind, flows.new_flow(kind, values, keyring))
        for set_id in await new_sets(SETS)
        for kind, values in prepared
    ]
    for start in range(0, len(stored), 32):
        await asyncio.gather(
            *(clients.flow_store().add_flow(*each) for each in stored[start : start + 32])
        )
    return stored


async def fill(stored: Stored) -> None:
    """Ask for a check of each flow."""
    await asyncio.gather(
        *(clients.publisher().publish(events.check_request(*each)) for each in stored)
    )


async def until_empty() -> None:
    """Wait until no message is in the queue, locked ones included."""
    client = clients._service_bus()
    deadline = time.monotonic() + SECONDS
    async with client, client.get_queue_receiver(clients.settings().readiness_queue) as receiver:
        while await receiver.peek_messages(max_message_count=1):
            assert time.monotonic() < deadline, "the queue was not drained"
            await asyncio.sleep(0.02)


async def drained_by_host(running: Stack) -> float:
    """Return the messages a second that the host takes; it is warm when they come."""
    stored = await new_flows()
    running.start("host")
    await fill(stored[:20])
    await until_empty()
    started = time.perf_counter()
    await fill(stored[20:])
    await until_empty()
    rate = (len(stored) - 20) / (time.perf_counter() - started)
    running.stop("host")
    applied = [each for each in stored if await _was_applied(each)]
    assert len(applied) == len(stored), f"{len(stored) - len(applied)} were not applied"
    return rate


async def _was_applied(stored: tuple[str, str, dict[str, Any]]) -> bool:
    set_id, kind, _ = stored
    document = await clients.flow_store().read_set(set_id)
    return bool(document["flows"][kind]["appliedAt"])


async def drained_by_sdk() -> float:
    """Return the messages a second that a bare loop of the SDK takes."""
    stored = await new_flows()
    await fill(stored)
    client = clients._service_bus()
    async with client, client.get_queue_receiver(clients.settings().readiness_queue) as receiver:
        started, count = time.perf_counter(), 0
        while count < len(stored):
            batch = await receiver.receive_messages(max_message_count=16, max_wait_time=5)
            for message in batch:
                await receiver.complete_message(message)
            count += len(batch)
        return count / (time.perf_counter() - started)


async def measure(running: Stack) -> None:
    """Print the ratio."""
    pairs = []
    for turn in range(ROUNDS + 1):
        theirs = await drained_by_sdk()
        ours = await drained_by_host(running)
        if turn:  # the first is a warm-up
            pairs.append((ours, theirs))
    print(Compared.of(pairs).line("messages drained", "1/s", TARGET))
    await clients.close()


def main() -> None:
    """Run on a stack of its own."""
    with stack(host=True) as running:
        running.stop("host")
        asyncio.run(measure(running))


if __name__ == "__main__":
    main()
