"""What no handler foresaw: an answer in Graph's envelope, one traceback, one failure counted."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import azure.functions as func
import pytest

from functions.http.operations import Route, answered
from shared import telemetry
from tests.host.host_process import ROOT, HostProcess
from tests.support.api import Api, assert_envelope

APP = """
import azure.functions as func
from functions.http.operations import operation
from shared.description.operations import Contract

app = func.FunctionApp()
bp = func.Blueprint()

@operation(bp, "GET", "fails", None, Contract("Service", {200: "health"}))
async def fails(req):
    raise ZeroDivisionError("words that only the operator may read")

app.register_functions(bp)
"""
WORDS = "words that only the operator may read"


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[HostProcess]:
    """The local host with an app whose one operation fails."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(APP)
    for name in ("functions", "shared", "host.json"):
        (app / name).symlink_to(ROOT / name)
    process = HostProcess(app, tmp_path / "log")
    try:
        yield process
    finally:
        process.kill()


async def test_the_caller_gets_an_envelope_and_the_operator_the_traceback_once(
    host: HostProcess,
) -> None:
    root = await host.url()
    async with aiohttp.ClientSession() as http:
        answer = await Api(http, f"{root}/beta").get(f"{root}/beta/fails")

    error = assert_envelope(answer, 500, "InternalServerError")
    assert WORDS not in answer.text
    assert "request-id" in error["message"]
    assert await host.stop() == 0
    assert host.output.count(f"ZeroDivisionError: {WORDS}") == 1
    assert host.output.count("Traceback") == 1
    [request] = [line for line in host.output.splitlines() if '"event": "request"' in line]
    logged = json.loads(request[request.index("{") :])
    assert (logged["status"], logged["operation"]) == (500, "fails")
    assert logged["requestId"] == error["innerError"]["request-id"]
    assert f"request {logged['requestId']} failed" in host.output


async def test_it_is_counted_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(req: func.HttpRequest) -> func.HttpResponse:
        raise ZeroDivisionError(WORDS)

    request = func.HttpRequest("GET", "http://127.0.0.1/beta/x", body=b"")
    before = telemetry._totals["request:500"]

    with caplog.at_level(logging.INFO):
        response = await answered(Route("GET", ("beta", "x"), fails, None), request)

    assert telemetry._totals["request:500"] == before + 1
    failures = [each for each in caplog.records if each.exc_info]
    assert [each.levelname for each in failures] == ["ERROR"]
    body: dict[str, Any] = json.loads(response.get_body())
    assert body["error"]["innerError"]["request-id"] == response.headers["request-id"]
