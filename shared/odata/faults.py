"""How a query is refused: one fault that names the option it is about."""

from __future__ import annotations

from shared.domain.errors import Fault, InvalidRequest


def refusal(option: str, message: str, code: str = "InvalidQueryOption") -> InvalidRequest:
    """Make the error for an option, for the caller to raise."""
    return InvalidRequest(Fault(code, message, option))


def shown(text: str) -> str:
    """Return what a client wrote, short enough for an error message."""
    return text if len(text) <= 80 else text[:80] + "…"
