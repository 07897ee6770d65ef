"""What create, get and list cost as flow sets grow in number: `python -m bench.growth [most sets]`.

The doors run in this process on emulators of their own; the time is what a caller waits, the median
of many calls.
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
from shared import clients, flows

SIZES = (10, 1_000, 100_000)
CALLS = 60
AT_ONCE = 64


async def median_ms(service: Service, calls: list[tuple[str, str, Any]]) -> float:
    """Return the median time of calls, one after the other, in milliseconds."""
    took = []
    for method, path, body in calls:
        started = time.perf_counter()
        await service.call(method, path, body)
        took.append((time.perf_counter() - started) * 1e3)
    return statistics.median(took)


async def measure(running: Stack, sizes: list[int]) -> None:
    """Print the cost at each size."""
    bodies = [json.loads(body) for body in seed_bodies()]
    there = 0
    async with aiohttp.ClientSession() as http:
        service = Service(running.config, http)
        for size in sizes:
            began = time.perf_counter()
            while there < size - CALLS:
                there += len(await new_sets(min(AT_ONCE, size - CALLS - there)))
            filled = time.perf_counter() - began
            sets = await new_sets(size - there)
            there = size
            paths = [f"{flows.SETS}/{set_id}/provisioningFlows" for set_id in sets]
            create = await median_ms(
                service, [("POST", path, body) for body in bodies for path in paths]
            )
            found = [(await service.call("GET", path))["value"][0]["id"] for path in paths]
            get = await median_ms(
                service,
                [("GET", f"{p}/{id_}", None) for p, id_ in zip(paths, found, strict=True)],
            )
            listing = await median_ms(service, [("GET", path, None) for path in paths])
            page = await median_ms(service, [("GET", flows.SETS, None)] * 11)
            by_name = f"{flows.SETS}?$orderby=displayName&$top=10"
            ordered = await median_ms(service, [("GET", by_name, None)] * 5)
            print(
                f"  {size:>7} sets: create {create:.2f} ms, get {get:.2f} ms, list of a set "
                f"{listing:.2f} ms, page of sets {page:.1f} ms, page by name {ordered:.1f} ms; "
                f"emulator {memory_of(running.pid('cosmos')):.0f} MiB, filled in {filled:.0f} s",
                flush=True,
            )
    await clients.close()


def main(arguments: list[str]) -> None:
    """Run on emulators of its own."""
    assert function_app.app is not None  # whose import registers the operations
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    most = int(arguments[0]) if arguments else SIZES[-1]
    with stack() as running:
        asyncio.run(measure(running, [size for size in SIZES if size <= most]))


if __name__ == "__main__":
    main(sys.argv[1:])
