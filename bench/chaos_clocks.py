"""The fault run's part about engines whose clocks are ten minutes ahead or behind."""

from __future__ import annotations

import time
from collections import Counter

from bench.chaos_events import REPORTED
from bench.chaos_judge import Engine, Expected, report, settle
from bench.chaos_run import KINDS, Run, in_turns

CLOCKS = {"ten minutes ahead": 600, "right": 0, "ten minutes behind": -600}
ROUNDS = 4
_AT_ONCE = 8
_ROLE = "proctor"


async def survive_clocks(run: Run, count: int, *, catalog: bool = True) -> None:
    """Report by wrong clocks, reset every third flow in between, and change a role at the end.

    Only the reports' times are wrong: the hosts and the emulators share this machine's clock.
    """
    began = time.monotonic()
    engine, expected = Engine(run), Expected()
    sent: Counter[str] = Counter()
    accepted = await run.create_all(count, 1.0)
    for each in accepted:
        expected.flows.setdefault(each.set_id, {})[each.name] = each.flow_id
    await run.until_quiet()
    for number in range(ROUNDS):
        stored = await run.stored()
        reports = []
        for each in accepted:
            flow = stored[each.flow_id]
            clock = run.chance.choice(list(CLOCKS))
            # An engine that only reads the API does not know the revision.
            revision = run.chance.choice([flow["revision"], None])
            status = run.chance.choice(REPORTED)
            sent[clock] += 1
            reports.append(
                engine.report(
                    each.set_id, KINDS[each.name], each.flow_id, status, revision, CLOCKS[clock]
                )
            )
        await in_turns(_AT_ONCE, reports)
        if number == 1:
            for each in accepted[::3]:
                url = run.sets(each.set_id, "provisioningFlows", each.flow_id, "reset")
                await run.send("POST", url)
    role = run.url("referenceDefinitions", f"RefRole-{_ROLE}")
    if catalog:
        # However far ahead a report was dated: flows that map this role fail now.
        await run.send("PATCH", role, {"isDisabled": True})
    verdict = await settle(run, engine, expected, to_the_end=catalog)
    await run.send("PATCH", role, {"isDisabled": False})
    clocks = ", ".join(f"{number} by a clock {name}" for name, number in sorted(sent.items()))
    report(
        run,
        f"clocks: {len(accepted)} flows, at rest after {time.monotonic() - began:.0f} s",
        (f"reports: {clocks}",),
        verdict,
    )
