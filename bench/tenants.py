"""What one tenant's lists cost as another one grows: `python -m bench.tenants [sets]`.

The handlers run in this process on emulators of their own. A tenant of ten sets is measured while
another one has ten and then, by default, 100,000: the medians, their ratio, and the requests and
request units that the emulator counted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import aiohttp

import function_app
from bench.create_cpu import new_sets
from bench.growth import AT_ONCE, QUERIES, costs
from bench.measure import seed_bodies, stack
from bench.requests import Service
from local.stack import Stack
from shared import bootstrap
from shared.contract.printing import SETS
from shared.domain.context import current_tenant

FEW = 10
MANY = 100_000
OTHER = "10ca1000-0000-4000-8000-000000000002"


async def charged(service: Service) -> dict[str, tuple[int, float]]:
    """Return requests to the store and request units, by what is listed or counted."""
    found = {}
    for what, query in QUERIES.items():
        counted = await service.counted(service.call("GET", f"{SETS}{query}"))
        found[what] = (len(counted), sum(each["charge"] for each in counted))
    return found


async def grow(there: int, size: int) -> None:
    """Store sets of the other tenant, until it has `size`."""
    current_tenant.set(OTHER)
    while there < size:
        there += len(await new_sets(min(AT_ONCE, size - there)))


async def measure(running: Stack, most: int) -> None:
    """Print the costs with few and with many sets of the other tenant."""
    bodies: list[Any] = [json.loads(body) for body in seed_bodies()]
    async with aiohttp.ClientSession() as http:
        service = Service(running.config, http)
        # A task has a context of its own: the other tenant is served in there only.
        await asyncio.create_task(grow(0, FEW))
        warm_up, sets = await new_sets(FEW), await new_sets(FEW)
        await costs(service, warm_up, bodies)
        for set_id in warm_up:
            await bootstrap.flow_store().delete_set(set_id)
        few, few_charged = await costs(service, sets, bodies), await charged(service)
        await asyncio.create_task(grow(FEW, most))
        for set_id in sets:
            await bootstrap.flow_store().delete_set(set_id)
        many = await costs(service, await new_sets(FEW), bodies)
        many_charged = await charged(service)
    for what, ms in few.items():
        line = f"  {what:<28} {ms:8.2f} ms   {many[what]:8.2f} ms   x {many[what] / ms:.2f}"
        if what in few_charged:
            (count, units), (later_count, later_units) = few_charged[what], many_charged[what]
            line += (
                f"   {count} request, {units:.1f} RU   {later_count} request, {later_units:.1f} RU"
            )
        print(line, flush=True)
    await bootstrap.close()


def main(arguments: list[str]) -> None:
    """Run on emulators of its own."""
    assert function_app.app is not None  # whose import registers the operations
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    most = int(arguments[0]) if arguments else MANY
    print(f"Ten sets of one tenant, beside {FEW} and {most:,} of another:")
    with stack() as running:
        asyncio.run(measure(running, most))


if __name__ == "__main__":
    main(sys.argv[1:])
