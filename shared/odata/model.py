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
    DATE = "Edm.Date"


@dataclass(frozen=True)
class Enum:
    """An enum type: its values are the names of its members."""

    name: str
    members: tuple[str, ...]

    def __str__(self) -> str:
        return NAMESPACE + self.name


@dataclass(frozen=True)
class Complex:
    """A structured type: its members, and the types that are derived from it.

    A member of a derived type is named behind a cast to that type, as OData wants. `derived` maps
    the lower-case name of each type that a cast may name to that type.
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

    def owners(self, name: str) -> list[str]:
        """Return the derived types that have a member of that name."""
        return [str(each) for each in self.derived.values() if each.member(name)]

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
class Navigation:
    """What $expand prints inside an entity; `path` names it from the entity.

    `single` says that it is one entity, `printed` that answers have it without being asked.
    """

    path: str
    target: EntityType
    single: bool = False
    printed: bool = False


@dataclass(frozen=True)
class EntityType(Complex):
    """The type of a collection that can be queried.

    `orderable`, where given, names the only properties that $orderby takes: those for which Cosmos
    DB has a composite index with id.
    """

    searchable: bool = True
    orderable: tuple[str, ...] | None = None
    navigations: tuple[Navigation, ...] = ()
    listed: bool = True
    """Whether there is a collection of it."""

    def narrowed(self, name: str) -> EntityType | None:
        """Return the entity type that a qualified name casts to."""
        found = self.cast(name)
        return found if isinstance(found, EntityType) else None

    @property
    def expands(self) -> str:
        """What $expand takes, for error messages."""
        return ", ".join(each.path for each in self.navigations) or "nothing"

    def navigation(self, path: str) -> Navigation | None:
        """Return the navigation of that path; case does not count."""
        return next((each for each in self.navigations if each.path.lower() == path.lower()), None)


def _table(members: Iterable[Property]) -> dict[str, Property]:
    return {member.name.lower(): member for member in members}


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
            return Complex(declared.abstract, derived=derived)
    return None


# --- the four entity types ---------------------------------------------------------------------

_ID = Property("id", Edm.STRING)
_TIMES = (
    Property("createdDateTime", Edm.DATE_TIME_OFFSET),
    Property("lastModifiedDateTime", Edm.DATE_TIME_OFFSET),
)

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


ROLE_GROUP = EntityType(
    "roleGroup",
    _table([_ID, *_from_schema(RoleGroup).members.values()]),
    navigations=(Navigation("roles/value", REFERENCE_DEFINITION, single=True),),
)


def _flow() -> EntityType:
    shared_members = _table(
        [
            _ID,
            *_TIMES,
            Property("readinessStatus", Enum("readinessStatus", (*Status, _SENTINEL))),
        ]
    )
    group = Navigation(
        f"{NAMESPACE}userProvisioningFlow/creationOptions/configurations/roleGroup",
        ROLE_GROUP,
        single=True,
        printed=True,
    )
    kinds = {
        kind.lower(): EntityType(
            kind,
            {**shared_members, **_from_schema(schema).members},
            searchable=False,
            navigations=(group,) if kind in group.path else (),
        )
        for kind, schema in FLOW_SCHEMAS.items()
    }
    return EntityType(
        "provisioningFlow", shared_members, kinds, searchable=False, navigations=(group,)
    )


PROVISIONING_FLOW = _flow()

FLOW_SET = EntityType(
    "outboundProvisioningFlowSet",
    _table(
        [
            _ID,
            *_TIMES,
            *_from_schema(FlowSet).members.values(),
            # For filters; it is printed only where it is expanded.
            Property("provisioningFlows", PROVISIONING_FLOW, collection=True),
        ]
    ),
    orderable=("id", "displayName", "createdDateTime", "lastModifiedDateTime"),
    navigations=(Navigation("provisioningFlows", PROVISIONING_FLOW),),
)

INDUSTRY_DATA_ROOT = EntityType(
    "industryDataRoot",
    _table([_ID]),
    navigations=(
        Navigation("outboundProvisioningFlowSets", FLOW_SET),
        Navigation("referenceDefinitions", REFERENCE_DEFINITION),
        Navigation("roleGroups", ROLE_GROUP),
    ),
    listed=False,
)
EXTERNAL = EntityType(
    "external",
    navigations=(Navigation("industryData", INDUSTRY_DATA_ROOT, single=True),),
    listed=False,
)
SERVICE = EntityType(
    "serviceDocument",
    _table(Property(name, Edm.STRING) for name in ("name", "kind", "url")),
    listed=False,
)
"""What a service document lists; $expand takes `*` of it, which is nothing."""

ENTITY_TYPES = {
    each.name: each
    for each in (
        FLOW_SET,
        PROVISIONING_FLOW,
        ROLE_GROUP,
        REFERENCE_DEFINITION,
        INDUSTRY_DATA_ROOT,
        EXTERNAL,
        SERVICE,
    )
}
"""The entity types by name."""
