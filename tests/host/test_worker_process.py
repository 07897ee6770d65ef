"""The worker process: what ends it, what its end does to the calls in it, and how it stops."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.host.host_process import APPS, HostProcess, until

TIMEOUT = 1.0  # functionTimeout of the app


async def status(client: aiohttp.ClientSession, kind: str) -> int:
    """The status of an answer, whose body is empty unless it is 200."""
    async with client.get(f"/api/answers/{kind}") as answer:
        assert answer.status == 200 or await answer.read() == b""
        return answer.status


async def process(client: aiohttp.ClientSession) -> int:
    """The id of the process that runs the functions."""
    async with client.get("/api/answers/process") as answer:
        assert answer.status == 200
        return int(await answer.json())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("kind", ["slow", "blocked", "cancelled"])
async def test_call_that_takes_too_long_costs_the_worker_its_process(
    kind: str, client: aiohttp.ClientSession, host: HostProcess
) -> None:
    before = await process(client)
    began = time.monotonic()
    assert await status(client, kind) == 500
    assert TIMEOUT < time.monotonic() - began < 10
    assert await process(client) != before
    assert re.search(
        rf"answers \(GET /api/answers/{kind}\), invocation [0-9a-f-]{{36}}, ran longer than "
        r"functionTimeout \(1 s\)",
        host.output,
    )


async def test_every_call_in_flight_fails_with_the_process(
    client: aiohttp.ClientSession, host: HostProcess
) -> None:
    before = host.output.count("ended with its worker process")
    blocked = asyncio.ensure_future(status(client, "blocked"))
    await asyncio.sleep(0.3)
    others = [asyncio.ensure_future(status(client, "default")) for _ in range(3)]
    assert await asyncio.gather(blocked, *others) == [500] * 4
    assert host.output.count("ended with its worker process") == before + 4


async def test_host_answers_while_a_function_holds_the_loop(client: aiohttp.ClientSession) -> None:
    blocked = asyncio.ensure_future(status(client, "blocked"))
    await asyncio.sleep(0.3)
    async with client.get("/admin/host/status") as answer:
        assert answer.status == 200
    assert not blocked.done()
    assert await blocked == 500


async def test_system_exit_ends_the_process(
    client: aiohttp.ClientSession, host: HostProcess
) -> None:
    before = await process(client)
    assert await status(client, "exit") == 500
    assert await process(client) != before
    assert "SystemExit left the function" in host.output


async def test_killed_worker_is_replaced(client: aiohttp.ClientSession) -> None:
    before = await process(client)
    os.kill(before, signal.SIGKILL)
    await until(lambda: not is_alive(before))
    assert await process(client) != before


async def test_app_that_cannot_be_imported_again_ends_the_host(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "host.json").write_text('{"version": "2.0"}')
    script = app / "function_app.py"
    script.write_text((APPS / "web" / "function_app.py").read_text())
    host = HostProcess(app, tmp_path / "log")
    try:
        async with aiohttp.ClientSession(await host.url()) as client:
            script.write_text("raise RuntimeError('not again')")
            assert await status(client, "exit") == 500
        assert await host.ended() == 2
        assert "RuntimeError: not again" in host.output
    finally:
        host.kill()


@pytest.mark.parametrize("ends", [True, False])
async def test_time_for_which_the_processes_were_stopped_does_not_count(
    tmp_path: Path, ends: bool
) -> None:
    app = shutil.copytree(APPS / "web", tmp_path / "app")
    (app / "host.json").write_text('{"version": "2.0", "functionTimeout": "00:00:02"}')
    host = HostProcess(app, tmp_path / "log")
    try:
        async with aiohttp.ClientSession(await host.url()) as client:
            worker = await process(client)
            call = asyncio.ensure_future(status(client, "pause" if ends else "slow"))
            await asyncio.sleep(0.3)
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for pid in (host.process.pid, worker):
                    os.kill(pid, number)
                await asyncio.sleep(3.5)
            assert await call == (200 if ends else 500)
            assert (await process(client) == worker) == ends
    finally:
        host.kill()


# ---- the end


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[HostProcess]:
    """A host of the test's own, whose functions may take a minute."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "host.json").write_text('{"version": "2.0", "functionTimeout": "00:01:00"}')
    (app / "function_app.py").write_text((APPS / "web" / "function_app.py").read_text())
    process = HostProcess(app, tmp_path / "log", None, "--drain", "2")
    try:
        await process.url()
        yield process
    finally:
        process.kill()


async def test_running_request_is_answered_after_the_signal(other: HostProcess) -> None:
    async with aiohttp.ClientSession(await other.url()) as client:
        pause = asyncio.ensure_future(status(client, "pause"))
        await asyncio.sleep(0.3)
        other.process.terminate()
        await until(lambda: "Stopping" in other.output)
        assert await pause == 200
    assert await other.ended() == 0


async def test_what_runs_longer_than_the_drain_fails(other: HostProcess) -> None:
    async with aiohttp.ClientSession(await other.url()) as client:
        slow = asyncio.ensure_future(status(client, "slow"))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        other.process.terminate()
        assert await slow == 500
        assert 1.5 < time.monotonic() - began < 10
    assert await other.ended() == 0


async def test_second_signal_does_not_wait(other: HostProcess) -> None:
    async with aiohttp.ClientSession(await other.url()) as client:
        slow = asyncio.ensure_future(status(client, "slow"))
        await asyncio.sleep(0.3)
        other.process.terminate()
        await until(lambda: "Stopping" in other.output)
        began = time.monotonic()
        other.process.terminate()
        assert await slow == 500
        assert time.monotonic() - began < 1.5
    assert await other.ended() == 0


async def test_worker_does_not_outlive_a_killed_host(other: HostProcess) -> None:
    async with aiohttp.ClientSession(await other.url()) as client:
        worker = await process(client)
        blocked = asyncio.ensure_future(client.get("/api/answers/blocked"))
        await asyncio.sleep(0.3)  # its loop is held, so it cannot see the end of the channel
        other.process.kill()
        await until(lambda: not is_alive(worker))
        with pytest.raises(aiohttp.ClientError):
            await blocked
