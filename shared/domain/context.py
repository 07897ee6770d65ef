"""What is known of the request or event being served: whose it is, its trace and its limits.

Each is a context variable, so that log lines, audit entries and store requests far down the call
can use it without every function passing it on.
"""

from __future__ import annotations

import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["delegated", "application", "unchecked"]


@dataclass(frozen=True)
class Caller:
    """Who calls, for audit logs: GUIDs, never the token.

    `object_id` is the user of a delegated token, the service principal of an application's; Entra
    may omit it. Where kind is "unchecked" (AUTH_MODE=off), only the tenant is known.
    """

    kind: Kind
    tenant: str
    object_id: str | None = None
    app_id: str | None = None


current_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Whose request is being served; None for an operation that needs no token."""

# --- tenant ------------------------------------------------------------------------------------

LOCAL_TENANT: Final = "10ca1000-0000-4000-8000-000000000001"
"""Whose everything is where tokens are not checked, and whom the local issuer names.

It is made up: there is no such tenant in Entra ID.
"""
MAX_TENANTS: Final = 100
"""The timers look at each of them in turn."""

current_tenant: ContextVar[str | None] = ContextVar("tenant", default=None)
"""The tenant, a GUID in lower case, whose request or event is being served; None without one."""


def served_tenant() -> str:
    """Return the tenant being served; raises LookupError where there is none.

    All that belongs to a tenant is reached through this, so that without one nothing is.
    """
    tenant = current_tenant.get()
    if tenant is None:
        raise LookupError("no tenant is being served")
    return tenant


def serve(caller: Caller | None) -> None:
    """Make this caller the one being served, and the caller's tenant."""
    current_caller.set(caller)
    current_tenant.set(None if caller is None else caller.tenant)


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


# --- limits ------------------------------------------------------------------------------------

MAX_STEPS: Final = 50_000
"""How many steps one request may take; a step takes about half a microsecond."""

_until: ContextVar[float | None] = ContextVar("deadline", default=None)


class Steps:
    """What a request has left for looking at entities."""

    def __init__(self, left: int = MAX_STEPS) -> None:
        self.left = left

    def take(self, count: int = 1) -> bool:
        """Take some steps; False where there are fewer."""
        if count > self.left:
            return False
        self.left -= count
        return True


_steps: ContextVar[Steps | None] = ContextVar("steps", default=None)


class within:  # noqa: N801 - used as a statement; a generator would cost each request more
    """Set a deadline `seconds` from now and a budget of steps for what runs inside.

    An earlier outer deadline stays, and so does an outer budget: the requests of a batch share one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._deadline = _until.set(time.monotonic() + left(self._seconds))
        self._budget = _steps.set(steps())

    def __exit__(self, *raised: object) -> None:
        _until.reset(self._deadline)
        _steps.reset(self._budget)


class granted:  # noqa: N801 - as above
    """Give what runs inside `seconds` from now, whatever is left of the request's time.

    For what has a limit of its own behind a wait for others, which is bounded too.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._deadline = _until.set(time.monotonic() + self._seconds)

    def __exit__(self, *raised: object) -> None:
        _until.reset(self._deadline)


def steps() -> Steps:
    """Return the budget of the request being served, a new one where none is."""
    return _steps.get() or Steps()


def left(most: float) -> float:
    """Return the seconds until the deadline, at most `most`; `most` where there is none."""
    until = _until.get()
    return most if until is None else max(0.0, min(most, until - time.monotonic()))
