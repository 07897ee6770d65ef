"""The service's CSDL 4.0 document, written from the schemas."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as ET

from marshmallow import fields

from shared.contract.binds import RoleGroupBind
from shared.contract.catalog_schemas import REFERENCE_TYPE, ReferenceDefinition, RoleGroup
from shared.contract.field_types import Bool, EnumMember, Int32, Items, OptionalItems, Text
from shared.contract.names import NAMESPACE
from shared.contract.schemas import FILTER_SCHEMAS, FLOW_SCHEMAS, PASSWORD_SCHEMAS, FlowSet
from shared.contract.wire import OneOf, Wire, instance
from shared.domain.readiness import Status

_EDMX: Final = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM: Final = "http://docs.oasis-open.org/odata/ns/edm"
_GRAPH: Final = "microsoft.graph"
_CONNECTORS: Final = "microsoft.graph.externalConnectors"
_NAMESPACE: Final = NAMESPACE.rstrip(".")
# Every enum of this API is evolvable and ends with it.
_SENTINEL: Final = "unknownFutureValue"

_BASES: Final = {
    **dict.fromkeys(FLOW_SCHEMAS, "provisioningFlow"),
    **dict.fromkeys(FILTER_SCHEMAS, "filter"),
    **dict.fromkeys(PASSWORD_SCHEMAS, "passwordSettings"),
    "sectionRoleReferenceValue": "referenceValue",
    "roleReferenceValue": "referenceValue",
}
# Where Graph does not count the members of an enum from 0.
_FIRST_VALUES: Final = {"filterOptions": 1}
_TEXT: Final = "Edm.String"
_SUBSCRIPTION: Final = (
    ("resource", _TEXT, False),
    ("applicationId", _TEXT, True),
    ("changeType", _TEXT, False),
    ("clientState", _TEXT, True),
    ("notificationUrl", _TEXT, False),
    ("lifecycleNotificationUrl", _TEXT, True),
    ("expirationDateTime", "Edm.DateTimeOffset", False),
    ("creatorId", _TEXT, True),
    ("includeResourceData", "Edm.Boolean", True),
    ("latestSupportedTlsVersion", _TEXT, True),
    ("encryptionCertificate", _TEXT, True),
    ("encryptionCertificateId", _TEXT, True),
    ("notificationQueryOptions", _TEXT, True),
)
_CREATED_AND_MODIFIED: Final = ("createdDateTime", "lastModifiedDateTime")


@functools.cache
def csdl() -> str:
    """Return the document as text, with its XML declaration."""
    edmx = ET.Element("edmx:Edmx", {"Version": "4.0", "xmlns:edmx": _EDMX})
    services = ET.SubElement(edmx, "edmx:DataServices")
    graph = {"Namespace": _GRAPH, "Alias": "graph", "xmlns": _EDM}
    _graph(ET.SubElement(services, "Schema", graph))
    _connectors(ET.SubElement(services, "Schema", {"Namespace": _CONNECTORS, "xmlns": _EDM}))
    _IndustryData(
        ET.SubElement(services, "Schema", {"Namespace": _NAMESPACE, "xmlns": _EDM})
    ).write()
    ET.indent(edmx)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(edmx, encoding="unicode")}\n'


def _graph(schema: ET.Element) -> None:
    entity = ET.SubElement(schema, "EntityType", {"Name": "entity", "Abstract": "true"})
    ET.SubElement(ET.SubElement(entity, "Key"), "PropertyRef", {"Name": "id"})
    _property(entity, "id", "Edm.String", nullable=False)
    subscription = {"Name": "subscription", "BaseType": f"{_GRAPH}.entity"}
    subscribed = ET.SubElement(schema, "EntityType", subscription)
    for name, of_type, nullable in _SUBSCRIPTION:
        _property(subscribed, name, of_type, nullable=nullable)
    container = ET.SubElement(schema, "EntityContainer", {"Name": "GraphService"})
    subscriptions = {"Name": "subscriptions", "EntityType": f"{_GRAPH}.subscription"}
    ET.SubElement(container, "EntitySet", subscriptions)
    ET.SubElement(container, "Singleton", {"Name": "external", "Type": f"{_CONNECTORS}.external"})


def _connectors(schema: ET.Element) -> None:
    external = ET.SubElement(schema, "EntityType", {"Name": "external"})
    _contained(external, "industryData", f"{_NAMESPACE}.industryDataRoot")


class _IndustryData:
    """Writes the types of industryData: enums and complex types as the entities name them."""

    def __init__(self, schema: ET.Element) -> None:
        self._schema = schema
        self._written: set[str] = set()

    def write(self) -> None:
        root = self._entity("industryDataRoot")
        _contained(root, "outboundProvisioningFlowSets", _many("outboundProvisioningFlowSet"))
        _contained(root, "referenceDefinitions", _many("referenceDefinition"))
        _contained(root, "roleGroups", _many("roleGroup"))

        flow_set = self._entity("outboundProvisioningFlowSet")
        _times(flow_set, nullable=True)
        self._members(flow_set, FlowSet)
        _contained(flow_set, "provisioningFlows", _many("provisioningFlow"))

        flow = self._entity("provisioningFlow", abstract=True)
        _times(flow, nullable=True)
        self._enum("readinessStatus", Status)
        _property(flow, "readinessStatus", f"{_NAMESPACE}.readinessStatus", nullable=True)
        for kind, schema in FLOW_SCHEMAS.items():
            self._members(self._entity(kind, "provisioningFlow"), schema)
        self._bound("Action", "reset")
        self._readiness_change()
        self._bound("Function", "readinessHistory", "readinessChange")
        password = self._own_complex("initialPassword")
        _property(password, "roleGroup", "Edm.String", nullable=False)
        _property(password, "password", "Edm.String", nullable=False)
        self._bound("Action", "readPasswords", "initialPassword")

        self._members(self._entity("roleGroup"), RoleGroup)
        definition = self._entity("referenceDefinition")
        _property(definition, "source", "Edm.String", nullable=False)
        self._members(definition, ReferenceDefinition)
        _times(definition, nullable=False)

    def _bound(self, sort: str, name: str, returned: str | None = None) -> None:
        """Write what is called on a flow; `returned` is the type of the entries that it answers."""
        called = ET.SubElement(self._schema, sort, {"Name": name, "IsBound": "true"})
        flow = {"Name": "bindingParameter", "Type": f"{_NAMESPACE}.provisioningFlow"}
        ET.SubElement(called, "Parameter", {**flow, "Nullable": "false"})
        if returned is not None:
            answered = {"Type": _many(returned), "Nullable": "false"}
            ET.SubElement(called, "ReturnType", answered)

    def _readiness_change(self) -> None:
        """Write an entry of a flow's history: an addition of this service's."""
        change = self._own_complex("readinessChange")
        _property(change, "readinessStatus", f"{_NAMESPACE}.readinessStatus", nullable=False)
        _property(change, "reason", "Edm.String", nullable=True)
        _property(change, "revision", "Edm.Int32", nullable=False)
        _property(change, "eventId", "Edm.String", nullable=True)
        _property(change, "eventDateTime", "Edm.DateTimeOffset", nullable=False)
        _property(change, "appliedDateTime", "Edm.DateTimeOffset", nullable=False)

    def _own_complex(self, name: str) -> ET.Element:
        return ET.SubElement(self._schema, "ComplexType", {"Name": name})

    def _entity(self, name: str, base: str | None = None, *, abstract: bool = False) -> ET.Element:
        qualified = f"{_NAMESPACE}.{base}" if base else f"{_GRAPH}.entity"
        attributes = {"Name": name, "BaseType": qualified}
        if abstract:
            attributes["Abstract"] = "true"
        return ET.SubElement(self._schema, "EntityType", attributes)

    def _members(self, owner: ET.Element, schema: type[Wire]) -> None:
        for key, field in instance(schema).fields.items():
            self._member(owner, field.data_key or key, field)

    def _member(self, owner: ET.Element, name: str, field: fields.Field[object]) -> None:
        if isinstance(field, RoleGroupBind):
            group = _navigation(owner, "roleGroup", f"{_NAMESPACE}.roleGroup")
            group.set("ContainsTarget", "true")
            return
        if isinstance(field, Items):
            inner = self._type(field.inner)
            assert inner is not None  # noqa: S101 - every collection has entries of a wire type
            # Graph declares the entries of those that may be omitted as nullable.
            nullable = isinstance(field, OptionalItems)
            _property(owner, name, f"Collection({inner})", nullable=nullable)
            return
        found = self._type(field)
        if found is not None:
            _property(owner, name, found, nullable=field.allow_none)

    def _type(self, field: fields.Field[object]) -> str | None:
        """Return a field's type, which is written first where it is not; None for no property."""
        match field:
            case Bool():
                return "Edm.Boolean"
            case Int32():
                return "Edm.Int32"
            case Text():
                return "Edm.String"
            case EnumMember() if field.enum_type == REFERENCE_TYPE:
                return "Edm.String"
            case EnumMember():
                self._enum(field.enum_type, field.members)
                return f"{_NAMESPACE}.{field.enum_type}"
            case fields.Nested(schema=Wire() as inner):
                return self._complex(type(inner))
            case OneOf():
                self._abstract(field.abstract)
                for schema in field.schemas.values():
                    self._complex(schema)
                return f"{_NAMESPACE}.{field.abstract}"
        return None

    def _complex(self, schema: type[Wire]) -> str:
        name = schema.odata_name
        if name not in self._written:
            self._written.add(name)
            base = _BASES.get(name)
            # Types are written before those that name them, so this one waits for its members.
            element = ET.Element("ComplexType", {"Name": name})
            if base is not None:
                self._abstract(base)
                element.set("BaseType", f"{_NAMESPACE}.{base}")
            if base != "referenceValue":
                self._members(element, schema)
            self._schema.append(element)
        return f"{_NAMESPACE}.{name}"

    def _abstract(self, name: str) -> None:
        if name in self._written:
            return
        self._written.add(name)
        attributes = {"Name": name, "Abstract": "true"}
        element = ET.SubElement(self._schema, "ComplexType", attributes)
        if name == "referenceValue":
            _property(element, "code", "Edm.String", nullable=True)
            _navigation(element, "value", f"{_NAMESPACE}.referenceDefinition")

    def _enum(self, name: str, members: Iterable[str]) -> None:
        if name in self._written:
            return
        self._written.add(name)
        element = ET.SubElement(self._schema, "EnumType", {"Name": name})
        first = _FIRST_VALUES.get(name, 0)
        for value, member in enumerate((*members, _SENTINEL), first):
            ET.SubElement(element, "Member", {"Name": str(member), "Value": str(value)})


def _property(owner: ET.Element, name: str, of_type: str, *, nullable: bool) -> None:
    attributes = {"Name": name, "Type": of_type}
    if not nullable:
        attributes["Nullable"] = "false"
    ET.SubElement(owner, "Property", attributes)


def _times(owner: ET.Element, *, nullable: bool) -> None:
    for name in _CREATED_AND_MODIFIED:
        _property(owner, name, "Edm.DateTimeOffset", nullable=nullable)


def _navigation(owner: ET.Element, name: str, of_type: str) -> ET.Element:
    attributes = {"Name": name, "Type": of_type, "Nullable": "false"}
    return ET.SubElement(owner, "NavigationProperty", attributes)


def _contained(owner: ET.Element, name: str, of_type: str) -> None:
    attributes = {"Name": name, "Type": of_type, "ContainsTarget": "true"}
    ET.SubElement(owner, "NavigationProperty", attributes)


def _many(name: str) -> str:
    return f"Collection({_NAMESPACE}.{name})"
