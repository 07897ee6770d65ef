"""What the app has logged."""

from __future__ import annotations

import json
from typing import Any

from local.stack import Stack
from tests.support.waiting import until


async def logged(stack: Stack, *texts: str, lines: int = 1) -> list[dict[str, Any]]:
    """Wait for log lines of the app that hold all these texts; what they say."""
    found: list[dict[str, Any]] = []

    async def is_logged() -> bool:
        log = stack.log_file("host").read_text("utf-8", errors="replace")
        found[:] = [
            json.loads(line[line.index("{") :])
            for line in log[: log.rfind("\n") + 1].splitlines()
            if '{"event": ' in line and all(text in line for text in texts)
        ]
        return len(found) >= lines

    await until(is_logged, f"the log has {lines} lines with {texts}")
    return found


async def event_outcomes(stack: Stack, event_id: str, deliveries: int = 1) -> list[str]:
    """What became of each delivery of an event, as the host's log says."""
    found: list[str] = []

    async def is_logged() -> bool:
        log = stack.log_file("host").read_text("utf-8", errors="replace")
        about = f'"eventId": "{event_id}"'
        lines = [line for line in log.splitlines() if about in line and '"outcome": ' in line]
        found[:] = [json.loads(line[line.index("{") :])["outcome"] for line in lines]
        return len(found) >= deliveries

    await until(is_logged, f"event {event_id} is delivered {deliveries} times")
    return found
