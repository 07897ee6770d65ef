"""Plans that are computed here and now, for parameters that infra/environments has not.

Not part of `make test`, for they need the Bicep compiler; `make infra-check` runs them. Without a
compiler they fail.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.infra.plan import INFRA, ROOT, Plan

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
API = "33333333-3333-3333-3333-333333333333"

Compute = Callable[..., Plan]
Run = Callable[..., subprocess.CompletedProcess[str]]


class Refused(Exception):
    """The compiler said something; the text is what."""


@pytest.fixture(scope="session")
def bicep() -> Run:
    """Runs the compiler, wherever infra/find-bicep.sh finds it."""
    found = subprocess.run(
        ["sh", str(INFRA / "find-bicep.sh")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert found.returncode == 0, found.stderr
    compiler = Path(found.stdout.strip()).resolve()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(compiler), *arguments], capture_output=True, text=True, check=False, timeout=120
        )

    return run


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of infra/, beside what it loads, to compute in and to change."""
    shutil.copytree(INFRA, tmp_path / "infra", ignore=shutil.ignore_patterns("environments"))
    shutil.copytree(ROOT / "shared/resources", tmp_path / "shared/resources")
    return tmp_path / "infra"


@pytest.fixture
def compute(bicep: Run, copy: Path) -> Compute:
    """Computes the plan of a template for some parameters; raises Refused for any diagnostic."""

    def computed(template: str = "main.bicep", /, **parameters: Any) -> Plan:
        given = {"environmentName": "dev", "location": "swedencentral", "apiClientId": API}
        values = {**given, **parameters} if template == "main.bicep" else parameters
        file = copy / "given.bicepparam"
        file.write_text(
            f"using './{template}'\n"
            + "".join(f"param {name} = {literal(value)}\n" for name, value in values.items())
        )
        group = [] if template == "main.bicep" else ["--resource-group", "rg-some"]
        done = bicep(
            *("snapshot", str(file), "--mode", "overwrite", "--location", "swedencentral"),
            *("--subscription-id", SUBSCRIPTION, "--tenant-id", TENANT, *group),
        )
        if done.returncode != 0 or done.stdout or done.stderr:
            raise Refused(done.stdout + done.stderr)
        return Plan.parse((copy / "given.snapshot.json").read_text("utf-8"))

    return computed


@pytest.fixture(scope="session")
def template(bicep: Run) -> dict[str, Any]:
    """infra/main.bicep as Azure gets it."""
    done = bicep("build", str(INFRA / "main.bicep"), "--stdout")
    assert (done.returncode, done.stderr) == (0, "")
    built: dict[str, Any] = json.loads(done.stdout)
    return built


def literal(value: Any) -> str:
    """A value as Bicep writes it."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"
    return json.dumps(value)
