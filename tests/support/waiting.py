"""Waiting for what happens, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

DEADLINE_SECONDS = 30.0


async def until(happened: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll until something happened, fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await happened():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        await asyncio.sleep(0.02)
