"""The documents about `industrydata`: their commands work as they stand there."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest
from azure.storage.blob.aio import BlobServiceClient
from industrydata.__main__ import EXIT_CODES, main_group

from local.config import ROOT
from local.stack import Stack
from shared.adapters.archive import Archive
from shared.domain.context import LOCAL_TENANT
from tests.cli.conftest import COMMAND, Command, example
from tests.cli.test_dead_letters import report
from tests.support.api import Flow
from tests.support.documents import all_blocks, blocks

PAGES = [ROOT / "README.md", ROOT / "cli" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLI_README = ROOT / "cli" / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
# `industrydata` with up to two words of a sub-command behind it.
NAMED = re.compile(r"industrydata(?: --\w+)* ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?")


def paste(command: Command, script: str) -> str:
    """Run a script as a person pastes it, without a word on standard error; return its output."""
    path = f"{Path(COMMAND).parent}:{command.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=ROOT,
        env={**command.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_examples_work_one_after_the_other(command: Command) -> None:
    [examples] = blocks(CLI_README, "sh")
    assert paste(command, examples).rstrip().rpartition("\n")[2].startswith("Deleted flow set ")


def test_what_the_readme_runs_after_the_installation_lists_flows(
    command: Command, cli_set: str
) -> None:
    command.ok("flows", "create", example("user"), "--set", cli_set)
    [install] = [code for code in blocks(ROOT / "README.md", "") if "pipx" in code]
    _, local, azure = install.strip().split("\n")
    assert cli_set in paste(command, local)
    assert "--azd" in azure


@pytest.fixture(scope="module")
async def archive(stack: Stack) -> AsyncIterator[Archive]:
    async with BlobServiceClient.from_connection_string(stack.config.storage_connection) as storage:
        yield Archive(storage, LOCAL_TENANT)


async def test_the_commands_of_operations_for_dead_letters_work_on_one_that_exists(
    command: Command, archive: Archive, ready_flow: Flow
) -> None:
    [commands] = [code for code in blocks(OPERATIONS, "") if "dead-letters" in code]
    [placeholder] = set(re.findall(r"\S+[.]json", commands))
    # What was put back is discarded no more: the last command gets a letter of its own.
    *others, discard = commands.strip().split("\n")
    replayed, discarded = [await report(archive, ready_flow) for _ in range(2)]
    script = "\n".join(others).replace(placeholder, replayed)
    script += f"\n{discard.replace(placeholder, discarded)}"
    said = await asyncio.to_thread(paste, command, script)
    assert re.search(rf"^{re.escape(replayed)} +waiting ", said, re.MULTILINE)
    assert f"{replayed}  replayed\n" in said
    assert f"{discarded}  discarded\n" in said


def test_the_commands_of_operations_seal_passwords(command: Command, password_keys: str) -> None:
    [commands] = [code for code in blocks(OPERATIONS, "") if "rotate" in code]
    [placeholder] = set(re.findall(r"--key (\S+)", commands))
    newest = password_keys.partition(":")[0]
    # Without --azd, on the stack of the tests.
    assert commands.count(" --azd ") == commands.count("\n") == 2
    said = paste(command, commands.replace(" --azd", "").replace(placeholder, newest))
    assert len(said.splitlines()) == 2
    assert f"with the key '{newest}'" in said


@pytest.mark.parametrize("page", ["operations.md", "provisioning-engine.md"])
async def test_the_commands_that_report_a_status_count(
    command: Command, ready_flow: Flow, page: str
) -> None:
    every = [block.code for block in all_blocks(ROOT / "docs" / page)]
    [line] = [code for code in every if code.startswith("industrydata report ")]
    words = line.split(" ", 4)
    assert words[2:4] == ["SET", "FLOW" if page == "operations.md" else "user"]
    words[2:4] = ready_flow.set_id, ready_flow.id
    said = await asyncio.to_thread(paste, command, " ".join(words))
    assert said.startswith("The report counted: ")


def code_of(page: Path) -> list[str]:
    """The code of a page: lines of its blocks, and what stands between backticks."""
    found: list[str] = []
    in_block = False
    for line in page.read_text("utf-8").splitlines():
        if line.lstrip().startswith("```"):
            in_block = not in_block
        else:
            found += [line] if in_block else re.findall(r"`([^`]+)`", line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    for code in code_of(page):
        for name, inner in NAMED.findall(code):
            command = main_group.commands.get(name)
            assert command is not None, code
            if isinstance(command, click.Group):
                assert inner in command.commands, code


def test_the_exit_codes_are_those_of_the_help() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", CLI_README.read_text("utf-8"), re.MULTILINE)
    assert rows == re.findall(r"^  (\d+) +(.+)$", EXIT_CODES, re.MULTILINE)
    assert len(rows) == 6
