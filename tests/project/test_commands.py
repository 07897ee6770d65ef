"""The commands of the Makefile, what they install and make, and the facts written twice."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import install
from local.config import ROOT, LocalConfig, LocalConfigError
from local.settings import SettingsFileError, make_settings_file
from tests.support.commands import run


def test_a_missing_node_is_one_sentence_before_the_install_starts(project: Path) -> None:
    result = run(project, "local/install.py", "run", env={"PATH": ""})
    assert result.returncode == 1
    assert result.stderr == (
        "There is no `node` on PATH. Install Node.js 20 or newer, which includes npm.\n"
    )
    assert not result.stdout


def test_an_old_node_is_one_sentence(tmp_path: Path, project: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.19.1\n")
    node.chmod(0o755)
    result = run(project, "local/install.py", "run", env={"PATH": str(tmp_path)})
    assert result.stderr == "This is Node.js v18.19.1. Install Node.js 20 or newer.\n"


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_a_python_outside_the_range_is_one_sentence(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "VENV_PYTHON", tmp_path / "none")
    monkeypatch.setattr(sys, "version_info", version)
    [fault] = install.missing_prerequisites(needs_node=False)
    assert fault.startswith(f"This is Python {version[0]}.{version[1]}. ")
    assert "PYTHON=python3.12" in fault


def test_a_missing_python_is_one_sentence(project: Path) -> None:
    result = subprocess.run(
        ["make", "demo", "PYTHON=no-such-python"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "There is no `no-such-python` on PATH: install Python 3.11" in result.stderr


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without requirements, installed once: a real .venv and a real pip."""
    copy = tmp_path_factory.mktemp("installed")
    (copy / "local").mkdir()
    shutil.copy(project / "local" / "install.py", copy / "local")
    (copy / "cli").mkdir()
    files = ("requirements.txt", "local/requirements.txt", "requirements-dev.txt")
    for name in (*files, "cli/pyproject.toml"):
        (copy / name).write_text("# nothing\n")
    first = run(copy, "local/install.py", "check")
    assert first.returncode == 0, first.stderr
    assert "Making .venv" in first.stdout
    assert "Installing the Python packages" in first.stdout
    return copy


def test_an_install_runs_once(installed: Path) -> None:
    again = run(installed, "local/install.py", "check")
    assert again.returncode == 0
    assert not again.stdout


def test_an_install_runs_again_when_a_requirement_changes(installed: Path) -> None:
    (installed / "requirements.txt").write_text("# still nothing\n")
    again = run(installed, "local/install.py", "check")
    assert again.returncode == 0
    assert "Making .venv" not in again.stdout
    assert "Installing the Python packages" in again.stdout


def test_a_failed_install_shows_the_end_of_its_log_and_is_tried_again(installed: Path) -> None:
    usual = (installed / "requirements-dev.txt").read_text()
    (installed / "requirements-dev.txt").write_text("not a requirement\n")
    failed = run(installed, "local/install.py", "check")
    (installed / "requirements-dev.txt").write_text(usual)
    mended = run(installed, "local/install.py", "check")
    assert failed.returncode == 1
    assert "not a requirement" in failed.stderr
    assert mended.returncode == 0, mended.stderr
    assert "Installing the Python packages" in mended.stdout


def test_the_settings_file_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    make_settings_file(path)
    made = path.read_bytes()
    make_settings_file(path)
    assert path.read_bytes() == made


def test_the_settings_file_has_a_random_key_of_32_bytes(tmp_path: Path) -> None:
    keys = set()
    for name in ("one.json", "two.json"):
        make_settings_file(tmp_path / name)
        text = json.loads((tmp_path / name).read_text())["Values"]["PASSWORD_KEYS"]
        key_id, key = text.split(":")
        assert re.fullmatch(r"local-\d{8}", key_id)
        assert len(base64.b64decode(key, validate=True)) == 32
        keys.add(key)
    assert len(keys) == 2


def test_only_its_owner_may_read_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    make_settings_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_copied_example_gets_its_key_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    example = json.loads((ROOT / "local.settings.example.json").read_text())
    example["Values"]["COSMOS_DATABASE"] = "mine"
    path.write_text(json.dumps(example))
    make_settings_file(path)
    values = json.loads(path.read_text())["Values"]
    assert values["COSMOS_DATABASE"] == "mine"
    assert values["PASSWORD_KEYS"].startswith("local-")


