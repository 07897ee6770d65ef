"""What the measurements share: pairs of runs that take turns, and stacks of their own.

The machine may be busy with other things, so two ways are never measured one after the other: they
take turns, and what counts is the median of the ratios of neighbours.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.config import ROOT
from local.settings import example_values
from local.stack import EMULATORS, Stack, throwaway_config
from shared.domain.context import LOCAL_TENANT, current_tenant

PAYLOADS = ROOT / "shared" / "contract" / "examples"


def seed_bodies() -> list[bytes]:
    """The four published request bodies."""
    return [path.read_bytes() for path in sorted(PAYLOADS.glob("*.request.json"))]


@dataclass(frozen=True)
class Compared:
    """Two ways of doing the same, measured in turns; both in the same unit."""

    ours: float
    theirs: float
    ratio: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Compared:
        """Take the medians of measured pairs, and the spread of their ratios in the middle half."""
        ratios = sorted(ours / theirs for ours, theirs in pairs)
        quarter = len(ratios) // 4
        return cls(
            statistics.median(ours for ours, _ in pairs),
            statistics.median(theirs for _, theirs in pairs),
            statistics.median(ratios),
            ratios[quarter],
            ratios[-1 - quarter],
        )

    def line(self, what: str, unit: str, target: str) -> str:
        """Say it in a line of a table."""
        return (
            f"  {what:<46} {self.ours:>10.4g} {self.theirs:>10.4g} {unit:<5} "
            f"x {self.ratio:.2f} ({self.lowest:.2f}-{self.highest:.2f})  target {target}"
        )


def in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, calls: int
) -> Compared:
    """Compare the CPU time of two functions, in microseconds a call."""

    def measured(function: Callable[[], object]) -> float:
        started = time.process_time()
        for _ in range(calls):
            function()
        return (time.process_time() - started) / calls * 1e6

    measured(ours), measured(theirs)
    with _no_collection():
        return Compared.of([(measured(ours), measured(theirs)) for _ in range(rounds)])


async def in_turns_async(
    ours: Callable[[], Awaitable[float]], theirs: Callable[[], Awaitable[float]], rounds: int
) -> Compared:
    """Compare what two coroutines return, once each as a warm-up and then in turns."""
    await ours()
    await theirs()
    return Compared.of([(await ours(), await theirs()) for _ in range(rounds)])


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def stack(*, host: bool = False) -> Iterator[Stack]:
    """Run emulators, and the Functions host with `host`, on free ports; the state is thrown away.

    The app settings are in this process's environment meanwhile, and the tenant of the stack's
    tokens is the one that is served in it.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as state:
        config = throwaway_config(Path(state))
        settings = {**example_values(), **config.app_settings()}
        os.environ.update(settings)
        current_tenant.set(LOCAL_TENANT)
        names = (*EMULATORS, "host") if host else EMULATORS
        with Stack(config, names=names, host_settings=settings, say=lambda text: None) as running:
            yield running


def memory_of(pid: int) -> float:
    """Return what a process holds, in MiB."""
    kib = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout
    return int(kib) / 1024


def cpu_ms(pid: int) -> float:
    """Return the milliseconds of CPU that a process has used; Linux only."""
    return time.clock_gettime(~pid << 3 | 2) * 1e3  # as clock_getcpuclockid(3) makes its clock


def child_of(pid: int) -> int:
    """Return the id of the one process that a process has started: a host's worker."""
    listing = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return int(listing.stdout.split()[0])


@contextlib.contextmanager
def app_folder(name: str) -> Iterator[str]:
    """Make an app of some of the functions: bench/NAME.py is its function_app.py."""
    with tempfile.TemporaryDirectory(prefix="bench-app-") as folder:
        for part in ("functions", "shared", "host.json"):
            Path(folder, part).symlink_to(ROOT / part)
        shutil.copy(ROOT / "bench" / f"{name}.py", Path(folder, "function_app.py"))
        yield folder


@contextlib.contextmanager
def process(*command: str) -> Iterator[int]:
    """Run a Python program in a process group of its own; gives its process id."""
    running = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield running.pid
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
