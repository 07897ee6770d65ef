"""The API as an OpenAPI 3.1 document, written from the schemas and the routes.

Each operation has one row in OPERATIONS here: what it takes and gives. Types are written from the
schemas, in up to three forms: as answered, as sent to create (`...Create`) and as sent to update
(`...Update`). A document says less than the service forgives: names match in any case, and
annotations are ignored; the forms show the declared names.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from marshmallow import fields

from shared import odata
from shared.contract import schemas
from shared.domain.permissions import Permission
from shared.domain.readiness import Status
from shared.odata.options import MAX_SKIP, MAX_TOP
from shared.services.overview import MAX_SETS

VERSION: Final = "3.1.1"
EXAMPLES: Final = Path(__file__).parents[1] / "contract" / "examples"
_SCHEMAS: Final = "#/components/schemas/"
_JSON: Final = "application/json"
_ANY: Final[dict[str, Any]] = {}


@dataclass(frozen=True)
class Route:
    """One operation as it is registered; `path` starts with a slash."""

    name: str
    method: str
    path: str
    text: str
    needs: Permission | None


class Form(StrEnum):
    """How a type is meant: as answered, to create one, or to change one."""

    ANSWER = ""
    CREATE = "Create"
    UPDATE = "Update"


# --- what each operation takes and gives -------------------------------------------------------


@dataclass(frozen=True)
class Contract:
    """What one operation takes and gives, beside what its route says.

    `answers` maps a status to the name of its schema, to a media type (text with a slash) or to
    None for no body; `errors` are the statuses in Graph's error envelope beside those that every
    operation of its sort has.
    """

    tag: str
    answers: Mapping[int, str | None]
    body: str | None = None
    options: Collection[str] = ()
    entity: odata.EntityType | None = None
    headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _nouns(
    tag: str, one: str, many: str, schema: str, entity: odata.EntityType, *, tags: bool
) -> dict[str, Contract]:
    """Return the six operations that every collection has; `tags`: its entities have ETags."""
    match = ("If-Match",) if tags else ()
    changed = (404, 412) if tags else (404,)
    return {
        f"list_{many}": Contract(
            tag,
            {200: f"{schema}Collection"},
            options=odata.COLLECTION,
            entity=entity,
            headers=("Prefer-page",),
        ),
        f"count_{many}": Contract(tag, {200: "text/plain"}, options=odata.COUNT, entity=entity),
        f"get_{one}": Contract(
            tag,
            {200: schema, 304: None} if tags else {200: schema},
            options=odata.ITEM,
            entity=entity,
            headers=("If-None-Match",) if tags else (),
            errors=(404,),
        ),
        f"create_{one}": Contract(
            tag,
            {201: schema, 204: None},
            body=schema + Form.CREATE,
            headers=("Prefer-create",),
        ),
        f"update_{one}": Contract(
            tag,
            {200: schema, 204: None},
            body=schema + Form.UPDATE,
            headers=("Prefer-update", *match),
            errors=changed,
        ),
        f"delete_{one}": Contract(tag, {204: None}, headers=match, errors=changed),
    }


_FLOW_SETS: Final = "Flow sets"
_FLOWS: Final = "Provisioning flows"
_GROUPS: Final = "Role groups"
_DEFINITIONS: Final = "Reference definitions"
_SERVICE: Final = "Service"

OPERATIONS: Final[dict[str, Contract]] = {
    **_nouns(
        _FLOW_SETS,
        "flow_set",
        "flow_sets",
        "outboundProvisioningFlowSet",
        odata.FLOW_SET,
        tags=True,
    ),
    **_nouns(
        _FLOWS,
        "provisioning_flow",
        "provisioning_flows",
        "provisioningFlow",
        odata.PROVISIONING_FLOW,
        tags=True,
    ),
    "list_readiness_history": Contract(_FLOWS, {200: "readinessHistory"}, errors=(404,)),
    "read_passwords": Contract(_FLOWS, {200: "passwords"}, errors=(404,)),
    **dict.fromkeys(
        ("reset_provisioning_flow", "reset_provisioning_flow_by_full_name"),
        Contract(_FLOWS, {202: None}, headers=("If-Match",), errors=(404, 412)),
    ),
    **_nouns(_GROUPS, "role_group", "role_groups", "roleGroup", odata.ROLE_GROUP, tags=False),
    **_nouns(
        _DEFINITIONS,
        "reference_definition",
        "reference_definitions",
        "referenceDefinition",
        odata.REFERENCE_DEFINITION,
        tags=False,
    ),
    "batch": Contract(_SERVICE, {200: "batchAnswer"}, body="batch"),
    "get_metadata": Contract(_SERVICE, {200: "application/xml"}),
    "get_service_document": Contract(_SERVICE, {200: "serviceDocument"}),
    "get_industry_data": Contract(_SERVICE, {200: "industryDataRoot"}),
    "health": Contract(_SERVICE, {200: "health"}),
    "page_data": Contract(
        _SERVICE,
        {200: "overview", 304: None},
        headers=("overview-search", "overview-status", "overview-top", "If-None-Match"),
        errors=(400,),
    ),
    "openapi": Contract(_SERVICE, {200: "openapi", 304: None}, headers=("If-None-Match",)),
}
"""Every operation by the name of its function."""

# Errors beside those of `_nouns`, which each operation has on top: of its parent, or of its state.
_MORE_ERRORS: Final = {
    "list_provisioning_flows": (404,),
    "count_provisioning_flows": (404,),
    "create_provisioning_flow": (404, 409),
    "create_reference_definition": (409,),
    "update_reference_definition": (409,),
    "update_role_group": (409,),
    "delete_role_group": (409,),
}


# --- the document ------------------------------------------------------------------------------


def document(routes: Sequence[Route], codes: Mapping[int, Collection[str]]) -> dict[str, Any]:
    """Return the document of these routes; `codes` has the error codes that a status comes with.

    Raises KeyError for a route that has no row in OPERATIONS.
    """
    writer = _Types()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        contract = OPERATIONS[route.name]
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, contract)
    writer.write()
    return {
        "openapi": VERSION,
        "info": {
            "title": "Microsoft Graph industryData, self-hosted",
            "version": "beta",
            "summary": "Outbound provisioning flow sets, their flows and their readiness.",
            "description": (
                "Names of members and segments of paths match in any case. "
                "Annotations (`...@odata...`) in bodies are ignored, except binds. Entities have "
                "all their members unless `$select` chose some; `Accept: "
                "application/json;odata.metadata=none` takes the annotations out."
            ),
        },
        "servers": [{"url": "/", "description": "The service that gave this document."}],
        "tags": [{"name": name} for name in (_FLOW_SETS, _FLOWS, _GROUPS, _DEFINITIONS, _SERVICE)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(writer.schemas.items())),
            "parameters": _parameters(),
            "headers": _HEADERS,
            "responses": _error_responses(codes),
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


def _operation(route: Route, contract: Contract) -> dict[str, Any]:
    summary, _, rest = route.text.strip().partition("\n")
    described: dict[str, Any] = {
        "operationId": route.name,
        "tags": [contract.tag],
        "summary": summary.rstrip("."),
    }
    if rest.strip():
        described["description"] = re.sub(r"\s*\n\s*", " ", rest.strip())
    parameters = [
        *re.findall(r"\{(\w+)\}", route.path),
        *(f"{contract.entity.name}-{name}" for name in sorted(contract.options) if contract.entity),
        *contract.headers,
        "client-request-id",
    ]
    described["parameters"] = [
        {"$ref": f"#/components/parameters/{_component(name)}"} for name in parameters
    ]
    if contract.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {_JSON: _content(contract.body, _examples(contract.body, "request"))},
        }
    described["responses"] = {
        **{
            str(status): _answer(status, schema, contract)
            for status, schema in contract.answers.items()
        },
        **{
            str(status): {"$ref": f"#/components/responses/{status}"}
            for status in sorted(_errors(route, contract))
        },
        "default": {"description": "A fault of the service; the body may be empty."},
    }
    if route.needs is None:
        described["security"] = []
    else:
        either = dict.fromkeys((*route.needs.delegated, *route.needs.application))
        described["security"] = [{"entra": [name]} for name in either]
        described["x-permissions"] = {
            "delegated": list(route.needs.delegated),
            "application": list(route.needs.application),
            "assignedToUser": list(route.needs.assigned),
        }
    return described


def _errors(route: Route, contract: Contract) -> set[int]:
    found = {*contract.errors, *_MORE_ERRORS.get(route.name, ())}
    if route.path.startswith("/beta"):
        found |= {400, 414}
    if route.needs is not None:
        # Keys of the issuer, or the store, may be out of reach.
        found |= {401, 403, 503}
    if contract.body is not None:
        found.add(413)
    return found


def _answer(status: int, schema: str | None, contract: Contract) -> dict[str, Any]:
    headers = ["request-id", "client-request-id", "OData-Version"]
    if status == 201 or (status == 204 and "Prefer-create" in contract.headers):
        headers.append("Location")
    if status in (200, 201) and {"If-Match", "If-None-Match"} & set(contract.headers):
        headers.append("ETag")
    answer: dict[str, Any] = {
        "description": _MEANINGS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }
    if schema is None:
        return answer
    if "/" in schema:
        kind = {"type": "integer", "minimum": 0} if schema == "text/plain" else {"type": "string"}
        answer["content"] = {schema: {"schema": kind}}
    else:
        examples = _examples(schema, "response") if status == 201 else {}
        answer["content"] = {_JSON: _content(schema, examples)}
    return answer


def _content(schema: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _SCHEMAS + schema}}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return content


@functools.cache
def _published() -> Mapping[str, Any]:
    """Return the published bodies by the name of their file, such as user.request.

    Names have their declared case here: some of the published ones do not.
    """
    read = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(EXAMPLES.glob("*"))}
    return {
        name: schemas.merge(
            schemas.instance(schemas.chosen_schema(body, schemas.FLOW_SCHEMAS, "")), {}, body
        )
        for name, body in read.items()
    }


def _examples(schema: str, side: str) -> dict[str, Any]:
    if schema.removesuffix(Form.CREATE) == "provisioningFlow":
        return {
            name.removesuffix(f".{side}"): body
            for name, body in _published().items()
            if name.endswith(f".{side}")
        }
    return dict(_SMALL_EXAMPLES.get(schema, {}))


_SMALL_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "outboundProvisioningFlowSetCreate": {
        "all organisations": {"displayName": "Contoso schools"},
        "some organisations": {
            "displayName": "Two schools",
            "filter": {
                schemas.TYPE_MEMBER: f"#{schemas.NAMESPACE}basicFilter",
                "attribute": "orgExternalId",
                "in": ["7001", "7002"],
            },
        },
    },
    "outboundProvisioningFlowSetUpdate": {"another name": {"displayName": "Contoso and Fabrikam"}},
    "provisioningFlowUpdate": {
        "user": {"createUnmatchedUsers": False},
        "class_group": {"configuration": {"additionalOptions": {"createTeam": False}}},
    },
    "roleGroupCreate": {
        "tutors": {"displayName": "Tutors", "roles": [{"code": "aide"}, {"code": "coach"}]}
    },
    "roleGroupUpdate": {"another name": {"displayName": "Tutors and aides"}},
    "referenceDefinitionCreate": {
        "a kind of school": {
            "referenceType": "RefOrgType",
            "code": "forestSchool",
            "displayName": "Forest school",
            "isDisabled": False,
            "sortIndex": 1000,
        }
    },
    "referenceDefinitionUpdate": {"disabled": {"isDisabled": True}},
    "batch": {
        "two reads": {
            "requests": [
                {"id": "1", "method": "GET", "url": "/external/industryData/roleGroups"},
                {"id": "2", "method": "GET", "url": "/external/industryData"},
            ]
        }
    },
}


# --- parameters, headers and errors ------------------------------------------------------------


def _component(name: str) -> str:
    """Return the name of a parameter's component: only some characters are allowed there."""
    return name.replace("$", "")


