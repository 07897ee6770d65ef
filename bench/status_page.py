"""What the status page costs as flow sets grow in number: `python -m bench.status_page [most]`.

The app's functions run in a worker process of the local host, on emulators of their own. The
requests are those of the page: it asks every five seconds, with the ETag of the answer before. The
ratio is to the fewest sets, in the same run. Besides the time, the CPU of the worker process: the
machine may be busy with other things.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from typing import Any

import aiohttp

from bench.measure import app_folder, child_of, cpu_ms, process, seed_bodies, stack
from local.access_token import READ, application_token
from local.components import free_ports
from local.config import LocalConfig
from shared import bootstrap
from shared.contract.loading import load_flow
from shared.domain import flows
from shared.services.overview import SEEN_SECONDS
from shared.services.provisioning_flows import new_flow

SIZES = (10, 5_000)
AT_ONCE = 32
CALLS = 20
EVERY = 5.0
"""Seconds between two requests of the page."""
REFRESHES = 8
VIEWERS = 20
SECONDS = 60.0
"""For a start, and for an answer."""
READINESS = {"ready": 950, "failed": 10, "disabled": 20, "expired": 5, "notReady": 15}
PAGE = "top=50&skip="


async def fill(first: int, end: int) -> None:
    """Store flow sets of four flows each, a few of them in trouble."""
    chance = random.Random(first)  # noqa: S311 - the same sets in every run
    loaded = [load_flow(json.loads(body)) for body in seed_bodies()]
    limit = asyncio.Semaphore(AT_ONCE)

    async def add(number: int) -> None:
        document = flows.new_flow_set({"displayName": f"School {number}", "filter": None})
        for kind, values in loaded:
            [status] = chance.choices([*READINESS], [*READINESS.values()])
            reason = "No licence is left." if status == "failed" else None
            flow = new_flow(kind, values, bootstrap.keyring())
            document["flows"][kind] = {**flow, "readinessStatus": status, "reason": reason}
        async with limit:
            await bootstrap.flow_store().create_set(document)

    await asyncio.gather(*(add(number) for number in range(first, end)))


class Viewer:
    """A page that is open."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}/status/overview"
        self._tags: dict[str, str] = {}
        self.last: dict[str, Any] = {}

    async def read(self, query: str) -> float:
        """Ask as the page does; return the milliseconds until the answer was read."""
        started = time.perf_counter()
        tag = {"If-None-Match": self._tags[query]} if query in self._tags else {}
        async with self._http.get(f"{self._url}?{query}", headers=tag) as response:
            content = await response.read()
            assert response.status in (200, 304), (response.status, content)
        took = (time.perf_counter() - started) * 1e3
        if response.status == 200:
            self._tags[query] = response.headers["ETag"]
            self.last = json.loads(content)
        return took

    async def median_ms(self, query: str) -> float:
        """Ask several times, one after the other; return the median."""
        return statistics.median([await self.read(query) for _ in range(CALLS)])


class Store:
    """Counts the queries that reach the emulator, one for each range of a container."""

    def __init__(self, http: aiohttp.ClientSession, config: LocalConfig) -> None:
        self._http = http
        self._url = f"{config.cosmos_endpoint}/_emulator/requests"

    async def forget(self) -> None:
        async with self._http.delete(self._url) as response:
            response.raise_for_status()

    async def queries(self) -> tuple[int, float]:
        """Return how many were carried out since, and their request units.

        One that the gateway refused for its plan, which the SDK then fetches, read nothing.
        """
        async with self._http.get(self._url) as response:
            log = (await response.json())["log"]
        carried_out = (
            each for each in log if each["operation"] == "query" and each["status"] == 200
        )
        charges = [each["charge"] for each in carried_out]
        return len(charges), sum(charges)


async def first_numbers(viewer: Viewer, sets: int) -> dict[str, float]:
    """Wait for the service to listen; return the milliseconds until the page has its numbers."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            found = {"first answer after a start": await viewer.read(f"{PAGE}0")}
            break
        except aiohttp.ClientConnectorError:
            assert time.monotonic() < deadline, "the service did not start"
            await asyncio.sleep(0.05)
    began = time.perf_counter()
    assert viewer.last["flowSets"] == sets
    assert viewer.last["complete"]
    while viewer.last["queue"] is None:
        await asyncio.sleep(0.1)
        await viewer.read(f"{PAGE}0")
    waited = (time.perf_counter() - began) * 1e3
    return {**found, "until queue and dead letters are known": sum(found.values()) + waited}


async def costs(
    http: aiohttp.ClientSession, store: Store, port: int, host: int, sets: int
) -> dict[str, Any]:
    """Return what the page waits for, in milliseconds, and what the store is asked."""
    viewer = Viewer(http, port)
    found: dict[str, Any] = await first_numbers(viewer, sets)
    worker = child_of(host)
    # By then what was counted is too old to be shown.
    await asyncio.sleep(SEEN_SECONDS + 1)
    before = cpu_ms(worker)
    found["first answer after a pause"] = await Viewer(http, port).read(f"{PAGE}0")
    found["first answer after a pause: CPU"] = cpu_ms(worker) - before
    viewers = [Viewer(http, port) for _ in range(VIEWERS)]
    for name, watching in (("a refresh", [viewer]), (f"a refresh, {VIEWERS} viewers", viewers)):
        await asyncio.gather(*(each.read(f"{PAGE}0") for each in watching))
        await store.forget()
        took = []
        before = cpu_ms(worker)
        for _ in range(REFRESHES):
            await asyncio.sleep(EVERY)
            took += await asyncio.gather(*(each.read(f"{PAGE}0") for each in watching))
        asked, units = await store.queries()
        found[name], found[f"{name}, worst"] = statistics.median(took), max(took)
        found[f"{name}: CPU"] = (cpu_ms(worker) - before) / len(took)
        found[f"{name}: queries"] = asked / len(took)
        found[f"{name}: RU"] = units / len(took)
    queries = {
        "the last page": f"{PAGE}{max(0, sets - 50)}",
        "sets with a failed flow": f"{PAGE}0&status=failed",
        "a search that finds sets": f"{PAGE}0&search=School 7",
        "a search that finds none": f"{PAGE}0&search=elsewhere",
    }
    return found | {what: await viewer.median_ms(query) for what, query in queries.items()}


async def measure(config: LocalConfig, app: str, sizes: list[int]) -> None:
    """Print the costs at each size, each with a service that was started for it."""
    headers = {"Authorization": f"Bearer {application_token(config, *READ)}"}
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    there = 0
    fewest: dict[str, Any] = {}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        for size in sizes:
            await fill(there, size)
            there = size
            [port] = free_ports(1)
            with process("-m", "local.host", "--app", app, "--port", str(port)) as host:
                found = await costs(http, Store(http, config), port, host, size)
            fewest = fewest or found
            print(f"  {size} sets")
            for what, value in found.items():
                ratio = f"x {value / fewest[what]:.2f}" if fewest[what] else ""
                print(f"    {what:<42} {value:8.2f}   {ratio}", flush=True)
    await bootstrap.close()


def main(arguments: list[str]) -> None:
    """Run on emulators of its own."""
    most = int(arguments[0]) if arguments else SIZES[-1]
    with stack() as running, app_folder("status_only") as app:
        asyncio.run(measure(running.config, app, [size for size in SIZES if size <= most]))


if __name__ == "__main__":
    main(sys.argv[1:])
