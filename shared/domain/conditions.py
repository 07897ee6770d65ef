"""Conditional requests (RFC 9110, section 13): which version of an entity a caller means.

The ETag of an entity is `W/"<version>.<digest>"`: its own version, then a digest of everything that
was answered. Whether an answer has changed is a question of the whole tag, as what stands inline or
was expanded may change alone; whether a write may go on is a question of the version only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.errors import PreconditionFailed

Version = Callable[[], str]
"""Computes an entity's own version: few requests need it, and it walks through the entity."""


def names_tag(header: str, tag: str) -> bool:
    """Tell whether an If-Match or If-None-Match header names this ETag, or any."""
    return any(each in ("*", tag.removeprefix("W/")) for each in _tags(header))


def names_version(header: str, version: str) -> bool:
    """Tell whether such a header has an ETag of this version of an entity, or names any."""
    return any(each == "*" or each.startswith(f'"{version}.') for each in _tags(header))


def _tags(header: str) -> list[str]:
    return [part.strip().removeprefix("W/") for part in header.split(",")]


@dataclass(frozen=True)
class Conditions:
    """The If-Match and If-None-Match headers of a request; None where it has none."""

    if_match: str | None = None
    if_none_match: str | None = None

    def __bool__(self) -> bool:
        return self.if_match is not None or self.if_none_match is not None

    def require(self, version: Version) -> None:
        """Raise PreconditionFailed where a write is not meant for this version of an entity."""
        if not self:
            return
        current = version()
        if self.if_match is not None and not names_version(self.if_match, current):
            raise PreconditionFailed
        if self.if_none_match is not None and names_version(self.if_none_match, current):
            raise PreconditionFailed
