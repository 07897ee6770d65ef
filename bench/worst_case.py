"""What the worst requests cost the process that serves them: `python -m bench.worst_case [-v]`.

Every request of bench/hostile.py is sent to the service on the local host, without a token and with
one that may do everything: the CPU that the worker process takes for it, how long a GET /health
waits that is sent meanwhile, and what the process holds at most above what it held before. Those
that cost most are measured again, each in a process of its own that is idle: others have memory
that was freed to use again. A store with large flow sets and many role groups is behind it. Linux
only: it reads the clock of another process.

`-k TEXT` measures only requests whose name has TEXT.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from yarl import URL

import function_app
from bench.hostile import Hostile, hostile
from bench.hostile_bodies import events
from bench.measure import child_of, cpu_ms, seed_bodies, stack
from local.access_token import application_token
from local.config import READINESS_QUEUE
from local.stack import Stack
from local.swagger_ui import folder, shipped

WITHOUT_TOKEN, WITH_TOKEN = 30.0, 250.0
"""The budget: milliseconds of CPU for one request."""
ABOVE_IDLE = 32.0
"""The budget: MiB."""
LARGE_SETS, SETS, ROLE_GROUPS, BOUND_FLOWS = 100, 940, 300, 6
TRIES = 2
LARGEST = 6
QUIET = 4
"""After how many looks without work, one each 50 ms, the process is quiet."""
EVENT_TYPE = "application/cloudevents+json"
SECONDS = 120.0


@dataclass
class Cost:
    """What one request cost: CPU and the wait of GET /health in milliseconds, memory in MiB."""

    request: Hostile
    status: int
    cpu: float
    waited: float
    memory: float
    answered: int


class Meter:
    """Reads clock and memory of the worker process, which is the host's only child."""

    def __init__(self, running: Stack) -> None:
        self._running = running

    @property
    def pid(self) -> int:
        """The worker's process id: the host starts another one after a call that took too long."""
        return child_of(self._running.pid("host"))

    @staticmethod
    def forget_peak(pid: int) -> float:
        """Let the peak start anew; return what the process holds, in MiB."""
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
        return Meter.peak(pid)

    @staticmethod
    def peak(pid: int) -> float:
        """Return the most that a process has held, in MiB."""
        status = Path(f"/proc/{pid}/status").read_text("ascii")
        [line] = [each for each in status.splitlines() if each.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024


class Bench:
    """Sends requests and measures them."""

    def __init__(self, running: Stack, http: aiohttp.ClientSession, token: str) -> None:
        self._running = running
        self._meter = Meter(running)
        self._root = running.config.api.removesuffix("/beta")
        self._http = http
        self._token = {"authorization": f"Bearer {token}"}

    async def restart(self, warm_up: Sequence[Hostile]) -> None:
        """Start the host anew and have it load what any request needs."""
        await asyncio.to_thread(self._running.kill, "host")
        await asyncio.to_thread(self._running.start, "host")
        for request in warm_up:
            await self.send(request, self._token)

    async def call(self, method: str, path: str, body: Any) -> Any:
        """Carry out a request that must succeed; return the answer's JSON."""
        url = f"{self._root}/beta/external/industryData/{path}"
        async with self._http.request(method, url, json=body, headers=self._token) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def send(self, request: Hostile, headers: dict[str, str]) -> tuple[int, int]:
        """Send a request; return the status and the bytes of the answer."""
        url = URL(self._root + request.target, encoded=True)
        async with self._http.request(
            request.method, url, data=request.body or None, headers={**headers, **request.headers}
        ) as response:
            return response.status, len(await response.read())

    async def cost(self, request: Hostile, most: float, *, with_token: bool) -> Cost:
        """Measure a request; again without GET /health beside it where it may cost too much."""
        headers = self._token if with_token else {}
        found = await self._once(request, headers, beside=True)
        for _ in range(TRIES):
            if found.cpu < most / 2 and found.memory < ABOVE_IDLE / 2:
                break
            again = await self._once(request, headers, beside=False)
            found.cpu = min(found.cpu, again.cpu)
            found.memory = min(found.memory, again.memory)
        return found

    async def _once(self, request: Hostile, headers: dict[str, str], *, beside: bool) -> Cost:
        pid = self._meter.pid
        held, before = Meter.forget_peak(pid), cpu_ms(pid)
        sending = asyncio.create_task(self.send(request, headers))
        waited = await self._waited(sending) if beside else 0.0
        status, answered = await sending
        cpu, memory = cpu_ms(pid) - before, Meter.peak(pid) - held
        return Cost(request, status, cpu, waited, memory, answered)

    async def _waited(self, sending: asyncio.Task[Any]) -> float:
        """Return the longest that a GET /health waited while a request was served."""
        longest = 0.0
        while not sending.done():
            began = time.perf_counter()
            async with self._http.get(f"{self._root}/health") as response:
                await response.read()
            longest = max(longest, (time.perf_counter() - began) * 1e3)
        return longest

    async def event_cost(self, sender: ServiceBusSender, kind: str, body: bytes) -> Cost:
        """Measure a message of the readiness queue, until the process is quiet again."""
        pid = self._meter.pid
        held, before = Meter.forget_peak(pid), cpu_ms(pid)
        await sender.send_messages(ServiceBusMessage(body, content_type=EVENT_TYPE))
        cpu, quiet = before, 0
        for _ in range(QUIET * 100):
            await asyncio.sleep(0.05)
            cpu, last = cpu_ms(pid), cpu
            quiet = quiet + 1 if cpu - last < 1 and cpu - before > 1 else 0
            if quiet == QUIET:
                break
        request = Hostile("update_readiness_status", "event", kind, "", "")
        return Cost(request, 0, cpu - before, 0.0, Meter.peak(pid) - held, 0)


async def prepared(bench: Bench) -> dict[str, str]:
    """Store what lists and filters have to look at; return the keys of a set and a flow."""
    values = {
        "@odata.type": "#microsoft.graph.industryData.basicFilter",
        "attribute": "orgExternalId",
        "in": [f"{number:0>100}" for number in range(1000)],
    }
    codes = ["teacher", "coach", "aide", "student", "nurse"]
    made, groups = [], []
    for number in range(SETS + LARGE_SETS):
        body: dict[str, Any] = {"displayName": f"a{number}"}
        if number < LARGE_SETS:
            body["filter"] = values
        made.append(await bench.call("POST", "outboundProvisioningFlowSets", body))
    for number in range(ROLE_GROUPS):
        group = {"displayName": f"a{number}", "roles": [{"code": code} for code in codes]}
        groups.append((await bench.call("POST", "roleGroups", group))["id"])
    for number in range(BOUND_FLOWS):
        each = len(groups) // BOUND_FLOWS
        bound = bound_flow(groups[number * each :][:50])
        path = f"outboundProvisioningFlowSets/{made[number]['id']}/provisioningFlows"
        await bench.call("POST", path, bound)
    set_id = made[-1]["id"]
    path = f"outboundProvisioningFlowSets/{set_id}/provisioningFlows"
    flows = [await bench.call("POST", path, json.loads(body)) for body in seed_bodies()]
    return {
        "set_id": set_id,
        "flow_id": flows[-1]["id"],
        "group_id": groups[-1],
        "definition_id": "RefRole-teacher",
        "name": "status.js",
        "library": folder(shipped()[0]).name,
        "file": "swagger-ui-bundle.js",
    }


def largest(costs: Sequence[Cost]) -> list[Cost]:
    """Return those that may need most memory, by any sign."""
    signs: tuple[Callable[[Cost], float], ...] = (
        lambda cost: cost.memory,
        lambda cost: cost.answered,
        lambda cost: cost.cpu,
    )
    chosen = [cost for sign in signs for cost in sorted(costs, key=sign)[-LARGEST:]]
    return list({id(cost): cost for cost in chosen}.values())


def bound_flow(groups: Sequence[str]) -> dict[str, Any]:
    """Return a flow that is bound to role groups."""
    [body] = [each for each in map(json.loads, seed_bodies()) if "user" in each["@odata.type"]]
    entry, *_ = body["creationOptions"]["configurations"]
    body["creationOptions"]["configurations"] = [
        {**entry, "roleGroup@odata.bind": f"external/industryData/roleGroups/{group}"}
        for group in groups
    ]
    return dict(body)


def report(title: str, costs: Sequence[Cost], most: float, *, verbose: bool) -> bool:
    """Print the worst request of each operation, and whether all are within the budget."""
    if not costs:
        return True
    print(f"  {title}: {len(costs)} requests, at most {most:.0f} ms and {ABOVE_IDLE:.0f} MiB")
    by_operation: defaultdict[str, list[Cost]] = defaultdict(list)
    for cost in costs:
        by_operation[cost.request.operation].append(cost)
    for operation, own in by_operation.items():
        own.sort(key=lambda cost: -cost.cpu)
        print(f"    {operation}: {_line(own[0])}")
    over = [
        cost for cost in costs if cost.cpu > most or cost.memory > ABOVE_IDLE or cost.status >= 500
    ]
    shown = sorted(costs, key=lambda cost: -cost.cpu) if verbose else over
    for cost in shown:
        print(f"      {'OVER ' if cost in over else ''}{cost.request.operation}: {_line(cost)}")
    longest = max(costs, key=lambda cost: cost.waited)
    print(f"    longest wait of GET /health: {longest.waited:.0f} ms, {longest.request.name}")
    heaviest = max(costs, key=lambda cost: cost.memory)
    print(f"    most memory: {heaviest.memory:.1f} MiB, {heaviest.request.name}")
    return not over


def _line(cost: Cost) -> str:
    return (
        f"{cost.cpu:.1f} ms, {cost.memory:.1f} MiB, health {cost.waited:.0f} ms, {cost.status}, "
        f"{cost.answered} bytes: {cost.request.place}, {cost.request.kind}"
    )


async def measure(running: Stack, only: str, *, verbose: bool) -> bool:
    """Print all figures; return whether they are within the budget."""
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        bench = Bench(running, http, application_token(running.config))
        every = hostile(await prepared(bench))
        requests = [each for each in every if only in each.name]
        warm_up = [
            next(own) for _, own in itertools.groupby(every, lambda each: each.operation)
        ] + [each for each in every if each.kind == "$filter, chain"]
        await asyncio.sleep(2)  # for the checks of the new flows
        await bench.restart(warm_up)
        within = True
        for title, most, with_token in (
            ("without a token", WITHOUT_TOKEN, False),
            ("with a token", WITH_TOKEN, True),
        ):
            costs = [await bench.cost(each, most, with_token=with_token) for each in requests]
            for cost in largest(costs):
                await bench.restart(warm_up)
                again = await bench.cost(cost.request, most, with_token=with_token)
                cost.memory = max(cost.memory, again.memory)
            within &= report(title, costs, most, verbose=verbose)
    connection = running.config.service_bus_connection
    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender(READINESS_QUEUE) as sender,
    ):
        costs = [
            await bench.event_cost(sender, kind, body)
            for kind, body in events().items()
            if only in f"update_readiness_status: event, {kind}"
        ]
    return report("messages of the queue", costs, WITH_TOKEN, verbose=verbose) and within


def main() -> int:
    """Run on a stack of its own; 1 when a request costs more than the budget."""
    assert function_app.app is not None  # whose import registers the operations
    parser = argparse.ArgumentParser(prog="python -m bench.worst_case", description=__doc__)
    parser.add_argument("-v", dest="verbose", action="store_true", help="print every request")
    parser.add_argument("-k", dest="only", default="", help="only requests whose name has this")
    given = parser.parse_args()
    with stack(host=True) as running:
        return 0 if asyncio.run(measure(running, given.only, verbose=given.verbose)) else 1


if __name__ == "__main__":
    sys.exit(main())
