"""Cosmos DB emulators that tests start for themselves, and helpers for them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import shutil
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from azure.cosmos.aio import ContainerProxy, CosmosClient

from local.config import COSMOS_EMULATOR_KEY, ROOT

SERVER = ROOT / "local" / "emulators" / "cosmos" / "server.cjs"
NODE = shutil.which("node") or "node"
SECONDS = 30.0

Item = dict[str, Any]
names = (f"container{number}" for number in itertools.count())


class Emulator:
    """One emulator process of a test."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, state: Path) -> None:
        self.process = process
        self.port = port
        self.state = state
        self.url = f"http://127.0.0.1:{port}"

    @classmethod
    async def start(cls, state: Path, *before: str, options: Iterable[str] = ()) -> Emulator:
        command = (*before, NODE, str(SERVER), "--port", "0", "--state", str(state), *options)
        process = await launch(*command)
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), SECONDS)).decode()
        start = "Cosmos DB emulator listening on 127.0.0.1:"
        if not line.startswith(start):
            raise AssertionError(line + (await finish(process))[1])
        return cls(process, int(line.removeprefix(start)), state)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
        self.process.send_signal(how)
        return await finish(self.process)


async def launch(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[str, str]:
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    return out.decode(), err.decode()


def connect(url: str) -> CosmosClient:
    return CosmosClient(url, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False)


@asynccontextmanager
async def running(
    state: Path, *before: str, options: Iterable[str] = ()
) -> AsyncIterator[tuple[Emulator, CosmosClient]]:
    """An emulator of its own for a test that stops or breaks it."""
    emulator = await Emulator.start(state, *before, options=options)
    try:
        async with connect(emulator.url) as client:
            yield emulator, client
    finally:
        if emulator.process.returncode is None:
            await emulator.end(signal.SIGKILL)


def signature(method: str, path: str, date: str) -> str:
    """What the header Authorization has for a request without the SDK."""
    parts = path.strip("/").split("/")
    # A collection of resources is signed by its owner.
    kind, link = (parts[-1], parts[:-1]) if len(parts) % 2 else (parts[-2], parts)
    text = f"{method.lower()}\n{kind.lower()}\n{'/'.join(link)}\n{date.lower()}\n\n"
    key = base64.b64decode(COSMOS_EMULATOR_KEY)
    signed = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()
    return quote(f"type=master&ver=1.0&sig={signed}", safe="")


async def sign(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Sign what an aiohttp session sends, as its middleware."""
    date = formatdate(usegmt=True)
    request.headers.setdefault("x-ms-date", date)
    request.headers.setdefault("Authorization", signature(request.method, request.url.path, date))
    return await handler(request)


async def fill(container: ContainerProxy, items: Iterable[Item]) -> None:
    for item in items:
        await container.create_item(item)


async def ask(container: ContainerProxy, sql: str, **options: Any) -> list[Any]:
    given = options.pop("parameters", {})
    parameters = [{"name": name, "value": value} for name, value in given.items()]
    return [row async for row in container.query_items(sql, parameters=parameters, **options)]
