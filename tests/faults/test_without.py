"""Without the layer, as in Azure: nobody can ask the app for a fault."""

from __future__ import annotations

import os
from pathlib import Path

import aiohttp

from local.config import ROOT
from local.settings import example_values
from local.stack import Stack
from tests.host.host_process import HostProcess
from tests.support.api import Api
from tests.support.hosts import NO_QUEUE


async def test_the_app_alone_knows_neither_header_nor_addresses(
    stack: Stack, tmp_path: Path, token: str
) -> None:
    settings = {**example_values(), **stack.config.app_settings(), "ServiceBus": NO_QUEUE}
    host = HostProcess(ROOT, tmp_path / "log", {**os.environ, **settings})
    try:
        site = await host.url()
        headers = {"Authorization": f"Bearer {token}", "Local-Fault": "503"}
        async with aiohttp.ClientSession(headers=headers) as session:
            service = Api(session, f"{site}/beta")
            assert (await service.get(service.sets)).status == 200
            for name in ("faults", "requests", "time"):
                assert (await service.get(f"{site}/local/{name}")).status in (400, 404)
    finally:
        host.kill()


def test_what_is_installed_in_azure_cannot_move_the_clock() -> None:
    deployed = (ROOT / "requirements.txt").read_text("utf-8")
    assert "time-machine" not in deployed
    assert "-r" not in deployed
    assert "time-machine==" in (ROOT / "local" / "requirements.txt").read_text("utf-8")
