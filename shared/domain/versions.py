"""Documents of the version before, brought up to the present one as they are read.

A flow set's document says its version in `version`; those of version 1 do not. What is read of
either is the same; a write brings the whole document up first (shared/adapters/flow_store.py).

Version 1 had no separate members for a flow's last check and an engine's last report, only
`appliedAt` and `appliedKey` of the last event that counted, whichever of the two it was. It had no
`uses`, and a history of any length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.flows import HISTORY_ENTRIES, VERSION, new_stamp, uses_of

_FIRST = 1
# How a check's reasons begin that can follow from a change of the catalog.
_OF_SURROUNDINGS = ("Mapped roles are disabled: ", "The role group '", "All roles of the role ")
_GONE = ("appliedAt", "appliedKey", "askAgainAt")


def version_of(document: Mapping[str, Any]) -> int:
    """Return the version of a stored document; one without a number is of the first."""
    version: int = document.get("version", _FIRST)
    return version


def brought_up(document: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a flow set's document as one of today's version; one of it or above is as it was."""
    if version_of(document) >= VERSION:
        return dict(document)
    flows = {kind: _flow_of_first(flow) for kind, flow in document["flows"].items()}
    return {**document, "version": VERSION, "flows": flows}


def _flow_of_first(flow: Mapping[str, Any]) -> dict[str, Any]:
    check, report = _voices(flow)
    entries = [entry for entry in flow["history"] if entry is not None][:HISTORY_ENTRIES]
    return {
        **{name: value for name, value in flow.items() if name not in _GONE},
        "check": check,
        "report": report,
        "stamp": new_stamp(),
        "checkDueAt": flow["askAgainAt"] if check is None else None,
        "uses": uses_of(flow["configuration"]),
        "history": [*entries, *[None] * (HISTORY_ENTRIES - len(entries))],
    }


def _voices(flow: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return what the last check and the last report of a flow of version 1 said.

    The check of a revision was dated as the revision was; a later one, made after a change of the
    catalog, shows by its reason. Everything else was a report, behind a check that found the flow
    ready: version 1 requested one for each revision.
    """
    status, at = flow["readinessStatus"], flow["appliedAt"]
    if not at:
        return None, None
    said = {"status": status, "reason": flow["reason"]}
    if at == flow["revisedAt"] or (flow["reason"] or "").startswith(_OF_SURROUNDINGS):
        return said, None
    ready = {"status": "ready", "reason": None}
    return ready, {**said, "at": at, "key": flow["appliedKey"]}
