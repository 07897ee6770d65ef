"""Clients that generators make from the served description do all that can be done with flows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.config import ROOT

HERE = Path(__file__).parent
NODE_MODULES = ROOT / "tests" / "node_modules"
SECONDS = 120
COMPILER_OPTIONS = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "module": "NodeNext",
    "target": "ES2022",
    "types": [],
}
# Each makes the program wrong.
WRONG = [
    ("${NAMESPACE}userProvisioningFlow`", "${NAMESPACE}unknownFlow`"),
    ('studentAgeGroup: "minor"', 'studentAgeGroup: "elder"'),
    ("createUnmatchedUsers: true", 'createUnmatchedUsers: "yes"'),
    ("flow.configuration?.additionalOptions", "flow.configuration?.unknown"),
]
SEEN = {
    "statuses": ["notReady"] * 4,
    "page": [3, 4, True],
    "patched": {
        "administrativeUnitProvisioningFlow": [True, False, "notReady"],
        "classGroupProvisioningFlow": [True, False, "notReady"],
        "securityGroupProvisioningFlow": [True, False, "notReady"],
        "userProvisioningFlow": [True, False, "notReady"],
    },
    "left": 0,
    "error": "Request_ResourceNotFound",
    "set": "Generated",
}


@pytest.fixture
def environment(api: str, token: str) -> dict[str, str]:
    """Where the programs find the service, and with which token."""
    return {"ORIGIN": api.removesuffix("/beta"), "TOKEN": token}


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a program prints; it has to end well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def typescript(served_description: Path) -> Path:
    """A folder with the program and what openapi-typescript makes of the description."""
    folder = served_description.parent
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "package.json").write_text('{"type": "module"}')
    options = {"compilerOptions": COMPILER_OPTIONS, "files": ["client.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(options))
    generate = NODE_MODULES / ".bin" / "openapi-typescript"
    run(generate, served_description, "--output", "api.d.ts", cwd=folder)
    (folder / "client.ts").write_bytes((HERE / "client.ts").read_bytes())
    return folder


def test_a_typescript_client_changes_flows_of_all_kinds(
    typescript: Path, environment: dict[str, str]
) -> None:
    run(NODE_MODULES / ".bin" / "tsc", cwd=typescript)
    seen = json.loads(run("node", "client.js", cwd=typescript, **environment).stdout)

    assert seen == SEEN


def test_a_wrong_typescript_program_does_not_compile(typescript: Path) -> None:
    text = (typescript / "client.ts").read_text("utf-8")
    for number, (right, wrong) in enumerate(WRONG):
        assert right in text
        (typescript / f"wrong{number}.ts").write_text(text.replace(right, wrong), "utf-8")
    options = {"compilerOptions": COMPILER_OPTIONS, "include": ["*.ts"]}
    (typescript / "tsconfig.json").write_text(json.dumps(options))

    with pytest.raises(AssertionError) as refused:
        run(NODE_MODULES / ".bin" / "tsc", "--noEmit", cwd=typescript)

    found = re.findall(r"(\w+)[.]ts\(\d+,\d+\): error TS", str(refused.value))
    assert set(found) == {f"wrong{number}" for number in range(len(WRONG))}


def test_a_python_client_changes_flows_of_all_kinds(
    served_description: Path, environment: dict[str, str]
) -> None:
    folder = served_description.parent
    name = "industry_data_client"
    options = {"project_name_override": name, "package_name_override": name, "post_hooks": []}
    (folder / "options.json").write_text(json.dumps(options))
    generate = (sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none")
    files = ("--path", served_description, "--output-path", name, "--config", "options.json")

    said = run(*generate, *files, cwd=folder).stderr
    environment["PYTHONPATH"] = str(folder)
    seen = json.loads(run(sys.executable, HERE / "client.py", cwd=folder, **environment).stdout)

    # $metadata is XML, for which the generator makes no function.
    assert re.findall("WARNING.*", said) == ["WARNING parsing GET /beta/$metadata within service."]
    assert seen == SEEN
