"""What another SDK gets of the emulator: npm's @azure/service-bus, run once for all scenarios."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.service_bus_fixtures import ROOT, running

SCRIPT = Path(__file__).with_name("service_bus_npm.mjs")
NAMES = re.findall(r"^  (?:async )?(\w+)(?:\(|:)", SCRIPT.read_text("utf-8"), re.MULTILINE)
IDLE = 3.0  # seconds


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each scenario came to."""
    folder = tmp_path_factory.mktemp("npm")
    (folder / "node_modules").symlink_to(ROOT / "tests" / "node_modules")
    script = shutil.copy(SCRIPT, folder)
    queues: dict[str, dict[str, Any]] = {name: {} for name in NAMES}
    with running(folder, queues, "--link-idle-seconds", str(IDLE)) as emulator:
        done = subprocess.run(
            ["node", script, emulator.connection_string(), str(IDLE * 1000)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line["result"] for line in lines}


def test_a_message_is_sent_received_and_completed(results: dict[str, Any]) -> None:
    found = results["complete"]
    assert re.fullmatch("[0-9a-f]{32}", found.pop("messageId"))  # this SDK gives none itself
    assert found == {
        "body": {"a": 1},
        "subject": "s",
        "properties": {"n": 7},
        "deliveryCount": 0,
        "left": 0,
    }


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("abandon", [1, {"why": "later"}]),
        (
            "deadLetter",
            ["R", "D", {"DeadLetterReason": "R", "DeadLetterErrorDescription": "D", "more": "m"}],
        ),
        ("defer", ["deferred", "a", 0]),
        ("batch", [256 * 1024, ["a", "b", "c"]]),
        ("schedule", ["kept", -1, 0]),
        ("renew", True),
        ("receiveAndDelete", ["a", 0]),
        ("subscribe", [["a", "b", "c"], []]),
        ("idle", ["a", "b", 0]),
    ],
)
def test_what_it_does_is_done(results: dict[str, Any], scenario: str, expected: Any) -> None:
    assert results[scenario] == expected


@pytest.mark.parametrize(
    ("scenario", "code", "word"),
    [
        ("tooLarge", "MessageSizeExceeded", "262144"),
        ("tooLargeScheduled", "MessageSizeExceeded", "262144"),
        ("farTooLargeScheduled", "MessageSizeExceeded", "262144"),
        ("properties", "MessageSizeExceeded", "65536"),
        ("deadLetterQueue", "GeneralError", "dead-letter queue"),
        ("session", "GeneralError", "sessions"),
        ("topic", "GeneralError", "topics"),
        ("wrongKey", "UnauthorizedAccess", "SAS_KEY_VALUE"),
    ],
)
def test_what_it_may_not_do_is_refused_at_once_in_words(
    results: dict[str, Any], scenario: str, code: str, word: str
) -> None:
    assert results[scenario]["code"] == code
    assert word in results[scenario]["text"]
    assert results[scenario]["quick"] is True
