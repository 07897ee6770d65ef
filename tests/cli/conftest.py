"""The installed command `industrydata`, run as a process against the running stack."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.config import ROOT
from local.stack import Stack
from tests.support.commands import environment

SECONDS = 120.0
COMMAND = str(Path(sys.executable).with_name("industrydata"))
PAYLOADS = ROOT / "shared" / "contract" / "examples"
# What a person's shell may have set, and would lead a test elsewhere.
_OURS = ("SERVICE_ROOT", "INDUSTRYDATA_TOKEN", "API_CLIENT_ID", "API_AUDIENCE", "NO_COLOR")


def example(name: str) -> str:
    """The file with a published request."""
    return str(PAYLOADS / f"{name}.request.json")


@dataclass(frozen=True)
class Ran:
    """What a run of the command left behind."""

    code: int
    out: str
    err: str

    def values(self) -> list[Any]:
        """What it printed with --json: a value a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def value(self) -> Any:
        """The one value that it printed with --json."""
        [value] = self.values()
        return value


class Command:
    """Runs `industrydata` with an environment of its own."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ

    def run(self, *arguments: str, stdin: str = "", cwd: Path = ROOT, **environ: str) -> Ran:
        """Run it to its end."""
        done = subprocess.run(
            [COMMAND, *arguments],
            cwd=cwd,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert "Traceback" not in done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, stdin: str = "", **environ: str) -> Ran:
        """Run it; it must succeed, without a word on standard error."""
        ran = self.run(*arguments, stdin=stdin, cwd=ROOT, **environ)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran


@pytest.fixture(scope="session")
def environ(stack: Stack) -> dict[str, str]:
    """An environment in which the command works with the stack of the tests."""
    names = environment(stack.config)
    return {name: value for name, value in names.items() if name not in _OURS}


@pytest.fixture(scope="session")
def command(environ: dict[str, str], token: str) -> Command:
    """The command, with a token that may do everything."""
    return Command({**environ, "INDUSTRYDATA_TOKEN": token})


@pytest.fixture
def name() -> str:
    """A name that no other set has."""
    return f"Set {uuid.uuid4()}"


@pytest.fixture
def cli_set(command: Command, name: str) -> str:
    """An empty flow set of that name."""
    return command.ok("sets", "create", name).out.strip()


def never_ready(folder: Path) -> str:
    """A file with a flow that the check finds wrong."""
    file = folder / "never.json"
    body = json.loads(Path(example("user")).read_text("utf-8")) | {"creationOptions": None}
    file.write_text(json.dumps(body), "utf-8")
    return str(file)
