"""The parameters, headers and error answers that operations of the description share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from shared.description.json_schema import ERROR, GUID, TEXT, a_reference
from shared.odata.model import (
    ENTITY_TYPES,
    FLOW_SET,
    PROVISIONING_FLOW,
    REFERENCE_DEFINITION,
    ROLE_GROUP,
    EntityType,
)
from shared.odata.options import COLLECTION, ITEM, MAX_SKIP, MAX_TOP
from shared.services.flow_rows import FILTERS, MOST
from shared.services.overview import MAX_SETS

JSON: Final = "application/json"


# Of these options, each entity type has its own form; the others are of all.
_OF_ENTITIES: Final = frozenset({"select", "expand", "orderby"})


def component(name: str) -> str:
    """Return the name of a parameter's component: only some characters are allowed there."""
    return name.replace("$", "")


def option_names(names: Collection[str], entity: EntityType) -> list[str]:
    """Return the components that are the query options of an entity type."""
    return [
        f"{entity.name}-{name}" if name in _OF_ENTITIES else name
        for name in sorted(names)
        if name != "search" or entity.searchable
    ]


def error_name(status: int) -> str:
    """Return the name of an error's component."""
    return f"error{status}"


def _key(entity: EntityType, schema: Mapping[str, Any], text: str = "") -> dict[str, Any]:
    return {
        "name": f"{entity.name}-id",
        "in": "path",
        "required": True,
        "description": f"The unique identifier of {entity.name}{text}.",
        "schema": schema,
        "x-ms-docs-key-type": entity.name,
    }


def _query(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


_SOME_TEXT: Final = {**TEXT, "minLength": 1}

_FIXED_PARAMETERS: Final = {
    **{
        each["name"]: each
        for each in (
            _key(FLOW_SET, GUID),
            _key(PROVISIONING_FLOW, GUID, ", inside its set"),
            _key(ROLE_GROUP, TEXT, ": a GUID, or the word of a built-in one, such as staff"),
            _key(REFERENCE_DEFINITION, TEXT, ": list and code, such as RefRole-teacher"),
        )
    },
    "subscription-id": {
        "name": "subscription-id",
        "in": "path",
        "required": True,
        "description": "The unique identifier of subscription",
        "schema": GUID,
        "x-ms-docs-key-type": "subscription",
    },
    "$format": _query("$format", "`json`, or the media type with a level of metadata.", _SOME_TEXT),
    "client-request-id": _header(
        "client-request-id",
        "An id of the caller's own, which the answer repeats. A create that is sent again with it "
        "and the same body is answered with what the first one made.",
    ),
    "If-Match": _header(
        "If-Match", "ETags that were read, or `*`; another version of the entity: 412."
    ),
    "If-None-Match": _header(
        "If-None-Match", "ETags that were read, or `*`; read once more: 304, no body; a write: 412."
    ),
    "overview-search": _query(
        "search", "Text that the name has, or the id of a flow set or a flow.", TEXT
    ),
    "overview-status": _query(
        "status",
        "Only sets with a flow of this readiness; `stuck` is notReady for minutes.",
        {"enum": list(FILTERS)},
    ),
    "overview-skip": _query(
        "skip", "How many sets to skip.", {"type": "integer", "minimum": 0, "maximum": MOST}
    ),
    "overview-top": _query(
        "top", "How many sets at most.", {"type": "integer", "minimum": 1, "maximum": MAX_SETS}
    ),
    "deadLetters-day": _query("day", "Only those of a day, such as 2026/11/24.", TEXT),
    "deadLetters-after": _query("after", "The name that the page before ended with.", TEXT),
    "deadLetters-all": _query(
        "all", "Those that were put back or discarded, too.", {**TEXT, "const": "true"}
    ),
    "deadLetters-name": {**_query("name", "As the list has it.", TEXT), "required": True},
    "Prefer-page": _header("Prefer", "`odata.maxpagesize=N` bounds a page."),
    "Prefer-create": _header("Prefer", "`return=minimal` is answered with 204."),
    "Prefer-update": _header("Prefer", "`return=representation` is answered with 200."),
}


def parameters() -> dict[str, Any]:
    return {
        **{component(name): parameter for name, parameter in _FIXED_PARAMETERS.items()},
        **{
            component_name: _option(component_name.rpartition("-")[2], entity)
            for entity in ENTITY_TYPES.values()
            for component_name in option_names(COLLECTION if entity.listed else ITEM, entity)
        },
    }


def _option(name: str, entity: EntityType) -> dict[str, Any]:
    text: dict[str, Any] = {**TEXT, "minLength": 1}
    orders = ", ".join(entity.orderable) if entity.orderable else "any single value"
    options: dict[str, tuple[str, dict[str, Any]]] = {
        "select": (f"Members to answer, by comma: {entity.names}.", text),
        "expand": (
            f"What to put inside: {entity.expands}; options such as `($select=id)` may follow.",
            text,
        ),
        "filter": ("An OData condition, such as `id eq '...'`.", text),
        "orderby": (f"Keys of the order, each with asc or desc: {orders}.", text),
        "search": (
            "Words or quoted phrases in the display name, with AND, OR, NOT and parentheses.",
            text,
        ),
        "top": (
            "How many a page has at most; links lead to the rest.",
            {"type": "integer", "minimum": 0, "maximum": MAX_TOP},
        ),
        "skip": (
            "How many to leave out.",
            {"type": "integer", "minimum": 0, "maximum": MAX_SKIP},
        ),
        "count": ("Whether to answer their number, too.", {"type": "boolean"}),
        "skiptoken": ("Where the next page begins, from `@odata.nextLink` only.", text),
    }
    meaning, schema = options[name]
    return _query(f"${name}", meaning, schema)


COMMON_HEADERS: Final = (
    "request-id",
    "client-request-id",
    "OData-Version",
    "Vary",
    "x-ms-ags-diagnostic",
)
"""What every answer carries."""

HEADERS: Final = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in {
        "request-id": "This request's id, as the logs have it.",
        "client-request-id": "The caller's own id, or the request-id.",
        "OData-Version": "4.0",
        "Vary": "Accept-Encoding: an answer may be compressed.",
        "x-ms-ags-diagnostic": "Which instance of the service answered, in the form of Graph.",
        "Link": 'The next page, with rel="next", as in `@odata.nextLink`.',
        "Preference-Applied": "What of Prefer was followed.",
        "Location": "Where the new entity is read.",
        "ETag": "The version; sent to conditional requests and with full metadata.",
        "Retry-After": "Seconds to wait before repeating the request.",
        "Accept-Encoding": "The content encodings that are supported.",
        "WWW-Authenticate": "What kind of token is needed.",
    }.items()
}

