"""The fault run's part about processes that die, cut connections and a store that refuses."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp

from bench.chaos_run import AT_ONCE, DEADLINE_SECONDS, Accepted, Run, in_turns

Action = Callable[[], Awaitable[None]]

PARTS = {
    "host": "host",
    "Service Bus": "service_bus",
    "Cosmos DB": "cosmos",
    "Azurite": "azurite",
    "token issuer": "issuer",
}
# What Cosmos DB answers instead, and to how many requests at most. After 401, 403 and 404/1003 a
# client of the service has to wait for half a minute, so there are few of them.
ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "401": (2, {"status": 401}),
    "403": (2, {"status": 403}),
    "404/1002": (10, {"status": 404, "subStatus": 1002}),
    "404/1003": (2, {"status": 404, "subStatus": 1003}),
    "413": (5, {"status": 413}),
    "429 with a short wait": (20, {"status": 429, "retryAfterMs": 300}),
    "429 with 7 s": (5, {"status": 429, "retryAfterMs": 7000}),
    "3 s late": (10, {"delayMs": 3000}),
    "503 after a write": (5, {"status": 503, "after": True}),
}


class Trouble:
    """Does harm until the block ends: `async with Trouble(run, actions) as trouble`.

    Every round does each of the actions once, in an order and with pauses that the seed gives; the
    first round is always finished. Afterwards all parts run and Cosmos DB answers as it should.
    """

    def __init__(self, run: Run, actions: Mapping[str, Action], longest_pause: float = 1.0) -> None:
        self._run = run
        self._actions = actions
        self._longest_pause = longest_pause
        self._over = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self.done: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._work = asyncio.create_task(self._make())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._work is not None:
            await self._work
        await _faults(self._run, "DELETE")

    def __str__(self) -> str:
        kinds: dict[str, list[str]] = {}
        for full_name, number in self.done.items():
            kind, name = full_name.split(": ")
            kinds.setdefault(kind, []).append(f"{name} {number}")
        return "; ".join(f"{kind}: {', '.join(sorted(kinds[kind]))}" for kind in sorted(kinds))

    async def _make(self) -> None:
        run = self._run
        for number in itertools.count():
            for name in run.chance.sample(list(self._actions), len(self._actions)):
                if self._over.is_set() and number:
                    return
                await asyncio.sleep(run.chance.uniform(0.2, 1.0) * self._longest_pause)
                await self._actions[name]()
                self.done[name] += 1


def all_actions(run: Run, longest_pause: float = 1.0) -> dict[str, Action]:
    """Everything that is done to one stack, by its name in the figures."""
    hops = {"API": run.api, "Service Bus": run.service_bus, "Cosmos DB": run.cosmos}

    async def cut(name: str) -> None:
        hops[name].cut()

    return {
        **{f"kills: {name}": partial(kill, run, PARTS[name], longest_pause) for name in PARTS},
        **{f"cuts: {name}": partial(cut, name) for name in hops},
        **{f"bursts: {name}": partial(burst, run, name) for name in ANSWERS},
    }


async def kill(run: Run, name: str, longest_pause: float = 1.0) -> None:
    """Kill a part of the stack, and start it again."""
    pause = run.chance.uniform(0.0, 1.0) * longest_pause
    await asyncio.to_thread(run.stack.kill, name)
    await asyncio.sleep(pause)
    await asyncio.to_thread(run.stack.start, name)


async def burst(run: Run, name: str) -> None:
    """Have Cosmos DB answer so to some of its next requests, whatever they are."""
    most, fault = ANSWERS[name]
    await _faults(run, "POST", {**fault, "count": run.chance.randint(1, most)})


async def _faults(run: Run, method: str, fault: Mapping[str, Any] | None = None) -> None:
    url = f"{run.stack.config.cosmos_endpoint}/_emulator/faults"
    for _ in range(10):
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with run.http.request(method, url, json=fault) as response:
                response.raise_for_status()
                return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{method} {url} got no answer")


async def survive_trouble(run: Run, count: int, longest_pause: float = 1.0) -> None:
    """Create flows while all that goes wrong; every accepted one gets ready, and no other is."""
    began = time.monotonic()
    async with Trouble(run, all_actions(run, longest_pause), longest_pause) as trouble:
        accepted = await run.create_all(count, max(4.0, count / 25), at_once=2 * AT_ONCE)
    took = time.monotonic() - began
    waiting = await run.until_quiet()
    stuck = await run.reconcile(time.monotonic() + DEADLINE_SECONDS) if waiting else []
    shown = await read_back(run, {each.set_id for each in accepted})
    lost = [each for each in accepted if each.flow_id not in shown]
    wrong = [each for each in accepted if shown.get(each.flow_id) not in (None, "ready")]
    orphans, duplicates = await run.unnamed()
    print(
        f"trouble: {count} creates in {took:.0f} s\n  {trouble}\n"
        f"  accepted {len(accepted)}, lost {len(lost)}, stuck {len(stuck)}, wrong {len(wrong)}, "
        f"duplicate sets {duplicates}, orphan sets {orphans}; requested again by the timer "
        f"{len(waiting)}\n"
        f"  time to ready (those included, their minutes of waiting cut short): "
        f"{await latencies(run, accepted)}"
    )
    if lost or stuck or wrong or orphans or duplicates or len(accepted) != count:
        run.faults.append(
            f"of {count} creates {len(accepted)} were accepted, {len(lost)} of them lost, "
            f"{len(stuck)} stuck and {len(wrong)} in a wrong state; {duplicates} sets are there "
            f"twice, and no answer named {orphans}"
        )


async def read_back(run: Run, set_ids: set[str]) -> dict[str, str]:
    """The status of each flow of these sets, as the API shows it, by the flow's id."""
    found = await in_turns(
        AT_ONCE, (run.get(run.sets(set_id, "provisioningFlows")) for set_id in sorted(set_ids))
    )
    return {flow["id"]: flow["readinessStatus"] for body in found for flow in body["value"]}


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
    return f"p50 {_at(took, 50):.0f} ms, p99 {_at(took, 99):.0f} ms"


def _at(values: list[float], percent: int) -> float:
    """A percentile of sorted values."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else float("nan")
