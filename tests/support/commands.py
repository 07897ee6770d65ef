"""Runs the project's commands as a person does, and looks at the processes they leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.config import LocalConfig

DEADLINE_SECONDS = 90.0


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Poll until `done`, fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not done():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        time.sleep(0.05)


def ps(*arguments: str) -> list[list[str]]:
    """The rows of a ps listing."""
    listing = subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False)
    return [line.split() for line in listing.stdout.splitlines()]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not collected does not."""
    return any(not row[0].startswith("Z") for row in ps("-o", "stat=", "-p", str(pid)))


def environment(config: LocalConfig, **more: str) -> dict[str, str]:
    """What a command needs to use these ports and this state folder."""
    ports = {name: str(port) for name, port in config.ports().items()}
    return {**os.environ, **ports, "LOCAL_STATE": str(config.local_state), **more}


def run(project: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python command of the project to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
        **more,
    )
