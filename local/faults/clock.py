"""`/local/time`: what time it is for the service, and moving it forward."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.clock import MOST, duration
from local.faults.endpoints import Serve
from local.faults.reading import RulesError, read_forward
from local.faults.requests import shown_time
from local.host.clock import HostClock
from local.host.logs import HOST

_AFRESH = "stop the service and run `make clean`, which removes what is stored too"


class Time:
    """The address for one run of the host."""

    def __init__(self, clock: HostClock) -> None:
        self._clock = clock
        self.served: Mapping[str, Serve] = {
            "GET": self._get,
            "POST": self._forward,
            "DELETE": self._back,
        }

    async def _get(self, body: bytes) -> Mapping[str, Any]:
        return {"now": shown_time(datetime.now(UTC)), "ahead": duration(self._clock.ahead())}

    async def _forward(self, body: bytes) -> Mapping[str, Any]:
        seconds = read_forward(body)
        try:
            self._clock.forward(seconds)
        except ValueError:
            raise RulesError(
                [
                    f"forward: The clock is {duration(self._clock.ahead())} ahead, and may be "
                    f"{duration(MOST)} ahead at most. To begin afresh, {_AFRESH}."
                ]
            ) from None
        HOST.info("The clock was moved forward by %s", duration(seconds))
        return await self._get(body)

    async def _back(self, body: bytes) -> None:
        raise RulesError([f"Time goes forward only. To begin afresh, {_AFRESH}."])
