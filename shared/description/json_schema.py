"""Small builders of JSON schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from shared.contract.names import NAMESPACE

ANY: Final[dict[str, Any]] = {}
TEXT: Final = {"type": "string"}
NULLABLE_TEXT: Final = {"type": ["string", "null"]}
# Text, as ids are in Graph: with a format, generated clients have another type for them.
GUID: Final = {"type": "string", "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"}
TIME: Final = {"type": "string", "format": "date-time"}
COUNT: Final = {"type": "integer", "minimum": 0}
NAVIGATION: Final = {"x-ms-navigationProperty": True}
SCHEMAS: Final = "#/components/schemas/"
CONTEXT: Final = {"@odata.context": {"type": "string", "format": "uri"}}
# Names as in Graph's own document: of all pages the base, and what ends the name of each.
PAGE: Final = "BaseCollectionPaginationCountResponse"
COLLECTION: Final = "CollectionResponse"
NUMBER: Final = "ODataCountResponse"
ERROR: Final = "microsoft.graph.ODataErrors.ODataError"


def short(name: str) -> str:
    """Return a type's name without its namespace."""
    return name.rpartition(".")[2]


def a_reference(name: str) -> dict[str, Any]:
    return {"$ref": SCHEMAS + name}


def of_graph(name: str) -> dict[str, Any]:
    """Return a reference to a type of industryData."""
    return a_reference(NAMESPACE + name)


def an_object(
    properties: Mapping[str, Any], required: Iterable[str] = (), **more: Any
) -> dict[str, Any]:
    """Return an open object, as Graph's are: members may be added to what is answered."""
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if names := list(required):
        schema["required"] = names
    return {**schema, **more}


def a_closed_object(
    properties: Mapping[str, Any], required: Iterable[str] = (), **more: Any
) -> dict[str, Any]:
    """Return an object of which other members are refused."""
    return an_object(properties, required, additionalProperties=False, **more)


def an_enum(members: Iterable[str]) -> dict[str, Any]:
    """Return an evolvable enum, as Graph declares all of its own."""
    return {
        "type": "string",
        "enum": [*members, "unknownFutureValue"],
        "description": "`unknownFutureValue` is for readers; it is refused where it is sent.",
    }


def an_array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def given(name: str) -> dict[str, Any]:
    """Return what an object with a member of that name fits."""
    return {"properties": {name: ANY}, "required": [name]}


def a_text(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
