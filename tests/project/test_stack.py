"""The local stack from outside: what it says, what it stops and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from azure.cosmos.aio import CosmosClient
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from local.components import StackError, free_ports
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, HOST, READINESS_QUEUE, LocalConfig
from local.stack import Stack, throwaway_config
from local.stack_command import curl_line, emulators_banner, read_on, run_banner, token_line
from shared.adapters.partition import FLOW_SETS
from shared.domain.context import LOCAL_TENANT
from tests.support.commands import DEADLINE_SECONDS, environment, is_alive, ps, run, wait_until


@pytest.fixture
def config(tmp_path: Path) -> LocalConfig:
    """Ports and a state folder for a stack of the test's own."""
    return throwaway_config(tmp_path / "state")


def children_of(pid: int) -> list[int]:
    """The processes that a process started and that run."""
    return [int(child) for child, parent in ps("-axo", "pid=,ppid=") if int(parent) == pid]


class Started:
    """A stack command in the background, or make that runs one, its output in a file."""

    def __init__(
        self, project: Path, config: LocalConfig, command: Sequence[str], stdin: int
    ) -> None:
        self._output = config.local_state.with_name("output")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=project,
                env=environment(config),
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: "Ctrl-C stops" in self.output or self.ended, "the banner")
        assert not self.ended, self.output
        self.supervisor = self.process.pid
        if command[0] == "make":
            [self.supervisor] = children_of(self.process.pid)
        self.children = children_of(self.supervisor)

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._output.read_text("utf-8")

    @property
    def ended(self) -> bool:
        """Whether the supervisor is gone."""
        return self.process.poll() is not None

    def child(self, command: str) -> int:
        """The child whose command line contains a text."""
        [pid] = [
            child
            for child in self.children
            if any(command in " ".join(row) for row in ps("-o", "args=", "-p", str(child)))
        ]
        return pid

    def assert_nothing_left(self) -> None:
        """Every child ends before the deadline."""
        assert self.children
        for child in self.children:
            wait_until(lambda child=child: not is_alive(child), f"the end of process {child}")  # type: ignore[misc]  # bound now


class Start(Protocol):
    """Starts a stack with one word, any other command with more."""

    def __call__(self, *command: str, stdin: int = subprocess.DEVNULL) -> Started: ...


@pytest.fixture
def started(project: Path, config: LocalConfig) -> Iterator[Start]:
    """Starts stacks and stops what a failed test left."""
    everything: list[Started] = []

    def start(*command: str, stdin: int = subprocess.DEVNULL) -> Started:
        if len(command) == 1:
            command = (sys.executable, "-m", "local.stack_command", *command)
        everything.append(Started(project, config, command, stdin))
        return everything[-1]

    yield start
    for one in everything:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.supervisor, signal.SIGTERM)
        one.process.wait(DEADLINE_SECONDS)


def test_a_taken_port_is_named_with_its_variable_before_anything_starts(
    project: Path, config: LocalConfig
) -> None:
    with socket.create_server((HOST, config.cosmos_port)):
        result = run(project, "-m", "local.stack_command", "emulators", env=environment(config))
    assert result.returncode == 1
    assert result.stderr.startswith(f"Port {config.cosmos_port} (COSMOS_PORT) is taken")
    assert result.stderr.count("\n") == 1
    assert not list((config.local_state / "logs").iterdir())


def test_a_port_taken_on_all_addresses_counts_as_taken(project: Path, config: LocalConfig) -> None:
    with socket.create_server(("", config.service_bus_port)):
        result = run(project, "-m", "local.stack_command", "emulators", env=environment(config))
    assert f"{config.service_bus_port} (SERVICE_BUS_PORT)" in result.stderr


def test_a_missing_node_is_one_sentence_when_the_stack_starts(
    project: Path, config: LocalConfig
) -> None:
    result = run(
        project, "-m", "local.stack_command", "emulators", env=environment(config, PATH="")
    )
    assert result.returncode == 1
    assert result.stderr == "There is no `node` on PATH: install Node.js 20 or newer.\n"


def test_a_missing_func_is_named(project: Path, config: LocalConfig) -> None:
    result = run(
        *(project, "-m", "local.stack_command", "run", "--host", "func"),
        env=environment(config, PATH=""),
    )
    assert result.returncode == 1
    assert "there is no `func` on PATH" in result.stderr


def test_ctrl_c_stops_every_child(started: Start) -> None:
    stack = started("run")
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(DEADLINE_SECONDS) == 0
    stack.assert_nothing_left()
    assert "Stopped." in stack.output


def test_a_second_stack_names_the_first(started: Start, project: Path, config: LocalConfig) -> None:
    first = started("emulators")
    second = run(project, "-m", "local.stack_command", "run", env=environment(config))
    assert second.returncode == 1
    assert second.stderr.startswith(f"The local stack already runs as process {first.process.pid}:")
    clean = run(project, "-m", "local.stack_command", "clean", env=environment(config))
    assert clean.returncode == 1
    assert is_alive(first.process.pid)


