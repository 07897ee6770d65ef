"""A receiver for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes what comes, until the test ends."""
    async with receiving() as running:
        yield running
