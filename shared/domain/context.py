"""What is known of the request or event being served: who calls, its trace and its deadline.

Each is a context variable, so that log lines, audit entries and store requests far down the call
can use it without every function passing it on.
"""

from __future__ import annotations

import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Kind = Literal["delegated", "application", "unchecked"]


@dataclass(frozen=True)
class Caller:
    """Who calls, for audit logs: GUIDs, never the token.

    `object_id` is the user of a delegated token, the service principal of an application's; Entra
    may omit it. All three are None where kind is "unchecked" (AUTH_MODE=off).
    """

    kind: Kind
    tenant: str | None = None
    object_id: str | None = None
    app_id: str | None = None


current_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Whose request is being served; None for an operation that needs no token."""

# --- trace (W3C Trace Context) -----------------------------------------------------------------

current_trace: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The traceparent of the request or event being served."""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Tell whether `text` is a traceparent of version 00."""
    return _TRACEPARENT.fullmatch(text) is not None


def continued(traceparent: str | None) -> str:
    """Return the caller's traceparent, or a new one if the caller sent no valid one."""
    if traceparent is not None and is_traceparent(traceparent):
        return traceparent
    random = secrets.token_hex(24)
    return f"00-{random[:32]}-{random[32:]}-01"


# --- deadline ----------------------------------------------------------------------------------

_until: ContextVar[float | None] = ContextVar("deadline", default=None)


class within:  # noqa: N801 - used as a statement; a generator would cost each request more
    """Set a deadline `seconds` from now for what runs inside; an earlier outer deadline stays."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _until.set(time.monotonic() + left(self._seconds))

    def __exit__(self, *raised: object) -> None:
        _until.reset(self._token)


def left(most: float) -> float:
    """Return the seconds until the deadline, at most `most`; `most` where there is none."""
    until = _until.get()
    return most if until is None else max(0.0, min(most, until - time.monotonic()))
