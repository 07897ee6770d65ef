"""How long whoever waits for an answer still waits; all requests made for it stay inside that."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give what is done inside `seconds`, or what is left of an outer deadline if that is less."""
    token = _until.set(time.monotonic() + left(seconds))
    try:
        yield
    finally:
        _until.reset(token)


def left(most: float) -> float:
    """Return the seconds that are left, `most` where nobody waits or waits longer."""
    until = _until.get()
    return most if until is None else max(0.0, min(most, until - time.monotonic()))
