"""The clock of a local stack while it is not moved, and where it cannot be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.clock import FILE, MOST, Clock, ahead_in, duration
from local.config import ROOT, LocalConfig
from local.stack import throwaway_config
from local.stack_command import run_banner
from tests.support.commands import environment, run

PROBE = """
import asyncio, datetime, sys, time
from local.clock import PROCESS
PROCESS.be_ahead(0)
assert "time_machine" not in sys.modules
real, steady = time.time(), time.monotonic()
for ahead in (7200, 90000):
    PROCESS.be_ahead(ahead)
    assert ahead <= time.time() - real < ahead + 60
    assert ahead <= datetime.datetime.now().timestamp() - real < ahead + 60
    assert time.monotonic() - steady < 60
begin = time.time()
asyncio.run(asyncio.sleep(0.2))
assert 0.2 <= time.time() - begin < 60
"""


@pytest.fixture
def config(tmp_path: Path) -> LocalConfig:
    """A state folder whose clock is a day and a second ahead."""
    config = throwaway_config(tmp_path)
    Clock(tmp_path / FILE).forward(24 * 3600 + 1)
    return config


def test_a_process_replaces_nothing_until_its_clock_is_moved_and_never_its_durations() -> None:
    result = run(ROOT, "-c", PROBE)
    assert result.returncode == 0, result.stderr


def test_each_process_reads_the_same_clock(tmp_path: Path) -> None:
    assert ahead_in(tmp_path) == 0
    one, other = Clock(tmp_path / FILE), Clock(tmp_path / FILE)
    one.forward(5)
    other.forward(MOST - 5)
    assert one.ahead() == other.ahead() == ahead_in(tmp_path) == MOST


@pytest.mark.parametrize("seconds", [0, -1, MOST + 1])
def test_a_clock_refuses_to_go_back_or_too_far(tmp_path: Path, seconds: int) -> None:
    with pytest.raises(ValueError, match=f"not {seconds} seconds from 0"):
        Clock(tmp_path / FILE).forward(seconds)
    assert ahead_in(tmp_path) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "PT0S"), (61, "PT1M1S"), (86400, "P1D"), (90061, "P1DT1H1M1S"), (MOST, "P400D")],
)
def test_durations_are_written_as_iso_8601_has_them(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_a_start_says_that_the_clock_was_left_ahead(config: LocalConfig, tmp_path: Path) -> None:
    assert "Clock    P1DT1S ahead" in run_banner(config)
    (tmp_path / FILE).unlink()
    assert "Clock" not in run_banner(config)


def test_emulators_that_are_ahead_do_not_start_for_functions_that_are_not(
    project: Path, config: LocalConfig
) -> None:
    result = run(project, "-m", "local.stack_command", "emulators", env=environment(config))
    assert result.returncode == 1
    assert "P1DT1S ahead" in result.stderr
    assert "make clean" in result.stderr
