"""Small builders of JSON schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

ANY: Final[dict[str, Any]] = {}
TEXT: Final = {"type": "string"}
NULLABLE_TEXT: Final = {"type": ["string", "null"]}
GUID: Final = {"type": "string", "format": "uuid"}
TIME: Final = {"type": "string", "format": "date-time"}
COUNT: Final = {"type": "integer", "minimum": 0}
CONTEXT: Final = {"@odata.context": {"type": "string", "format": "uri"}}


def an_object(
    properties: Mapping[str, Any], required: Iterable[str] = (), **more: Any
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if names := list(required):
        schema["required"] = names
    return {**schema, "additionalProperties": False, **more}


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
