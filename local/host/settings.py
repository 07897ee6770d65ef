"""host.json and local.settings.json, read as `func start` reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.host.errors import HostError

DEFAULT_PORT = 7071
_UNLIMITED = -1
_SETTING = re.compile(r"%([^%]+)%")
_TIME_SPAN = re.compile(
    r"(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}(?:\.\d{1,7})?))?"
)


class MissingSetting(Exception):
    """A %NAME% in a binding names a setting that is not set; the argument is NAME."""


@dataclass(frozen=True)
class ServiceBusSettings:
    """extensions.serviceBus of host.json, with the defaults of extension 5.x; seconds."""

    max_concurrent_calls: int = 16
    auto_complete_messages: bool = True
    max_auto_lock_renewal: float = 300.0


@dataclass(frozen=True)
class HostSettings:
    """What host.json says, with the host's defaults; durations in seconds, None for no limit."""

    route_prefix: str = "api"
    function_timeout: float | None = 1800.0
    has_extension_bundle: bool = False
    service_bus: ServiceBusSettings = field(default_factory=ServiceBusSettings)


def time_span(text: str) -> float:
    """Seconds of a .NET TimeSpan such as "00:01:30" or "1.02:00:00"; raises ValueError.

    As in .NET, hours above 23 without days are read as days: "24:00:00" is 24 days.
    """
    found = _TIME_SPAN.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration like 00:05:00")
    parts = {name: float(value or 0) for name, value in found.groupdict().items()}
    if found["days"] is None and parts["hours"] > 23:
        days, hours, minutes = parts["hours"], parts["minutes"], parts["seconds"]
        parts = {"days": days, "hours": hours, "minutes": minutes, "seconds": 0.0}
    if parts["hours"] > 23 or parts["minutes"] > 59 or parts["seconds"] >= 60:
        raise ValueError(f"{text!r} has hours above 23, or minutes or seconds above 59")
    return parts["days"] * 86400 + parts["hours"] * 3600 + parts["minutes"] * 60 + parts["seconds"]


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace every %NAME% by its setting; raises MissingSetting for one that is not set."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in environ:
            raise MissingSetting(found[1])
        return environ[found[1]]

    return _SETTING.sub(value, text)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as exc:
        raise HostError(f"{path} cannot be read as JSON: {exc}. Correct the file.") from exc
    if not isinstance(content, dict):
        raise HostError(f"{path} must hold a JSON object.")
    return content


class _Reader:
    """Takes values out of host.json and collects one sentence for each that cannot be used."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path, self._content = path, content
        self.faults: list[str] = []

    def find(self, *keys: str) -> Any:
        value: Any = self._content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _refuse(self, keys: tuple[str, ...], value: object, expected: str) -> None:
        name = ".".join(keys)
        self.faults.append(f"{self._path}: {name} is {value!r}: give {expected}.")

    def integer(self, *keys: str, least: int, default: int) -> int:
        value = self.find(*keys)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._refuse(keys, value, f"a whole number of at least {least}")
            return default
        return value

    def boolean(self, *keys: str, default: bool) -> bool:
        value = self.find(*keys)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._refuse(keys, value, "true or false")
            return default
        return value

    def text(self, *keys: str, default: str) -> str:
        value = self.find(*keys)
        if value is None:
            return default
        if not isinstance(value, str):
            self._refuse(keys, value, "a string")
            return default
        return value

    def duration(self, *keys: str, default: float) -> float:
        value = self.find(*keys)
        if value is None:
            return default
        try:
            return time_span(value)
        except (ValueError, AttributeError):
            self._refuse(keys, value, "a duration like 00:05:00")
            return default


def read_host_json(app_dir: Path) -> HostSettings:
    """Read host.json of an app; raises HostError that lists every value that cannot be used."""
    path = app_dir / "host.json"
    if not path.is_file():
        raise HostError(f"{app_dir} has no host.json: name the folder of a function app by --app.")
    read = _Reader(path, _read_json(path))
    if read.find("version") != "2.0":
        read.faults.append(f'{path}: "version" must be "2.0": the host refuses the app otherwise.')
    unlimited = str(read.find("functionTimeout")) == str(_UNLIMITED)
    bus = ("extensions", "serviceBus")
    settings = HostSettings(
        route_prefix=read.text("extensions", "http", "routePrefix", default="api").strip("/"),
        function_timeout=None if unlimited else read.duration("functionTimeout", default=1800.0),
        has_extension_bundle=isinstance(read.find("extensionBundle"), dict),
        service_bus=ServiceBusSettings(
            max_concurrent_calls=read.integer(*bus, "maxConcurrentCalls", least=1, default=16),
            auto_complete_messages=read.boolean(*bus, "autoCompleteMessages", default=True),
            max_auto_lock_renewal=read.duration(*bus, "maxAutoLockRenewalDuration", default=300.0),
        ),
    )
    if read.faults:
        raise HostError(read.faults)
    return settings


def apply_local_settings(app_dir: Path, environ: MutableMapping[str, str]) -> int:
    """Put the Values of local.settings.json into `environ` where it does not have them already.

    Returns Host.LocalHttpPort, else 7071. A missing file is fine; raises HostError for a bad one.
    """
    path = app_dir / "local.settings.json"
    content = _read_json(path) if path.is_file() else {}
    if content.get("IsEncrypted") is True:
        raise HostError(
            f"{path} is encrypted, which only Core Tools can read: run `func settings decrypt` "
            'in the app, or write the file with "IsEncrypted": false.'
        )
    values = content.get("Values") or {}
    if not isinstance(values, dict):
        raise HostError(f"{path}: Values must be an object of names and strings.")
    nested = [name for name, value in values.items() if isinstance(value, dict | list)]
    if nested:
        raise HostError(f"{path}: Values.{nested[0]} must be a string, not an object or a list.")
    for name, value in values.items():
        if value is not None:
            environ.setdefault(name, value if isinstance(value, str) else json.dumps(value))
    host = content.get("Host") or {}
    port = host.get("LocalHttpPort", DEFAULT_PORT) if isinstance(host, dict) else DEFAULT_PORT
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
        raise HostError(f"{path}: Host.LocalHttpPort is {port!r}: give a port number.")
    return port
