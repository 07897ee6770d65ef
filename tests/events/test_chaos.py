"""The short fault run: nothing that was accepted is lost or stuck, whatever dies meanwhile."""

from __future__ import annotations

import re
import subprocess
import sys

from local.config import ROOT

DEADLINE_SECONDS = 180.0


def test_a_short_fault_run_loses_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.chaos", "--short", "--seed", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for action in (
        "host",
        "Service Bus",
        "Cosmos DB",
        "Azurite",
        "token issuer",
        "401",
        "3 s late",
    ):
        assert re.search(rf"[:,] {action} [1-9]", run.stdout), run.stdout
    assert "accepted 80, lost 0, stuck 0, wrong 0, duplicate sets 0, orphan sets 0;" in run.stdout
    assert "in the state that the newest event says: 40 of 40" in run.stdout
    assert "lost 0, stuck 0, in a wrong state 0, not brought up 0" in run.stdout
    assert "archived 40, lost 0, twice 0, left in a queue 0; " in run.stdout
    assert run.stdout.count(" p99 ") == 2
