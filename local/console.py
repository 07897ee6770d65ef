"""What the operators' commands share: their error, and how they write."""

from __future__ import annotations

DONE, FAILED, WRONG = 0, 1, 2


class AdminError(Exception):
    """The command failed; the text says why and what to do next."""


def say(text: str) -> None:
    """Print a line for a person."""
    print(text, flush=True)


def short(text: str) -> str:
    """Return a text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
