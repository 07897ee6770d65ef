"""The small parts of Cosmos DB SQL: parameters, and where a member is in a document."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from shared.odata.paths import Path


@dataclass
class Parameters:
    """The parameters of one query, while it is written."""

    values: list[dict[str, Any]] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Add a value and return the name to use for it."""
        name = f"@p{len(self.values)}"
        self.values.append({"name": name, "value": value})
        return name


def sql_path(path: Path, steps: int | None = None) -> str:
    """Return a path, or its first steps, in a stored document or from a subquery's variable."""
    root = path.variable or "c"
    return root + "".join(f"[{json.dumps(step.name)}]" for step in path.steps[:steps])
