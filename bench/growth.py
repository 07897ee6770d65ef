"""What create, get and list cost as flow sets grow in number: `python -m bench.growth [most sets]`.

The handlers run in this process on emulators of their own; the time is that of a call, the median
of many calls, and its ratio to that at the fewest sets.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import time
from typing import Any

import aiohttp

import function_app
from bench.create_cpu import new_sets
from bench.measure import memory_of, seed_bodies, stack
from bench.requests import Service
from local.stack import Stack
from shared import bootstrap
from shared.contract.printing import SETS

SIZES = (10, 1_000, 100_000)
CALLS = 60
PAGES = 15
AT_ONCE = 64
# Requests for all sets. The last two look at every one.
QUERIES = {
    "ten sets": "?$top=10",
    "ten sets from the middle": "?$top=10&$filter=id gt '8'",
    "ten sets by name": "?$top=10&$orderby=displayName",
    "page of sets": "",
    "a filter that none passes": "?$filter=displayName eq 'none'",
    "count of all": "/$count",
}


async def median_ms(service: Service, calls: list[tuple[str, str, Any]]) -> float:
    """Return the median time of calls, one after the other, in milliseconds."""
    took = []
    for method, path, body in calls:
        started = time.perf_counter()
        await service.call(method, path, body)
        took.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took)


async def costs(service: Service, sets: list[str], bodies: list[Any]) -> dict[str, float]:
    """Return what each operation takes, in milliseconds."""
    paths = [f"{SETS}/{set_id}/provisioningFlows" for set_id in sets]
    found = {
        "create": await median_ms(service, [("POST", p, body) for body in bodies for p in paths])
    }
    one_each = [(await service.call("GET", path))["value"][0]["id"] for path in paths]
    gets = [("GET", f"{path}/{id_}", None) for path, id_ in zip(paths, one_each, strict=True)]
    found["get"] = await median_ms(service, gets)
    found["list of a set"] = await median_ms(service, [("GET", path, None) for path in paths])
    for what, query in QUERIES.items():
        calls = [("GET", f"{SETS}{query}", None)] * PAGES
        await median_ms(service, calls[:1])  # the first time, the emulator may sort them all
        found[what] = await median_ms(service, calls)
    return found


async def measure(running: Stack, sizes: list[int]) -> None:
    """Print the costs at each size."""
    bodies = [json.loads(body) for body in seed_bodies()]
    there = 0
    fewest: dict[str, float] = {}
    async with aiohttp.ClientSession() as http:
        service = Service(running.config, http)
        warm_up = await new_sets(sizes[0])
        await costs(service, warm_up, bodies)
        for set_id in warm_up:
            await bootstrap.flow_store().delete_set(set_id)
        for size in sizes:
            began = time.perf_counter()
            while there < size - CALLS:
                there += len(await new_sets(min(AT_ONCE, size - CALLS - there)))
            filled = time.perf_counter() - began
            sets = await new_sets(size - there)
            there = size
            found = await costs(service, sets, bodies)
            fewest = fewest or found
            held = memory_of(running.pid("cosmos"))
            print(f"  {size} sets, filled in {filled:.0f} s; emulator {held:.0f} MiB")
            for what, ms in found.items():
                print(f"    {what:<28} {ms:8.2f} ms   x {ms / fewest[what]:.2f}", flush=True)
    await bootstrap.close()


def main(arguments: list[str]) -> None:
    """Run on emulators of its own."""
    assert function_app.app is not None  # whose import registers the operations
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    most = int(arguments[0]) if arguments else SIZES[-1]
    with stack() as running:
        asyncio.run(measure(running, [size for size in SIZES if size <= most]))


if __name__ == "__main__":
    main(sys.argv[1:])
