"""Fault runs on a stack of its own: `python -m bench.chaos`; 1 when a flow is lost or stuck.

Five parts, each printing its figures: how soon a flow is ready when nothing is wrong; creates
while processes are killed and connections cut; events that come three times in any order;
documents and events of the version before; messages that can never be understood.
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
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
from azure.cosmos.aio import CosmosClient
from azure.servicebus import ServiceBusMessage

from bench.chaos_events import a_report, send_all
from bench.chaos_poison import survive_poison
from bench.chaos_run import AT_ONCE, DEADLINE_SECONDS, NAMES, Accepted, Hop, Run, in_turns
from bench.chaos_versions import survive_versions
from local.access_token import application_token
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, HOST
from local.settings import example_values
from local.stack import Stack, throwaway_config

COPIES = 3
REPORTS_A_FLOW = 3


# --- the parts ---------------------------------------------------------------------------------


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
    """Kills the host and the Service Bus emulator, and cuts connections, until it is stopped.

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
    waiting = await run.until_quiet()
    stuck = await run.reconcile(time.monotonic() + DEADLINE_SECONDS) if waiting else []
    shown = await read_back(run, {each.set_id for each in accepted})
    lost = [each for each in accepted if each.flow_id not in shown]
    wrong = [each for each in accepted if shown.get(each.flow_id) not in (None, "ready")]
    stopped = ", ".join(f"{number} {name}" for name, number in sorted(trouble.done.items()))
    print(
        f"trouble: {count} creates in {took:.0f} s with {stopped}\n"
        f"  accepted {len(accepted)}, lost {len(lost)}, stuck {len(stuck) or len(wrong)}; "
        f"requested again by the timer {len(waiting)}\n"
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
        reports = [a_report(run.chance, each, flow) for _ in range(REPORTS_A_FLOW)]
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
    await send_all(run, messages)
    found = await run.stored()
    wrong = [i for i, status in expected.items() if found[i]["readinessStatus"] != status]
    print(
        f"disorder: {len(accepted)} flows, {len(messages)} messages of which each event came "
        f"{COPIES} times, {time.monotonic() - began:.0f} s\n"
        f"  in the state that the newest event says: {len(accepted) - len(wrong)} of {count}"
    )
    if wrong or len(accepted) != count:
        run.faults.append(f"{len(wrong)} of {count} flows are in a wrong state")


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


async def chaos(seed: int, creates: int, events: int, calm: int, poison: int) -> int:
    """Do all parts; 0 when everything held."""
    print(f"seed {seed}")
    async with running(seed) as run:
        await measure_latency(run, calm)
        await survive_trouble(run, creates)
        await survive_disorder(run, events)
        await survive_versions(run, max(5, events // 10))
        await survive_poison(run, poison, kill=poison >= 100)
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
    parser.add_argument(
        "--poison",
        type=int,
        default=1000,
        help="messages that are no events; from 100 on with a kill of the host",
    )
    parser.add_argument("--short", action="store_true", help="a quarter of a minute")
    given = parser.parse_args(arguments)
    seed = random.randrange(1_000_000) if given.seed is None else given.seed  # noqa: S311 - no secret
    if given.short:
        short = (min(given.creates, 80), min(given.events, 40), 20, min(given.poison, 40))
        return asyncio.run(chaos(seed, *short))
    return asyncio.run(chaos(seed, given.creates, given.events, 400, given.poison))


if __name__ == "__main__":
    sys.exit(main())
