"""Adds to answers what odata.metadata=full promises: types, ids, edit, navigation and association
links, all of them on this service's own address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.contract.names import TYPE_MEMBER
from shared.odata.model import (
    EXTERNAL,
    FLOW_SET,
    INDUSTRY_DATA_ROOT,
    PROVISIONING_FLOW,
    REFERENCE_DEFINITION,
    ROLE_GROUP,
    Complex,
    Edm,
    EntityType,
    Navigation,
    Property,
    Type,
)

_COLLECTIONS: Final = {
    "outboundProvisioningFlowSets": FLOW_SET,
    "provisioningFlows": PROVISIONING_FLOW,
    "roleGroups": ROLE_GROUP,
    "referenceDefinitions": REFERENCE_DEFINITION,
}
_SINGLETONS: Final = {"external": EXTERNAL, "industryData": INDUSTRY_DATA_ROOT}
_INDUSTRY_DATA: Final = "external/industryData"
# What $select and $expand put behind a path in a context URL; keys are in quotes.
_SELECTED: Final = re.compile(r"\([^'].*|\(\)")
_CONTEXT: Final = "@odata.context"


def with_full_metadata(body: Mapping[str, Any], root: str) -> dict[str, Any]:
    """Return an answer about entities with all their annotations; any other as it is.

    What it is about, its context URL says. `root` is the service root of the links.
    """
    path = str(body.get(_CONTEXT, "")).partition("#")[2].removesuffix("/$entity")
    path = _SELECTED.sub("", path)
    segments = path.split("/")
    if "." in segments[-1]:
        # The type that the request casts to; each entity says its own.
        segments.pop()
    collection = f"{root}/{'/'.join(segments)}"
    singleton = _SINGLETONS.get(segments[-1])
    if singleton is not None:
        return _entity(body, singleton, collection, root)
    entity = _COLLECTIONS.get(segments[-1])
    if entity is None:
        return dict(body)
    if "value" in body:
        value = [_entity(each, entity, _address(each, collection), root) for each in body["value"]]
        return {**body, "value": value}
    return _entity(body, entity, _address(body, collection), root)


def _address(printed: Mapping[str, Any], collection: str) -> str:
    given: str | None = printed.get("@odata.id")
    return given or f"{collection}('{printed['id']}')"


def _entity(
    printed: Mapping[str, Any], declared: EntityType, address: str, root: str
) -> dict[str, Any]:
    actual = _actual(printed, declared)
    known: dict[str, Any] = {}
    if _CONTEXT in printed:
        known[_CONTEXT] = printed[_CONTEXT]
    known[TYPE_MEMBER] = f"#{actual}"
    known["@odata.id"] = address
    if "@odata.etag" in printed:
        known["@odata.etag"] = printed["@odata.etag"]
    known["@odata.editLink"] = address
    _add_members(known, printed, actual, address, root)
    for navigation in actual.navigations:
        name = navigation.path
        if "/" not in name and name not in printed:
            known |= _links(name, address)
    return known


def _actual(printed: Mapping[str, Any], declared: Any) -> Any:
    """Return the type that a printed object says it is of; that it is declared as by default."""
    given = printed.get(TYPE_MEMBER)
    return declared if given is None else declared.cast(given.removeprefix("#")) or declared


def _links(name: str, address: str) -> dict[str, str]:
    return {
        f"{name}@odata.associationLink": f"{address}/{name}/$ref",
        f"{name}@odata.navigationLink": f"{address}/{name}",
    }


@dataclass(frozen=True)
class _Member:
    """What is known of a member: its type, its annotation, and whether values hold more."""

    type: Type
    annotation: str | None
    structured: bool
    navigation: Navigation | None


# By the type's identity: all types are made once, and a page has thousands of values of them.
_known_members: dict[int, dict[str, _Member]] = {}


def _members_of(declared: Complex) -> dict[str, _Member]:
    found = _known_members.get(id(declared))
    if found is None:
        found = {
            each.name: _Member(each.type, _type_of(each), isinstance(each.type, Complex), None)
            for each in declared.members.values()
        }
        if isinstance(declared, EntityType):
            found |= {
                each.path: _Member(each.target, None, True, each)
                for each in declared.navigations
                if "/" not in each.path
            }
        _known_members[id(declared)] = found
    return found


def _add_members(
    known: dict[str, Any],
    printed: Mapping[str, Any],
    declared: Complex,
    address: str,
    root: str,
) -> None:
    """Add an object's members, each behind its annotations, to what is known of it."""
    members = _members_of(declared)
    for name, value in printed.items():
        if name in known:
            continue
        member = members.get(name)
        if member is None or value is None:
            known[name] = value
        elif member.navigation is not None:
            known |= _links(name, address)
            target, inner = member.navigation.target, f"{address}/{name}"
            known[name] = (
                _entity(value, target, inner, root)
                if member.navigation.single
                else [_entity(each, target, _address(each, inner), root) for each in value]
            )
        else:
            if member.annotation is not None:
                known[name + TYPE_MEMBER] = member.annotation
            known[name] = _value(value, member.type, root) if member.structured else value


def _value(value: Any, declared: Type, root: str) -> Any:
    if isinstance(value, list):
        return [_value(each, declared, root) for each in value]
    if not isinstance(declared, Complex):
        return value
    if isinstance(declared, EntityType) and "id" in value:
        # The role group of a configuration: it is printed inside, and stands in its collection.
        address = _address(value, f"{root}/{_INDUSTRY_DATA}/roleGroups")
        return _entity(value, declared, address, root)
    actual = _actual(value, declared)
    known: dict[str, Any] = {TYPE_MEMBER: f"#{actual}"}
    _add_members(known, value, actual, "", root)
    return known


def _type_of(member: Property) -> str | None:
    """Return the annotation of a member whose JSON does not show its type; None for others."""
    bare = str(member.type).removeprefix("Edm.")
    if member.collection:
        return f"#Collection({bare})"
    shown = isinstance(member.type, Complex) or member.type in (Edm.STRING, Edm.BOOLEAN)
    return None if shown else f"#{bare}"
