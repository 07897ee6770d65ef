"""Fault runs on a stack of its own: `python -m bench.chaos`; 1 when a flow is lost or stuck.

Three parts, each printing its figures: how soon a flow is ready when nothing is wrong; creates
while processes are killed and connections cut; events that come three times in any order.
What is done, and the gaps between, follow from the seed; how requests fall into them does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from local.access_token import application_token
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, HOST, READINESS_QUEUE, ROOT
from local.settings import example_values
from local.stack import Stack, throwaway_config

PAYLOADS = ROOT / "shared" / "contract" / "examples"
NAMES = ("administrative_unit", "class_group", "security_group", "user")
KINDS = {
    "administrative_unit": "administrativeUnitProvisioningFlow",
    "class_group": "classGroupProvisioningFlow",
    "security_group": "securityGroupProvisioningFlow",
    "user": "userProvisioningFlow",
}
BODIES = {name: (PAYLOADS / f"{name}.request.json").read_bytes() for name in NAMES}
REPORTED = ("ready", "failed", "disabled", "expired")
AT_ONCE = 16
COPIES = 3
REPORTS_A_FLOW = 3
# What hangs longer than this is counted as stuck or lost.
DEADLINE_SECONDS = 180.0
QUIET_SECONDS = 2.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")


class Hop:
    """A TCP hop on loopback that can drop every connection through it, as a network would."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Reset all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    def close(self) -> None:
        """Listen no more and reset all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    # The other direction ends with this one: its reader sees the end.
    writer.close()


@dataclass(frozen=True)
class Accepted:
    """A flow that the service has answered for."""

    set_id: str
    name: str
    flow_id: str


@dataclass
class Run:
    """A stack with hops in between, the clients on it, and what went wrong."""

    stack: Stack
    chance: random.Random
    http: aiohttp.ClientSession
    container: ContainerProxy
    api: Hop
    cosmos: Hop
    service_bus: Hop
    faults: list[str] = field(default_factory=list)

    def sets(self, *more: str) -> str:
        """An address below the flow sets."""
        path = "external/industryData/outboundProvisioningFlowSets"
        return "/".join([f"http://{HOST}:{self.api.port}/beta/{path}", *more])

    async def post(self, url: str, body: bytes) -> tuple[int, Any]:
        """Send a POST until it is answered other than by 503; the status and the body."""
        ends = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self.http.post(url, data=body) as response:
                    if response.status != 503:
                        return response.status, await response.json()
                    await asyncio.sleep(float(response.headers["Retry-After"]))
                    continue
            await asyncio.sleep(0.1 + 0.2 * random.random())  # noqa: S311 - no secret
        raise TimeoutError(f"POST {url} got no answer in {DEADLINE_SECONDS:.0f} s")

    async def get(self, url: str) -> Any:
        """Read one address; repeats as `post` does."""
        ends = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self.http.get(url) as response:
                    if response.status == 200:
                        return await response.json()
            await asyncio.sleep(0.2)
        raise TimeoutError(f"GET {url} got no answer in {DEADLINE_SECONDS:.0f} s")

    async def new_set(self) -> str:
        """Create a set; one whose answer was lost stays behind empty."""
        status, body = await self.post(self.sets(), b'{"displayName": "Contoso schools"}')
        if status != 201:
            raise RuntimeError(f"a set was answered {status}: {body}")
        return str(body["id"])

    async def create(self, set_id: str, name: str) -> Accepted | None:
        """Create a flow as a careful client does: again after a cut, and 409 means it is there."""
        url = self.sets(set_id, "provisioningFlows")
        status, body = await self.post(url, BODIES[name])
        if status == 201:
            return Accepted(set_id, name, str(body["id"]))
        if status == 409:
            for flow in (await self.get(url))["value"]:
                if flow["@odata.type"].endswith(f".{KINDS[name]}"):
                    return Accepted(set_id, name, str(flow["id"]))
        self.faults.append(f"a create was answered {status}: {json.dumps(body)[:200]}")
        return None

    async def create_all(self, count: int, seconds: float) -> list[Accepted]:
        """Create flows, four a set, spread over `seconds` where the service is fast enough."""
        began = time.monotonic()
        new_sets: dict[int, asyncio.Task[str]] = {}

        async def one(number: int) -> Accepted | None:
            wait = began + seconds * number / count - time.monotonic()
            await asyncio.sleep(max(0.0, wait))
            place, kind = divmod(number, len(NAMES))
            if place not in new_sets:
                new_sets[place] = asyncio.create_task(self.new_set())
            return await self.create(await new_sets[place], NAMES[kind])

        found = await in_turns(AT_ONCE, (one(number) for number in range(count)))
        return [each for each in found if each is not None]

    async def stored(self) -> dict[str, dict[str, Any]]:
        """Every stored flow by its id, with its set id and its kind."""
        query = self.container.query_items("SELECT c.id, c.flows FROM c")
        return {
            flow["id"]: {**flow, "setId": document["id"], "kind": kind}
            async for document in query
            for kind, flow in document["flows"].items()
        }

    async def not_ready(self) -> list[dict[str, Any]]:
        """The stored flows that are notReady."""
        found = await self.stored()
        return [flow for flow in found.values() if flow["readinessStatus"] == "notReady"]

    async def until_quiet(self) -> list[dict[str, Any]]:
        """Wait until flows become ready no more without help; return those that are not."""
        left, since = await self.not_ready(), time.monotonic()
        while left and time.monotonic() < since + QUIET_SECONDS:
            await asyncio.sleep(0.1)
            now = await self.not_ready()
            if len(now) < len(left):
                since = time.monotonic()
            left = now
        return left

    async def reconcile(self, ends: float) -> list[dict[str, Any]]:
        """Make what is notReady due, and fire the timer until nothing is; return what is left."""
        left = await self.not_ready()
        for flow in left:
            path = f"/flows/{flow['kind']}/askAgainAt"
            operation = {"op": "set", "path": path, "value": 0}
            await self.container.patch_item(flow["setId"], flow["setId"], [operation])
        timer = f"http://{HOST}:{self.stack.config.functions_port}/admin/functions"
        while left and time.monotonic() < ends:
            async with self.http.post(f"{timer}/reconcile_readiness", data=b"{}") as response:
                response.raise_for_status()
            left = await self.until_quiet()
        return left


async def in_turns(most: int, work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines, `most` at a time; their results in order."""
    slots = asyncio.Semaphore(most)

    async def one(each: Coroutine[Any, Any, T]) -> T:
        async with slots:
            return await each

    return list(await asyncio.gather(*(one(each) for each in work)))


