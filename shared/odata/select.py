"""Keeps of a printed entity what $select asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.odata.faults import refusal
from shared.odata.model import EntityType
from shared.odata.paths import Path, Step, resolve
from shared.odata.values import has_type

OPTION = "$select"


@dataclass(frozen=True)
class Selection:
    """The members to keep; no paths at all means `*`."""

    paths: tuple[Path, ...]

    @property
    def context(self) -> str:
        """What stands in the parentheses of a context URL."""
        return ",".join(str(path) for path in self.paths) or "*"

    def project(
        self, printed: Mapping[str, Any], keep: Collection[tuple[Step, ...]] = ()
    ) -> dict[str, Any]:
        """Copy what is selected, and what the paths in `keep` lead to, in the order of the entity.

        Annotations of the entity (names that begin with @) stay, and so do those of each member
        that stays. A member that only other kinds of flow have is not missed.
        """
        if not self.paths:
            return dict(printed)
        return _project(printed, [*keep, *(path.steps for path in self.paths)])


def parse_select(text: str, entity: EntityType) -> Selection:
    """Read a comma-separated list of paths; raises InvalidRequest."""

    def refuse(message: str, code: str) -> Exception:
        return refusal(OPTION, message, code)

    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise refuse("Give the names of properties, with one comma between two.", "InvalidValue")
    paths: dict[Path, None] = {}
    for name in names:
        target = entity.navigation(name)
        if target is not None and "/" not in target.path:
            paths[Path((Step(target.path),), entity, nullable=True, collection=True)] = None
        elif name != "*":
            found = resolve(entity, name.split("/"), refuse, through_collections=True)
            paths[found] = None
    return Selection(() if "*" in names else tuple(paths))


def _project(printed: Mapping[str, Any], wanted: Sequence[tuple[Step, ...]]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in printed.items():
        owner = name.partition("@")[0]
        tails = [
            steps[1:] for steps in wanted if steps[0].name == owner and has_type(steps[0], printed)
        ]
        if name.startswith("@") or () in tails:
            kept[name] = value
        elif tails:
            kept[name] = _within(value, tails)
    return kept


def _within(value: Any, wanted: Sequence[tuple[Step, ...]]) -> Any:
    if isinstance(value, Mapping):
        return _project(value, wanted)
    if isinstance(value, list):
        return [_within(entry, wanted) for entry in value]
    return value
