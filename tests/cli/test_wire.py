"""What `industrydata` does when the other end is slow, overloaded, or not the service at all."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, Command, Ran, example
from tests.support.api import UNKNOWN
from tests.support.cosmos import CosmosFaults

Answers = Callable[[BaseHTTPRequestHandler, int], None]


@contextmanager
def another_server(answer: Answers) -> Iterator[tuple[str, list[str]]]:
    """A server that is not the service: its root, and the requests that it gets."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(f"{self.command} {self.path}")
            answer(self, len(requests))

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that the library looks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its own name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/beta", requests
        finally:
            server.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: Any = None, **headers: str) -> None:
    """Answer with JSON, or with text as it is."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def asked(command: Command, answer: Answers, *arguments: str) -> tuple[Ran, list[str]]:
    """Run the command against another server; return what it left and what it sent."""
    with another_server(answer) as (root, requests):
        return command.run(*arguments, SERVICE_ROOT=root), requests


async def test_a_read_waits_out_a_moment_without_the_store(
    command: Command, cosmos_faults: CosmosFaults, cli_set: str
) -> None:
    async with cosmos_faults(status=503):
        running = asyncio.create_task(
            asyncio.to_thread(command.run, "sets", "show", cli_set, "--json")
        )
        await asyncio.sleep(2)
    ran = await running
    assert ran.code == 0
    assert json.loads(ran.out)["id"] == cli_set


async def test_a_create_waits_it_out_too_and_makes_one_set(
    command: Command, cosmos_faults: CosmosFaults, name: str
) -> None:
    async with cosmos_faults(status=503):
        running = asyncio.create_task(asyncio.to_thread(command.run, "sets", "create", name))
        await asyncio.sleep(2)
    ran = await running
    assert ran.code == 0
    listed = await asyncio.to_thread(command.ok, "sets", "list", "--search", name, "--json")
    assert [each["id"] for each in listed.values()] == [ran.out.strip()]


def test_a_create_whose_answer_is_lost_is_repeated_under_the_same_id(command: Command) -> None:
    ids = []

    def lost_once(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        ids.append(handler.headers["client-request-id"])
        if number == 1:
            handler.close_connection = True
        else:
            send(handler, 201, {"id": "made"})

    ran, _ = asked(command, lost_once, "sets", "create", "x")
    assert (ran.code, ran.out) == (0, "made\n")
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_what_is_not_known_by_an_id_is_not_sent_again(command: Command, tmp_path: Path) -> None:
    ran, requests = asked(
        command,
        lambda handler, _: setattr(handler, "close_connection", True),
        *("sets", "update", UNKNOWN, "--name", "x"),
    )
    assert (ran.code, len(requests)) == (4, 1)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(command: Command, form: str) -> None:
    def busy_once(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            after = "2" if form == "seconds" else formatdate(time.time() + 3, usegmt=True)
            send(handler, 429, Retry_After=after)
        else:
            send(handler, 201, {"id": "made"})

    began = time.monotonic()
    ran, requests = asked(command, busy_once, "sets", "create", "x")
    assert (ran.code, ran.out, len(requests)) == (0, "made\n", 2)
    assert time.monotonic() - began >= 1.9
    assert ran.err.startswith("The service is busy; the next try is in ")


def test_a_service_that_stays_busy_is_left_alone(command: Command) -> None:
    ran, requests = asked(
        command, lambda handler, _: send(handler, 503, Retry_After="3600"), "sets", "list"
    )
    assert (ran.code, len(requests)) == (4, 1)
    assert "asks to be left alone for 3600 s" in ran.err


def test_a_list_without_an_end_is_ended(command: Command) -> None:
    def same_again(handler: BaseHTTPRequestHandler, number: int) -> None:
        token = "ab"[number % 2]
        link = f"https://elsewhere.example/?$skiptoken={token}"
        send(handler, 200, {"value": [{"id": str(number)}], "@odata.nextLink": link})

    ran, requests = asked(command, same_again, "sets", "list", "--json")
    assert ran.code == 1
    assert ran.err.startswith("The list has no end: after 3 pages")
    assert len(requests) == len(ran.values()) == 3
    # The token goes to the service only, whatever a link says.
    assert requests[1].endswith("/outboundProvisioningFlowSets?$skiptoken=b")


@pytest.mark.parametrize(
    ("status", "body", "code", "why"),
    [
        (200, "<html>", 1, "does not answer JSON: is that the API?"),
        (200, "[" * 100_000, 1, "does not answer JSON: is that the API?"),
        (200, "[]", 1, "answers no JSON object"),
        (200, '{"value": 7}', 1, "is not a list of entities"),
        (302, "", 1, "Nothing is sent to another address"),
        (404, "<html>", 1, "The service answers 404 without saying why."),
        (500, '{"error": 7}', 1, "Run `industrydata doctor`"),
        (403, '{"error": {"code": "c", "message": "m\\u001b[31m"}}', 3, "m\ufffd[31m (403 c)"),
    ],
)
def test_what_is_not_the_api_is_one_sentence(
    command: Command, status: int, body: str, code: int, why: str
) -> None:
    ran, requests = asked(
        command,
        lambda handler, _: send(handler, status, body, Location="http://127.0.0.1:9/"),
        *("sets", "list"),
    )
    assert (ran.code, ran.out, len(requests)) == (code, "", 1)
    assert why in ran.err
    assert "\x1b" not in ran.err


def test_what_cannot_be_deleted_again_is_named(command: Command, tmp_path: Path) -> None:
    def refusing(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if number == 1:
            send(handler, 201, {"id": "made"})
        elif handler.command == "DELETE":
            send(handler, 500, {"error": {"code": "c", "message": "No."}})
        else:
            send(handler, 400, {"error": {"code": "c", "message": "Wrong."}})

    arguments = ("flows", "create", example("user"), "--new-set", "x")
    ran, requests = asked(command, refusing, *arguments)
    assert (ran.code, ran.out) == (1, "")
    path = "/beta/external/industryData/outboundProvisioningFlowSets/made"
    assert f"{path} is left, and could not be deleted: No. (500 c)" in ran.err
    assert requests[-1] == f"DELETE {path}"


def test_a_create_without_an_answer_is_not_called_undone(command: Command) -> None:
    def silent(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if number == 1:
            send(handler, 201, {"id": "made"})
        elif handler.command == "DELETE":
            send(handler, 204, "")
        else:
            handler.close_connection = True

    ran, requests = asked(command, silent, "flows", "create", example("user"), "--new-set", "x")
    assert ran.code == 4
    assert "does not answer" in ran.err
    # The set is deleted with whatever is in it.
    assert requests[-1].startswith("DELETE ")


def test_interrupted_between_two_flows_it_deletes_the_first(
    command: Command, tmp_path: Path
) -> None:
    begun = threading.Event()

    def slow_at_the_second(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if handler.command == "DELETE":
            send(handler, 204, "")
        elif number < 3:
            send(handler, 201, {"id": f"made-{number}"})
        else:
            begun.set()
            time.sleep(2)
            handler.close_connection = True

    with another_server(slow_at_the_second) as (root, requests):
        process = subprocess.Popen(
            [COMMAND, "flows", "create", example("user"), example("class_group"), "--new-set", "x"],
            env={**command.environ, "SERVICE_ROOT": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert begun.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith(f"Ended at {example('class_group')}. Whether the service created")
    assert err.endswith("Nothing is left of what was created before it.\n\nInterrupted.\n")
    # A set goes with the flows in it.
    sets = "/beta/external/industryData/outboundProvisioningFlowSets"
    assert requests[3:] == [f"DELETE {sets}/made-1"]
