"""From the start of a process to its first 201, against FastAPI: `python -m bench.first_create`.

Ours is the local host with its worker process, theirs uvicorn with the same SDKs (bench/peers).
Each turn starts both anew, one after the other, and creates one flow as soon as something listens.
Besides the time, the CPU that the processes took: the machine may be busy with other things.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp

from bench.create_cpu import new_sets
from bench.http import SECONDS, Server, create
from bench.measure import Compared, app_folder, child_of, cpu_ms, process, seed_bodies, stack
from local.access_token import application_token
from local.components import free_ports
from shared import bootstrap
from shared.contract.printing import SETS

TARGET = "<= 0.8"
ROUNDS = 7


async def first_201(server: Server, set_id: str, *command: str) -> tuple[float, float]:
    """Return the milliseconds from the start to the first 201, and those of CPU."""
    began = time.perf_counter()
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    with process(*command) as pid:
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                try:
                    await create(http, server, set_id, seed_bodies()[0])
                except aiohttp.ClientConnectorError:
                    assert time.perf_counter() - began < SECONDS, f"{server.name} did not start"
                    await asyncio.sleep(0.01)
                else:
                    break
        took = (time.perf_counter() - began) * 1e3
        spent = cpu_ms(pid) + (cpu_ms(child_of(pid)) if server.name == "ours" else 0.0)
    return took, spent


async def measure(token: str, app: str) -> None:
    """Print both ratios."""
    our_port, their_port = free_ports(2)
    json_type = {"Content-Type": "application/json"}
    authorized = {**json_type, "Authorization": f"Bearer {token}"}
    ours = Server("ours", f"http://127.0.0.1:{our_port}/beta/{SETS}", authorized)
    theirs = Server("FastAPI", f"http://127.0.0.1:{their_port}/sets", json_type)
    host = ("-m", "local.host", "--app", app, "--port", str(our_port))
    uvicorn = ("-m", "uvicorn", "bench.peers.app:app", "--port", str(their_port))
    pairs = []
    for turn in range(ROUNDS + 1):
        one, other = await new_sets(2)
        pair = await first_201(ours, one, *host), await first_201(theirs, other, *uvicorn)
        if turn:  # the first compiles what has no bytecode yet
            pairs.append(pair)
    times = Compared.of([(our[0], their[0]) for our, their in pairs])
    print(times.line("process start to first 201", "ms", TARGET))
    cpu = Compared.of([(our[1], their[1]) for our, their in pairs])
    print(cpu.line("the same, CPU of all its processes", "ms", "none"))
    await bootstrap.close()


def main() -> None:
    """Run on emulators of its own."""
    with stack() as running, app_folder("http_only") as app:
        asyncio.run(measure(application_token(running.config), app))


if __name__ == "__main__":
    main()
