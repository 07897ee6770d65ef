"""The documents about `industrydata`: their commands work as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest
from industrydata.__main__ import EXIT_CODES, main_group

from local.config import ROOT
from tests.cli.conftest import COMMAND, Command

PAGES = [ROOT / "README.md", ROOT / "cli" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLI_README = (ROOT / "cli" / "README.md").read_text("utf-8")
# `industrydata` with up to two words of a sub-command behind it.
NAMED = re.compile(r"industrydata(?: --\w+)* ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?")


def test_the_examples_work_one_after_the_other(command: Command) -> None:
    [examples] = re.findall(r"^```sh\n(.*?)^```$", CLI_README, re.MULTILINE | re.DOTALL)
    path = f"{Path(COMMAND).parent}:{command.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", examples],
        cwd=ROOT,
        env={**command.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().rpartition("\n")[2].startswith("Deleted flow set ")


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
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", CLI_README, re.MULTILINE)
    assert rows == re.findall(r"^  (\d+) +(.+)$", EXIT_CODES, re.MULTILINE)
    assert len(rows) == 6
