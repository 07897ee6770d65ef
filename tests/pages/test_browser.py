"""The browser of these tests ends with them, however they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local.config import ROOT
from tests.support.commands import ps, wait_until

OPEN = """
import asyncio, pathlib, sys
from tests.pages.browser import Browser

async def main() -> None:
    async with Browser(pathlib.Path(sys.argv[1])):
        print("open", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_killed_test_run_leaves_no_browser_behind(tmp_path: Path) -> None:
    def running() -> list[list[str]]:
        everything = ps("-ww", "-e", "-o", "pid=,args=")
        return [row for row in everything if str(tmp_path) in " ".join(row)]

    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
        try:
            assert tests.stdout is not None
            assert tests.stdout.readline() == "open\n"
            assert len(running()) > 1
        finally:
            tests.kill()
    wait_until(lambda: not running(), "the end of the browser")
