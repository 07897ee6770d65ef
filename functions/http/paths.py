"""Reads the path of a request: keys in parentheses, and casts to derived types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from shared.contract.names import NAMESPACE
from shared.domain.errors import UnknownPath

if TYPE_CHECKING:
    from shared.odata.model import EntityType

_PARENTHESISED = re.compile(
    r"(?P<name>[^()/']+)\((?:(?:id=)?'(?P<key>[^()/']+)')?\)", re.IGNORECASE
)
# What is called on a flow, and has one route for its name with and without the namespace.
_CALLS: Final = ("readinesshistory", "readpasswords")
_COLLECTIONS: Final = {
    "outboundprovisioningflowsets": "outboundProvisioningFlowSet",
    "provisioningflows": "provisioningFlow",
    "rolegroups": "roleGroup",
    "referencedefinitions": "referenceDefinition",
}


def path_segments(path: str) -> list[str]:
    """Return a path's segments, unescaped, its keys in parentheses as segments of their own.

    Parentheses with nothing in them, as behind the name of an action, are dropped.
    """
    segments: list[str] = []
    for segment in map(unquote, path.strip("/").split("/")):
        match = _PARENTHESISED.fullmatch(segment)
        if match is None:
            segments.append(segment)
        else:
            segments += [match["name"]] if match["key"] is None else [match["name"], match["key"]]
    return segments


def is_qualified(segment: str) -> bool:
    """Tell whether a segment is the name of a type, or of an action, with its namespace."""
    return segment.lower().startswith(NAMESPACE.lower())


def without_casts(segments: Sequence[str]) -> tuple[list[str], str | None]:
    """Return a path's segments without casts of the entities they name, and the last cast.

    A cast follows a collection or a key. It is None where there is none, or one to the type that
    the entities are of anyway. Raises UnknownPath for another type behind a collection.
    """
    if not any(map(is_qualified, segments)):
        return list(segments), None
    from shared.odata.model import ENTITY_TYPES

    kept: list[str] = []
    entity: EntityType | None = None
    keyed, cast = False, None
    for segment in segments:
        target = entity and entity.narrowed(segment)
        if target:
            cast = cast if target is entity else str(target)
            entity = target
            continue
        if entity is not None and is_qualified(segment):
            if not keyed:
                raise UnknownPath(segment)
            bare = segment[len(NAMESPACE) :]
            segment = bare if bare.lower() in _CALLS else segment
        kept.append(segment)
        name = _COLLECTIONS.get(segment.lower())
        if name is not None:
            entity, keyed, cast = ENTITY_TYPES[name], False, None
        elif keyed:
            entity = None
        keyed = name is None
    return kept, cast
