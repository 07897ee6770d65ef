"""Takes a $expand apart: what is expanded, and the options written behind it in parentheses."""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.errors import InvalidRequest
from shared.odata.faults import refusal, shown

OPTION = "$expand"


def split_expand(text: str) -> list[tuple[str, Mapping[str, str]]]:
    """Return each path that a $expand names, with its own options; raises InvalidRequest.

    Options keep their names as written. Values are not looked at, but for the quotes and
    parentheses around commas and semicolons in them.
    """
    return [_item(part) for part in _split(text, ",")]


def _item(text: str) -> tuple[str, Mapping[str, str]]:
    path, opened, rest = text.strip().partition("(")
    if not opened:
        return path, {}
    if not rest.endswith(")"):
        raise _refuse(f"'{shown(rest)}' does not end with the parenthesis that it began with.")
    options: dict[str, str] = {}
    for part in _split(rest[:-1], ";"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name or not value.strip():
            raise _refuse(
                f"'{shown(part.strip())}' is no option with a value; write {path.strip()} alone, "
                "or options as in ($select=id;$top=1)."
            )
        if name in options:
            raise _refuse(f"'{shown(name)}' is given twice; keep one.")
        options[name] = value.strip()
    return path.strip(), options


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator outside parentheses and quotes, in one pass."""
    parts, start, depth, quote = [], 0, 0, ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
        if depth < 0:
            raise _refuse("A parenthesis is closed that was not opened.")
    if quote or depth:
        raise _refuse("A quote or a parenthesis is not closed.")
    return [*parts, text[start:]]


def _refuse(message: str) -> InvalidRequest:
    return refusal(OPTION, message, "InvalidValue")
