"""host.json and local.settings.json are read as Core Tools reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.host.errors import HostError
from local.host.settings import (
    HostSettings,
    MissingSetting,
    apply_local_settings,
    expand,
    read_host_json,
    time_span,
)


def host_json(folder: Path, **content: object) -> Path:
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **content}))
    return folder


def local_settings(folder: Path, **content: object) -> Path:
    (folder / "local.settings.json").write_text(json.dumps(content))
    return folder


def test_defaults_are_the_hosts(tmp_path: Path) -> None:
    assert read_host_json(host_json(tmp_path)) == HostSettings()


def test_values_of_host_json_are_read(tmp_path: Path) -> None:
    host_json(
        tmp_path,
        functionTimeout="00:01:30",
        extensionBundle={"id": "x"},
        extensions={
            "http": {"routePrefix": ""},
            "serviceBus": {
                "maxConcurrentCalls": 2,
                "autoCompleteMessages": False,
                "maxAutoLockRenewalDuration": "00:10:00",
            },
        },
    )
    settings = read_host_json(tmp_path)
    assert settings.route_prefix == ""
    assert settings.function_timeout == 90
    assert settings.has_extension_bundle
    bus = settings.service_bus
    assert bus.max_concurrent_calls == 2
    assert (bus.auto_complete_messages, bus.max_auto_lock_renewal) == (False, 600)


def test_timeout_may_be_unlimited(tmp_path: Path) -> None:
    assert read_host_json(host_json(tmp_path, functionTimeout="-1")).function_timeout is None


def test_every_bad_value_of_host_json_is_named(tmp_path: Path) -> None:
    host_json(
        tmp_path,
        version="1.0",
        functionTimeout="soon",
        extensions={
            "http": {"routePrefix": 5},
            "serviceBus": {"maxConcurrentCalls": True, "autoCompleteMessages": "yes"},
        },
    )
    with pytest.raises(HostError) as caught:
        read_host_json(tmp_path)
    text = str(caught.value)
    for name in (
        '"version" must be "2.0"',
        "functionTimeout",
        "routePrefix",
        "maxConcurrentCalls",
        "autoCompleteMessages",
    ):
        assert name in text


def test_folder_without_host_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"has no host\.json"):
        read_host_json(tmp_path)


def test_broken_host_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{")
    with pytest.raises(HostError, match="cannot be read as JSON"):
        read_host_json(tmp_path)


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    local_settings(tmp_path, Values={"A": "file", "B": "file"})
    environ = {"A": "process"}
    apply_local_settings(tmp_path, environ)
    assert environ == {"A": "process", "B": "file"}


def test_numbers_and_booleans_become_text(tmp_path: Path) -> None:
    local_settings(tmp_path, Values={"N": 5, "T": True, "Z": None})
    environ: dict[str, str] = {}
    apply_local_settings(tmp_path, environ)
    assert environ == {"N": "5", "T": "true"}


def test_missing_settings_file_is_fine(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    assert apply_local_settings(tmp_path, environ) == 7071
    assert environ == {}


def test_port_comes_from_the_file(tmp_path: Path) -> None:
    assert apply_local_settings(local_settings(tmp_path, Host={"LocalHttpPort": 8123}), {}) == 8123


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"IsEncrypted": True}, "func settings decrypt"),
        ({"Values": ["A"]}, "Values must be an object"),
        ({"Values": {"A": {"B": "c"}}}, r"Values\.A must be a string"),
        ({"Host": {"LocalHttpPort": "many"}}, r"Host\.LocalHttpPort is 'many'"),
    ],
)
def test_settings_file_that_cannot_be_used_is_refused(
    content: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(HostError, match=reason):
        apply_local_settings(local_settings(tmp_path, **content), {})


def test_settings_in_bindings_are_expanded() -> None:
    assert expand("a-%ONE%-%TWO%", {"ONE": "1", "TWO": "2"}) == "a-1-2"


def test_missing_setting_in_a_binding_is_named() -> None:
    with pytest.raises(MissingSetting, match=r"^QUEUE$"):
        expand("%QUEUE%", {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:05", 5), ("01:30", 5400), ("1.02:03:04.5", 93784.5), ("25:01:00", 25 * 86400 + 3600)],
)
def test_time_span(text: str, seconds: float) -> None:
    assert time_span(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "00:60:00", "00:00:60", "1.24:00:00", "-00:00:05"])
def test_bad_time_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        time_span(text)
