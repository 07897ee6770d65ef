"""Keeps what the readiness queue could not process, in the archive of the tenant that it names."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.contract.cloudevents import as_structured, tenant_named, tenant_of
from shared.contract.dead_letters import QueueMessage, fault_of
from shared.contract.events import MAX_EVENT_BYTES, read_event
from shared.contract.redaction import redacted
from shared.domain.context import current_tenant
from shared.domain.errors import InvalidEvent, Unavailable
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.archive import Archive
    from shared.adapters.dead_letter_queue import DeadLetterQueue

# One run of the timer: passes of so many messages, as long as a pass is full and there is time.
# With a last pass that just began, less than functionTimeout in host.json.
PASS_MESSAGES: Final = 100
PASS_SECONDS: Final = 20.0
RUN_SECONDS: Final = 30.0
_LOGGED_FAULT: Final = 300


@dataclass(frozen=True)
class Archiving:
    """Archives messages; `archive` returns the archive of the tenant being served.

    Where `owner_of` finds no other, that is the first of `tenants`, which is the operator's own.
    """

    tenants: Sequence[str]
    archive: Callable[[], Archive]
    queue: DeadLetterQueue
    pass_messages: int = PASS_MESSAGES

    async def keep(self, message: QueueMessage) -> None:
        """Archive a message that cannot be processed; raises StoreUnavailable."""
        fault = fault_of(message)
        if fault is None:
            fault = self._wrong_tenant(message)
        served = current_tenant.set(owner_of(message, self.tenants))
        try:
            name = await self.archive().keep(message, fault)
            log_event(
                "deadLetterArchived",
                logging.WARNING,
                name=name,
                messageId=redacted(message.message_id),
                fault=(fault or "")[:_LOGGED_FAULT] or None,
            )
        finally:
            current_tenant.reset(served)

    async def collect(self) -> None:
        """Archive what is in the dead-letter queue, a bounded number; what is left stays there."""
        ends = time.monotonic() + RUN_SECONDS
        taken, full = 0, True
        try:
            while full and time.monotonic() < ends:
                count = await self.queue.take(self.pass_messages, PASS_SECONDS, self.keep)
                taken, full = taken + count, count == self.pass_messages
        except Unavailable as exc:
            log_event("deadLettersLeft", logging.WARNING, archived=taken, why=str(exc))
            return
        if taken:
            log_event("deadLettersCollected", archived=taken, more=full)

    def _wrong_tenant(self, message: QueueMessage) -> str | None:
        """Say what is wrong with the tenant that a well-formed event names."""
        try:
            event = read_event(
                as_structured(message.body, message.properties, message.content_type)
            )
            owner = self.tenants[0] if event.before_tenants else None
            tenant_of(event.tenant or owner, self.tenants)
        except InvalidEvent as exc:
            return str(exc)
        return None


def owner_of(message: QueueMessage, tenants: Sequence[str]) -> str:
    """Return the tenant that a message names, the first where it names none that is served."""
    named = _tenant_named(message)
    return str(named) if named in tenants else tenants[0]


def _tenant_named(message: QueueMessage) -> str | None:
    try:
        body = as_structured(message.body, message.properties, message.content_type)
    except InvalidEvent:
        return None
    return tenant_named(body, MAX_EVENT_BYTES)
