"""Timer functions under the local host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.host.host_process import APPS, DEADLINE, HostProcess

Runs = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[aiohttp.ClientSession]:
    log = tmp_path_factory.mktemp("clock") / "log"
    process = HostProcess(APPS / "clock", log, {"EVERY_SECOND": "* * * * * *"})
    try:
        async with aiohttp.ClientSession(await process.url()) as session:
            yield session
    finally:
        process.kill()


async def runs_with(client: aiohttp.ClientSession, name: str, count: int) -> list[dict[str, Any]]:
    """The runs of a timer, once there are so many."""
    async with asyncio.timeout(DEADLINE):
        while True:
            async with client.get("/api/runs") as answer:
                runs: Runs = await answer.json()
            if len(runs[name]) >= count:
                return runs[name]
            await asyncio.sleep(0.05)


async def test_timer_runs_on_time_even_after_failures(client: aiohttp.ClientSession) -> None:
    runs = await runs_with(client, "steady", 3)
    seconds = [round(run["began"]) for run in runs[:3]]
    assert seconds == [seconds[0], seconds[0] + 1, seconds[0] + 2]


async def test_timer_is_given_the_workers_class(client: aiohttp.ClientSession) -> None:
    runs = await runs_with(client, "steady", 1)
    assert runs[0]["class"] == "azure.functions.timer.TimerRequest"


async def test_run_on_time_is_not_past_due(client: aiohttp.ClientSession) -> None:
    runs = await runs_with(client, "slow", 1)
    assert runs[0]["past due"] is False


async def test_run_delayed_by_the_one_before_is_past_due_and_does_not_overlap(
    client: aiohttp.ClientSession,
) -> None:
    runs = await runs_with(client, "slow", 2)
    assert runs[1]["past due"] is True
    assert runs[1]["began"] >= runs[0]["ended"]


async def test_timer_runs_on_startup_if_its_binding_says_so(client: aiohttp.ClientSession) -> None:
    assert len(await runs_with(client, "start", 1)) == 1


async def test_timer_is_started_by_hand(client: aiohttp.ClientSession) -> None:
    async with client.post("/admin/functions/Manual", json={}) as answer:
        assert answer.status == 202
    runs = await runs_with(client, "manual", 1)
    assert runs[0]["past due"] is False


async def test_runs_by_hand_do_not_overlap(client: aiohttp.ClientSession) -> None:
    before = len(await runs_with(client, "manual", 0))
    for _ in range(2):
        async with client.post("/admin/functions/manual", json={}) as answer:
            assert answer.status == 202
    first, second = (await runs_with(client, "manual", before + 2))[-2:]
    assert second["began"] >= first["ended"]


async def test_unknown_function_cannot_be_started(client: aiohttp.ClientSession) -> None:
    async with client.post("/admin/functions/unknown", json={}) as answer:
        assert answer.status == 404


# ---- what was due while the host was down


@asynccontextmanager
async def remembering(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """The host with a state folder of this name."""
    options = ("--state", str(folder / "state"))
    process = HostProcess(APPS / "clock", folder / "log", {"EVERY_SECOND": "* * * * * *"}, *options)
    try:
        async with aiohttp.ClientSession(await process.url()) as session:
            yield session
        assert await process.stop() == 0
    finally:
        process.kill()


async def test_missed_run_is_made_up_for_at_the_start_and_is_past_due(tmp_path: Path) -> None:
    last = tmp_path / "state" / "timers" / "minutely"
    last.parent.mkdir(parents=True)
    last.write_text((datetime.now() - timedelta(minutes=5)).isoformat())
    async with remembering(tmp_path) as client:
        [run, *_] = await runs_with(client, "minutely", 1)
    assert run["past due"] is True
    assert datetime.now() - datetime.fromisoformat(last.read_text()) < timedelta(minutes=1)


async def test_first_start_and_one_in_time_make_up_for_nothing(tmp_path: Path) -> None:
    last = tmp_path / "state" / "timers" / "minutely"
    async with remembering(tmp_path) as client:
        await runs_with(client, "steady", 1)
        assert not any(run["past due"] for run in await runs_with(client, "minutely", 0))
    assert last.is_file()
    last.write_text((datetime.now().replace(second=0) + timedelta(minutes=1)).isoformat())
    async with remembering(tmp_path) as client:
        await runs_with(client, "steady", 1)
        assert not any(run["past due"] for run in await runs_with(client, "minutely", 0))


async def test_only_timers_that_are_monitored_and_slow_enough_are_remembered(
    tmp_path: Path,
) -> None:
    async with remembering(tmp_path) as client:
        await runs_with(client, "steady", 1)
    remembered = {file.name for file in (tmp_path / "state" / "timers").iterdir()}
    assert remembered == {"minutely", "start", "manual"}


async def test_broken_memory_counts_as_none(tmp_path: Path) -> None:
    last = tmp_path / "state" / "timers" / "minutely"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"\xff yesterday")
    async with remembering(tmp_path) as client:
        await runs_with(client, "steady", 1)
    assert datetime.now() - datetime.fromisoformat(last.read_text()) < timedelta(minutes=1)