# --- the three parts ---------------------------------------------------------------------------


async def measure_latency(run: Run, count: int) -> None:
    """Create flows while nothing is wrong; print the time from each create to ready."""
    await run.create_all(len(NAMES) * 2, 0.5)  # the first requests open connections
    accepted = await run.create_all(count, count / 20)
    left = await run.until_quiet()
    if left:
        run.faults.append(f"{len(left)} flows are not ready although nothing was wrong")
    print(
        f"time to ready, nothing wrong: {len(accepted)} creates, {await latencies(run, accepted)}"
    )


async def latencies(run: Run, accepted: list[Accepted]) -> str:
    """The time from storing a flow to storing that it is ready, from the flows' own history."""
    found = await run.stored()
    took = []
    for each in accepted:
        history = [entry for entry in found[each.flow_id]["history"] if entry is not None]
        ready = [entry["appliedAt"] for entry in history if entry["readinessStatus"] == "ready"]
        if ready:
            took.append((min(ready) - history[-1]["appliedAt"]) / 1000)
    took.sort()
    return f"p50 {at(took, 50):.0f} ms, p99 {at(took, 99):.0f} ms"


def at(values: list[float], percent: int) -> float:
    """A percentile of sorted values."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else float("nan")


class Trouble:
    """Kills the host and the Service Bus emulator, and cuts connections, until it is told to stop.

    Every round does each of the actions once, in an order and with pauses that the seed gives; the
    first round is always finished.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._over = asyncio.Event()
        self.done: Counter[str] = Counter()

    def stop(self) -> None:
        """Do no more after the present action and the first round."""
        self._over.set()

    async def make(self) -> None:
        """Go through the rounds."""
        run = self._run
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "kills of the host": lambda: self._kill("host"),
            "kills of the Service Bus emulator": lambda: self._kill("service_bus"),
            "cuts at the API": lambda: self._cut(run.api),
            "cuts at Service Bus": lambda: self._cut(run.service_bus),
            "cuts at Cosmos DB": lambda: self._cut(run.cosmos),
        }
        for number in itertools.count():
            for name in run.chance.sample(list(actions), len(actions)):
                if self._over.is_set() and number:
                    return
                await asyncio.sleep(run.chance.uniform(0.2, 1.0))
                await actions[name]()
                self.done[name] += 1

    async def _kill(self, name: str) -> None:
        pause = self._run.chance.uniform(0.0, 1.0)
        await asyncio.to_thread(self._run.stack.kill, name)
        await asyncio.sleep(pause)
        await asyncio.to_thread(self._run.stack.start, name)

    async def _cut(self, hop: Hop) -> None:
        hop.cut()


