"""Writes the types of the schemas as components of an OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from marshmallow import fields

from shared.contract.binds import RoleGroupBind
from shared.contract.catalog_schemas import (
    REFERENCE_TYPE,
    DefinitionState,
    ReferenceDefinition,
    ReferenceDefinitionUpdate,
    RoleGroup,
)
from shared.contract.field_types import (
    Bool,
    Code,
    EnumMember,
    Int32,
    Items,
    OptionalItems,
    Password,
    Text,
)
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.schemas import FLOW_SCHEMAS, FlowSet, ProvisioningFlow
from shared.contract.wire import OneOf, Wire, instance
from shared.description.json_schema import (
    ANY,
    COLLECTION,
    CONTEXT,
    COUNT,
    GUID,
    NAVIGATION,
    PAGE,
    TEXT,
    TIME,
    a_closed_object,
    a_reference,
    a_text,
    an_array,
    an_enum,
    an_object,
    given,
    nullable,
    of_graph,
    short,
)
from shared.description.other_types import OTHER_TYPES, STATUS
from shared.description.subscription_types import SUBSCRIPTION_TYPES
from shared.domain.secrets import MASKED_PASSWORD


class Form(StrEnum):
    """How a type is meant: as answered, to create one, or to change one."""

    ANSWER = ""
    CREATE = "Create"
    UPDATE = "Update"


TIMES: Final = {"createdDateTime": TIME, "lastModifiedDateTime": TIME}
_CONTROL: Final = {**CONTEXT, "@odata.etag": TEXT}
# What clients may send along and the service does not look at.
_IGNORED: Final = {"patternProperties": {
    "^(id|createdDateTime|lastModifiedDateTime|readinessStatus)$|@(?!odata\\.bind$)": ANY
}}  # fmt: skip


class Types:
    """Writes the types: first those that are not in the schemas, then each where it is named."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def write(self) -> None:
        flows = FLOW_SCHEMAS
        for form in Form:
            self._abstract("provisioningFlow", flows, form)
            self._type(FlowSet, form)
            self._type(RoleGroup, form)
        self._type(ReferenceDefinition, Form.ANSWER)
        self._type(ReferenceDefinition, Form.CREATE)
        self._type(ReferenceDefinitionUpdate, Form.UPDATE)
        for name in (
            "outboundProvisioningFlowSet",
            "provisioningFlow",
            "roleGroup",
            "referenceDefinition",
        ):
            page = an_object({**CONTEXT, "value": an_array(self.reference(name))}, ["value"])
            self.schemas[f"{NAMESPACE}{name}{COLLECTION}"] = {"allOf": [a_reference(PAGE), page]}
        self.schemas.update(OTHER_TYPES)
        self.schemas.update(SUBSCRIPTION_TYPES)

    def reference(self, name: str) -> dict[str, Any]:
        """Return a reference to a written type; to the base of several, with what it may be.

        `name` is without a namespace. Generated clients have the base as a class and its kinds as
        classes derived from it, and look at `$ref` only. Validators find beside it that one of the
        kinds has to fit.
        """
        [component] = [each for each in self.schemas if short(each) == name]
        reference = a_reference(component)
        mapping = self.schemas[component].get("discriminator", {}).get("mapping", {})
        kinds = [{"$ref": kind} for kind in mapping.values()]
        return {**reference, "anyOf" if len(kinds) > 1 else "allOf": kinds} if kinds else reference

    def _abstract(self, name: str, kinds: Mapping[str, type[Wire]], form: Form) -> dict[str, Any]:
        """Write a type whose @odata.type says which of its kinds a value has."""
        component = f"{NAMESPACE}{name}{form}"
        if component not in self.schemas:
            self.schemas[component] = {}
            first = next(iter(kinds.values()))
            mapping = {
                f"#{NAMESPACE}{kind}": self._type(schema, form, component)["$ref"]
                for kind, schema in kinds.items()
            }
            # A flow that changes keeps the type that it has.
            is_kept = form is Form.UPDATE and name == "provisioningFlow"
            self.schemas[component] = an_object(
                {TYPE_MEMBER: TEXT, **(_server_members(first) if form is Form.ANSWER else {})},
                () if is_kept else [TYPE_MEMBER],
                description="What all of its kinds have.",
                discriminator={"propertyName": TYPE_MEMBER, "mapping": mapping},
            )
        return self.reference(name + form)

    def _type(self, schema: type[Wire], form: Form, base: str | None = None) -> dict[str, Any]:
        """Write a type in one form unless it is there; return a reference to it."""
        component = f"{NAMESPACE}{schema.odata_name}{form}"
        if component not in self.schemas:
            self.schemas[component] = {}  # it may name itself further down
            written = self._members(schema, form)
            if base is not None:
                text = written.pop("description")
                written = {
                    "description": text,
                    "x-ms-discriminator-value": f"#{NAMESPACE}{schema.odata_name}",
                    "allOf": [a_reference(base), written],
                }
            self.schemas[component] = written
        return a_reference(component)

    def _members(self, schema: type[Wire], form: Form) -> dict[str, Any]:
        declared = f"#{NAMESPACE}{schema.odata_name}"
        kind = {**TEXT, "pattern": f"^{declared.replace('.', '[.]')}$"}
        properties: dict[str, Any] = {TYPE_MEMBER: kind}
        required: list[str] = []
        is_flow = issubclass(schema, ProvisioningFlow)
        if schema.declared_abstract and not (form is Form.UPDATE and is_flow):
            required.append(TYPE_MEMBER)
        if schema.declared_abstract:
            # Generated clients write it of their own accord. A const instead of the pattern is what
            # openapi-python-client cannot merge with the text that it is in the base.
            properties[TYPE_MEMBER] = {**kind, "default": declared}
        elif form is not Form.ANSWER:
            # Said again where it needs no saying, it may be null, too.
            properties[TYPE_MEMBER] = nullable(kind)
        if form is Form.ANSWER and not is_flow:  # of flows, the base has them
            properties.update(_server_members(schema))
        for key, declaration in instance(schema).fields.items():
            name = declaration.data_key or key
            if name == TYPE_MEMBER:
                continue
            for member, written in self._field(name, declaration, form):
                properties[member] = written
            if form is Form.CREATE and declaration.required:
                required.append(name)
        text = (schema.__doc__ or "").partition("\n")[0]
        if form is Form.ANSWER:
            return an_object(properties, required, description=text)
        more: dict[str, Any] = {"description": text, **_IGNORED}
        for name, other in (("roleGroup@odata.bind", "roleGroup"), ("code", _VALUE_BIND)):
            if {name, other} <= properties.keys():
                required = [each for each in required if each != name]
                # Of an anyOf, generators would make a type without members.
                more |= {"if": given(name), "else": given(other)}
        return a_closed_object(properties, required, **more)

    def _field(
        self, name: str, declared: fields.Field[Any], form: Form
    ) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield the members that a field is on the wire."""
        answered = form is Form.ANSWER
        if isinstance(declared, RoleGroupBind):
            if answered:
                yield "roleGroup@odata.context", TEXT
                yield "roleGroup", {**nullable(self._type(RoleGroup, form)), **NAVIGATION}
            else:
                yield name, {"type": "string", "format": "uri-reference"}
            return
        if isinstance(declared, fields.Raw):
            if name == "provisioningFlows":
                if answered:
                    yield "provisioningFlows@odata.context", TEXT
                    yield "provisioningFlows@odata.count", COUNT
                    yield name, {**an_array(self.reference("provisioningFlow")), **NAVIGATION}
                else:
                    yield name, {"type": ["array", "null"], "items": ANY, "maxItems": 0}
            elif answered and name == _VALUE_BIND:
                yield "value", {**self._type(ReferenceDefinition, form), **NAVIGATION}
            elif not answered:
                yield name, dict(_LOAD_ONLY.get(name, ANY))
            return
        yield name, self._value(declared, form)

    def _value(self, declared: fields.Field[Any], form: Form) -> dict[str, Any]:
        answered = form is Form.ANSWER
        written: dict[str, Any]
        match declared:
            case Items():
                # A list is replaced as a whole: its entries are complete also in an update.
                inner = Form.ANSWER if answered else Form.CREATE
                written = an_array(self._value(declared.inner, inner))
                if not answered:
                    written["maxItems"] = declared.most
                # OData has no null collection: sent it means empty, answered it never is.
                takes_null = isinstance(declared, OptionalItems) and not answered
                return nullable(written) if takes_null else written
            case Bool():
                written = {"type": "boolean"}
            case Int32():
                written = {"type": "integer", "format": "int32"}
            case Password() if answered:
                written = {"type": "string", "const": MASKED_PASSWORD}
            case Password():
                written = {**a_text(declared.longest), "format": "password"}
            case Code():
                written = {**a_text(declared.longest), "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
            case Text():
                written = TEXT if answered else a_text(declared.longest)
            case EnumMember() if declared.enum_type == REFERENCE_TYPE:
                # No enum of Graph: lists that cannot be added to are answered as well.
                written = TEXT if answered else {**TEXT, "enum": list(declared.members)}
            case EnumMember():
                self.schemas[NAMESPACE + declared.enum_type] = an_enum(declared.members)
                written = of_graph(declared.enum_type)
            case OneOf():
                written = self._abstract(declared.abstract, declared.schemas, form)
            case fields.Nested(schema=Wire() as inner_schema):
                written = self._type(type(inner_schema), form)
            case _:
                raise TypeError(f"{type(declared).__name__} has no form in OpenAPI yet: add it.")
        return nullable(written) if declared.allow_none else written


_VALUE_BIND: Final = "value@odata.bind"
_LOAD_ONLY: Final[dict[str, dict[str, Any]]] = {
    _VALUE_BIND: {"type": "string", "format": "uri-reference"},
    "roleGroup": {"type": "object", "properties": {"id": TEXT}, "required": ["id"]},
    "referenceType": {**TEXT, "description": "It cannot change; it may be repeated."},
    "code": {**TEXT, "description": "It cannot change; it may be repeated."},
    "source": {"description": "Ignored: the service decides it."},
}


def _server_members(schema: type[Wire]) -> dict[str, Any]:
    """Return what only the service writes, of the types that are entities."""
    if issubclass(schema, ProvisioningFlow):
        return {**_CONTROL, "id": GUID, **TIMES, "readinessStatus": STATUS}
    if issubclass(schema, FlowSet):
        return {**_CONTROL, "id": GUID, **TIMES}
    if issubclass(schema, RoleGroup):
        return {**_CONTROL, "id": TEXT}
    if issubclass(schema, DefinitionState):
        return {**_CONTROL, "id": TEXT, "source": TEXT, **TIMES}
    return {}
