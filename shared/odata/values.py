"""Finds values in printed entities, in the form that literals and stored documents have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.odata.model import Edm
from shared.odata.paths import Path, Step

Value = str | bool | int | float | None

_DATE = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:T(?P<minute>\d\d:\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,12}))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


def value_at(path: Path, entity: Any) -> Any:
    """Return the value a path leads to, timestamps in stored form; None where there is none."""
    value = entity
    for step in path.steps:
        value = _member(step, value)
    if path.type is Edm.DATE_TIME_OFFSET and isinstance(value, str):
        return stored_time(value)
    return value


def _member(step: Step, owner: Any) -> Any:
    """Return one member of a printed object; None where it has none, or is of another type."""
    if not isinstance(owner, Mapping) or not has_type(step, owner):
        return None
    return owner.get(step.name)


def has_type(step: Step, owner: Mapping[str, Any]) -> bool:
    """Tell whether a printed object is of the type that a step casts to."""
    return step.cast is None or owner.get("@odata.type") == f"#{step.cast}"


def stored_time(text: str) -> str | None:
    """Return a date or a time with or without zone in the stored form; None for what is neither.

    Without a zone it is UTC, without a time it is midnight. Stored times have seven digits of a
    second. A literal with more (OData allows twelve) lies between two of them: a `~` behind it puts
    it there, in the order of text, and equal to neither.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    zone = (match["zone"] or "Z").upper().replace("Z", "+00:00")
    second = f"{match['minute'] or '00:00'}:{match['second'] or '00'}"
    try:
        moment = datetime.fromisoformat(f"{match['day']}T{second}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    digits = f"{match['fraction'] or '':0<7}"
    between = "~" if digits[7:].strip("0") else ""
    return f"{moment.replace(tzinfo=None).isoformat()}.{digits[:7]}Z{between}"
