"""What a deployment makes, as the compiler computed it: the snapshots in infra/environments.

`make infra-check` compares them with the Bicep files, so that these tests need no compiler.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
ENVIRONMENTS = ("dev", "prod")

_REFERENCE = re.compile(r"reference\('[^']*/([^'/]+)', '[^']*'\)")
_SCOPE = re.compile(r"\[extensionResourceId\('([^']+)'")


@dataclass(frozen=True)
class Plan:
    """The resources and outputs of one environment."""

    resources: tuple[dict[str, Any], ...]
    outputs: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Read a snapshot as `bicep snapshot` writes it."""
        snapshot = json.loads(text)
        return cls(tuple(snapshot["predictedResources"]), snapshot["outputs"])

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All resources of a type, such as Microsoft.KeyVault/vaults."""
        return [resource for resource in self.resources if resource["type"] == kind]

    def one(self, kind: str, name: str = "") -> dict[str, Any]:
        """The only resource of a type whose name begins so, or ends so after a slash."""
        (found,) = [
            resource
            for resource in self.of(kind)
            if resource["name"].startswith(name) or resource["name"].endswith(f"/{name}")
        ]
        return found

    @property
    def base(self) -> str:
        """What the names have in common, such as idp-dev-xhtgsh."""
        return str(self.one("Microsoft.Resources/resourceGroups")["name"].removeprefix("rg-"))

    def plain(self, value: str) -> str:
        """A value with `*` for the common part of names and NAME.member for what Azure fills in."""
        return _REFERENCE.sub(r"\1", value).replace(self.base, "*").replace(self._short, "*")

    @property
    def _short(self) -> str:
        return str(self.one("Microsoft.KeyVault/vaults")["name"].removeprefix("kv-")).replace(
            "-", ""
        )

    def app_settings(self) -> dict[str, str]:
        """Every setting of the function app."""
        settings = self.one("Microsoft.Web/sites/config", "appsettings")["properties"]
        return {name: self.plain(value) for name, value in settings.items()}


@functools.cache
def read(environment: str) -> Plan:
    """The plan of infra/environments/ENVIRONMENT.bicepparam."""
    path = INFRA / "environments" / f"{environment}.snapshot.json"
    return Plan.parse(path.read_text("utf-8"))


@functools.cache
def declared(file: str) -> dict[str, str]:
    """The parameters of a Bicep file: name to default, as written, "" where there is none."""
    text = (INFRA / file).read_text("utf-8")
    return dict(re.findall(r"^param (\w+) [^=\n]+?(?: = (.*))?$", text, re.MULTILINE))


def scope(resource: dict[str, Any]) -> str:
    """The id of what an extension resource, such as a role assignment, is put on."""
    computed = _SCOPE.match(resource["id"])
    if computed is not None:
        return computed[1]
    before, _, _ = resource["id"].rpartition(f"/providers/{resource['type']}/")
    return str(before)


def texts(value: Any) -> Iterator[str]:
    """Every string in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from texts(member)
