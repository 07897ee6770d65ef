"""Moves the clock of the host, its worker process, its timers and the emulators together."""

from __future__ import annotations

from collections.abc import Callable

from local.clock import PROCESS, Clock
from local.host.supervisor import Supervisor


class HostClock:
    """The host's clock; what waits for a time of day is called when it was moved."""

    def __init__(self, clock: Clock, worker: Supervisor) -> None:
        self._clock, self._worker = clock, worker
        self._waiting: list[Callable[[], None]] = []

    def call_when_moved(self, moved: Callable[[], None]) -> None:
        """Have this called each time, after the clock shows another time."""
        self._waiting.append(moved)

    def ahead(self) -> int:
        """Seconds by which it is ahead of this machine's."""
        return self._clock.ahead()

    def forward(self, seconds: int) -> None:
        """Move it, for every call from now on; raises ValueError as Clock.forward does."""
        self._clock.forward(seconds)
        PROCESS.be_ahead(self.ahead())
        self._worker.be_ahead(self.ahead())
        for moved in self._waiting:
            moved()
