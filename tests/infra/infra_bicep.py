"""Reads the Bicep files for the tests: pycep-parser for structure, a few patterns for the rest."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycep

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
FILES = sorted(path.name for path in INFRA.glob("**/*.bicep"))
PARAMETER_FILES = sorted(INFRA.glob("environments/*.bicepparam"))


@dataclass(frozen=True)
class Bicep:
    """One Bicep file: its text without comments, and what the parser makes of it."""

    name: str
    text: str
    parsed: dict[str, Any]

    def part(self, kind: str) -> dict[str, Any]:
        """Parameters, variables, resources, modules or outputs by name; none is an empty one."""
        found: dict[str, Any] = self.parsed.get(kind, {})
        return found

    def resource(self, name: str) -> dict[str, Any]:
        """A resource's body, without its condition or loop around it."""
        return body(self.part("resources")[name])

    def by_type(self, resource_type: str) -> dict[str, dict[str, Any]]:
        """The bodies of all resources of a type that the file makes."""
        return {
            name: body(entry)
            for name, entry in self.part("resources").items()
            if entry["type"] == resource_type and not entry["existing"]
        }

    def variable(self, name: str) -> Any:
        """The value of a variable."""
        return self.part("variables")[name]["value"]


@functools.cache
def read(name: str) -> Bicep:
    """Parse a file of infra/; raises the parser's error."""
    text = (INFRA / name).read_text("utf-8")
    code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    return Bicep(name, code, dict(pycep.BicepParser().parse(text=text)))


def body(entry: dict[str, Any]) -> dict[str, Any]:
    """What a resource or module sets, without the condition or loop around it."""
    config: dict[str, Any] = entry["config"]
    while "config" in config:
        config = config["config"]
    return config


def accessor(value: Any) -> str | None:
    """`a.b.c` for a parsed chain of property accesses; None for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or value.get("operator", {}).get("type") != "property_accessor":
        return None
    operands = value["operator"]["operands"]
    left, right = accessor(operands["operand_1"]), accessor(operands["operand_2"])
    return None if left is None or right is None else f"{left}.{right}"


def call(value: Any) -> tuple[str, list[Any]] | None:
    """Name and arguments of a parsed function call; None for anything else."""
    if not isinstance(value, dict) or "function" not in value:
        return None
    given = [entry for entry in value["function"]["parameters"].values() if entry is not None]
    return value["function"]["type"], given


def parameter_files() -> dict[str, set[str]]:
    """The parameters that each parameter file names."""
    azd = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))
    named = {"main.parameters.json": set(azd["parameters"])}
    for path in PARAMETER_FILES:
        text = path.read_text("utf-8")
        named[path.name] = set(re.findall(r"^param (\w+) = ", text, re.MULTILINE))
    return named
