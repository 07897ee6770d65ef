"""A host process of a test's own, with settings of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from local.components import free_ports
from local.settings import example_values
from local.stack import Stack
from tests.support.api import Api

NO_QUEUE = (
    "Endpoint=sb://127.0.0.1:9;SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true"
)


@contextlib.asynccontextmanager
async def host(stack: Stack, state: Path, **settings: str) -> AsyncIterator[tuple[Api, Path]]:
    """A second host on the emulators of the stack: the API without a token, and its log."""
    [port] = free_ports(1)
    config = dataclasses.replace(stack.config, functions_port=port, local_state=state)
    # Without a queue: events are the first host's.
    given = {**example_values(), **stack.config.app_settings(), "ServiceBus": NO_QUEUE, **settings}
    second = Stack(config, names=["host"], host_settings=given, say=lambda _: None)
    await asyncio.to_thread(second.__enter__)
    try:
        async with aiohttp.ClientSession() as anyone:
            yield Api(anyone, config.api), second.log_file("host")
    finally:
        await asyncio.to_thread(second.close)
