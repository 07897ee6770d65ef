"""How `industrydata` writes: colours, pipes, JSON, exit codes."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

from tests.cli.conftest import COMMAND, Command, example


def on_terminal(command: Command, *arguments: str, **environ: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments],
        env={**command.environ, "TERM": "xterm-256color", **environ},
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other end was closed
    os.close(ours)
    assert process.wait(60) == 0
    return shown.decode()


@pytest.fixture
def ready_set(command: Command, cli_set: str) -> str:
    """A set with a flow that is ready."""
    command.ok("flows", "create", example("security_group"), "--set", cli_set, "--watch")
    return cli_set


def test_colours_are_for_a_terminal_only(command: Command, ready_set: str) -> None:
    assert "\x1b" not in command.ok("flows", "list", ready_set).out
    assert "\x1b[32mready" in on_terminal(command, "flows", "list", ready_set)


def test_no_color_turns_colours_off(command: Command, ready_set: str) -> None:
    shown = on_terminal(command, "flows", "list", ready_set, NO_COLOR="1")
    assert "ready" in shown
    assert "\x1b[32m" not in shown


def test_a_terminal_shows_what_is_waited_for(command: Command, ready_set: str) -> None:
    shown = on_terminal(command, "flows", "reset", ready_set, "--all", "--watch")
    assert "waiting for readiness" in shown


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_that_leaves_early_sees_no_traceback(
    command: Command, ready_set: str, form: list[str]
) -> None:
    script = f"{COMMAND} flows history {ready_set} securityGroup {' '.join(form)} | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"exec 3>&1; {COMMAND} sets list {' '.join(form)} | true"],
        env=command.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (141, "")
    done = subprocess.run(
        ["bash", "-c", script],
        env=command.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (len(done.stdout), done.stderr) == (1, "")


def test_an_ascii_terminal_gets_names_of_any_script(command: Command, cli_set: str) -> None:
    name = "Schule für Ägypten 学校"
    command.ok("sets", "update", cli_set, "--name", name)
    shown = command.ok("sets", "show", cli_set, PYTHONIOENCODING="ascii").out
    assert shown.startswith("Schule f\\xfcr ")


def test_interrupted_it_says_so_and_leaves_nothing_half_made(
    command: Command, cli_set: str
) -> None:
    process = subprocess.Popen(
        [COMMAND, "flows", "create", "-", "--set", cli_set],
        env=command.environ,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # It reads standard input, and waits.
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "Interrupted.")
