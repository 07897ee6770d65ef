"""Reference definitions: how they are stored, changed and printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.contract import schemas
from shared.domain.catalog import TENANT_DEFINED, definition_id
from shared.domain.errors import Fault, InvalidRequest
from shared.domain.ids import printed_time, utc_now

Stored = Mapping[str, Any]

_FIXED = ("referenceType", "code")
_ORDER = (
    "id",
    "referenceType",
    "displayName",
    "code",
    "source",
    "isDisabled",
    "sortIndex",
)


def new(values: Mapping[str, Any]) -> dict[str, Any]:
    """Make the document of a definition that a tenant adds."""
    now = utc_now()
    members = schemas.dump(schemas.ReferenceDefinition, values)
    return {
        "id": definition_id(members["referenceType"], members["code"]),
        **members,
        "source": TENANT_DEFINED,
        "createdDateTime": now,
        "lastModifiedDateTime": now,
    }


def updated(stored: Stored, body: Any) -> dict[str, Any]:
    """Lay an update over a definition; raises InvalidRequest with every fault.

    Only displayName, isDisabled and sortIndex can change; the rest may be repeated as it is.
    """
    current = {name: stored[name] for name in ("displayName", "isDisabled", "sortIndex")}
    merged = schemas.laid_over(schemas.ReferenceDefinitionUpdate, current, body)
    faults = [
        Fault("ReadOnly", f"{name} is '{stored[name]}' for good; leave it out.", f"$.{name}")
        for name in _FIXED
        if name in merged and merged[name] != stored[name]
    ]
    try:
        values = schemas.load(schemas.ReferenceDefinitionUpdate, merged)
    except InvalidRequest as exc:
        raise InvalidRequest(*exc.faults, *faults) from exc
    if faults:
        raise InvalidRequest(*faults)
    return {
        **stored,
        **schemas.dump(schemas.ReferenceDefinitionUpdate, values),
        "lastModifiedDateTime": utc_now(),
    }


def disabled(stored: Stored) -> dict[str, Any]:
    """Disable a definition, which is what deleting it means."""
    return {**stored, "isDisabled": True, "lastModifiedDateTime": utc_now()}


def printed(stored: Stored) -> dict[str, Any]:
    """Print a definition without its context."""
    return {
        **{name: stored[name] for name in _ORDER},
        "createdDateTime": printed_time(stored["createdDateTime"]),
        "lastModifiedDateTime": printed_time(stored["lastModifiedDateTime"]),
    }
