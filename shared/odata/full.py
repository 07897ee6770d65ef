"""Adds to answers what odata.metadata=full promises: types, ids, edit, navigation and association
links, all of them on this service's own address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    Enum,
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
    actual = declared.narrowed(str(printed.get(TYPE_MEMBER, "")).removeprefix("#")) or declared
    known = {name: printed[name] for name in (_CONTEXT,) if name in printed}
    known |= {TYPE_MEMBER: f"#{actual}", "@odata.id": address}
    known |= {name: printed[name] for name in ("@odata.etag",) if name in printed}
    known["@odata.editLink"] = address
    known |= _members(printed, actual, known, address, root)
    for navigation in actual.navigations:
        name = navigation.path
        if "/" not in name and name not in printed:
            known |= _links(name, address)
    return known


def _links(name: str, address: str) -> dict[str, str]:
    return {
        f"{name}@odata.associationLink": f"{address}/{name}/$ref",
        f"{name}@odata.navigationLink": f"{address}/{name}",
    }


def _members(
    printed: Mapping[str, Any],
    declared: Complex,
    known: Mapping[str, Any],
    address: str,
    root: str,
) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in printed.items():
        if name in known:
            continue
        member = declared.member(name)
        navigation = declared.navigation(name) if isinstance(declared, EntityType) else None
        if navigation is not None:
            members |= _links(name, address)
            target, inner = navigation.target, f"{address}/{name}"
            members[name] = (
                _entity(value, target, inner, root)
                if navigation.single
                else [_entity(each, target, _address(each, inner), root) for each in value]
            )
            continue
        annotation = member and value is not None and _type_of(member)
        if annotation:
            members[f"{name}{TYPE_MEMBER}"] = annotation
        members[name] = value if member is None else _value(value, member.type, root)
    return members


def _value(value: Any, declared: Type, root: str) -> Any:
    if isinstance(value, list):
        return [_value(each, declared, root) for each in value]
    if not isinstance(declared, Complex) or not isinstance(value, Mapping):
        return value
    if isinstance(declared, EntityType) and "id" in value:
        # The role group of a configuration: it is printed inside, and stands in its collection.
        address = _address(value, f"{root}/{_INDUSTRY_DATA}/roleGroups")
        return _entity(value, declared, address, root)
    given = str(value.get(TYPE_MEMBER, "")).removeprefix("#")
    actual = declared.cast(given) or declared
    known = {TYPE_MEMBER: f"#{actual}"}
    return {**known, **_members(value, actual, known, "", root)}


def _type_of(member: Property) -> str | None:
    """Return the annotation of a member whose JSON does not show its type; None for others."""
    bare = str(member.type).removeprefix("Edm.")
    if member.collection:
        return f"#Collection({bare})"
    shown = isinstance(member.type, Complex) or member.type in (Edm.STRING, Edm.BOOLEAN)
    return None if shown and not isinstance(member.type, Enum) else f"#{bare}"
