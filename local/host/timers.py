"""Fires timer functions; a timer never runs twice at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from azure.functions.meta import Datum

from local.host.invocation import InvocationFailed, Invoker
from local.host.logs import HOST
from local.host.ncrontab import Schedule, parse_schedule
from local.host.settings import expand
from local.host.worker_checks import IndexedFunction

#: a run that starts more than this late is past due (seconds)
_LATE = 1.0
#: never sleep longer than this (seconds), so that a suspended machine or a clock change is noticed
_NAP = 30.0
#: a timer that runs more often than this (seconds) is not remembered, as in the real host
_MONITORED = 60.0


class Timer:
    """One timer function and its schedule.

    With a state folder it remembers its last run, as the real host does in the app's storage.
    """

    def __init__(
        self,
        function: IndexedFunction,
        worker: Invoker,
        environ: Mapping[str, str],
        state: Path | None = None,
    ) -> None:
        self.function, self._worker = function, worker
        self.schedule: Schedule = parse_schedule(expand(str(function.trigger["schedule"]), environ))
        self._running = asyncio.Lock()
        self._moved = asyncio.Event()
        self._last: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        first = self.schedule.after(datetime.now())
        often = (self.schedule.after(first) - first).total_seconds() < _MONITORED
        monitored = state is not None and not often and function.trigger.get("useMonitor", True)
        self._file = state / "timers" / function.name if state and monitored else None

    def start(self) -> None:
        """Begin to run the function when it is due."""
        self._task = asyncio.get_running_loop().create_task(self._run_for_ever())
        self._task.add_done_callback(_report)

    def clock_moved(self) -> None:
        """Look at once whether the function is due."""
        self._moved.set()

    async def stop(self) -> None:
        """Run it no more, and wait for a run that is under way."""
        async with self._running:
            if self._task is not None:
                self._task.cancel()

    async def _run_for_ever(self) -> None:
        """Wait for each due time and run the function; ends only when cancelled."""
        missed = self._missed()
        if missed or self.function.trigger.get("runOnStartup") is True:
            await self.run("at the start", past_due=missed)
        due = self.schedule.after(datetime.now())
        while True:
            wait = (due - datetime.now()).total_seconds()
            if wait > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), min(wait, _NAP))
                self._moved.clear()
                continue
            began = datetime.now()
            await self.run("timer", past_due=-wait > _LATE)
            # Counted from the start of the run, as in the extension: a run that outlasts its period
            # is followed at once by one other, however many due times it missed.
            due = self.schedule.after(max(due, began))

    def _missed(self) -> bool:
        """Whether a run was due while the host was down; the first start counts as a run."""
        now = datetime.now()
        if self._file is None:
            return False
        try:
            self._last = datetime.fromisoformat(self._file.read_text("ascii"))
        except (OSError, ValueError):
            self._ran_at(now)
            return False
        return self.schedule.after(self._last) <= now

    def _ran_at(self, moment: datetime) -> None:
        self._last = moment
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(moment.isoformat(), "ascii")

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
            self._ran_at(now)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        HOST.error("A timer stopped", exc_info=task.exception())