MEANINGS: Final = {
    200: "Done; the body has what was asked for.",
    201: "Created; the body has the new entity.",
    202: "Accepted; it will be done.",
    204: "Done; no body.",
    304: "Not changed since it was read.",
    400: "The request breaks the contract; `details` lists every fault and its place.",
    401: "There is no valid access token.",
    403: "The token lacks the permission.",
    404: "There is no such thing.",
    406: "The caller takes no JSON.",
    409: "The state of what is stored forbids it.",
    411: "The body came without a Content-Length.",
    412: "The entity has changed since it was read.",
    413: "The body is too long.",
    414: "The URL is too long.",
    415: "The Content-Encoding or, of a batch, the Content-Type is not supported.",
    429: "The store has no throughput left; repeat later.",
    500: "The service failed unexpectedly.",
    503: "A service behind this one does not answer just now; repeat later.",
}
_ERROR_HEADERS: Final = {
    401: "WWW-Authenticate",
    415: "Accept-Encoding",
    429: "Retry-After",
    503: "Retry-After",
}


def error_responses(codes: Mapping[int, Collection[str]]) -> dict[str, Any]:
    return {
        error_name(status): {
            "description": f"{text} Code: {_listed(codes[status])}.",
            "headers": {
                name: {"$ref": f"#/components/headers/{name}"}
                for name in (*COMMON_HEADERS, _ERROR_HEADERS.get(status))
                if name is not None
            },
            "content": {JSON: {"schema": a_reference(ERROR)}},
        }
        for status, text in MEANINGS.items()
        if status >= 400
    }


def _listed(codes: Collection[str]) -> str:
    return " or ".join(f"`{code}`" for code in sorted(codes))
