"""Applies updates: the body of a PATCH merged into what is stored, still to be validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.contract.binds import bound_role_group, inline_role_group
from shared.contract.json_body import RepeatedMembers, repeated_names
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.schemas import (
    FLOW_SCHEMAS,
    MAX_CONFIGURATIONS,
    SimplePasswordSettings,
    UserConfiguration,
    UserFlow,
)
from shared.contract.wire import Wire, given_type, instance, type_name
from shared.domain.errors import Fault, InvalidRequest
from shared.domain.secrets import MASKED_PASSWORD


def merge(schema: Wire, current: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a partial body into a complete one, as OData updates do.

    Members of complex values are merged; collections, null and plain values replace. The result
    has declared names and is still to be loaded: a wrong member of the patch is in it.
    """
    merged: dict[str, Any] = dict(current)
    if repeated := repeated_names(patch):
        merged = RepeatedMembers(current)
        merged.repeated = repeated
    for name, value in patch.items():
        declared = schema.declared_name(name)
        before = current.get(declared)
        inner = schema.schema_of(declared, before)
        if inner is not None and isinstance(value, Mapping):
            value = merge(inner, before if isinstance(before, Mapping) else {}, value)
        merged[declared] = value
    return merged


def applied(schema: type[Wire], current: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Apply an update's body to an entity, for `load`; raises InvalidRequest for no object."""
    if not isinstance(body, Mapping):
        raise InvalidRequest(
            Fault("InvalidValue", f"Give a JSON object ({schema.odata_name}).", "$")
        )
    return merge(instance(schema), current, body)


def merge_flow(kind: str, current: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Apply an update to a flow's configuration in wire form, whose passwords are StoredPassword.

    An entry of `configurations` whose password is omitted or masked keeps the stored one of its
    role group. Raises InvalidRequest for a body that is not an object or names another kind.
    """
    given = given_type(body)
    if given is not None and type_name(given) != kind.lower():
        raise InvalidRequest(
            Fault(
                "InvalidType",
                f"This flow is a '#{NAMESPACE}{kind}' and stays one; delete it and create another.",
                f"$['{TYPE_MEMBER}']",
            )
        )
    merged = applied(FLOW_SCHEMAS[kind], current, body)
    if kind == UserFlow.odata_name:
        _keep_passwords(merged, current)
    return merged


def _keep_passwords(merged: dict[str, Any], current: Mapping[str, Any]) -> None:
    options = merged.get("creationOptions")
    entries = options.get("configurations") if isinstance(options, Mapping) else None
    if not isinstance(options, dict) or not isinstance(entries, list):
        return
    if len(entries) > MAX_CONFIGURATIONS:
        return  # it is refused for that
    stored = {
        bound_role_group(entry["roleGroup@odata.bind"]): entry["defaultPasswordSettings"]
        for entry in (current["creationOptions"] or {}).get("configurations", [])
        if entry["defaultPasswordSettings"] is not None
    }
    options["configurations"] = [_with_kept_password(entry, stored) for entry in entries]


def _with_kept_password(entry: Any, stored: Mapping[str | None, Mapping[str, Any]]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    named = merge(instance(UserConfiguration), {}, entry)
    group = bound_role_group(named.get("roleGroup@odata.bind"))
    group = group or inline_role_group(named.get("roleGroup"))
    kept = stored.get(group)
    if kept is None:
        return named
    settings = named.setdefault("defaultPasswordSettings", kept)
    if isinstance(settings, Mapping) and settings is not kept:
        settings = merge(instance(SimplePasswordSettings), kept, settings)
        if settings["password"] == MASKED_PASSWORD:
            settings["password"] = kept["password"]
        named["defaultPasswordSettings"] = settings
    return named
