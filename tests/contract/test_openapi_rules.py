"""The served description, read by redocly and Spectral: neither has a warning about it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.config import ROOT

HERE = Path(__file__).parent
PROGRAMS = ROOT / "tests" / "node_modules" / ".bin"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}
SECONDS = 120


def redocly(document: Path) -> list[str]:
    """The rules that redocly finds broken."""
    command = ("redocly", "lint", "--config", str(HERE / "redocly.yaml"), "--format", "json")
    return [each["ruleId"] for each in json.loads(run(*command, str(document)))["problems"]]


def spectral(document: Path) -> list[str]:
    """The rules that Spectral finds broken, hints included."""
    command = ("spectral", "lint", "--ruleset", str(HERE / "spectral.yaml"), "--format", "json")
    # Behind the list there may be a sentence.
    found, _ = json.JSONDecoder().raw_decode(run(*command, str(document)))
    return [each["code"] for each in found]


def run(program: str, *arguments: str) -> str:
    """What a program prints; its exit code says only whether it found errors."""
    done = subprocess.run(
        [str(PROGRAMS / program), *arguments],
        cwd=HERE,
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.stdout, done.stderr
    return done.stdout


@pytest.mark.parametrize("reader", [redocly, spectral])
def test_it_has_no_warning_about_the_description(reader: Any, served_description: Path) -> None:
    assert reader(served_description) == []


@pytest.mark.parametrize("reader", [redocly, spectral])
def test_it_finds_what_is_wrong(reader: Any, served_description: Path, tmp_path: Path) -> None:
    described = json.loads(served_description.read_bytes())
    described["paths"]["/health"]["get"]["operationId"] = "openapi"
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(described))

    assert set(reader(broken)) == {"operation-operationId-unique"}
