"""What draining the readiness queue costs, against the SDK calls it needs.

`python -m bench.readiness`. Ours is the local host with the queue's function: it receives, checks a
flow's configuration, writes its status to Cosmos DB, logs and completes. Each message is about a
flow of its own, so that every one is written. Theirs is bare loops of the SDK in this process that
make the same calls for a message, receive, PATCH and complete, as many at once as the host makes;
they read no event, check nothing, decide nothing and log nothing.

Besides the rate: the CPU that each process takes for a message, and the requests to Cosmos DB. Of
the local host and its worker, only the worker runs in Azure; there the host is Microsoft's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from bench.create_cpu import new_sets
from bench.measure import Compared, app_folder, child_of, cpu_ms, process, seed_bodies, stack
from local.components import free_ports
from local.stack import Stack
from shared import bootstrap
from shared.adapters.partition import FLOW_SETS
from shared.contract import events
from shared.contract.json_body import read_json
from shared.contract.loading import load_flow
from shared.domain import flows
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import microseconds
from shared.services.provisioning_flows import new_flow

TARGET = ">= 0.8"
ROUNDS = 7
SETS = 150
WARM_UP = 64
# As many calls at once as host.json allows.
SLOTS = 16
SECONDS = 120.0

Stored = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Drained:
    """A queue that was drained: messages a second, and for each the CPU of processes in ms."""

    rate: float
    cpu: dict[str, float]
    requests: float

    @classmethod
    def of(cls, count: int, seconds: float, cpu: dict[str, float], requests: int) -> Drained:
        """Divide what was measured by the number of messages."""
        each = {name: spent / count for name, spent in cpu.items()}
        return cls(count / seconds, each, requests / count)


class Clocks:
    """Reads what the processes of a stack, and those named besides, spend from now on."""

    def __init__(self, running: Stack, **others: int) -> None:
        self._pids = {"cosmos": running.pid("cosmos"), "service_bus": running.pid("service_bus")}
        self._pids |= others
        self._began = {name: cpu_ms(pid) for name, pid in self._pids.items()}

    def spent(self) -> dict[str, float]:
        """Return the milliseconds of CPU by process."""
        return {name: cpu_ms(pid) - self._began[name] for name, pid in self._pids.items()}


async def new_flows() -> list[Stored]:
    """Store sets with all four flows; no check is requested."""
    prepared = [load_flow(read_json(body, "application/json")) for body in seed_bodies()]
    keyring = bootstrap.keyring()
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
    return bootstrap.service_bus().get_queue_receiver(bootstrap.settings().readiness_queue)


async def requests_of(running: Stack, method: str) -> int:
    """Count the requests about items since the last DELETE, which begins anew."""
    url = f"{running.config.cosmos_endpoint}/_emulator/requests"
    async with aiohttp.ClientSession() as http, http.request(method, url) as response:
        if method == "DELETE":
            return 0
        log = (await response.json())["log"]
    return sum(entry["operation"] != "other" for entry in log)


async def drained_by_host(running: Stack, app: str, port: int) -> Drained:
    """Have the host take all messages.

    It is warm, and held while the queue is filled; the time ends with the last write.
    """
    stored = await new_flows()
    with process("-m", "local.host", "--app", app, "--port", str(port)) as host:
        async with receiver() as looking:
            await fill(stored[:WARM_UP])
            await until_empty(looking)
            worker = child_of(host)
            os.killpg(host, signal.SIGSTOP)
            await fill(stored[WARM_UP:])
            await requests_of(running, "DELETE")
            clocks = Clocks(running, host=host, own=worker)
            os.killpg(host, signal.SIGCONT)
            started = microseconds()
            await until_empty(looking)
            cpu = clocks.spent()
            requests = await requests_of(running, "GET")
    ended = [await _applied_at(each) for each in stored]
    assert all(ended), f"{ended.count(0)} were not applied"
    count = len(stored) - WARM_UP
    return Drained.of(count, (max(ended) - started) / 1e6, cpu, requests)


async def _applied_at(stored: Stored) -> int:
    """When the readiness of a flow was written, in microseconds since 1970; 0 if it was not."""
    set_id, kind, _ = stored
    document = await bootstrap.flow_store().read_set(set_id)
    (latest, *_) = document["flows"][kind]["history"]
    return int(latest["appliedAt"]) if latest["readinessStatus"] != "notReady" else 0


async def drained_by_sdk(running: Stack) -> Drained:
    """Have bare loops of the SDK make the calls that each message needs."""
    container = bootstrap.cosmos().container(FLOW_SETS)
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
            LOCAL_TENANT,
            [
                {"op": "set", "path": f"{path}/readinessStatus", "value": "ready"},
                {"op": "set", "path": f"{path}/reason", "value": None},
                {"op": "set", "path": f"{path}/check", "value": {"status": "ready"}},
                {"op": "set", "path": f"{path}/checkDueAt", "value": None},
                {"op": "set", "path": f"{path}/stamp", "value": key},
                {"op": "remove", "path": f"{path}/history/{flows.HISTORY_ENTRIES - 1}"},
                {"op": "add", "path": f"{path}/history/0", "value": entry},
            ],
            filter_predicate=f"FROM c WHERE c.version = {flows.VERSION} "
            f"AND c.flows.{kind}.id = '{flow['id']}' AND IS_NULL(c.flows.{kind}.check)",
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

    await requests_of(running, "DELETE")
    clocks, started = Clocks(running, own=os.getpid()), time.perf_counter()
    ended = max(await asyncio.gather(*(slot(each) for each in receivers)))
    cpu = clocks.spent()
    await asyncio.gather(*(each.close() for each in receivers))
    requests = await requests_of(running, "GET")
    return Drained.of(len(stored), ended - started, cpu, requests)


async def measure(running: Stack, app: str) -> None:
    """Print the ratio of the rates, and what a message costs each process."""
    [port] = free_ports(1)
    pairs = []
    for turn in range(ROUNDS + 1):
        ours, theirs = await drained_by_host(running, app, port), await drained_by_sdk(running)
        if turn:  # the first is a warm-up
            pairs.append((ours, theirs))

    def compared(figure: Callable[[Drained], float]) -> Compared:
        return Compared.of([(figure(ours), figure(theirs)) for ours, theirs in pairs])

    def cpu(*parts: str) -> Compared:
        return compared(lambda each: sum(each.cpu.get(part, 0) for part in parts))

    print(compared(lambda each: each.rate).line("messages drained", "1/s", TARGET))
    for what, found in {
        "CPU of a message, worker against loops": cpu("own"),
        "the same, host and worker against loops": cpu("own", "host"),
        "CPU of a message, emulators": cpu("cosmos", "service_bus"),
    }.items():
        print(found.line(what, "ms", "none"))
    requests = compared(lambda each: each.requests)
    print(requests.line("requests to Cosmos DB for a message", "", "1"))
    await bootstrap.close()


def main() -> None:
    """Run on emulators of its own."""
    with stack() as running, app_folder("queue_only") as app:
        asyncio.run(measure(running, app))


if __name__ == "__main__":
    main()
