"""Fault runs on a stack of its own: `python -m bench.chaos`; 1 when anything is not as it must be.

Its parts, one module each (bench/chaos_*.py), print their figures; docs/chaos.md says what they do.
What is done, and the gaps between, follow from the seed; how requests fall into them does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from azure.cosmos.aio import CosmosClient
from azure.servicebus import ServiceBusMessage

from bench.chaos_changes import survive_changes
from bench.chaos_clocks import survive_clocks
from bench.chaos_events import a_report, send_all
from bench.chaos_hosts import survive_two_hosts
from bench.chaos_pause import PAUSE_SECONDS, survive_pause
from bench.chaos_poison import survive_poison
from bench.chaos_run import NAMES, Hop, Run
from bench.chaos_trouble import all_actions, latencies, survive_trouble
from bench.chaos_versions import survive_versions
from local.access_token import application_token
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, HOST
from local.settings import example_values
from local.stack import Stack, throwaway_config
from shared.adapters.partition import FLOW_SETS

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
                    FLOW_SETS
                )
                chance = random.Random(seed)  # noqa: S311 - no secret
                yield Run(stack, chance, http, container, api, cosmos, service_bus, settings)
        finally:
            for hop in hops:
                hop.close()
            await asyncio.to_thread(stack.close)


@dataclass(frozen=True)
class Sizes:
    """How much is done in each part."""

    creates: int
    events: int
    poison: int
    short: bool

    @property
    def longest_pause(self) -> float:
        """The seconds between two things that are done, at most; production has no such wait."""
        return 0.1 if self.short else 1.0

    @property
    def sets(self) -> int:
        """The number of sets that are changed."""
        return 2 if self.short else max(10, self.creates // 20)


PARTS: dict[str, Callable[[Run, Sizes], Awaitable[None]]] = {
    "calm": lambda run, sizes: measure_latency(run, 20 if sizes.short else 400),
    "trouble": lambda run, sizes: survive_trouble(run, sizes.creates, sizes.longest_pause),
    "changes": lambda run, sizes: survive_changes(
        run,
        sizes.sets,
        all_actions(run, sizes.longest_pause, few=sizes.short),
        longest_pause=sizes.longest_pause,
        catalog=not sizes.short,
    ),
    "disorder": lambda run, sizes: survive_disorder(run, sizes.events),
    "versions": lambda run, sizes: survive_versions(run, max(5, sizes.events // 10)),
    "pause": lambda run, sizes: survive_pause(
        run, 4 if sizes.short else 80, 1.0 if sizes.short else PAUSE_SECONDS
    ),
    "hosts": lambda run, sizes: survive_two_hosts(
        run, sizes.sets, longest_pause=sizes.longest_pause, catalog=not sizes.short
    ),
    "clocks": lambda run, sizes: survive_clocks(
        run, 4 if sizes.short else 60, catalog=not sizes.short
    ),
    "poison": lambda run, sizes: survive_poison(run, sizes.poison, kill=not sizes.short),
}


async def chaos(seed: int, sizes: Sizes, parts: Collection[str]) -> int:
    """Do these parts; 0 when everything held."""
    print(f"seed {seed}")
    async with running(seed) as run:
        if sizes.short:
            run.longest_wait = 1.0
            print("short: clients wait a second at most, also where Retry-After says more")
        for name in parts:
            await PARTS[name](run, sizes)
    for fault in run.faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    print("All is as it must be." if not run.faults else f"{len(run.faults)} faults.")
    return 1 if run.faults else 0


def main(arguments: list[str] | None = None) -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="repeats the faults of a run")
    parser.add_argument("--creates", type=int, default=2000, help="flows amid trouble")
    parser.add_argument("--events", type=int, default=1000, help="flows with events in disorder")
    parser.add_argument("--poison", type=int, default=1000, help="messages that are no events")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--short", action="store_true", help="a little of each part")
    given = parser.parse_args(arguments)
    seed = random.randrange(1_000_000) if given.seed is None else given.seed  # noqa: S311 - no secret
    sizes = Sizes(given.creates, given.events, given.poison, short=False)
    if given.short:
        sizes = Sizes(creates=80, events=40, poison=40, short=True)
    return asyncio.run(chaos(seed, sizes, given.only))


if __name__ == "__main__":
    sys.exit(main())
