"""How long whoever waits for an answer still waits; all requests made for it stay inside that."""

from __future__ import annotations

import time
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("deadline", default=None)


class within:  # noqa: N801 - used as a statement; a generator would cost each request more
    """Give what is done inside `seconds`, or what is left of an outer deadline if that is less."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _until.set(time.monotonic() + left(self._seconds))

    def __exit__(self, *raised: object) -> None:
        _until.reset(self._token)


def left(most: float) -> float:
    """Return the seconds that are left, `most` where nobody waits or waits longer."""
    until = _until.get()
    return most if until is None else max(0.0, min(most, until - time.monotonic()))
