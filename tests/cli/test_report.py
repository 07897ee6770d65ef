"""`industrydata report`: a status reported by hand, and whether it counted."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from industrydata.commands.reporting import explain
from industrydata.errors import RefusedError

from tests.cli.conftest import Command, example, never_ready
from tests.support.api import UNKNOWN

REASON = "Keine Lizenz übrig."


@pytest.fixture
def ready_set(command: Command, cli_set: str) -> str:
    """A set with a security group flow that is ready."""
    command.ok("flows", "create", example("security_group"), "--set", cli_set, "--watch")
    return cli_set


def test_a_report_that_counts_is_said_to(command: Command, ready_set: str) -> None:
    ran = command.ok("report", ready_set, "securityGroup", "failed", "--reason", REASON)
    assert ran.out.startswith("The report counted: securityGroup is failed since 20")
    _, status, reason, *_ = command.ok("flows", "show", ready_set, "securityGroup").out.splitlines()
    assert status.startswith("failed ")
    assert reason == REASON


def test_a_script_gets_what_became_of_it(command: Command, ready_set: str) -> None:
    arguments = ("report", ready_set, "securityGroup", "expired", "--revision", "1", "--json")
    entry = command.ok(*arguments).value()
    assert (entry["counted"], entry["readinessStatus"], entry["revision"]) == (True, "expired", 1)
    newest, *_ = command.ok("flows", "history", ready_set, "securityGroup", "--json").values()
    assert newest["eventId"] == entry["eventId"]


def test_a_report_about_another_revision_does_not_count(command: Command, ready_set: str) -> None:
    ran = command.run("report", ready_set, "securityGroup", "failed", "--revision", "7")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == ("The report does not count: it is about revision 7, and the flow is at 1.\n")


def test_a_report_that_a_check_outweighs_is_kept(
    command: Command, cli_set: str, tmp_path: Path
) -> None:
    assert command.run("flows", "create", never_ready(tmp_path), "--set", cli_set, "--watch").code
    ran = command.run("report", cli_set, "user", "ready", "--timeout", "3")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("The flow stays failed: createUnmatchedUsers needs creationOptions")


def test_without_waiting_it_says_which_event_was_sent(command: Command, ready_set: str) -> None:
    ran = command.ok("report", ready_set, "securityGroup", "ready", "--no-wait", "--json")
    assert len(ran.value()["eventId"]) == 36


def test_a_queue_that_does_not_exist_is_named(command: Command, ready_set: str) -> None:
    ran = command.run("report", ready_set, "securityGroup", "failed", READINESS_QUEUE="elsewhere")
    assert ran.code == 4
    assert ran.err.startswith("The queue 'elsewhere' was not reached: ")


def test_a_queue_that_does_not_answer_is_one_sentence(command: Command, ready_set: str) -> None:
    ran = command.run("report", ready_set, "securityGroup", "failed", SERVICE_BUS_PORT="9")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("The queue 'readiness' was not reached: ")
    assert ran.err.endswith("Start the local stack: `make run`.\n")
    assert ran.err.count("\n") == 1


def test_a_queue_that_takes_a_connection_and_says_nothing_is_given_up(
    command: Command, ready_set: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        ran = command.run("report", ready_set, "securityGroup", "failed", SERVICE_BUS_PORT=port)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("The queue 'readiness' did not answer within 30 s.")
    assert ran.err.count("\n") == 1


SENT = datetime(2026, 11, 30, 12, tzinfo=UTC)
EARLIER, LATER = "2026-11-30T11:59:59.9Z", "2026-11-30T12:00:00.1Z"


@pytest.mark.parametrize(
    ("latest", "revision", "over", "why"),
    [
        (("ready", 1, EARLIER), None, False, None),
        (("ready", 1, EARLIER), 1, False, None),
        (("notReady", 2, EARLIER), 2, False, None),
        (("ready", 2, EARLIER), 1, False, "is about revision 1, and the flow is at 2"),
        (("notReady", 2, LATER), None, False, "the flow was changed after it was sent"),
        (("ready", 1, LATER), None, False, None),
        (("ready", 1, LATER), None, True, "a later one was processed before it"),
        (("failed", 1, EARLIER), None, True, "the report is kept, and shows once the check"),
        (("ready", 1, EARLIER), None, True, "was not processed yet, and the flow is ready"),
    ],
)
def test_why_a_report_does_not_count_is_read_from_the_history(
    latest: tuple[str, int, str], revision: int | None, over: bool, why: str | None
) -> None:
    status, current, at = latest
    history = [{"readinessStatus": status, "revision": current, "eventDateTime": at}]
    expected = nullcontext() if why is None else pytest.raises(RefusedError, match=why)
    with expected:
        explain(history, SENT, revision, 30.0 if over else None)


def test_a_flow_that_is_not_there_is_not_reported(command: Command, cli_set: str) -> None:
    ran = command.run("report", cli_set, "user", "failed")
    assert (ran.code, ran.err) == (
        1,
        f"Flow set {cli_set} has no flow 'user'. Its flows: none.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([UNKNOWN, "user", "notReady"], "'notReady' is not one of"),
        ([UNKNOWN, "user", "failed", "--reason", "x" * 1025], "give at most 1024 characters"),
        ([UNKNOWN, "user", "failed", "--revision", "0"], "--revision"),
    ],
)
def test_what_can_never_count_is_not_sent(command: Command, arguments: list[str], why: str) -> None:
    ran = command.run("report", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err


def test_without_the_libraries_it_says_how_to_install_them(
    command: Command, ready_set: str, tmp_path: Path
) -> None:
    (tmp_path / "azure").mkdir()
    (tmp_path / "azure" / "__init__.py").write_text("")
    ran = command.run(*("report", ready_set, "securityGroup", "failed"), PYTHONPATH=str(tmp_path))
    assert ran.code == 2
    assert "`pipx install --force './cli[report]'` brings them" in ran.err
    # Nothing else needs them.
    assert command.run("sets", "show", ready_set, PYTHONPATH=str(tmp_path)).code == 0
