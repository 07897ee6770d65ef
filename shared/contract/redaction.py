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
# Parts of connection strings, shared access signatures and headers.
_SECRET_TEXT = re.compile(
    r"(?P<name>(?:(?:Account|SharedAccess)(?:Key|Signature)|Password|Pwd|\bsig)=|Bearer\s+)"
    r"[^;&\s\"]+",
    re.I,
)
# What may hold a JSON web token: looking for the token itself takes quadratic time.
_DOTTED = re.compile(r"[\w.-]+")


def redacted_text(text: str) -> str:
    """Return a text with everything in it hidden that looks like a key or a token."""
    text = _SECRET_TEXT.sub(rf"\g<name>{HIDDEN}", _without_members(text))
    return _DOTTED.sub(_without_token, text)


def _without_members(text: str) -> str:
    """Hide the values of members with a telling name in JSON that is part of a text.

    Where the JSON stands in a string, there are backslashes before its quotes; a value ends at the
    first quote with no more of them than its name has.
    """
    parts = text.split('"')
    kept: list[str] = []
    at = 0
    while at < len(parts):
        kept.append(parts[at])
        named = at + 2 < len(parts) and parts[at + 1].strip("\\ \t\r\n") == ":"
        if not named or not _SECRET_NAME.search(parts[at]):
            at += 1
            continue
        depth, end = _backslashes(parts[at]), at + 2
        while end + 1 < len(parts) and _backslashes(parts[end]) > depth:
            end += 1
        empty = end == at + 2 and not parts[end].strip("\\")
        hidden = HIDDEN + "\\" * min(depth, _backslashes(parts[end]))
        kept += [parts[at + 1], parts[end] if empty else hidden]
        at = end + 1
    return '"'.join(kept)


def _backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))


def _without_token(match: re.Match[str]) -> str:
    """Hide what begins as the three parts of a JSON web token do."""
    before, begin, token = match[0].partition("eyJ")
    return f"{before}{HIDDEN}" if begin and token.count(".") >= 2 else match[0]


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
