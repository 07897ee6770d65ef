"""Conditional requests (RFC 9110, section 13): which version of an entity a caller means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.errors import PreconditionFailed

Tag = Callable[[], str]
"""Computes an entity's ETag: few requests need it, and it costs a walk through the entity."""


def names_tag(header: str, tag: str) -> bool:
    """Tell whether an If-Match or If-None-Match header names this version, or any."""
    tags = [part.strip() for part in header.split(",")]
    return "*" in tags or any(part.removeprefix("W/") == tag.removeprefix("W/") for part in tags)


@dataclass(frozen=True)
class IfMatch:
    """The If-Match header of a write; None where the caller accepts any version."""

    header: str | None = None

    def require(self, tag: Tag) -> None:
        """Raise PreconditionFailed where the header names another version than `tag`."""
        if self.header is not None and not names_tag(self.header, tag()):
            raise PreconditionFailed
