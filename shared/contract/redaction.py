"""Hides what may be a secret in data that others sent, before it is kept or logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "[hidden]"
# Events have three levels. What is nested deeper than this is hidden: following it to the end may
# take more stack than there is, and a dead letter that cannot be archived comes back for ever.
_MAX_DEPTH: Final = 50
_SECRET_NAME = re.compile(
    r"password|passphrase|pwd|secret|token|credential|authorization|signature|connectionstring"
    r"|(?:api|access|account|private)[_-]?key",
    re.I,
)
# Parts of connection strings, shared access signatures, headers and JSON web tokens.
_SECRET_TEXT = re.compile(
    r"(?P<name>(?:(?:Account|SharedAccess)(?:Key|Signature)|Password|Pwd|\bsig)=|Bearer\s+)"
    r"[^;&\s\"]+|eyJ[\w-]+\.[\w-]+\.[\w-]*",
    re.I,
)


def redacted_text(text: str) -> str:
    """Return a text with everything in it hidden that looks like a key or a token."""
    return _SECRET_TEXT.sub(lambda match: f"{match['name'] or ''}{HIDDEN}", text)


def redacted(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Copy a JSON value with its secrets hidden: members with a telling name, texts like keys."""
    if isinstance(value, (Mapping, list)) and not depth:
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _SECRET_NAME.search(name) and inner else redacted(inner, depth - 1)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, depth - 1) for inner in value]
    return redacted_text(value) if isinstance(value, str) else value
