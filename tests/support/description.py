"""The description of the API, and what its schemas find wrong with values."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openapi_schema_validator import OAS31Validator

import function_app  # noqa: F401 - its import registers the operations
from functions.http import pages

NAMESPACE = "microsoft.graph.industryData."
METHODS = ("get", "post", "patch", "put", "delete", "head", "options")


@functools.cache
def description() -> dict[str, Any]:
    content, _ = pages.description()
    described: dict[str, Any] = json.loads(content)
    return described


@dataclass(frozen=True)
class Described:
    """One operation of the description and where it is."""

    method: str
    path: str
    content: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def operations() -> Iterator[Described]:
    for path, item in description()["paths"].items():
        for method in sorted(item.keys() & set(METHODS)):
            yield Described(method, path, item[method])


def faults(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What a schema of the description finds wrong with a value."""
    # References are to the components of the document that the schema is in.
    validator = OAS31Validator({**schema, "components": description()["components"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def answer_faults(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What a schema finds wrong with an answer, of which it has to describe every member."""
    described = description()["components"]["schemas"]
    bases = {
        part["$ref"].rpartition("/")[2]
        for each in described.values()
        for part in each.get("allOf", ())
        if "$ref" in part
    }
    schemas = {name: closed(each, whole=name not in bases) for name, each in described.items()}
    validator = OAS31Validator({**closed(schema), "components": {"schemas": schemas}})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def closed(node: Any, *, whole: bool = True) -> Any:
    """A schema that admits only the members it describes, and annotations; `whole`: no part."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {
        name: [closed(part, whole=False) for part in each] if name == "allOf" else closed(each)
        for name, each in node.items()
    }
    is_open = (node.get("type") == "object" and "properties" in node) or "allOf" in node
    if whole and is_open and "additionalProperties" not in node:
        made |= {"unevaluatedProperties": False, "patternProperties": {"@odata[.]": {}}}
    return made


def schema(name: str) -> dict[str, Any]:
    """The schema of a type of industryData."""
    found: dict[str, Any] = description()["components"]["schemas"][NAMESPACE + name]
    return found


def component(name: str) -> dict[str, Any]:
    """A reference to a type of industryData."""
    return {"$ref": f"#/components/schemas/{NAMESPACE}{name}"}


SETS = "/beta/external/industryData/outboundProvisioningFlowSets"
CREATE_FLOW = f"{SETS}/{{outboundProvisioningFlowSet-id}}/provisioningFlows"


def flow_to_create() -> dict[str, Any]:
    """The schema of the body that creates a flow."""
    content = description()["paths"][CREATE_FLOW]["post"]["requestBody"]["content"]
    found: dict[str, Any] = content["application/json"]["schema"]
    return found


def body(name: str) -> dict[str, Any]:
    """A published request, as the description shows it."""
    create = description()["paths"][CREATE_FLOW]["post"]
    shown = create["requestBody"]["content"]["application/json"]["examples"]
    found: dict[str, Any] = shown[name]["value"]
    return found
