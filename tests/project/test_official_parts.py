"""`HOST=func`, `func start` and compose.yaml agree with what runs here, as far as text shows it.

Each of them must have the same routes, settings, queues and ports; local/config.py, the example
file of settings and the app itself are the sources.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.http.operations import ROUTES
from local.components import CORE_TOOLS, QUEUES_FILE, Component, components
from local.config import AZURITE_KEY, COSMOS_EMULATOR_KEY, HOST, ROOT, LocalConfig
from local.emulators.service_bus.config import read_queues
from local.host.settings import apply_local_settings, read_host_json
from local.host.worker_checks import HTTP_TRIGGER
from local.settings import example_values
from local.stack import Stack
from tests.host.test_function_app import triggers

USUAL = LocalConfig()
MOVED = LocalConfig(
    functions_port=17071, issuer_port=17072, cosmos_port=18081, azurite_blob_port=11000
)
COMPOSE = ROOT / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]


@pytest.fixture
def func(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed `func`: a file that can be found, for nothing here runs it."""
    tool = tmp_path / "bin" / "func"
    tool.parent.mkdir()
    tool.touch(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    return tool


def host(config: LocalConfig, kind: str) -> Component:
    return components(config, host=kind)["host"]


# --- HOST=func and func start --------------------------------------------------------------------


def test_func_start_gets_the_port_of_the_local_host(func: Path) -> None:
    assert host(MOVED, CORE_TOOLS).command == (str(func), "start", "--port", "17071")
    assert host(MOVED, CORE_TOOLS).port_variables == host(MOVED, "local").port_variables


def test_func_start_finds_the_python_that_has_the_packages(func: Path) -> None:
    environment = host(USUAL, CORE_TOOLS).environment
    first = Path(environment["PATH"].split(os.pathsep)[0])
    assert any((first / name).exists() for name in ("python", "python3"))
    assert first == Path(sys.executable).parent
    assert environment["VIRTUAL_ENV"] == sys.prefix


def test_func_start_gets_the_settings_of_the_local_host(func: Path) -> None:
    theirs, ours = (host(MOVED, kind).environment for kind in (CORE_TOOLS, "local"))
    assert ours
    assert {**theirs, **ours} == theirs
    assert set(theirs) - set(ours) == {"PATH", "VIRTUAL_ENV"}


def test_the_local_host_serves_the_routes_that_func_start_finds(stack: Stack) -> None:
    """Core Tools take them from the app, as the local host does: nothing else names routes."""
    url = f"http://{HOST}:{stack.config.functions_port}"
    listed = re.findall(
        rf"^    (\w+): (?:\[([A-Z,]+)\] )?{url}/(.*)$",
        stack.log_file("host").read_text("utf-8"),
        re.MULTILINE,
    )
    expected = [
        (
            function.get_function_name(),
            ",".join(sorted(method.value for method in trigger.get("methods", ()))),
            trigger["route"],
        )
        for function, trigger in triggers(HTTP_TRIGGER)
    ]
    # A host that was started again lists them again.
    assert sorted(set(listed)) == sorted(expected)
    declared = {(route.name, route.method, "/".join(route.segments)) for route in ROUTES}
    assert declared <= set(expected)
    assert len(set(expected) - declared) == 1  # the one for all other paths


def test_func_start_reads_its_port_and_prefix_from_files_of_the_project() -> None:
    values: dict[str, str] = {}
    example = ROOT / "local.settings.example.json"
    assert f'"LocalHttpPort": {USUAL.functions_port}' in example.read_text("utf-8")
    assert read_host_json(ROOT).route_prefix == ""  # the routes begin with "beta" themselves
    assert apply_local_settings(ROOT / "local", values) == USUAL.functions_port  # no file: default
    assert values == {}


def test_settings_of_the_example_lead_to_the_usual_ports() -> None:
    example, ours = example_values(), USUAL.app_settings()
    # Azurite's own default ports, which this short form stands for.
    assert example.pop("AzureWebJobsStorage") == "UseDevelopmentStorage=true"
    usual = (USUAL.azurite_blob_port, USUAL.azurite_queue_port, USUAL.azurite_table_port)
    assert usual == (10000, 10001, 10002)
    assert AZURITE_KEY in ours.pop("AzureWebJobsStorage")
    assert {name: example[name] for name in ours} == ours
    assert example["COSMOS_KEY"] == COSMOS_EMULATOR_KEY


# --- compose.yaml --------------------------------------------------------------------------------


def published(service: str) -> set[int]:
    return {int(port.split(":")[1]) for port in SERVICES[service].get("ports", [])}


@pytest.mark.parametrize(
    ("service", "setting"), [("cosmos", "COSMOS_ENDPOINT"), ("service-bus", "ServiceBus")]
)
def test_compose_publishes_where_the_settings_lead(service: str, setting: str) -> None:
    found = re.search(rf"//{re.escape(HOST)}:(\d+)", example_values()[setting])
    assert found
    assert int(found[1]) in published(service)


def test_compose_starts_azurite_as_the_stack_does() -> None:
    theirs = set(shlex.split(SERVICES["azurite"]["command"]))
    ours = {option for option in components(USUAL)["azurite"].command if option.startswith("--")}
    assert {option for option in ours if not option.endswith("Port")} <= theirs
    assert published("azurite") == {
        port for name, port in USUAL.ports().items() if name.startswith("AZURITE")
    }


def test_compose_starts_the_azurite_that_the_stack_starts() -> None:
    packages = json.loads((ROOT / "local" / "package.json").read_text("utf-8"))
    image = SERVICES["azurite"]["image"]
    assert image.rpartition(":")[2] == packages["dependencies"]["azurite"]


def test_compose_speaks_plain_http_where_the_settings_do() -> None:
    assert example_values()["COSMOS_ENDPOINT"].startswith("http://")
    assert SERVICES["cosmos"]["command"] == ["--protocol", "http"]


def test_official_emulator_takes_the_queue_file() -> None:
    [volume] = SERVICES["service-bus"]["volumes"]
    file = ROOT / volume.split(":")[0]
    assert file == QUEUES_FILE
    assert str(file) in components(USUAL)["service_bus"].command
    queues = read_queues(file)  # refuses what the official one refuses
    names = ("READINESS_QUEUE", "NOTIFICATIONS_QUEUE")
    assert list(queues) == [example_values()[name] for name in names]


def commands(text: str) -> list[str]:
    """The commands of a block, without comments and prompts."""
    lines = (line.partition(" # ")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def test_readme_and_compose_give_the_same_commands() -> None:
    comment = re.search(r"^#\n((?:#   .*\n)+)", COMPOSE.read_text("utf-8"), re.MULTILINE)
    readme = re.search(
        r"```sh\n(export MSSQL_SA_PASSWORD.*?)```",
        (ROOT / "README.md").read_text("utf-8"),
        re.DOTALL,
    )
    assert comment
    assert readme
    assert commands(re.sub(r"(?m)^#", "", comment[1]))[1:] == commands(readme[1])[1:]
    modules = re.findall(r"python -m (\S+) ?(.*)", "\n".join(commands(readme[1])))
    assert {module for module, _ in modules} == {"local.emulators.cosmos.setup", "local.issuer"}
    for module, options in modules:
        shown = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert all(option in shown for option in re.findall(r"--\w+", options))


def test_everything_the_settings_lead_to_is_started_with_compose() -> None:
    ports = {
        int(port)
        for value in example_values().values()
        for port in re.findall(r":(\d{4,5})", value)
    }
    by_compose = set().union(*map(published, SERVICES))
    assert ports - by_compose == {USUAL.issuer_port}  # which the README's commands start
