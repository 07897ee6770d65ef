"""What was asked of the service, and who may read it or ask for faults."""

from __future__ import annotations

import json
import re

import pytest

from local.config import ROOT
from local.faults.requests import MOST_REQUESTS, Entry, RequestLog
from local.host.layer import Asked
from local.stack import Stack
from tests.faults.conftest import Faults
from tests.support.api import Api
from tests.support.bodies import request_body
from tests.support.wire import exchange, split


async def test_each_request_is_listed_with_its_answer_and_fault(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"status": 503, "count": 1, "method": "GET"})
    for _ in range(2):
        answer = await service.get(f"{service.set(set_id)}?$select=id", client_request_id="mine")
    first, second = await faults.requests()
    assert (first["status"], second["status"]) == (503, 200)
    assert first["fault"] == {"status": 503, "when": "before"}
    assert (first["carriedOut"], second["carriedOut"]) == (False, True)
    assert second["fault"] is None
    assert second["operation"] == "get_flow_set"
    assert second["query"] == "$select=id"
    assert second["clientRequestId"] == "mine"
    assert second["requestId"] == answer.headers["request-id"]
    assert 0 < second["milliseconds"] < 30_000
    assert second["responseBytes"] > 0


async def test_no_token_password_or_unknown_option_is_listed(
    faults: Faults, service: Api, set_id: str, token: str
) -> None:
    body = request_body("user")
    passwords = re.findall(rb'"[pP]assword[^"]*": *"([^"]+)"', body)
    assert passwords
    await service.send("POST", f"{service.flows(set_id)}?access_token=hunter2", body)
    await service.send("POST", service.flows(set_id), body)
    listed = (await service.get(faults.url("requests"))).text
    assert "access_token=***" in listed
    for secret in (token, "hunter2", "Bearer", *(each.decode() for each in passwords)):
        assert secret not in listed


async def test_what_was_asked_can_be_forgotten(faults: Faults, service: Api, set_id: str) -> None:
    await service.get(service.set(set_id))
    assert len(await faults.requests()) == 1
    await faults.clear()
    assert await faults.requests() == []


def test_only_the_newest_requests_are_kept() -> None:
    log = RequestLog()
    for number in range(MOST_REQUESTS + 5):
        log.add(Entry.of(Asked("f", "GET", f"/{number}", "", {}, b""), "f"))
    shown = log.shown()
    assert (shown["forgotten"], len(shown["value"])) == (5, MOST_REQUESTS)
    assert shown["value"][0]["path"] == "/5"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: 127.0.0.1:7071", 200),
        ("Host: localhost", 200),
        ("Host: rebound.example", 403),
        ("Host: 127.0.0.1.example", 403),
        ("Host: localhost\r\nOrigin: http://localhost:3000", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site", 403),
    ],
)
async def test_only_programs_of_this_machine_are_answered(
    stack: Stack, headers: str, status: int
) -> None:
    request = f"GET /local/requests HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n"
    head, body = split(await exchange(stack.config.functions_port, request.encode()))
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"access-control" not in head.lower()
    assert status == 200 or "error" in json.loads(body)


@pytest.mark.parametrize(
    ("method", "name", "body", "media_type", "status"),
    [
        ("GET", "nothing", None, "application/json", 404),
        ("PATCH", "faults", b"{}", "application/json", 405),
        ("PUT", "faults", b'{"rules": []}', "text/plain", 415),
        ("PUT", "faults", b" " * 70_000, "application/json", 413),
        ("PUT", "faults", b"{", "application/json", 400),
    ],
)
async def test_other_requests_are_refused(
    faults: Faults,
    service: Api,
    method: str,
    name: str,
    body: bytes | None,
    media_type: str,
    status: int,
) -> None:
    answer = await service.send(method, faults.url(name), body, **{"Content-Type": media_type})
    assert answer.status == status


def test_nothing_of_it_is_in_what_is_deployed() -> None:
    shipped = [
        ROOT / "function_app.py",
        *(path for top in ("functions", "shared") for path in (ROOT / top).rglob("*.py")),
    ]
    found = [
        str(path)
        for path in shipped
        if re.search(r"local[-_]fault|/local/|^\s*(from|import) local\b", path.read_text("utf-8"))
    ]
    assert len(shipped) > 50
    assert found == []
