"""Texts that come from elsewhere, made safe and short for a terminal."""

from __future__ import annotations

from typing import Final

SHORT: Final = 120


def clean(text: object) -> str:
    """Return a text on one line, with what a terminal would obey or hide shown as U+FFFD."""
    line = " ".join(str(text).split())
    return "".join(each if each.isprintable() else "\ufffd" for each in line)


def short(text: object, most: int = SHORT) -> str:
    """Return a text on one line, cut where it is long."""
    line = clean(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 flow, 2 flows."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
