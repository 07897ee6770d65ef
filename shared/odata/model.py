"""What a query may name: the four entity types, member by member, with their Edm types.

They come from shared/contract/py, so that a member is declared once; what only the server
writes (ids, timestamps, readiness, source) is declared here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from marshmallow import fields

from shared.contract.binds import RoleGroupBind
from shared.contract.catalog_schemas import ReferenceDefinition, RoleGroup
from shared.contract.field_types import Bool, EnumMember, Int32, Items, Password, Text
from shared.contract.names import NAMESPACE
from shared.contract.schemas import FLOW_SCHEMAS, FlowSet
from shared.contract.wire import OneOf, Wire, instance
from shared.domain.readiness import Status

# Every enum of this API ends with it; readers must know it, though nothing has it as its value.
_SENTINEL = "unknownFutureValue"


class Edm(StrEnum):
    """The primitive types that properties and literals have here."""

    STRING = "Edm.String"
    BOOLEAN = "Edm.Boolean"
    INT32 = "Edm.Int32"
    DATE_TIME_OFFSET = "Edm.DateTimeOffset"


@dataclass(frozen=True)
class Enum:
    """An enum type: its values are the names of its members."""

    name: str
    members: tuple[str, ...]

    def __str__(self) -> str:
        return NAMESPACE + self.name


@dataclass(frozen=True)
class Complex:
    """A structured type: `members` of its own and of every type derived from it.

    OData wants a cast before a derived member; plain names are accepted too, so all are in one
    table. `derived` maps the lower-case name of each type that a cast may name to that type.
    """

    name: str
    members: Mapping[str, Property] = field(default_factory=dict, hash=False)
    derived: Mapping[str, Complex] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return NAMESPACE + self.name

    def member(self, name: str) -> Property | None:
        """Return the member of that name; case does not count."""
        return self.members.get(name.lower())

    def cast(self, name: str) -> Complex | None:
        """Return the type that a qualified name casts to: this one or one derived from it."""
        lowered = name.lower()
        if not lowered.startswith(NAMESPACE.lower()):
            return None
        bare = lowered.removeprefix(NAMESPACE.lower())
        return self if bare == self.name.lower() else self.derived.get(bare)

    @property
    def names(self) -> str:
        """The names of the members, for error messages."""
        return ", ".join(member.name for member in self.members.values())


Type = Edm | Enum | Complex


@dataclass(frozen=True)
class Property:
    """A member of a type. `nullable` says whether it can be null, or missing, in our own data."""

    name: str
    type: Type
    nullable: bool = False
    collection: bool = False


@dataclass(frozen=True)
class EntityType(Complex):
    """The type of a collection that can be queried.

    `targets` holds the navigation properties that $expand takes. `orderable`, where given, names
    the only properties that $orderby takes: Cosmos DB sorts by two paths, the second being id, only
    where a composite index has both.
    """

    searchable: bool = True
    orderable: tuple[str, ...] | None = None
    targets: Mapping[str, EntityType] = field(default_factory=dict, hash=False)

    @property
    def navigation(self) -> tuple[str, ...]:
        """The names that $expand takes."""
        return tuple(self.targets)

    def navigation_target(self, name: str) -> str | None:
        """Return the declared name of a navigation property; case does not count."""
        return next((each for each in self.targets if each.lower() == name.lower()), None)


def _table(members: Iterable[Property]) -> dict[str, Property]:
    return {member.name.lower(): member for member in members}


def _union(types: Iterable[Complex]) -> dict[str, Property]:
    """Put the members of several types in one table; what not all of them have can be missing."""
    types = list(types)
    merged: dict[str, Property] = {}
    for each in types:
        for key, member in each.members.items():
            known = merged.get(key)
            if known is None:
                merged[key] = member
            elif isinstance(known.type, Complex) and isinstance(member.type, Complex):
                merged[key] = replace(known, type=_merge(known.type, member.type))
    return {
        key: replace(
            member,
            nullable=any(key not in each.members or each.members[key].nullable for each in types),
        )
        for key, member in merged.items()
    }


def _merge(one: Complex, other: Complex) -> Complex:
    return Complex(one.name, _union([one, other]), {**one.derived, **other.derived})


# --- from the schemas --------------------------------------------------------------------------


@functools.cache
def _from_schema(schema: type[Wire]) -> Complex:
    declared = instance(schema).fields
    members = (_from_field(each.data_key or key, each) for key, each in declared.items())
    return Complex(schema.odata_name, _table(member for member in members if member is not None))


def _from_field(name: str, declared: fields.Field[object]) -> Property | None:
    nullable = declared.allow_none or not declared.required
    if isinstance(declared, RoleGroupBind):
        return Property("roleGroup", ROLE_GROUP, nullable=True)
    if isinstance(declared, Items):
        inner = _from_field(name, declared.inner)
        return inner and replace(inner, nullable=False, collection=True)
    found = _type_of(declared)
    return None if found is None else Property(name, found, nullable)


def _type_of(declared: fields.Field[object]) -> Type | None:
    match declared:
        case Password():
            # Readers see a mask, and no filter may search what is behind it.
            return None
        case Bool():
            return Edm.BOOLEAN
        case Int32():
            return Edm.INT32
        case Text():
            return Edm.STRING
        case EnumMember():
            return Enum(declared.enum_type, (*declared.members, _SENTINEL))
        case fields.Nested():
            return _from_schema(type(declared.schema))
        case OneOf():
            derived = {name.lower(): _from_schema(each) for name, each in declared.schemas.items()}
            return Complex(declared.abstract, _union(derived.values()), derived)
    return None


# --- the four entity types ---------------------------------------------------------------------

_ID = Property("id", Edm.STRING)
_TIMES = (
    Property("createdDateTime", Edm.DATE_TIME_OFFSET),
    Property("lastModifiedDateTime", Edm.DATE_TIME_OFFSET),
)

ROLE_GROUP = EntityType("roleGroup", _table([_ID, *_from_schema(RoleGroup).members.values()]))

REFERENCE_DEFINITION = EntityType(
    "referenceDefinition",
    {
        **_from_schema(ReferenceDefinition).members,
        # Only some of the types can be added to, all of them can be read.
        **_table(
            [
                _ID,
                Property("referenceType", Edm.STRING),
                Property("source", Edm.STRING),
                *_TIMES,
            ]
        ),
    },
)


def _flow() -> EntityType:
    shared_members = _table(
        [
            _ID,
            *_TIMES,
            Property("readinessStatus", Enum("readinessStatus", (*Status, _SENTINEL))),
        ]
    )
    kinds = {
        kind.lower(): Complex(kind, {**shared_members, **_from_schema(schema).members})
        for kind, schema in FLOW_SCHEMAS.items()
    }
    return EntityType("provisioningFlow", _union(kinds.values()), kinds, searchable=False)


PROVISIONING_FLOW = _flow()

FLOW_SET = EntityType(
    "outboundProvisioningFlowSet",
    _table([_ID, *_TIMES, *_from_schema(FlowSet).members.values()]),
    orderable=("id", "displayName", "createdDateTime", "lastModifiedDateTime"),
    targets={"provisioningFlows": PROVISIONING_FLOW},
)

ENTITY_TYPES = {
    each.name: each for each in (FLOW_SET, PROVISIONING_FLOW, ROLE_GROUP, REFERENCE_DEFINITION)
}
"""The entity types by name."""
