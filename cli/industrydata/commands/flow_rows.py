"""How flows are shown in tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from industrydata.output import status_text

if TYPE_CHECKING:
    from rich.text import Text

ROW_COLUMNS: Final = ("KIND", "READINESS", "CHANGED", "ID")


def flow_row(flow: Mapping[str, Any]) -> list[str | Text]:
    """Return a flow as a row of a table with ROW_COLUMNS."""
    from industrydata.service import kind_of

    return [
        kind_of(flow),
        status_text(flow.get("readinessStatus")),
        str(flow.get("lastModifiedDateTime")),
        str(flow.get("id")),
    ]


def history_row(entry: Mapping[str, Any]) -> list[str | Text]:
    """Return what happened to a flow's readiness as a row: when, status, reason."""
    return [
        str(entry.get("appliedDateTime")),
        status_text(entry.get("readinessStatus")),
        str(entry.get("reason") or ""),
    ]
