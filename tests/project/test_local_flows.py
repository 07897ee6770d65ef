"""`python -m local.flows` against the running service."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from local import flows
from local.components import free_ports
from local.config import ROOT
from local.stack import Stack

PAYLOADS = ROOT / "shared" / "contract" / "examples"
FILES = [
    str(PAYLOADS / f"{name}.request.json")
    for name in ("user", "class_group", "security_group", "administrative_unit")
]


class Command:
    """Runs the command in this process and keeps what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def run(self, *arguments: str) -> int:
        code = flows.main(arguments)
        self.out, self.err = self._capsys.readouterr()
        return code

    def values(self) -> list[Any]:
        """What was written with --json: a value a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, api: str, token: str
) -> Command:
    monkeypatch.setenv(flows.URL, api)
    monkeypatch.setenv(flows.TOKEN, token)
    return Command(capsys)


@pytest.fixture
def name() -> str:
    return f"Set {uuid.uuid4()}"


@pytest.fixture
def set_id(command: Command, name: str) -> str:
    assert command.run("create-set", name) == 0
    return command.out.strip()


def never_ready(folder: Path) -> str:
    """A file with a flow that the check finds wrong."""
    file = folder / "user.json"
    body = json.loads(Path(FILES[0]).read_text("utf-8")) | {"creationOptions": None}
    file.write_text(json.dumps(body), "utf-8")
    return str(file)


def test_flows_are_created_from_files_and_watched_until_ready(command: Command, name: str) -> None:
    assert command.run("create", *FILES, "--new-set", name, "--watch") == 0
    assert command.out.count("Created ") == 5
    last = {line.split()[0]: line for line in command.out.splitlines() if line.startswith("  ")}
    assert set(last) == {"user", "classGroup", "securityGroup", "administrativeUnit"}
    assert all(" ready " in line for line in last.values())


def test_a_script_gets_one_json_value_a_line(command: Command, name: str) -> None:
    assert command.run("create", FILES[2], "--new-set", name, "--watch", "--json") == 0
    flow_set, created, *changes = command.values()
    assert flow_set["displayName"] == name
    assert {change["id"] for change in changes} == {created["id"]}
    assert changes[-1]["readinessStatus"] == "ready"


def test_sets_are_listed_with_their_flows(command: Command, name: str, set_id: str) -> None:
    command.run("create", FILES[2], "--set", set_id, "--json")
    [created] = command.values()
    assert command.run("list", "--search", name) == 0
    first, row = command.out.splitlines()
    assert first == f"{name}  {set_id}"
    assert row.split()[0] == "securityGroup"
    assert row.endswith(created["id"])
    assert command.run("list", "--search", name, "--json") == 0
    [listed] = command.values()
    assert [flow["id"] for flow in listed["provisioningFlows"]] == [created["id"]]


def test_all_pages_are_listed(command: Command, name: str) -> None:
    # A page has 100 entries.
    service = flows.Service.read(os.environ)
    for number in range(101):
        service.call("POST", flows.SETS, json.dumps({"displayName": f"{name} {number}"}).encode())
    assert command.run("list", "--search", name, "--json") == 0
    assert len(command.values()) == 101


def test_only_sets_with_a_flow_of_a_status_are_listed(
    command: Command, name: str, set_id: str
) -> None:
    command.run("create", FILES[2], "--set", set_id, "--watch")
    assert command.run("list", "--search", name, "--status", "failed") == 0
    assert command.out == "There is no such flow set.\n"
    assert command.run("list", "--search", name, "--status", "ready", "--json") == 0
    assert len(command.values()) == 1


def test_a_flow_that_cannot_become_ready_ends_the_watch_with_its_reason(
    command: Command, set_id: str, tmp_path: Path
) -> None:
    assert command.run("create", never_ready(tmp_path), "--set", set_id, "--watch") == 1
    assert command.err.startswith("user is failed: createUnmatchedUsers needs creationOptions")
    assert command.run("watch", set_id) == 1


def test_the_history_of_a_flow_is_shown(command: Command, set_id: str) -> None:
    command.run("create", FILES[2], "--set", set_id, "--watch", "--json")
    flow_id = command.values()[0]["id"]
    assert command.run("history", set_id, flow_id) == 0
    newest, oldest = command.out.splitlines()
    assert newest.split()[1] == "ready"
    assert oldest.split()[1:] == ["notReady", "created"]


def test_a_refused_file_is_named_with_every_fault(
    command: Command, set_id: str, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(
        '{"@odata.type": "#microsoft.graph.industryData.securityGroupProvisioningFlow"}'
    )
    assert command.run("create", str(file), "--set", set_id) == 1
    assert command.err.startswith(f"{file}: ")
    assert "$.creationOptions" in command.err


def test_nothing_is_created_when_one_file_is_no_json(
    command: Command, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text("{")
    assert command.run("create", FILES[2], str(file), "--new-set", name) == 2
    assert command.err.startswith(f"{file} is not JSON: ")
    command.run("list", "--search", name, "--json")
    assert command.values() == []


@pytest.mark.parametrize("arguments", [["watch", "none"], ["history", "none", "none"]])
def test_what_is_not_there_is_told(command: Command, arguments: list[str]) -> None:
    assert command.run(*arguments) == 1
    assert command.err.startswith("Resource 'none' does not exist")


def test_an_empty_set_is_never_ready(command: Command, set_id: str) -> None:
    assert command.run("watch", set_id) == 1
    assert command.err == f"Flow set {set_id} has no flows.\n"


@pytest.mark.parametrize(
    ("url", "given", "told"),
    [
        ("service.example", "t", "is no URL"),
        ("http://service.example/beta", "t", "must use https"),
        ("https://service.example/beta", "", "Set INDUSTRY_DATA_TOKEN"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch, url: str, given: str, told: str
) -> None:
    monkeypatch.setenv(flows.URL, url)
    monkeypatch.setenv(flows.TOKEN, given)
    assert command.run("list") == 2
    assert told in command.err


def test_without_settings_it_uses_the_local_stack_with_a_token_of_its_own(
    command: Command, monkeypatch: pytest.MonkeyPatch, stack: Stack, set_id: str
) -> None:
    monkeypatch.delenv(flows.URL)
    monkeypatch.delenv(flows.TOKEN)
    for variable, port in stack.config.ports().items():
        monkeypatch.setenv(variable, str(port))
    monkeypatch.setenv("LOCAL_STATE", str(stack.config.local_state))
    assert command.run("list", "--json") == 0
    assert set_id in command.out


def test_a_stack_that_does_not_run_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(flows.URL)
    monkeypatch.setenv("FUNCTIONS_PORT", str(free_ports(1)[0]))
    assert command.run("list") == 1
    assert command.err.endswith("Start the local stack: make run.\n")


def test_colours_and_progress_are_for_a_terminal_only(
    command: Command, set_id: str, name: str
) -> None:
    command.run("create", FILES[2], "--set", set_id, "--watch")
    assert "\x1b" not in command.out
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-m", "local.flows", "list", "--search", name],
        cwd=ROOT,
        env=environment,
        stdout=theirs,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "\x1b[32mready" in shown


def test_a_watch_ends_at_its_timeout(command: Command, set_id: str, stack: Stack) -> None:
    stack.kill("service_bus")
    try:
        assert command.run("create", FILES[2], "--set", set_id, "--watch", "--timeout", "0.1") == 1
        assert command.err == "Not ready after 0.1 s: securityGroup.\n"
    finally:
        stack.start("service_bus")
    # The service leaves the queue alone for some seconds; the next test may want it.
    service = flows.Service.read(os.environ)
    [flow] = service.flows(set_id)
    deadline = time.monotonic() + 60
    while command.run("watch", set_id, "--timeout", "1") != 0:
        assert time.monotonic() < deadline
        service.call("POST", f"{flows.SETS}/{set_id}/provisioningFlows/{flow['id']}/reset", b"")
