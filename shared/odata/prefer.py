"""Reads the Prefer header (RFC 7240).

Of OData's preferences, maxpagesize and return count here, and of Graph's own,
include-unknown-enum-members: every member is written in any case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MAX_LENGTH = 1000
UNKNOWN_MEMBERS = "include-unknown-enum-members"


_Returns = Literal["minimal", "representation"]
_RETURNS: dict[str, _Returns] = {"minimal": "minimal", "representation": "representation"}


@dataclass(frozen=True)
class Preferences:
    """What a client would like; what is None was not asked for, or cannot be followed."""

    returns: _Returns | None = None
    max_page_size: int | None = None
    _page_size_name: str = "odata.maxpagesize"
    unknown_members: bool = False

    @property
    def page_size_applied(self) -> str | None:
        """The text of Preference-Applied for a list that followed `max_page_size`."""
        if self.max_page_size is None:
            return None
        return f"{self._page_size_name}={self.max_page_size}"


_NONE = Preferences()


def parse_prefer(header: str | None) -> Preferences:
    """Read a Prefer header.

    What is unknown or malformed is ignored, and so is a header that is longer than anyone needs;
    the first of two counts.
    """
    if header is None or len(header) > MAX_LENGTH:
        return _NONE
    found: dict[str, str] = {}
    for preference in _split(header, ","):
        token, _, value = _split(preference, ";")[0].partition("=")
        if token.strip():
            found.setdefault(token.strip().lower(), _unquoted(value.strip()))
    name = next((each for each in ("odata.maxpagesize", "maxpagesize") if each in found), None)
    size = found[name] if name is not None else ""
    number = int(size) if re.fullmatch("[0-9]{1,9}", size) else 0
    returns = _RETURNS.get(found.get("return", "").lower())
    return Preferences(
        returns, number or None, name or "odata.maxpagesize", UNKNOWN_MEMBERS in found
    )


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator outside quoted strings, in one pass however the text is made."""
    parts, start, quoted, escaped = [], 0, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
