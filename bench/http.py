"""A create over HTTP against FastAPI, pydantic and uvicorn: `python -m bench.http`.

Both servers are processes of their own, one worker each, and use the same emulators, with
the same storage calls and one event a create. Both log requests, as they do by default:
uvicorn a line each, ours two. Rounds take turns; each creates all four flows in new sets.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

import aiohttp

from bench.create_cpu import new_sets
from bench.measure import Compared, app_folder, process, seed_bodies, stack
from local.access_token import application_token
from local.components import free_ports
from shared import bootstrap
from shared.contract.printing import SETS

ROUNDS = 7
# Concurrency, and creates a round.
LOADS = ((1, 400), (16, 640), (64, 960))
SECONDS = 30.0
"""For a start, and for an answer."""


@dataclass(frozen=True)
class Server:
    """Where a create is sent."""

    name: str
    prefix: str
    headers: dict[str, str]


async def create(http: aiohttp.ClientSession, server: Server, set_id: str, body: bytes) -> float:
    """Send one create; return the milliseconds until its answer was read."""
    started = time.perf_counter()
    url = f"{server.prefix}/{set_id}/provisioningFlows"
    async with http.post(url, data=body, headers=server.headers) as response:
        content = await response.read()
        assert response.status == 201, (server.name, response.status, content)
    return (time.perf_counter() - started) * 1e3


async def first_create(http: aiohttp.ClientSession, server: Server) -> float:
    """Wait for a server to listen; return the milliseconds of its first create."""
    [set_id] = await new_sets(1)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return await create(http, server, set_id, seed_bodies()[0])
        except aiohttp.ClientConnectorError:
            assert time.monotonic() < deadline, f"{server.name} did not start"
            await asyncio.sleep(0.05)


async def load(
    http: aiohttp.ClientSession, server: Server, concurrency: int, creates: int
) -> tuple[float, float]:
    """Return the creates a second and the 99th percentile of their milliseconds."""
    bodies = seed_bodies()
    sets = await new_sets(math.ceil(creates / len(bodies)))
    jobs = iter([(set_id, body) for set_id in sets for body in bodies])
    took: list[float] = []

    async def client() -> None:
        for set_id, body in jobs:
            took.append(await create(http, server, set_id, body))

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    rate = len(took) / (time.perf_counter() - started)
    return rate, sorted(took)[math.ceil(len(took) * 0.99) - 1]


async def measure(ours: Server, theirs: Server) -> None:
    """Print throughput and the 99th percentile."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=SECONDS)
    ) as http:
        for server in (ours, theirs):
            print(f"  first create after the start, {server.name}: ", end="")
            print(f"{await first_create(http, server):.0f} ms", flush=True)
        for concurrency, creates in LOADS:
            rates, tails = [], []
            for turn in range(ROUNDS + 1):
                our_rate, our_tail = await load(http, ours, concurrency, creates)
                their_rate, their_tail = await load(http, theirs, concurrency, creates)
                if turn:  # the first is a warm-up
                    rates.append((our_rate, their_rate))
                    tails.append((our_tail, their_tail))
            what = f"create, {concurrency} at once"
            print(Compared.of(rates).line(f"{what}: rate", "1/s", ">= 1.0"))
            print(Compared.of(tails).line(f"{what}: p99", "ms", "<= 1.0"), flush=True)
    await bootstrap.close()


def main() -> None:
    """Run both servers on emulators of their own."""
    with stack() as running:
        our_port, their_port = free_ports(2)
        json_type = {"Content-Type": "application/json"}
        ours = Server(
            "ours",
            f"http://127.0.0.1:{our_port}/beta/{SETS}",
            {**json_type, "Authorization": f"Bearer {application_token(running.config)}"},
        )
        theirs = Server("FastAPI", f"http://127.0.0.1:{their_port}/sets", json_type)
        with (
            app_folder("http_only") as app,
            process("-m", "local.host", "--app", app, "--port", str(our_port)),
            process(
                *("-m", "uvicorn", "bench.peers.app:app", "--port", str(their_port)),
            ),
        ):
            asyncio.run(measure(ours, theirs))


if __name__ == "__main__":
    main()