async def survive_trouble(run: Run, count: int) -> None:
    """Create flows while parts are killed and connections cut; every accepted one gets ready."""
    trouble = Trouble(run)
    began = time.monotonic()
    making = asyncio.create_task(trouble.make())
    accepted = await run.create_all(count, max(4.0, count / 25))
    trouble.stop()
    await making
    took = time.monotonic() - began
    asked = await run.until_quiet()
    stuck = await run.reconcile(time.monotonic() + DEADLINE_SECONDS) if asked else []
    shown = await read_back(run, {each.set_id for each in accepted})
    lost = [each for each in accepted if each.flow_id not in shown]
    wrong = [each for each in accepted if shown.get(each.flow_id) not in (None, "ready")]
    stopped = ", ".join(f"{number} {name}" for name, number in sorted(trouble.done.items()))
    print(
        f"trouble: {count} creates in {took:.0f} s with {stopped}\n"
        f"  accepted {len(accepted)}, lost {len(lost)}, stuck {len(stuck) or len(wrong)}; "
        f"asked again by the timer {len(asked)}\n"
        f"  time to ready (those included, their minutes of waiting cut short): "
        f"{await latencies(run, accepted)}"
    )
    if lost or stuck or wrong or len(accepted) != count:
        run.faults.append(
            f"of {count} creates {len(accepted)} were accepted, {len(lost)} of them lost and "
            f"{max(len(stuck), len(wrong))} stuck"
        )


async def read_back(run: Run, set_ids: set[str]) -> dict[str, str]:
    """The status of each flow of these sets, as the API shows it, by the flow's id."""
    found = await in_turns(
        AT_ONCE, (run.get(run.sets(set_id, "provisioningFlows")) for set_id in sorted(set_ids))
    )
    return {flow["id"]: flow["readinessStatus"] for body in found for flow in body["value"]}


async def survive_disorder(run: Run, count: int) -> None:
    """Report about flows, each event three times and all in random order; the newest counts.

    Every fourth flow is reset before, so that some of its reports are about a former revision.
    """
    accepted = await run.create_all(count, count / 100)
    for each in accepted[::4]:
        url = run.sets(each.set_id, "provisioningFlows", each.flow_id, "reset")
        async with run.http.post(url) as response:
            response.raise_for_status()
    if left := await run.until_quiet():
        run.faults.append(f"{len(left)} flows were not ready before their reports")
    began = time.monotonic()
    flows = await run.stored()
    messages: list[ServiceBusMessage] = []
    expected: dict[str, str] = {}
    for each in accepted:
        flow = flows[each.flow_id]
        reports = [_report(run.chance, each, flow) for _ in range(REPORTS_A_FLOW)]
        newest = max(
            (report for report in reports if report["data"]["revision"] == flow["revision"]),
            key=lambda report: str(report["time"]),
            default=None,
        )
        expected[each.flow_id] = newest["data"]["readinessStatus"] if newest else "ready"
        # Message ids of their own: what the queue drops as a duplicate never reaches the rule.
        messages += [
            ServiceBusMessage(json.dumps(report), message_id=str(uuid.uuid4()))
            for report in reports * COPIES
        ]
    run.chance.shuffle(messages)
    wrong = await _send_and_compare(run, messages, expected)
    print(
        f"disorder: {len(accepted)} flows, {len(messages)} messages of which each event came "
        f"{COPIES} times, {time.monotonic() - began:.0f} s\n"
        f"  in the state that the newest event says: {len(accepted) - len(wrong)} of {count}"
    )
    if wrong or len(accepted) != count:
        run.faults.append(f"{len(wrong)} of {count} flows are in a wrong state")


