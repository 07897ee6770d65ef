"""Repeats a conditional write where another write comes between reading and writing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from shared.domain.context import left
from shared.domain.errors import StoreUnavailable

ATTEMPTS: Final = 40
"""A bound where there is no deadline: a dozen who write to one flow need up to fifteen."""
_FIRST_PAUSE_SECONDS: Final = 0.01
_MAX_DOUBLINGS: Final = 6

_Written = TypeVar("_Written")


async def until_written(attempt: Callable[[], Awaitable[_Written | None]]) -> _Written:
    """Return what `attempt` returns once its write was made; None means that it was refused.

    Each refusal is another writer's success. Pauses grow and are random, so that many who write to
    one set do not meet again. Raises StoreUnavailable at the deadline, or after ATTEMPTS.
    """
    for number in range(ATTEMPTS):
        written = await attempt()
        if written is not None:
            return written
        pause = _FIRST_PAUSE_SECONDS * 2 ** min(number, _MAX_DOUBLINGS) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        if left(pause) < pause:
            break
        await asyncio.sleep(pause)
    raise StoreUnavailable
