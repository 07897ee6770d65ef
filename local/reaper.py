"""Ends the stack's processes when the process that started them is gone: `python local/reaper.py`.

The stack writes to its stdin, one line each, which process groups are alive ("+123") and which have
ended ("-123"). Only the stack holds the other end of that pipe, so its end of file means that the
stack ended or was killed (kill -9 included, on Linux and macOS alike): what is still listed is then
sent SIGTERM and, after GRACE_SECONDS, killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence

GRACE_SECONDS = 5.0


def signal_group(group: int, number: int) -> bool:
    """Send a signal (0 sends none) to a process group; False when no process is left in it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the second for a group of zombies
        return False
    return True


def end_groups(groups: Sequence[int], grace: float = GRACE_SECONDS) -> None:
    """Stop process groups, last started first; kill what is left after `grace` seconds."""
    for group in reversed(groups):
        signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace
    left = list(groups)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [group for group in left if signal_group(group, 0)]
    for group in left:
        signal_group(group, signal.SIGKILL)


def watch(lines: Iterable[str]) -> list[int]:
    """Follow the reports until they end; the groups that are still alive, oldest first."""
    alive: dict[int, None] = {}
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            alive[group] = None
        else:
            alive.pop(group, None)
    return list(alive)


def main() -> None:
    """Wait for the stack to go, then end what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it must outlive a Ctrl-C and a closed terminal
    with contextlib.suppress(ValueError):  # a report cut short: end what is known
        end_groups(watch(sys.stdin))


if __name__ == "__main__":
    main()