def _report(chance: random.Random, about: Accepted, flow: dict[str, Any]) -> dict[str, Any]:
    """A report about the present revision or, where there is one, the former."""
    revision = chance.randint(1, flow["revision"])
    # To the microsecond, since the check that made the flow ready.
    moment = EPOCH + timedelta(microseconds=flow["appliedAt"] + chance.randint(1, 100_000))
    return {
        "specversion": "1.0",
        "id": str(uuid.UUID(int=chance.getrandbits(128))),
        "source": "/bench/chaos",
        "type": "industryData.provisioningFlow.readinessReported",
        "time": moment.isoformat(timespec="microseconds"),
        "data": {
            "flowSetId": about.set_id,
            "flowId": about.flow_id,
            "kind": KINDS[about.name],
            "revision": revision,
            "readinessStatus": chance.choice(REPORTED),
        },
    }


async def _send_and_compare(
    run: Run, messages: list[ServiceBusMessage], expected: dict[str, str]
) -> list[str]:
    """Send all, wait until the queue is empty, and return the ids of flows in a wrong state."""
    connection = run.stack.config.service_bus_connection
    async with ServiceBusClient.from_connection_string(connection) as client:
        async with client.get_queue_sender(READINESS_QUEUE) as sender:
            for start in range(0, len(messages), 100):
                await sender.send_messages(messages[start : start + 100])
        async with client.get_queue_receiver(READINESS_QUEUE) as receiver:
            ends = time.monotonic() + DEADLINE_SECONDS + len(messages) / 20
            while await receiver.peek_messages(1, sequence_number=1):
                if time.monotonic() > ends:
                    run.faults.append("messages are left in the queue")
                    break
                await asyncio.sleep(0.1)
    found = await run.stored()
    return [i for i, status in expected.items() if found[i]["readinessStatus"] != status]


# --- the command -------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running(seed: int) -> AsyncIterator[Run]:
    """Start a throwaway stack whose connections can be cut, and stop it."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        config = throwaway_config(Path(folder))
        hops = [
            Hop(port)
            for port in (config.functions_port, config.cosmos_port, config.service_bus_port)
        ]
        for hop in hops:
            await hop.open()
        api, cosmos, service_bus = hops
        settings = {
            **example_values(),
            **config.app_settings(),
            "COSMOS_ENDPOINT": f"http://{HOST}:{cosmos.port}",
            "ServiceBus": config.service_bus_connection.replace(
                f":{config.service_bus_port};", f":{service_bus.port};"
            ),
        }
        stack = Stack(config, host_settings=settings, say=lambda _: None)
        await asyncio.to_thread(stack.__enter__)
        try:
            headers = {
                "Authorization": f"Bearer {application_token(config)}",
                "Content-Type": "application/json",
            }
            client = CosmosClient(
                config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
            )
            patience = aiohttp.ClientTimeout(total=30)
            async with client, aiohttp.ClientSession(headers=headers, timeout=patience) as http:
                container = client.get_database_client(COSMOS_DATABASE).get_container_client(
                    "flowSets"
                )
                yield Run(stack, random.Random(seed), http, container, api, cosmos, service_bus)  # noqa: S311 - no secret
        finally:
            for hop in hops:
                hop.close()
            await asyncio.to_thread(stack.close)


async def chaos(seed: int, creates: int, events: int, calm: int) -> int:
    """Do all three parts; 0 when everything held."""
    print(f"seed {seed}")
    async with running(seed) as run:
        await measure_latency(run, calm)
        await survive_trouble(run, creates)
        await survive_disorder(run, events)
    for fault in run.faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    print("Nothing was lost or stuck." if not run.faults else f"{len(run.faults)} faults.")
    return 1 if run.faults else 0


def main(arguments: list[str] | None = None) -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="repeats the faults of a run")
    parser.add_argument("--creates", type=int, default=2000, help="flows amid trouble")
    parser.add_argument("--events", type=int, default=1000, help="flows with events in disorder")
    parser.add_argument("--short", action="store_true", help="a quarter of a minute")
    given = parser.parse_args(arguments)
    seed = random.randrange(1_000_000) if given.seed is None else given.seed  # noqa: S311 - no secret
    if given.short:
        return asyncio.run(chaos(seed, min(given.creates, 80), min(given.events, 40), 20))
    return asyncio.run(chaos(seed, given.creates, given.events, 400))


if __name__ == "__main__":
    sys.exit(main())