def test_a_killed_supervisor_leaves_no_child_and_the_next_stack_starts(started: Start) -> None:
    first = started("emulators")
    first.process.kill()
    first.process.wait()
    second = started("emulators")
    first.assert_nothing_left()
    assert second.process.poll() is None


def test_a_killed_make_leaves_no_child_behind(started: Start) -> None:
    # `true` in the place of Python skips the installation.
    stack = started("make", "stack", "PYTHON=true", f"VENV_PYTHON={sys.executable}")
    stack.process.kill()
    stack.process.wait()
    stack.assert_nothing_left()


def test_a_closed_terminal_stops_the_stack(started: Start) -> None:
    terminal, its_end = os.openpty()
    stack = started("emulators", stdin=its_end)
    os.close(its_end)
    os.close(terminal)
    assert stack.process.wait(DEADLINE_SECONDS) == 0
    stack.assert_nothing_left()


def test_a_child_that_dies_is_reported_and_everything_stops(
    started: Start,
) -> None:
    stack = started("emulators")
    os.kill(stack.child("local.emulators.service_bus"), signal.SIGKILL)
    assert stack.process.wait(DEADLINE_SECONDS) == 1
    stack.assert_nothing_left()
    assert "Service Bus emulator ended with signal 9." in stack.output
    assert "logs/service_bus.log" in stack.output


