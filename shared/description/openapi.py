"""The API as an OpenAPI 3.1 document, written from the schemas and the declared operations.

Types are written from the schemas, in up to three forms: as answered, as sent to create
(`...Create`) and as sent to update (`...Update`). What Graph has is named as in Graph's own
document; what is this service's own has plain names. The document says less than the service
accepts: names match in any case, and annotations are ignored; the forms show the declared names.
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
    error_name,
    error_responses,
    option_names,
    parameters,
)
from shared.description.examples import examples
from shared.description.json_schema import NUMBER, TEXT, a_reference, short
from shared.description.names import Names, names, path_template
from shared.description.operations import Contract, Operation
from shared.description.types import Types
from shared.domain.permissions import Permission
from shared.odata.model import ENTITY_TYPES
from shared.odata.options import COLLECTION, COUNT, ITEM

OPENAPI: Final = "3.1.1"
_OWN: Final = "service"
_TAGS: Final = {
    "external.industryDataRoot": "Flow sets, their flows, role groups and reference definitions.",
    "external.external": "What leads to industryData.",
    "subscriptions.subscription": "Subscriptions to change notifications.",
    _OWN: "What is about the service itself: its description, batches, health, operation.",
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
    writer = _Operations({each.path for each in operations})
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        path = paths.setdefault(path_template(each.path), {})
        path[each.method.lower()] = writer.write(each)
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
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {
                name: {"title": short(name), **schema}
                for name, schema in sorted(writer.types.schemas.items())
            },
            "parameters": parameters(),
            "headers": HEADERS,
            "responses": {**writer.answers, **error_responses(codes)},
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


class _Operations:
    """Writes operations, and what they refer to: types, and the answers that have names."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = known
        self.types = Types()
        self.types.write()
        self.answers: dict[str, Any] = {}

    def write(self, operation: Operation) -> dict[str, Any]:
        contract = operation.contract
        named = names(operation.method, operation.path, self._known)
        described = _own(operation) if named is None else _as_in_graph(operation, named)
        if contract.takes == "collection":
            described["x-ms-pageable"] = _PAGEABLE
        described["parameters"] = _parameters(operation)
        if contract.body is not None:
            shown = examples(contract.body, "request")
            schema = self.types.reference(contract.body)
            described["requestBody"] = {
                "required": True,
                "content": {JSON: _content(schema, shown)},
            }
        described["responses"] = {
            **{
                str(status): self._answer(status, schema, contract)
                for status, schema in contract.answers.items()
            },
            **{
                str(status): {"$ref": f"#/components/responses/{error_name(status)}"}
                for status in sorted(_errors(operation))
            },
        }
        return {**described, **_security(operation.needs)}

    def _answer(self, status: int, schema: str | None, contract: Contract) -> dict[str, Any]:
        answer = _answer(status, schema, contract, self.types)
        if contract.takes not in ("collection", "count") or schema is None:
            return answer
        reference = a_reference(NUMBER) if "/" in schema else self.types.reference(schema)
        name = reference["$ref"].rpartition("/")[2]
        self.answers[name] = answer
        return {"$ref": f"#/components/responses/{name}"}


def _own(operation: Operation) -> dict[str, Any]:
    """Return what an operation of this service's own is called."""
    summary, _, rest = operation.text.strip().partition("\n")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [_OWN],
        "summary": summary.rstrip("."),
    }
    if rest.strip():
        described["description"] = " ".join(rest.split())
    return described


def _as_in_graph(operation: Operation, named: Names) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": named.operation_id,
        "tags": [named.tag],
        "summary": named.summary,
        "description": " ".join(operation.text.split()),
    }
    if named.kind is not None:
        described["x-ms-docs-operation-type"] = named.kind
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    contract = operation.contract
    options: list[str] = []
    if contract.takes is not None and contract.entity is not None:
        options = option_names(_OPTIONS[contract.takes], ENTITY_TYPES[contract.entity])
    found = [
        *re.findall(r"\{([^{}]+)\}", path_template(operation.path)),
        *options,
        *contract.headers,
        *(("$format",) if operation.method == "GET" and _in_api(operation) else ()),
        "client-request-id",
    ]
    return [{"$ref": f"#/components/parameters/{component(name)}"} for name in found]


def _security(needs: Permission | None) -> dict[str, Any]:
    if needs is None:
        return {"security": []}
    either = dict.fromkeys((*needs.delegated, *needs.application))
    return {
        "security": [{"entra": [name]} for name in either] or [{"entra": []}],
        "x-permissions": {
            "delegated": list(needs.delegated),
            "application": list(needs.application),
            "assignedToUser": list(needs.assigned),
        },
    }


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
        kind = a_reference(NUMBER) if schema == "text/plain" else TEXT
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
