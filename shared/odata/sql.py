"""The small parts of Cosmos DB SQL: parameters, and where a member is in a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.odata.faults import refusal
from shared.odata.paths import Path, Step


@dataclass
class Parameters:
    """The parameters of one query, while it is written."""

    values: list[dict[str, Any]] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Add a value and return the name to use for it."""
        name = f"@p{len(self.values)}"
        self.values.append({"name": name, "value": value})
        return name


# Of a flow, what is stored beside its configuration.
_BESIDE = ("id", "createdDateTime", "lastModifiedDateTime", "readinessStatus")


def sql_path(path: Path, steps: int | None = None) -> str:
    """Return a path, or its first steps, in a stored document or from a subquery's variable."""
    return (path.variable or "c") + _members(path.steps[:steps])


def flow_path(kind: str, steps: Sequence[Step] = ()) -> str:
    """Return where a member of a set's flow of one kind is stored; the flow itself without any."""
    flow = f'c["flows"][{json.dumps(kind)}]'
    if not steps:
        return flow
    return flow + ("" if steps[0].name in _BESIDE else '["configuration"]') + _members(steps)


def _members(steps: Sequence[Step]) -> str:
    names = [step.name for step in steps]
    if "roleGroup" in names:
        # A flow is stored with the ids of its role groups; the rest is added when it is printed.
        if names[names.index("roleGroup") :] != ["roleGroup", "id"]:
            raise refusal(
                "$filter",
                "Of a role group, a filter over flow sets knows the id only: use roleGroup/id.",
                "InvalidFilter",
            )
        names.pop()
    return "".join(f"[{json.dumps(name)}]" for name in names)
