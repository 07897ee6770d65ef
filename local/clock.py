"""The clock of a local stack: this machine's, moved forward where a client's author asks for it.

How far it is ahead is in one file in the state folder, which each process of the stack reads. It
only ever grows: what was stored in the future would make no sense before it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

#: the file's name in the state folder
FILE: Final = "clock"
#: so far ahead may a clock be (seconds)
MOST: Final = 400 * 24 * 3600
#: a whole number of seconds; eight aligned bytes are never seen half written
_BYTES: Final = 8


class Clock:
    """How far a stack's clock is ahead; the file is made where there is none."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)

    def ahead(self) -> int:
        """Seconds by which it is ahead of this machine's."""
        return int.from_bytes(os.pread(self._file, _BYTES, 0), "little")

    def forward(self, seconds: int) -> None:
        """Move it; raises ValueError for what would be back, or ahead by more than MOST."""
        ahead = self.ahead() + seconds
        if seconds < 1 or ahead > MOST:
            raise ValueError(f"not {seconds} seconds from {self.ahead()}")
        os.pwrite(self._file, ahead.to_bytes(_BYTES, "little"), 0)


def ahead_in(state: Path) -> int:
    """Seconds by which the clock of a state folder is ahead; 0 where it was never moved."""
    try:
        return int.from_bytes((state / FILE).read_bytes(), "little")
    except FileNotFoundError:
        return 0


def duration(seconds: int) -> str:
    """Write seconds as ISO 8601 does: P3DT4H, PT0S."""
    days, of_day = divmod(seconds, 24 * 3600)
    hours, of_hour = divmod(of_day, 3600)
    parts = ((hours, "H"), (of_hour // 60, "M"), (of_hour % 60, "S"))
    clock = "".join(f"{count}{unit}" for count, unit in parts if count)
    if not clock and not days:
        return "PT0S"
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


class ProcessClock:
    """The wall clock of this process: of time, datetime and all that use them.

    What measures durations is not moved: time.monotonic, and so asyncio's timers. Nothing is
    imported or replaced until it is moved.
    """

    def __init__(self) -> None:
        self._ahead = 0
        self._shift: Callable[[timedelta], None] | None = None

    def be_ahead(self, seconds: int) -> None:
        """Have it be so many seconds ahead of the machine's."""
        by = timedelta(seconds=seconds - self._ahead)
        self._ahead = seconds
        if self._shift is not None:
            self._shift(by)
        elif by:
            # Of local/requirements.txt; what is not moved does without it.
            import time_machine

            self._shift = time_machine.travel(by).start().shift
            time.time()  # it goes on from the first question


#: there is only one in a process
PROCESS: Final = ProcessClock()
