"""The API as an OpenAPI 3.1 document, written from the schemas and the declared operations.

Types are written from the schemas, in up to three forms: as answered, as sent to create
(`...Create`) and as sent to update (`...Update`). The document says less than the service accepts:
names match in any case, and annotations are ignored; the forms show the declared names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from shared import VERSION
from shared.description.components import (
    COMMON_HEADERS,
    HEADERS,
    JSON,
    MEANINGS,
    component,
    error_responses,
    parameters,
)
from shared.description.examples import examples
from shared.description.operations import Contract, Operation
from shared.description.types import Types
from shared.odata.options import COLLECTION, COUNT, ITEM

OPENAPI: Final = "3.1.1"
_TAGS: Final = {
    "Flow sets": "Provisioning configurations, each for all organisations or for some.",
    "Provisioning flows": "What a set provisions: at most one flow of each kind.",
    "Role groups": "Named groups of roles, built in or made here.",
    "Reference definitions": "The entries of the lists of values.",
    "Service": "What is about the service itself: its description, batches, health, operation.",
}
# As in Graph's own document: generators make iterators of it.
_PAGEABLE: Final = {
    "nextLinkName": "@odata.nextLink",
    "operationName": "listMore",
    "itemName": "value",
}
_OPTIONS: Final = {"collection": COLLECTION, "item": ITEM, "count": COUNT}


def document(
    operations: Sequence[Operation], codes: Mapping[int, Collection[str]]
) -> dict[str, Any]:
    """Return the document; `codes` has the error codes that a status comes with."""
    types = Types()
    types.write()
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, types)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Microsoft Graph industryData, self-hosted",
            "version": VERSION,
            "license": {"name": "MIT", "identifier": "MIT"},
            "summary": "Outbound provisioning flow sets, their flows and their readiness.",
            "description": (
                "Names of members and segments of paths match in any case. "
                "Annotations (`...@odata...`) in bodies are ignored, except binds. Entities have "
                "all their members unless `$select` chose some; `Accept: "
                "application/json;odata.metadata=none` takes the annotations out."
            ),
        },
        "servers": [{"url": "/", "description": "The service that gave this document."}],
        "tags": [
            {"name": name, "description": _TAGS[name]}
            for name in dict.fromkeys(each.contract.tag for each in operations)
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(types.schemas.items())),
            "parameters": parameters(),
            "headers": HEADERS,
            "responses": error_responses(codes),
            "securitySchemes": {
                "entra": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": (
                        "An access token of Microsoft Entra ID for this service; locally `make "
                        "token` prints one. An operation names the permissions of which one is "
                        "needed: a delegated scope or an application role. To write, the user of "
                        "a delegated token must also have been assigned the role of that name."
                    ),
                }
            },
        },
    }


def _operation(operation: Operation, types: Types) -> dict[str, Any]:
    contract, needs = operation.contract, operation.needs
    summary, _, rest = operation.text.strip().partition("\n")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [contract.tag],
        "summary": summary.rstrip("."),
    }
    if rest.strip():
        described["description"] = " ".join(rest.split())
    if contract.takes == "collection":
        described["x-ms-pageable"] = _PAGEABLE
    options = _OPTIONS[contract.takes] if contract.takes else ()
    names = [
        *re.findall(r"\{(\w+)\}", operation.path),
        *(f"{contract.entity}-{name}" for name in sorted(options)),
        *contract.headers,
        *(("$format",) if operation.method == "GET" and _in_api(operation) else ()),
        "client-request-id",
    ]
    described["parameters"] = [
        {"$ref": f"#/components/parameters/{component(name)}"} for name in names
    ]
    if contract.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {
                JSON: _content(types.reference(contract.body), examples(contract.body, "request"))
            },
        }
    described["responses"] = {
        **{
            str(status): _answer(status, schema, contract, types)
            for status, schema in contract.answers.items()
        },
        **{
            str(status): {"$ref": f"#/components/responses/{status}"}
            for status in sorted(_errors(operation))
        },
    }
    if needs is None:
        described["security"] = []
    else:
        either = dict.fromkeys((*needs.delegated, *needs.application))
        described["security"] = [{"entra": [name]} for name in either] or [{"entra": []}]
        described["x-permissions"] = {
            "delegated": list(needs.delegated),
            "application": list(needs.application),
            "assignedToUser": list(needs.assigned),
        }
    return described


def _in_api(operation: Operation) -> bool:
    return operation.path.startswith("/beta")


def _errors(operation: Operation) -> set[int]:
    found = {*operation.contract.errors, 500}
    if _in_api(operation):
        found |= {400, 414}
        if operation.contract.media_type is not None:
            found.add(406)
    if operation.needs is not None:
        # Keys of the issuer, or the store, may be out of reach.
        found |= {401, 403, 429, 503}
    if operation.contract.body is not None:
        found |= {411, 413, 415}
    return found


def _answer(status: int, schema: str | None, contract: Contract, types: Types) -> dict[str, Any]:
    headers = [*COMMON_HEADERS]
    if status == 201 or (status == 204 and "Prefer-create" in contract.headers):
        headers.append("Location")
    if "Prefer-page" in contract.headers:
        headers.append("Link")
    if any(name.startswith("Prefer-") for name in contract.headers):
        headers.append("Preference-Applied")
    if status in (200, 201) and {"If-Match", "If-None-Match"} & set(contract.headers):
        headers.append("ETag")
    answer: dict[str, Any] = {
        "description": MEANINGS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }
    if schema is None:
        return answer
    if "/" in schema:
        kind = {"type": "integer", "minimum": 0} if schema == "text/plain" else {"type": "string"}
        answer["content"] = {schema: {"schema": kind}}
    else:
        shown = examples(schema, "response") if status == 201 else {}
        answer["content"] = {JSON: _content(types.reference(schema), shown)}
    return answer


def _content(schema: Mapping[str, Any], examples: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return content
