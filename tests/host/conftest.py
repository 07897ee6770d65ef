"""Hosts that the tests of a module share."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.host.bus import Bus, Emulator, running
from tests.host.host_process import APPS, HostProcess, until


@pytest.fixture(scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostProcess]:
    folder = tmp_path_factory.mktemp("web")
    app = folder / "app"
    shutil.copytree(APPS / "web", app)
    values = {"FROM_FILE": "file", "FROM_BOTH": "file"}
    (app / "local.settings.json").write_text(json.dumps({"Values": values}))
    environ = {"FROM_BOTH": "process", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "100000"}
    process = HostProcess(app, folder / "log", environ)
    try:
        await process.url()
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
async def client(host: HostProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(await host.url()) as session:
        yield session


@pytest.fixture(scope="module")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    """One host for most tests; it was started before its emulator."""
    folder = tmp_path_factory.mktemp("bus")
    emulator = Emulator(folder)
    try:
        async with running(folder, emulator) as started:
            await until(lambda: "does not receive" in started.host.output)
            await emulator.start()
            yield started
    finally:
        emulator.kill()