def test_a_broken_settings_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    path.write_text("{")
    with pytest.raises(SettingsFileError, match=r"local\.settings\.json is not JSON"):
        make_settings_file(path)
    assert path.read_text() == "{"


def test_every_fault_of_the_configuration_is_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(LocalConfigError) as caught:
        LocalConfig.read(
            {
                "COSMOS_PORT": "http",
                "FUNCTIONS_PORT": "65536",
                "SERVICE_BUS_PORT": "9" * 5000,
                "AZURITE_BLOB_PORT": "10001",
                "LOCAL_STATE": str(file),
            }
        )
    text = str(caught.value)
    assert "COSMOS_PORT='http' is not a port" in text
    assert "FUNCTIONS_PORT='65536' is not a port" in text
    assert "SERVICE_BUS_PORT=" in text
    assert "AZURITE_QUEUE_PORT and AZURITE_BLOB_PORT are both 10001" in text
    assert "is not a folder" in text


def test_the_default_ports_need_no_overriding_settings() -> None:
    assert LocalConfig().overrides() == {}


def test_another_port_overrides_only_the_settings_it_changes() -> None:
    config = LocalConfig(cosmos_port=18081)
    assert config.overrides() == {"COSMOS_ENDPOINT": "http://127.0.0.1:18081"}


def test_ports_may_be_given_as_make_variables(project: Path) -> None:
    result = subprocess.run(
        # `true` in the place of Python skips the installation.
        ["make", "stack", "COSMOS_PORT=abc", "PYTHON=true", f"VENV_PYTHON={sys.executable}"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "COSMOS_PORT='abc' is not a port" in result.stderr


def make_targets() -> set[str]:
    """The targets a person may type: those of one plain word."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    steps_of_others = {"install-test", "install-check"}
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) - steps_of_others


def test_make_alone_lists_every_target_in_one_line_each() -> None:
    # make test is a make itself, and a make inside one says which folder it enters.
    command = ["make", "--no-print-directory"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = listing.stdout.splitlines()
    assert sorted(line.split()[1] for line in lines) == sorted(make_targets())
    assert all(len(line) <= 100 for line in lines)


def test_every_make_target_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"(?:^|`|\$ )make ([a-z-]+)", text, re.MULTILINE))
    assert named
    assert named <= make_targets()


def compose_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(
        (ROOT / "compose.yaml").read_text("utf-8")
    )["services"]
    return services


def test_compose_publishes_the_default_ports_on_loopback_only() -> None:
    published = [
        port for service in compose_services().values() for port in service.get("ports", [])
    ]
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in published)
    service_bus_health = 5300
    ours = {LocalConfig().functions_port, LocalConfig().issuer_port}
    emulators = set(LocalConfig().ports().values()) - ours
    assert {int(port.rpartition(":")[2]) for port in published} == emulators | {service_bus_health}


def test_compose_has_the_same_queues() -> None:
    [volume] = compose_services()["service-bus"]["volumes"]
    source, target, _read_only = volume.split(":")
    assert (ROOT / source).samefile(ROOT / "shared" / "resources" / "queues.json")
    assert target == "/ServiceBus_Emulator/ConfigFiles/Config.json"


def test_compose_requires_the_password_of_sql_server() -> None:
    for name in ("sql", "service-bus"):
        password = compose_services()[name]["environment"]["MSSQL_SA_PASSWORD"]
        assert password.startswith("${MSSQL_SA_PASSWORD:?")


def test_compose_names_a_version_of_every_image() -> None:
    for service in compose_services().values():
        assert re.search(r":[\w.-]*\d[\w.-]*$", service["image"])
        assert not service["image"].endswith("latest")


def test_what_is_published_is_what_runs(project: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    shutil.copytree(project, app, symlinks=True)
    for name in (".venv/bin/python", ".git/x", "local.settings.json", "shared/__pycache__/x.pyc"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).touch()
    # Core Tools read .funcignore with the rules of .gitignore: git itself decides.
    shutil.rmtree(app / ".git")
    (app / ".gitignore").write_text((app / ".funcignore").read_text())
    git = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "init", "-q"], cwd=app, check=True, env=git)
    listing = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=app,
        capture_output=True,
        text=True,
        check=True,
        env=git,
    ).stdout.split()
    runs = {"function_app.py", "host.json", "requirements.txt"}
    code = {
        path.relative_to(project).as_posix()
        for folder in ("functions", "shared")
        for path in (project / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(listing) == runs | code
