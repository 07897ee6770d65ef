"""Starts the local Functions host for tests, as its users do."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from yarl import URL

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "tests" / "host" / "apps"
DEADLINE = 30.0


class HostProcess:
    """`python -m local.host` with an app, on a free port; its output goes to a file."""

    def __init__(
        self, app: Path, log: Path, environ: Mapping[str, str] | None = None, *options: str
    ) -> None:
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.host", "--app", str(app), "--port", "0", *options],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
            )

    @property
    def output(self) -> str:
        """Everything the host printed so far."""
        return self._log.read_text()

    async def url(self) -> str:
        """The host's address, once it says that it has started."""
        await until(lambda: "Host started on" in self.output or self.process.poll() is not None)
        found = re.search(r"Host started on (http://\S+)", self.output)
        assert found, self.output
        return found[1]

    async def ended(self) -> int:
        """The exit code, once the process is gone."""
        await until(lambda: self.process.poll() is not None)
        return self.process.returncode

    async def stop(self) -> int:
        """Send SIGTERM and wait for the end."""
        if self.process.poll() is None:
            self.process.terminate()
        return await self.ended()

    def kill(self) -> None:
        """End the process at once, if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)


async def until(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    """Wait until a condition holds; fails at the deadline (seconds)."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        await asyncio.sleep(0.02)


async def exchange(host: HostProcess, request: bytes) -> bytes:
    """Send bytes as they are and return everything up to the end of the connection."""
    url = URL(await host.url())
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        await writer.wait_closed()
