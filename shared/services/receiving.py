"""Takes messages from the readiness queue: to the tenant that they are about, back, or away."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.contract import events
from shared.contract.cloudevents import as_structured, tenant_of
from shared.contract.dead_letters import QueueMessage
from shared.domain.context import current_tenant, current_trace
from shared.domain.errors import (
    InvalidEvent,
    NewerEvent,
    PublishFailed,
    StoreUnavailable,
    Throttled,
)
from shared.domain.ids import microseconds_of
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.service_bus import QueuePublisher
    from shared.services.archiving import Archiving
    from shared.services.readiness import Readiness

# While Cosmos DB is away, events wait in the queue: 2 s, 4 s, ... up to 5 min, for about a day.
MAX_ATTEMPTS: Final = 300
_FIRST_WAIT_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 300.0
# A message that is given back is delivered again at once, and the queue counts how often: so it is
# held for a moment where the fault is not its own. That is longer than the publisher's pause.
PAUSE_SECONDS: Final = 6.0


@dataclass(frozen=True)
class Receiver:
    """Has each event applied in the tenant that it names.

    `readiness` returns what applies events in the tenant being served.
    """

    tenants: Sequence[str]
    readiness: Callable[[], Readiness]
    publisher: QueuePublisher
    archiving: Callable[[], Archiving]

    async def receive(self, message: QueueMessage) -> None:
        """Apply one message, archive one that can never be, or put it back for later.

        That is while the store is away, and with an event of a later version, which an instance of
        that release takes. Raises StoreUnavailable, NewerEvent or PublishFailed, after a pause,
        where the queue must deliver it again.
        """
        try:
            await self._receive(message)
        except (PublishFailed, StoreUnavailable, NewerEvent):
            await asyncio.sleep(PAUSE_SECONDS)
            raise

    async def _receive(self, message: QueueMessage) -> None:
        first_enqueued = enqueued_first(message)
        event_id = None
        try:
            body = as_structured(message.body, message.properties, message.content_type)
            event = events.read_event(body, first_enqueued)
            event_id = event.id
            current_trace.set(event.traceparent)
            # What the release before left in the queue is the first tenant's, as what it stored.
            owner = self.tenants[0] if event.before_tenants else None
            current_tenant.set(tenant_of(event.tenant or owner, self.tenants))
            await self.readiness().process(event, message.delivery_count)
        except InvalidEvent:
            await self.archiving().keep(message)
        except (StoreUnavailable, NewerEvent) as exc:
            attempts = attempts_of(message.properties) + 1
            if attempts > MAX_ATTEMPTS:
                raise
            delay = put_back_delay(attempts, exc.retry_after if isinstance(exc, Throttled) else 0)
            trace = current_trace.get()
            await self.publisher.publish(
                events.Message(str(uuid.uuid4()), body, trace, delay, attempts, first_enqueued)
            )
            log_event(
                "eventPutBack",
                logging.WARNING,
                eventId=event_id,
                attempts=attempts,
                wait=round(delay, 1),
                why=str(exc),
            )


def attempts_of(properties: Mapping[str, Any]) -> int:
    """Return how often an event was put back; what is no number of ours counts as never."""
    given = properties.get(events.ATTEMPTS_PROPERTY)
    return given if type(given) is int and given > 0 else 0


def enqueued_first(message: QueueMessage) -> int:
    """Return when an event came to the queue, before it was put back, in microseconds since 1970.

    Service Bus cuts the time to the millisecond: what was sent within it is not of the future.
    """
    at = microseconds_of(message.enqueued) + 999
    given = message.properties.get(events.ENQUEUED_PROPERTY)
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= 16:
        return min(int(given), at)
    return at


def put_back_delay(attempts: int, at_least: float = 0.0) -> float:
    """Return the seconds that an event waits: longer each time, and not the same for all.

    `at_least` is what the store asked for.
    """
    doubled = max(_FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 16), at_least / 0.8)
    return min(doubled, _LONGEST_WAIT_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
