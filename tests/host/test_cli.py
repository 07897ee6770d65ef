"""Starting and stopping the local host from the command line."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

from tests.host.apps import cases
from tests.host.host_process import APPS, HostProcess, until

HOST_JSON = '{"version": "2.0"}'


def app_with(folder: Path, source: str) -> Path:
    app = folder / "app"
    app.mkdir()
    (app / "host.json").write_text(HOST_JSON)
    (app / "function_app.py").write_text(source)
    return app


async def refusal(app: Path, folder: Path, *options: str) -> str:
    """What the host prints when it does not start; its exit code is 2."""
    process = HostProcess(app, folder / "log", None, *options)
    try:
        assert await process.ended() == 2
        return process.output
    finally:
        process.kill()


async def test_functions_are_listed_before_the_start_is_reported(tmp_path: Path) -> None:
    process = HostProcess(APPS / "web", tmp_path / "log")
    try:
        url = await process.url()
        assert f"    parts: [GET,PUT] {url}/api/items/{{id}}/parts/{{part}}" in process.output
        assert "Warning: order_b: its requests go to order_a" in process.output
        assert process.output.endswith(f"Host started on {url}\n")
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_the_host_with_success(number: signal.Signals, tmp_path: Path) -> None:
    process = HostProcess(APPS / "web", tmp_path / "log")
    try:
        await process.url()
        process.process.send_signal(number)
        assert await process.ended() == 0
        assert "Traceback" not in process.output
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit: 0 (function_app.py, line 1)"),
        ("import asyncio\nasyncio.run(asyncio.sleep(0))", "cannot be called from a running event"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_app_that_cannot_be_imported_is_refused(
    source: str, reason: str, tmp_path: Path
) -> None:
    output = await refusal(app_with(tmp_path, source), tmp_path)
    assert "function_app.py cannot be imported: " in output
    assert reason in output
    assert "Traceback" not in output


async def test_signal_ends_a_host_whose_app_takes_long_to_import(tmp_path: Path) -> None:
    app = app_with(tmp_path, "print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    process = HostProcess(app, tmp_path / "log")
    try:
        await until(lambda: "importing" in process.output)
        began = time.monotonic()
        assert await process.stop() == 0
        assert time.monotonic() - began < 10
    finally:
        process.kill()


async def test_refused_function_is_reported_in_one_sentence(tmp_path: Path) -> None:
    source, reason = cases.WORKER_REFUSES["HTTP parameter not named req"]
    output = await refusal(app_with(tmp_path, source), tmp_path)
    assert output.count("\n") == 1
    assert output.startswith("f (function_app.py, line 5): ")
    assert reason in output


async def test_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text(HOST_JSON)
    assert "has no function_app.py" in await refusal(tmp_path, tmp_path)


async def test_taken_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        output = await refusal(APPS / "web", tmp_path, "--port", str(port))
    last = output.splitlines()[-1]
    assert last.startswith(f"Port {port} cannot be used on 127.0.0.1")
    assert "choose another by --port" in last


async def test_apps_own_package_is_last_on_the_path(tmp_path: Path) -> None:
    # A module of the app that is named like a known one is hidden, as in the real worker.
    app = app_with(tmp_path, "import colorsys\n" + cases.ACCEPTED["no annotations"])
    (app / "colorsys.py").write_text("raise ImportError('the app came first')\n")
    process = HostProcess(app, tmp_path / "log")
    try:
        await process.url()
    finally:
        process.kill()