def _path(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _query(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


_TEXT: Final = {"type": "string"}
_STATUS: Final = {"type": "string", "enum": [str(status) for status in Status]}
_GUID: Final = {"type": "string", "format": "uuid"}
_MATCH: Final = "An ETag that was read; another version of the entity is answered with"

_FIXED_PARAMETERS: Final = {
    "set_id": _path("set_id", "The flow set.", _GUID),
    "flow_id": _path("flow_id", "The flow, inside its set.", _GUID),
    "group_id": _path(
        "group_id", "A GUID, or the word of a built-in group, such as staff.", {"type": "string"}
    ),
    "definition_id": _path(
        "definition_id", "The list and the code, such as RefRole-teacher.", {"type": "string"}
    ),
    "client-request-id": _header(
        "client-request-id", "An id of the caller's own, which the answer repeats."
    ),
    "If-Match": _header("If-Match", f"{_MATCH} 412."),
    "If-None-Match": _header("If-None-Match", "An ETag that was read; if it stands: 304, no body."),
    "overview-search": _query("search", "Text that the name has, or a flow set's id.", _TEXT),
    "overview-status": _query("status", "Only sets with a flow of this readiness.", _STATUS),
    "overview-top": _query(
        "top", "How many sets at most.", {"type": "integer", "minimum": 1, "maximum": MAX_SETS}
    ),
    "Prefer-page": _header("Prefer", "`odata.maxpagesize=N` bounds a page."),
    "Prefer-create": _header("Prefer", "`return=minimal` is answered with 204."),
    "Prefer-update": _header("Prefer", "`return=representation` is answered with 200."),
}


def _parameters() -> dict[str, Any]:
    return {
        **{_component(name): parameter for name, parameter in _FIXED_PARAMETERS.items()},
        **{
            f"{entity.name}-{name}": _option(name, entity)
            for entity in (
                odata.FLOW_SET,
                odata.PROVISIONING_FLOW,
                odata.ROLE_GROUP,
                odata.REFERENCE_DEFINITION,
            )
            for name in sorted(odata.COLLECTION)
        },
    }


def _option(name: str, entity: odata.EntityType) -> dict[str, Any]:
    text: dict[str, Any] = dict(_TEXT)
    expands = ", ".join(entity.navigation) or "nothing"
    orders = ", ".join(entity.orderable) if entity.orderable else "any single value"
    options: dict[str, tuple[str, dict[str, Any]]] = {
        "select": (f"Members to answer, by comma: {entity.names}.", text),
        "expand": (f"What to put inside: {expands}; `($select=...)` may follow.", text),
        "filter": ("An OData condition, such as `id eq '...'`.", text),
        "orderby": (f"Keys of the order, each with asc or desc: {orders}.", text),
        "search": (
            "Words or quoted phrases that the display name must have."
            if entity.searchable
            else "Not possible here: these have no display name.",
            text,
        ),
        "top": (
            "How many at most.",
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


_HEADERS: Final = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in {
        "request-id": "This request's id, for whoever reads the logs.",
        "client-request-id": "The caller's own id, or the request-id.",
        "OData-Version": "4.0",
        "Location": "Where the new entity is read.",
        "ETag": "The version; sent to conditional requests and with full metadata.",
        "Retry-After": "Seconds to wait before repeating the request.",
        "WWW-Authenticate": "What kind of token is needed.",
    }.items()
}

_MEANINGS: Final = {
    200: "Done; the body has what was asked for.",
    201: "Created; the body has the new entity.",
    202: "Accepted; it will be done.",
    204: "Done; no body.",
    304: "Not changed since it was read.",
    400: "The request breaks the contract; `details` lists every fault and its place.",
    401: "There is no valid access token.",
    403: "The token lacks the permission.",
    404: "There is no such thing.",
    409: "The state of what is stored forbids it.",
    412: "The entity has changed since it was read.",
    413: "The body is too long.",
    414: "The URL is too long.",
    503: "A service behind this one does not answer just now; repeat later.",
}
_ERROR_HEADERS: Final = {401: "WWW-Authenticate", 503: "Retry-After"}


def _error_responses(codes: Mapping[int, Collection[str]]) -> dict[str, Any]:
    return {
        str(status): {
            "description": text,
            "headers": {
                name: {"$ref": f"#/components/headers/{name}"}
                for name in ("request-id", "client-request-id", _ERROR_HEADERS.get(status))
                if name is not None
            },
            "content": {_JSON: {"schema": _error_schema(codes[status])}},
        }
        for status, text in _MEANINGS.items()
        if status >= 400
    }


def _error_schema(codes: Collection[str]) -> dict[str, Any]:
    inner = {"properties": {"error": {"properties": {"code": {"enum": sorted(codes)}}}}}
    return {"allOf": [{"$ref": f"{_SCHEMAS}error"}, inner]}


# --- types -------------------------------------------------------------------------------------


def _object(
    properties: Mapping[str, Any], required: Iterable[str] = (), **more: Any
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if names := list(required):
        schema["required"] = names
    return {**schema, "additionalProperties": False, **more}


def _array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TIME: Final = {"type": "string", "format": "date-time"}
_TIMES: Final = {"createdDateTime": _TIME, "lastModifiedDateTime": _TIME}
_CONTEXT: Final = {"@odata.context": {"type": "string", "format": "uri"}}
_ENTITY: Final = {**_CONTEXT, "@odata.etag": _TEXT, "id": _TEXT}
# What clients may send along and the service does not look at.
_IGNORED: Final = {"patternProperties": {
    "^(id|createdDateTime|lastModifiedDateTime|readinessStatus)$|@(?!odata\\.bind$)": _ANY
}}  # fmt: skip


class _Types:
    """Writes the types: first those that are not in the schemas, then each where it is named."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def write(self) -> None:
        flows = schemas.FLOW_SCHEMAS
        for form in Form:
            self._abstract("provisioningFlow", flows, form)
            self._type(schemas.FlowSet, form)
            self._type(schemas.RoleGroup, form)
        self._type(schemas.ReferenceDefinition, Form.ANSWER)
        self._type(schemas.ReferenceDefinition, Form.CREATE)
        self._type(schemas.ReferenceDefinitionUpdate, Form.UPDATE)
        for name in (
            "outboundProvisioningFlowSet",
            "provisioningFlow",
            "roleGroup",
            "referenceDefinition",
        ):
            self.schemas[f"{name}Collection"] = self._collection(name)
        self.schemas.update(_OTHER_TYPES)

    def _collection(self, name: str) -> dict[str, Any]:
        properties = {
            **_CONTEXT,
            "@odata.count": {"type": "integer", "minimum": 0},
            "@odata.nextLink": {"type": "string", "format": "uri"},
            "value": _array({"$ref": _SCHEMAS + name}),
        }
        return _object(properties, ["value"])

    def _reference(self, name: str) -> dict[str, Any]:
        return {"$ref": _SCHEMAS + name}

    def _abstract(
        self, name: str, kinds: Mapping[str, type[schemas.Wire]], form: Form
    ) -> dict[str, Any]:
        """Write a type whose @odata.type says which it is."""
        component = name + form
        if component not in self.schemas:
            self.schemas[component] = {}
            references = {kind: self._type(schema, form) for kind, schema in kinds.items()}
            if form is Form.UPDATE and name == "provisioningFlow":
                # Its type may be left out: the flow keeps the one it has.
                self.schemas[component] = {"anyOf": list(references.values())}
            else:
                self.schemas[component] = {
                    "oneOf": list(references.values()),
                    "discriminator": {
                        "propertyName": schemas.TYPE_MEMBER,
                        "mapping": {
                            f"#{schemas.NAMESPACE}{kind}": reference["$ref"]
                            for kind, reference in references.items()
                        },
                    },
                }
        return self._reference(component)

    def _type(self, schema: type[schemas.Wire], form: Form) -> dict[str, Any]:
        """Write a type in one form unless it is there; return a reference to it."""
        component = schema.odata_name + form
        if component not in self.schemas:
            self.schemas[component] = {}  # it may name itself further down
            self.schemas[component] = self._members(schema, form)
        return self._reference(component)

    def _members(self, schema: type[schemas.Wire], form: Form) -> dict[str, Any]:
        declared = f"#{schemas.NAMESPACE}{schema.odata_name}"
        properties: dict[str, Any] = {schemas.TYPE_MEMBER: {"type": "string", "const": declared}}
        required: list[str] = []
        is_flow = issubclass(schema, schemas.ProvisioningFlow)
        if schema.declared_abstract and not (form is Form.UPDATE and is_flow):
            required.append(schemas.TYPE_MEMBER)
        if form is Form.ANSWER:
            properties.update(_server_members(schema))
        for key, declaration in schemas.instance(schema).fields.items():
            name = declaration.data_key or key
            if name == schemas.TYPE_MEMBER:
                continue
            for member, written in self._field(name, declaration, form):
                properties[member] = written
            if form is Form.CREATE and declaration.required:
                required.append(name)
        text = (schema.__doc__ or "").partition("\n")[0]
        more: dict[str, Any] = {"description": text}
        if form is not Form.ANSWER:
            more |= _IGNORED
            for name, other in (("roleGroup@odata.bind", "roleGroup"), ("code", _VALUE_BIND)):
                if {name, other} <= properties.keys():
                    required = [each for each in required if each != name]
                    more["anyOf"] = [{"required": [name]}, {"required": [other]}]
        return _object(properties, required, **more)

    def _field(
        self, name: str, declared: fields.Field[Any], form: Form
    ) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield the members that a field is on the wire."""
        answered = form is Form.ANSWER
        if isinstance(declared, schemas.RoleGroupBind):
            if answered:
                yield "roleGroup@odata.context", _TEXT
                yield "roleGroup", _nullable(self._type(schemas.RoleGroup, form))
            else:
                yield name, {"type": "string", "format": "uri-reference"}
            return
        if isinstance(declared, fields.Raw):
            if name == "provisioningFlows":
                if answered:
                    yield "provisioningFlows@odata.context", _TEXT
                    yield name, _array(self._reference("provisioningFlow"))
                else:
                    yield name, {"type": ["array", "null"], "maxItems": 0}
            elif not answered:
                yield name, dict(_LOAD_ONLY.get(name, _ANY))
            return
        yield name, self._value(declared, form)

    def _value(self, declared: fields.Field[Any], form: Form) -> dict[str, Any]:
        answered = form is Form.ANSWER
        written: dict[str, Any]
        match declared:
            case schemas.Items():
                # A list is replaced as a whole: its entries are complete also in an update.
                inner = Form.ANSWER if answered else Form.CREATE
                written = _array(self._value(declared.inner, inner))
                if not answered:
                    written["maxItems"] = declared.most
                # OData has no null collection: sent it means empty, answered it never is.
                nullable = isinstance(declared, schemas.OptionalItems) and not answered
                return _nullable(written) if nullable else written
            case schemas.Bool():
                written = {"type": "boolean"}
            case schemas.Int32():
                written = {"type": "integer", "format": "int32"}
            case schemas.Password() if answered:
                written = {"type": "string", "const": schemas.MASKED_PASSWORD}
            case schemas.Password():
                written = {**_text(declared.longest), "format": "password"}
            case schemas.Code():
                written = {**_text(declared.longest), "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
            case schemas.Text():
                written = _TEXT if answered else _text(declared.longest)
            case schemas.EnumMember() if declared.enum_type == schemas.REFERENCE_TYPE and answered:
                written = _TEXT  # lists that cannot be added to are answered as well
            case schemas.EnumMember():
                written = {"type": "string", "enum": list(declared.members)}
            case schemas.OneOf():
                written = self._abstract(declared.abstract, declared.schemas, form)
            case fields.Nested(schema=schemas.Wire() as inner_schema):
                written = self._type(type(inner_schema), form)
            case _:
                raise TypeError(f"{type(declared).__name__} has no form in OpenAPI yet: add it.")
        return _nullable(written) if declared.allow_none else written


_VALUE_BIND: Final = "value@odata.bind"
_LOAD_ONLY: Final[dict[str, dict[str, Any]]] = {
    _VALUE_BIND: {"type": "string", "format": "uri-reference"},
    "roleGroup": {"type": "object", "properties": {"id": _TEXT}, "required": ["id"]},
    "referenceType": {**_TEXT, "description": "It cannot change; it may be repeated."},
    "code": {**_TEXT, "description": "It cannot change; it may be repeated."},
    "source": {"description": "Ignored: the service decides it."},
}


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def _server_members(schema: type[schemas.Wire]) -> dict[str, Any]:
    """Return what only the service writes, of the types that are entities."""
    if issubclass(schema, schemas.ProvisioningFlow):
        return {**_ENTITY, **_TIMES, "readinessStatus": _STATUS}
    if issubclass(schema, schemas.FlowSet):
        return {**_ENTITY, **_TIMES}
    if issubclass(schema, schemas.RoleGroup):
        return dict(_ENTITY)
    if issubclass(schema, schemas.DefinitionState):
        return {**_ENTITY, "source": _TEXT, **_TIMES}
    return {}


_FAULT: Final = {"code": _TEXT, "message": _TEXT}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NULLABLE_TEXT: Final = {"type": ["string", "null"]}
_HEADER_MAP: Final = {"type": "object", "additionalProperties": _TEXT}

_OTHER_TYPES: Final[dict[str, Any]] = {
    "error": _object(
        {
            "error": _object(
                {
                    **_FAULT,
                    "details": _array(
                        _object(
                            {
                                **_FAULT,
                                "target": {
                                    **_NULLABLE_TEXT,
                                    "description": "A JSONPath into the body, or a query option.",
                                },
                            },
                            ["code", "message"],
                        )
                    ),
                    "innerError": _object(
                        {"date": _TEXT, "request-id": _TEXT, "client-request-id": _TEXT},
                        ["date", "request-id", "client-request-id"],
                    ),
                },
                ["code", "message"],
            )
        },
        ["error"],
        description="Graph's error envelope.",
    ),
    "readinessHistory": _object(
        {
            **_CONTEXT,
            "value": _array(
                _object(
                    {
                        "readinessStatus": _STATUS,
                        "reason": _NULLABLE_TEXT,
                        "revision": {"type": ["integer", "null"]},
                        "eventId": _NULLABLE_TEXT,
                        "eventDateTime": _TIME,
                        "appliedDateTime": _TIME,
                    },
                    ["readinessStatus", "reason", "appliedDateTime"],
                )
            ),
        },
        ["value"],
        description="What has happened to a flow's readiness, newest first.",
    ),
    "batch": _object(
        {
            "requests": {
                "type": "array",
                "minItems": 1,
                "maxItems": 20,
                "items": {
                    "type": "object",
                    "properties": {
                        "id": _text(128),
                        "method": {
                            "type": "string",
                            "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"],
                        },
                        "url": {"type": "string", "description": "Relative to the service root."},
                        "headers": _HEADER_MAP,
                        "body": _ANY,
                        "dependsOn": _array(_TEXT),
                    },
                    "required": ["id", "method", "url"],
                },
            }
        },
        ["requests"],
        additionalProperties=True,
        description="Up to 20 requests in one, each answered as if it came alone.",
    ),
    "batchAnswer": _object(
        {
            **_CONTEXT,
            "responses": _array(
                _object(
                    {
                        "id": _TEXT,
                        "status": {"type": "integer"},
                        "headers": _HEADER_MAP,
                        "body": _ANY,
                    },
                    ["id", "status", "headers"],
                )
            ),
        },
        ["responses"],
    ),
    "serviceDocument": _object(
        {
            **_CONTEXT,
            "value": _array(_object({"name": _TEXT, "kind": _TEXT, "url": _TEXT})),
        },
        ["value"],
    ),
    "industryDataRoot": _object({**_CONTEXT, "id": _TEXT}),
    "passwords": _object(
        {
            **_CONTEXT,
            "value": _array(
                _object(
                    {"roleGroup": _TEXT, "password": _TEXT},
                    ["roleGroup", "password"],
                )
            ),
        },
        ["value"],
        description="The initial password of each role group's new users, in clear.",
    ),
    "overview": _object(
        {
            "flowSets": _COUNT,
            "counts": {
                "type": "object",
                "description": "By kind of flow, then by readiness.",
                "additionalProperties": {"type": "object", "additionalProperties": _COUNT},
            },
            "queue": {
                **_object(
                    {
                        "waiting": _COUNT,
                        "scheduled": _COUNT,
                        "deadLettered": _COUNT,
                        "complete": {"type": "boolean"},
                    },
                    ["waiting", "scheduled", "deadLettered", "complete"],
                ),
                "type": ["object", "null"],
                "description": "Messages now; without `complete` there are more. Null: unknown.",
            },
            "deadLetters": {
                **_object(
                    {"days": _COUNT, "kept": _COUNT, "notReplayed": _COUNT},
                    ["days", "kept", "notReplayed"],
                ),
                "type": ["object", "null"],
                "description": "In the archive, of the last days. Null: unknown.",
            },
            "value": _array(
                _object(
                    {
                        "id": _GUID,
                        "displayName": _TEXT,
                        "createdDateTime": _TIME,
                        "flows": _array(
                            _object(
                                {
                                    "id": _GUID,
                                    "kind": {"enum": list(schemas.FLOW_SCHEMAS)},
                                    "readinessStatus": _STATUS,
                                    "reason": _NULLABLE_TEXT,
                                    "revision": _COUNT,
                                    "changedDateTime": {**_TIME, "type": ["string", "null"]},
                                    "asks": _COUNT,
                                },
                                ["id", "kind", "readinessStatus", "reason", "changedDateTime"],
                            )
                        ),
                    },
                    ["id", "displayName", "flows"],
                )
            ),
            "more": {"type": "boolean"},
        },
        ["flowSets", "counts", "queue", "deadLetters", "value", "more"],
        description="What the status page shows.",
    ),
    "health": _object({"status": {"const": "healthy"}}, ["status"]),
    "openapi": {"type": "object", "description": "This document."},
}
