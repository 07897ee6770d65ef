"""The way of a create through the code: own calls, files and climbs. `python -m bench.path`.

Counted with a profiler while one user flow is created in a process that has created one before, on
emulators of its own. A call counts once, however often a coroutine is resumed. A climb is a call
from a lower layer into a higher one: functions, services, contract and adapters and odata, domain.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from types import FrameType
from typing import Any

from bench.create_cpu import new_sets, request
from bench.measure import seed_bodies, stack
from functions.http.provisioning_flows import create_provisioning_flow
from local.access_token import application_token
from local.config import ROOT
from shared import bootstrap

CALLS, FILES, CLIMBS = 90, 12, 0
"""The targets: at most so many."""

_HEIGHTS = {
    "functions": 3,
    "services": 2,
    "contract": 1,
    "odata": 1,
    "adapters": 1,
    "domain": 0,
    "telemetry": 0,
}


class Way:
    """Records the calls of the app's own functions."""

    def __init__(self) -> None:
        self._frames: dict[int, FrameType] = {}
        self.calls: Counter[str] = Counter()
        self.files: Counter[str] = Counter()
        self.climbs: list[str] = []

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        """Take note of a call, as sys.setprofile wants it."""
        if event != "call" or id(frame) in self._frames:
            return
        module = own_module(frame)
        name = frame.f_code.co_name
        if module is None or name.startswith("<"):
            return  # comprehensions are part of the function that holds them
        self._frames[id(frame)] = frame  # kept, so that no other frame gets its id
        self.calls[f"{module}.{name}"] += 1
        self.files[module] += 1
        caller = frame.f_back
        while caller is not None and own_module(caller) is None:
            caller = caller.f_back
        if caller is not None:
            below = own_module(caller) or ""
            if 0 <= height(below) < height(module):
                self.climbs.append(f"{below} -> {module}.{name}")


def own_module(frame: FrameType) -> str | None:
    """Return the module of a frame, by its path in the app; None for libraries."""
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / ".venv"):
        return None
    inside = path.relative_to(ROOT)
    return str(inside) if inside.parts[0] in ("functions", "shared") else None


def height(module: str) -> int:
    """Return how high a module's layer is; -1 for the composition root, which sees all."""
    parts = Path(module).with_suffix("").parts
    layer = parts[0] if parts[0] == "functions" else parts[1]
    return _HEIGHTS.get(layer, -1)


async def recorded(create: Awaitable[Any]) -> Way:
    """Return the way of a create that is awaited here, and nothing else that runs meanwhile."""
    way = Way()
    sys.setprofile(way.profile)
    try:
        answer = await create
    finally:
        sys.setprofile(None)
    assert answer.status_code == 201, answer.get_body()
    return way


async def measure(token: str) -> None:
    """Print what one create of a user flow goes through."""
    registered: Any = create_provisioning_flow
    handler = registered._function.get_user_function()
    user = seed_bodies()[-1]
    first, second = await new_sets(2)
    await handler(request(first, user, token))
    way = await recorded(handler(request(second, user, token)))
    await bootstrap.close()
    for what, count, target in (
        ("calls of the app's own functions", way.calls.total(), CALLS),
        ("files", len(way.files), FILES),
        ("climbs", len(way.climbs), CLIMBS),
    ):
        print(f"  {what:<47} {count:>10} {target:>10}")
    if "-v" in sys.argv:
        for each in (*way.climbs, *map(str, way.files.most_common()), *map(str, way.calls.items())):
            print("   ", each)


def main() -> None:
    """Run on emulators of its own."""
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    assert threading.active_count() == 1
    with stack() as running:
        asyncio.run(measure(application_token(running.config)))


if __name__ == "__main__":
    main()
