"""Fires timer functions; a timer never runs twice at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from azure.functions.meta import Datum

from local.host.index import IndexedFunction
from local.host.invocation import InvocationFailed, Worker
from local.host.logs import HOST
from local.host.ncrontab import Schedule, parse_schedule
from local.host.settings import expand

#: started more than this late (seconds), a run is told that it is past due
_LATE = 1.0
#: never sleep longer than this (seconds), so that a suspended machine or a clock change is noticed
_NAP = 30.0


class Timer:
    """One timer function and its schedule."""

    def __init__(
        self, function: IndexedFunction, worker: Worker, environ: Mapping[str, str]
    ) -> None:
        self.function, self._worker = function, worker
        self.schedule: Schedule = parse_schedule(expand(str(function.trigger["schedule"]), environ))
        self._running = asyncio.Lock()
        self._last: datetime | None = None

    async def run_for_ever(self) -> None:
        """Wait for each due time and run the function; ends only when cancelled."""
        if self.function.trigger.get("runOnStartup") is True:
            await self.run("run on startup")
        due = self.schedule.after(datetime.now())
        while True:
            wait = (due - datetime.now()).total_seconds()
            if wait > 0:
                await asyncio.sleep(min(wait, _NAP))
                continue
            began = datetime.now()
            await self.run("timer", past_due=-wait > _LATE)
            # Counted from the start of the run, as in the extension: a run that outlasts its period
            # is followed at once by one other, however many due times it missed.
            due = self.schedule.after(max(due, began))

    async def run(self, reason: str, past_due: bool = False) -> None:
        """Run the function once, after a run that is under way; a failure is logged only."""
        async with self._running:
            now = datetime.now()
            status = {
                "Last": (self._last or now).isoformat(),
                "Next": self.schedule.after(now).isoformat(),
                "LastUpdated": (self._last or now).isoformat(),
            }
            info = {
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": status,
                "IsPastDue": past_due,
            }
            with suppress(InvocationFailed):
                await self._worker.invoke(
                    self.function, Datum(json.dumps(info), "json"), reason=reason
                )
            self._last = now


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel timers and wait until they are gone."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            HOST.error("A timer stopped", exc_info=outcome)
