"""Turns validated values into what is stored, and what is stored back into what a client sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.contract.binds import role_group_url
from shared.contract.catalog_schemas import (
    ReferenceDefinition,
    ReferenceDefinitionUpdate,
    RoleGroup,
)
from shared.contract.loading import dump, load
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.schemas import FLOW_SCHEMAS, FlowSet
from shared.contract.updates import applied
from shared.domain.catalog import TENANT_DEFINED, definition_id
from shared.domain.errors import Fault, InvalidRequest
from shared.domain.flows import Stored, user_configurations, with_user_configurations
from shared.domain.ids import new_id, utc_now
from shared.domain.secrets import StoredPassword

_FIXED = ("referenceType", "code")
_CHANGEABLE = ("displayName", "isDisabled", "sortIndex")


def flow_set_members(body: Any) -> dict[str, Any]:
    """Read the body of a new flow set; return the members to store. Raises InvalidRequest."""
    return dump(FlowSet, load(FlowSet, body))


def changed_flow_set_members(stored: Stored, body: Any) -> dict[str, Any]:
    """Apply an update to a flow set; return the members to store. Raises InvalidRequest."""
    current = {"displayName": stored["displayName"], "filter": stored["filter"]}
    members = flow_set_members(applied(FlowSet, current, body))
    return {**members, "lastModifiedDateTime": utc_now()}


def flow_configuration(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration to store for the loaded values of a flow.

    Its passwords have been sealed already: they are StoredPassword in the values.
    """
    configuration = dump(FLOW_SCHEMAS[kind], values)
    del configuration[TYPE_MEMBER]
    for entry in user_configurations(configuration):
        entry["roleGroup"] = entry.pop("roleGroup@odata.bind")
        settings = entry["defaultPasswordSettings"]
        if settings is not None:
            settings["password"] = settings["password"].sealed
    return configuration


def flow_as_sent(kind: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a stored configuration back into the body a client would send to create it.

    Passwords are StoredPassword in it: an update keeps those that it does not replace.
    """

    def as_sent(entry: dict[str, Any]) -> dict[str, Any]:
        settings = entry["defaultPasswordSettings"]
        if settings is not None:
            settings = {**settings, "password": StoredPassword(settings["password"])}
        return {
            "licenseSkus": entry["licenseSkus"],
            "defaultPasswordSettings": settings,
            "roleGroup@odata.bind": role_group_url(entry["roleGroup"]),
        }

    return {
        TYPE_MEMBER: f"#{NAMESPACE}{kind}",
        **with_user_configurations(configuration, as_sent),
    }


def new_role_group(body: Any, request: str | None = None) -> dict[str, Any]:
    """Read the body of a new role group; return its document. Raises InvalidRequest.

    `request` is the digest of the request that creates it, whose repeats get the same id.
    """
    return {"id": new_id(request), **dump(RoleGroup, load(RoleGroup, body))}


def changed_role_group(stored: Stored, body: Any) -> dict[str, Any]:
    """Apply an update to a role group; return its document. Raises InvalidRequest."""
    current = {"displayName": stored["displayName"], "roles": stored["roles"]}
    merged = applied(RoleGroup, current, body)
    return {"id": stored["id"], **dump(RoleGroup, load(RoleGroup, merged))}


def new_definition(body: Any, request: str | None = None) -> dict[str, Any]:
    """Read the body of a new reference definition; return its document. Raises InvalidRequest.

    `request` is the digest of the request that creates it, by which its repeats are known.
    """
    now = utc_now()
    members = dump(ReferenceDefinition, load(ReferenceDefinition, body))
    document = {
        "id": definition_id(members["referenceType"], members["code"]),
        **members,
        "source": TENANT_DEFINED,
        "createdDateTime": now,
        "lastModifiedDateTime": now,
    }
    return document if request is None else {**document, "request": request}


def changed_definition(stored: Stored, body: Any) -> dict[str, Any]:
    """Apply an update to a reference definition; return its document.

    Only displayName, isDisabled and sortIndex can change; the rest may be repeated as it is.
    Raises InvalidRequest with every fault.
    """
    merged = applied(ReferenceDefinitionUpdate, {name: stored[name] for name in _CHANGEABLE}, body)
    faults = [
        Fault("ReadOnly", f"{name} is always '{stored[name]}' here; omit it.", f"$.{name}")
        for name in _FIXED
        if name in merged and merged[name] != stored[name]
    ]
    try:
        values = load(ReferenceDefinitionUpdate, merged)
    except InvalidRequest as exc:
        raise InvalidRequest(*exc.faults, *faults) from exc
    if faults:
        raise InvalidRequest(*faults)
    members = dump(ReferenceDefinitionUpdate, values)
    return {**stored, **members, "lastModifiedDateTime": utc_now()}


def disabled_definition(stored: Stored) -> dict[str, Any]:
    """Disable a reference definition, which is what deleting it means."""
    return {**stored, "isDisabled": True, "lastModifiedDateTime": utc_now()}