def test_a_child_that_cannot_start_shows_the_end_of_its_log(
    config: LocalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho the reason\nexit 3\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(StackError) as caught, Stack(config, names=["cosmos"]):
        pass
    assert str(caught.value) == (
        "Cosmos DB emulator ended with exit code 3.\n"
        f"The end of its log, {config.local_state}/logs/cosmos.log:\n  | the reason"
    )


def test_a_second_ctrl_c_does_not_wait(started: Start) -> None:
    stack = started("emulators")
    # A stopped process does not answer the first, polite request to end.
    os.kill(stack.child("local.emulators.service_bus"), signal.SIGSTOP)
    stack.process.send_signal(signal.SIGINT)
    wait_until(lambda: "Stopping" in stack.output, "the answer to the first Ctrl-C")
    while not stack.ended:
        time.sleep(0.2)
        stack.process.send_signal(signal.SIGINT)
    assert stack.process.returncode == 128 + signal.SIGINT
    stack.assert_nothing_left()


def test_other_ports_are_exported_for_func_start(config: LocalConfig) -> None:
    banner = emulators_banner(config)
    for name, value in config.app_settings().items():
        assert f"export {name}={shlex.quote(value)}\n" in banner
    assert f"func start --port {config.functions_port}\n" in banner


async def test_what_the_emulators_store_survives_a_restart_of_the_stack(
    config: LocalConfig,
) -> None:
    names = ("cosmos", "service_bus")

    async def cosmos_items(*new: dict[str, Any]) -> list[str]:
        async with CosmosClient(
            config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
        ) as client:
            database = client.get_database_client(COSMOS_DATABASE)
            container = database.get_container_client(FLOW_SETS)
            for item in new:
                await container.create_item({**item, "tenantId": LOCAL_TENANT})
            return [item["id"] async for item in container.read_all_items()]

    first = await asyncio.to_thread(Stack(config, names=names).__enter__)
    try:
        await cosmos_items({"id": "kept"})
        async with (
            ServiceBusClient.from_connection_string(config.service_bus_connection) as client,
            client.get_queue_sender(READINESS_QUEUE) as sender,
        ):
            await sender.send_messages(ServiceBusMessage(b"kept"))
    finally:
        await asyncio.to_thread(first.close)
    second = await asyncio.to_thread(Stack(config, names=names).__enter__)
    try:
        assert await cosmos_items() == ["kept"]
        async with (
            ServiceBusClient.from_connection_string(config.service_bus_connection) as client,
            client.get_queue_receiver(READINESS_QUEUE) as receiver,
        ):
            [message] = await receiver.peek_messages()
            assert b"".join(message.body) == b"kept"
    finally:
        await asyncio.to_thread(second.close)


async def test_a_killed_part_starts_again_on_its_port(stack: Stack) -> None:
    before = stack.pid("service_bus")
    await asyncio.to_thread(stack.kill, "service_bus")
    assert not is_alive(before)
    await asyncio.to_thread(stack.start, "service_bus")
    assert stack.pid("service_bus") != before
    async with (
        ServiceBusClient.from_connection_string(stack.config.service_bus_connection) as client,
        client.get_queue_receiver(READINESS_QUEUE) as receiver,
    ):
        await receiver.peek_messages()


async def test_the_printed_curl_line_creates_a_flow_set(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    curl, _i, url, _h, bearer, _h, header, _d, body = shlex.split(curl_line(stack.config))
    assert bearer == f"Authorization: Bearer $({token_line(stack.config)})"
    name, value = header.split(": ")
    async with http.post(url, headers={name: value}, data=body) as response:
        assert curl == "curl"
        assert response.status == 201
        assert (await response.json())["displayName"] == json.loads(body)["displayName"]


def test_the_printed_command_for_a_token_is_for_these_ports_and_this_folder(
    config: LocalConfig,
) -> None:
    assert token_line(LocalConfig()) == "make -s token"
    words = shlex.split(token_line(config))
    assert words[:3] == ["make", "-s", "token"]
    given = dict(word.split("=", 1) for word in words[3:])
    made = LocalConfig.read(given)
    assert (made.issuer, made.local_state) == (config.issuer, config.local_state)


async def test_what_a_run_offers_is_there(stack: Stack, http: aiohttp.ClientSession) -> None:
    banner = run_banner(stack.config)
    assert len(banner.strip().splitlines()) < 12
    assert token_line(stack.config) in banner
    assert curl_line(stack.config) in banner
    addresses = re.findall(r"^  (Service|Docs|Status) +(\S+) ", banner, re.MULTILINE)
    assert [name for name, _ in addresses] == ["Service", "Docs", "Status"]
    for _, address in addresses:
        async with http.get(address) as response:
            assert response.status == 200


def test_the_demo_prints_a_screenful_and_bodies_only_on_request(
    stack: Stack, project: Path
) -> None:
    short, long = (
        run(project, "-m", "local.demo", *options, env=environment(stack.config)).stdout
        for options in ([], ["--verbose"])
    )
    assert len(short.splitlines()) <= 30
    assert "displayName" not in short
    assert '"displayName": "Contoso schools"' in long


def test_the_demo_ends_with_four_ready_flows(stack: Stack, project: Path) -> None:
    result = run(project, "-m", "local.demo", env=environment(stack.config))
    assert result.returncode == 0, result.stderr
    assert f"Using the stack that runs at {stack.config.api}." in result.stdout
    assert len(re.findall(r"readinessStatus: notReady -> ready after \d+ ms", result.stdout)) == 4
    assert "All 4 flows are ready." in result.stdout


def test_a_demo_that_finds_the_stack_of_another_checkout_says_so(
    stack: Stack, project: Path, tmp_path: Path
) -> None:
    elsewhere = environment(stack.config, LOCAL_STATE=str(tmp_path))
    result = run(project, "-m", "local.demo", env=elsewhere)
    assert result.returncode == 1
    assert "it is the stack of another checkout" in result.stderr


def test_a_demo_that_gets_no_flow_set_fails_and_names_the_logs(
    project: Path, config: LocalConfig
) -> None:
    server = f"""
import http.server
class Broken(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{{"state": "Running"}}')
    def do_POST(self):
        self.send_response(503); self.end_headers()
http.server.HTTPServer(({HOST!r}, {config.functions_port}), Broken).serve_forever()
"""
    with subprocess.Popen([sys.executable, "-c", server], stderr=subprocess.DEVNULL) as broken:
        try:
            wait_until(lambda: _listens(config.functions_port), "the broken host")
            result = run(project, "-m", "local.demo", env=environment(config))
        finally:
            broken.kill()
    assert result.returncode == 1
    assert "The flow set was not created: the answer is 503" in result.stderr
    assert str(config.local_state / "logs") in result.stderr


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def test_a_large_log_is_moved_and_its_writer_goes_on(
    config: LocalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.stack.LOG_BYTES", 2000)
    with Stack(config, names=["issuer"], say=lambda _: None) as stack:
        log, old = stack.log_file("issuer"), stack.log_file("issuer").with_name("issuer.log.1")
        stack.rotate_logs()
        assert not old.exists()
        with log.open("ab") as writing, log.open("rb") as reading:
            for turn in (b"a", b"b"):
                writing.write(turn * 3000)
                writing.flush()
                read_on(reading)
                stack.rotate_logs()
                assert old.read_bytes().endswith(turn * 3000)
                assert log.read_bytes() == b""
            writing.write(b"new")
            writing.flush()
            assert (log.read_bytes(), read_on(reading)) == (b"new", b"new")


def test_free_ports_are_different_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < 32768


def test_clean_removes_the_state_and_nothing_else(project: Path, config: LocalConfig) -> None:
    for name in ("azurite", "cosmos", "service_bus", "logs"):
        (config.local_state / name).mkdir(parents=True)
        (config.local_state / name / "data").touch()
    for name in ("clock", "mine.txt"):
        (config.local_state / name).touch()
    result = run(project, "-m", "local.stack_command", "clean", env=environment(config))
    assert result.returncode == 0, result.stderr
    assert [path.name for path in config.local_state.iterdir()] == ["mine.txt"]
