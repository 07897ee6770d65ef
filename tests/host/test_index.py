"""The local host refuses what the real worker or host refuses, and says why."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import pytest

from local.host import index
from local.host.errors import HostError
from local.host.index import App
from local.host.settings import HostSettings
from tests.host.apps import cases

SETTINGS = HostSettings(has_extension_bundle=True)
ENVIRON = {
    "ServiceBus": "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b",
    "Identity__fullyQualifiedNamespace": "name.servicebus.windows.net",
}
_numbers = itertools.count()


def load(folder: Path, source: str) -> ModuleType:
    """Import an app under a name of its own."""
    path = folder / "function_app.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(f"sample_app_{next(_numbers)}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(folder: Path, source: str, settings: HostSettings = SETTINGS) -> App:
    return index.index(load(folder, source), settings, ENVIRON)


@pytest.mark.parametrize("case", [*cases.WORKER_REFUSES, *cases.HOST_REFUSES])
def test_app_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    source, reason = (cases.WORKER_REFUSES | cases.HOST_REFUSES)[case]
    with pytest.raises(HostError) as caught:
        read(tmp_path, source)
    assert reason in "\n".join(caught.value.sentences)


@pytest.mark.parametrize("case", cases.ACCEPTED)
def test_app_is_accepted(case: str, tmp_path: Path) -> None:
    read(tmp_path, cases.ACCEPTED[case])


def test_every_fault_is_named_with_function_and_line(tmp_path: Path) -> None:
    source = cases.HEADER + (
        '@app.route("a")\nasync def first(request): ...\n'
        '@app.route("b")\nasync def second(req) -> dict: ...\n'
    )
    with pytest.raises(HostError) as caught:
        read(tmp_path, source)
    starts = [sentence.partition(": ")[0] for sentence in caught.value.sentences]
    assert starts == ["first (function_app.py, line 5)", "second (function_app.py, line 7)"]


def test_service_bus_needs_the_extension_bundle(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no extensionBundle"):
        read(tmp_path, cases.ACCEPTED["message"], HostSettings())


def test_hidden_route_is_warned_of(tmp_path: Path) -> None:
    app = read(tmp_path, cases.ACCEPTED["routes that overlap"])
    assert [warning.partition(",")[0] for warning in app.warnings] == ["b: its requests go to a"]


def test_functions_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    app = read(tmp_path, cases.ACCEPTED["two blueprints"])
    assert [function.name for function in app.functions] == ["one_f", "two_f"]


@pytest.mark.parametrize(
    ("setting", "name"),
    [("ServiceBus", "ServiceBus"), ("AzureWebJobsServiceBus", "ServiceBus"), ("Other", "Other")],
)
def test_connection_setting_is_found_by_its_name(setting: str, name: str) -> None:
    value = "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b"
    assert index.service_bus_connection(name, {setting: value}) == value


def test_connection_setting_must_be_a_connection_string() -> None:
    with pytest.raises(HostError, match="not a Service Bus connection string"):
        index.service_bus_connection("ServiceBus", {"ServiceBus": "localhost"})
