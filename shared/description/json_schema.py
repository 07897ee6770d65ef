"""Small builders of JSON schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

ANY: Final[dict[str, Any]] = {}
TEXT: Final = {"type": "string"}
NULLABLE_TEXT: Final = {"type": ["string", "null"]}
# Text, as ids are in Graph: with a format, generated clients have another type for them.
GUID: Final = {"type": "string", "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"}
TIME: Final = {"type": "string", "format": "date-time"}
COUNT: Final = {"type": "integer", "minimum": 0}
SCHEMAS: Final = "#/components/schemas/"
CONTEXT: Final = {"@odata.context": {"type": "string", "format": "uri"}}


def a_reference(name: str) -> dict[str, Any]:
    return {"$ref": SCHEMAS + name}


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


def a_text(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
