"""How flows are shown in tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from industrydata.output import status_text

if TYPE_CHECKING:
    from rich.text import Text

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
ROW_COLUMNS: Final = ("KIND", "READINESS", "CHANGED", "ID")


def moment(value: object) -> str:
    """Return a time of the service, which is in UTC, to the second."""
    text = str(value)
    return f"{text[:19]}Z" if _TIME.match(text) else text


def flow_row(flow: Mapping[str, Any]) -> list[str | Text]:
    """Return a flow as a row of a table with ROW_COLUMNS."""
    from industrydata.service import kind_of

    return [
        kind_of(flow),
        status_text(flow.get("readinessStatus")),
        moment(flow.get("lastModifiedDateTime")),
        str(flow.get("id")),
    ]


def history_row(entry: Mapping[str, Any]) -> list[str | Text]:
    """Return what happened to a flow's readiness as a row: when, status, reason."""
    return [
        moment(entry.get("appliedDateTime")),
        status_text(entry.get("readinessStatus")),
        str(entry.get("reason") or ""),
    ]
