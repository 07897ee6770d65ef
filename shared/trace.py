"""W3C trace context: one id from the HTTP request to the readiness change it leads to."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

current: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The traceparent of the request or event that is being served."""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Tell whether `text` is a traceparent of version 00."""
    return _TRACEPARENT.fullmatch(text) is not None


def continued(traceparent: str | None) -> str:
    """Return the caller's traceparent, or a new one where there is none that can be used."""
    if traceparent is not None and is_traceparent(traceparent):
        return traceparent
    random = secrets.token_hex(24)
    return f"00-{random[:32]}-{random[32:]}-01"


def trace_id(traceparent: str | None) -> str | None:
    """Return the id that all log lines of one trace share."""
    return None if traceparent is None else traceparent.split("-")[1]
