"""The fault run's part about a host that stands still for longer than a message lock."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from bench.chaos_events import REPORTED
from bench.chaos_judge import Engine, Expected, report, settle
from bench.chaos_run import Run
from local.reaper import signal_group

LOCK_SECONDS = 60.0
PAUSE_SECONDS = 65.0


async def survive_pause(run: Run, count: int, seconds: float = PAUSE_SECONDS) -> None:
    """Stop the host (SIGSTOP) amid creates and reports; go on when its locks have ended."""
    began = time.monotonic()
    engine, expected = Engine(run), Expected()
    before = await run.create_all(count, 1.0)
    stored = await run.stored()
    creating = asyncio.create_task(run.create_all(count, 1.0))
    reporting = asyncio.gather(*(_report(run, engine, stored[each.flow_id]) for each in before))
    await asyncio.sleep(0.5)
    signal_group(run.stack.pid("host"), signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        signal_group(run.stack.pid("host"), signal.SIGCONT)
    await reporting
    accepted = before + await creating
    for each in accepted:
        expected.flows.setdefault(each.set_id, {})[each.name] = each.flow_id
    verdict = await settle(run, engine, expected, to_the_end=seconds > LOCK_SECONDS)
    if len(accepted) != 2 * count:
        run.faults.append(f"pause: {len(accepted)} of {2 * count} creates were accepted")
    lock = "longer than" if seconds > LOCK_SECONDS else "SHORTER than production's lock,"
    report(
        run,
        f"pause: the host stood still for {seconds:.0f} s, {lock} {LOCK_SECONDS:.0f} s, amid "
        f"{count} creates and {count} reports; at rest after {time.monotonic() - began:.0f} s",
        (),
        verdict,
    )


async def _report(run: Run, engine: Engine, flow: dict[str, Any]) -> None:
    status = run.chance.choice(REPORTED)
    await engine.report(flow["setId"], flow["kind"], flow["id"], status, flow["revision"])
