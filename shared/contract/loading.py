"""Reads bodies: validated values by snake_case name, or every fault with its place.

Plain bodies are read by compiled functions; for any other body the schema itself decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from shared.contract import compiled
from shared.contract.binds import role_group_url, unknown_role_group
from shared.contract.field_types import literal
from shared.contract.schemas import FLOW_SCHEMAS
from shared.contract.wire import Wire, chosen_schema, instance
from shared.domain.errors import MAX_FAULTS, Fault, InvalidRequest


def load(schema: type[Wire], body: Any) -> dict[str, Any]:
    """Validate a body and return its values by snake_case name.

    Raises InvalidRequest with every fault, up to MAX_FAULTS, each with the JSONPath (RFC 9535) of
    its place.
    """
    plain = compiled.load(schema, body)
    if plain is not None:
        return plain
    try:
        loaded: dict[str, Any] = instance(schema).load(body)
    except ValidationError as exc:
        raise InvalidRequest(*faults_of(exc)) from exc
    return loaded


dump = compiled.dump
"""Returns loaded values under their declared names, in the server's order."""


def load_flow(body: Any) -> tuple[str, dict[str, Any]]:
    """Validate the body of a flow; return its kind (a key of FLOW_SCHEMAS) and its values.

    The role groups that it refers to are ids in the values (`role_group_ids`): whether they exist
    is for the caller to find out.
    """
    if not isinstance(body, dict):
        raise InvalidRequest(Fault("InvalidValue", "Give a JSON object (provisioningFlow).", "$"))
    try:
        schema = chosen_schema(body, FLOW_SCHEMAS, "provisioningFlow")
    except ValidationError as exc:
        raise InvalidRequest(*faults_of(exc)) from exc
    return schema.odata_name, load(schema, body)


def password_settings(loaded: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the password settings of a loaded flow, each with the role group it is for."""
    for entry in (loaded.get("creation_options") or {}).get("configurations", ()):
        settings = entry["default_password_settings"]
        if settings is not None:
            yield entry["role_group"], settings


def role_group_ids(loaded: Mapping[str, Any]) -> list[str]:
    """Return the id of the role group that each configuration of a loaded flow binds to."""
    options = loaded.get("creation_options") or {}
    return [entry["role_group"] for entry in options.get("configurations", ())]


def unknown_role_groups(loaded: Mapping[str, Any], known: Collection[str]) -> InvalidRequest | None:
    """Return the error of a loaded flow that binds to other than `known` groups; None if none."""
    place = "$.creationOptions.configurations[{}]['roleGroup@odata.bind']"
    faults = []
    for index, group in enumerate(role_group_ids(loaded)):
        if group not in known:
            fault = unknown_role_group(role_group_url(group))
            faults.append(Fault(fault.code, fault, place.format(index)))
    return InvalidRequest(*faults) if faults else None


def faults_of(error: ValidationError) -> list[Fault]:
    """Return what a schema finds wrong with a body, each with the JSONPath of its place."""
    found: list[Fault] = []
    _collect(error.normalized_messages(), "$", "", found)
    return found


def _collect(messages: Any, path: str, name: str, found: list[Fault]) -> None:
    if len(found) >= MAX_FAULTS:
        return
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            if key == "_schema":
                _collect(inner, path, name, found)
            else:
                _collect(inner, path + _step(key), str(key), found)
            if len(found) >= MAX_FAULTS:
                return
        return
    for message in messages[: MAX_FAULTS - len(found)]:
        found.append(Fault(message.code, message.replace("{name}", literal(name)), path))


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        return f".{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
