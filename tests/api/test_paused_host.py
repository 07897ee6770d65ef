"""A host that stood still for longer than its calls may take answers them when it goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from functions.http.operations import DEADLINE_SECONDS
from local.config import ROOT
from local.settings import example_values
from local.stack import Stack
from tests.host.host_process import HostProcess
from tests.support.api import Api, assert_envelope
from tests.support.commands import ps
from tests.support.cosmos import CosmosFaults

# Longer than the service lets a request take, and shorter than the test stops the host.
FUNCTION_TIMEOUT_SECONDS = DEADLINE_SECONDS + 1
STOPPED_SECONDS = FUNCTION_TIMEOUT_SECONDS + 1.5


@dataclass(frozen=True)
class Paused:
    """A host of its own on the stack's emulators, with the processes that it consists of."""

    service: Api
    processes: tuple[int, ...]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.processes:
            os.kill(pid, number)


@pytest.fixture
async def paused(
    tmp_path: Path, stack: Stack, http: aiohttp.ClientSession, password_keys: str
) -> AsyncIterator[Paused]:
    """The app on a host with a shorter functionTimeout."""
    app = tmp_path / "app"
    app.mkdir()
    for name in ("function_app.py", "functions", "shared"):
        (app / name).symlink_to(ROOT / name)
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    host["functionTimeout"] = f"00:00:{FUNCTION_TIMEOUT_SECONDS:02.0f}"
    (app / "host.json").write_text(json.dumps(host), "utf-8")
    settings = {
        **example_values(),
        **stack.config.app_settings(),
        "PASSWORD_KEYS": password_keys,
    }
    process = HostProcess(app, tmp_path / "log", settings)
    try:
        root = await process.url()
        own = process.process.pid
        children = [int(pid) for pid, parent in ps("-A", "-o", "pid=,ppid=") if int(parent) == own]
        yield Paused(Api(http, f"{root}/beta"), (own, *children))
    finally:
        process.kill()


async def test_callers_of_a_host_that_was_paused_get_an_envelope(
    paused: Paused, cosmos_faults: CosmosFaults
) -> None:
    assert (await paused.service.get(paused.service.groups)).status == 200
    assert len(paused.processes) == 2
    async with cosmos_faults(operation="query", delayMs=5_000, count=100):
        calls = [asyncio.ensure_future(paused.service.get(paused.service.groups)) for _ in range(3)]
        await asyncio.sleep(1.5)
        paused.signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED_SECONDS)
        paused.signal(signal.SIGCONT)
        for answer in await asyncio.gather(*calls):
            assert_envelope(answer, 503, "serviceNotAvailable")
            assert 1 <= int(answer.headers["Retry-After"]) <= 10
    assert (await paused.service.get(paused.service.groups)).status == 200
