"""Keeps what the readiness queue could not process."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.contract.dead_letters import DeadLetter
from shared.services.readiness import PAUSE_SECONDS
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.archive import Archive


@dataclass(frozen=True)
class DeadLetters:
    """Archives dead letters."""

    archive: Archive

    async def keep(self, letter: DeadLetter) -> None:
        """Archive a dead letter; raises what keeps it from being archived, after a pause."""
        try:
            name = await self.archive.keep(letter)
        except Exception:
            # Deliveries of a dead letter are not counted: without a pause it would return at once.
            await asyncio.sleep(PAUSE_SECONDS)
            raise
        log_event("deadLetterArchived", logging.WARNING, name=name, messageId=letter.message_id)
