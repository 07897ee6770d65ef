"""Says whether the app can work: its settings, and each of the services behind it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from shared.domain.errors import (
    QueueRefused,
    SettingsError,
    StoreRefused,
    Throttled,
    Unavailable,
)
from shared.telemetry import log_event

log = logging.getLogger(__name__)

# A caller is answered within a second: what has not answered by then is pending.
ANSWER_SECONDS: Final = 0.9
# Opening a connection takes longer than that, sometimes.
CHECK_SECONDS: Final = 10.0
# However many ask: each service is looked at this often at most.
KEPT_SECONDS: Final = 5.0


class State(StrEnum):
    """The state of one service behind the app, or of the settings."""

    AVAILABLE = "available"
    PENDING = "pending"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    REFUSED = "refused"
    WRONG = "wrong"


_MESSAGES: Final = {
    State.PENDING: "It has not answered yet; ask again.",
    State.UNAVAILABLE: "It does not answer.",
    State.THROTTLED: "It has no throughput left just now.",
    State.REFUSED: "It refuses the app, or does not know what the app settings name.",
    State.WRONG: "A setting is missing or wrong; the log says which, under settingsWrong.",
}


@dataclass(frozen=True)
class Dependency:
    """A service behind the app: how to look at it, and whether nothing works without it.

    `check` raises Unavailable where the service does not answer.
    """

    check: Callable[[], Awaitable[None]]
    needed: bool


class Health:
    """Looks at the settings and, where those are complete, at each service behind the app."""

    def __init__(
        self, settings: Callable[[], object], dependencies: Mapping[str, Dependency]
    ) -> None:
        """`settings` reads the app settings; it raises SettingsError."""
        self._settings = settings
        self._dependencies = dependencies
        self._states = dict.fromkeys(dependencies, State.PENDING)
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._looked_at = -KEPT_SECONDS

    async def read(self, seconds: float = ANSWER_SECONDS) -> tuple[bool, dict[str, Any]]:
        """Return after `seconds` at most whether the app can work, and what to answer.

        `status` is healthy, degraded (what is stored is safe, but something waits) or unhealthy. A
        service that is looked at for the first time and has not answered yet holds nothing up.
        """
        try:
            self._settings()
        except SettingsError as exc:
            log_event("settingsWrong", logging.ERROR, why=str(exc))
            return False, _answer("unhealthy", {"settings": State.WRONG})
        if time.monotonic() - self._looked_at >= KEPT_SECONDS and not self._looking:
            self._looked_at = time.monotonic()
            for name in self._dependencies:
                self._looking[name] = asyncio.create_task(self._look(name))
        if self._looking:
            await asyncio.wait(list(self._looking.values()), timeout=seconds)
        away = [n for n, state in self._states.items() if state is not State.AVAILABLE]
        works = not any(
            self._dependencies[name].needed and self._states[name] is not State.PENDING
            for name in away
        )
        status = "healthy" if not away else "degraded" if works else "unhealthy"
        return works, _answer(status, self._states)

    async def _look(self, name: str) -> None:
        try:
            self._states[name] = await _state(self._dependencies[name])
        finally:
            del self._looking[name]


async def _state(dependency: Dependency) -> State:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await dependency.check()
    except (StoreRefused, QueueRefused):
        return State.REFUSED
    except Throttled:
        return State.THROTTLED
    except (Unavailable, TimeoutError):
        return State.UNAVAILABLE
    except Exception:
        # A setting that the SDK cannot use, for one: what was known before is no longer true.
        log.exception("a service could not be looked at")
        return State.UNAVAILABLE
    return State.AVAILABLE


def _answer(status: str, states: Mapping[str, State]) -> dict[str, Any]:
    return {
        "status": status,
        "dependencies": {
            name: {"status": state, "message": _MESSAGES.get(state)}
            for name, state in states.items()
        },
    }
