"""Applies the events of the readiness queue."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.contract import events
from shared.contract.cloudevents import as_structured
from shared.contract.dead_letters import QueueMessage
from shared.contract.events import CatalogChanged, ReadinessEvent
from shared.domain import readiness
from shared.domain.context import current_trace
from shared.domain.errors import InvalidEvent, PublishFailed, StoreUnavailable
from shared.domain.flows import role_codes_of, role_groups_of
from shared.domain.ids import microseconds
from shared.domain.readiness import Change, Outcome, Surroundings, Verdict
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.service_bus import QueuePublisher
    from shared.services.dead_letters import DeadLetters

SETS_AT_ONCE: Final = 200

# While Cosmos DB is away, events wait in the queue: 2 s, 4 s, ... up to 5 min, for about a day.
MAX_ATTEMPTS: Final = 300
_FIRST_WAIT_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 300.0
# A message that is given back is delivered again at once, and the queue counts how often: so it is
# held for a moment where the fault is not its own. That is longer than the publisher's pause.
PAUSE_SECONDS: Final = 6.0


@dataclass(frozen=True)
class Readiness:
    """Applies events to the flow store, and publishes the checks that follow from them."""

    store: FlowStore
    catalog: CatalogStore
    publisher: QueuePublisher
    dead_letters: Callable[[], DeadLetters]
    sets_at_once: int = SETS_AT_ONCE

    async def receive(self, message: QueueMessage) -> None:
        """Apply one message, archive one that can never be, or put it back for later.

        Raises StoreUnavailable or PublishFailed, after a pause, where the queue must deliver it
        again.
        """
        try:
            await self._receive(message)
        except (PublishFailed, StoreUnavailable):
            await asyncio.sleep(PAUSE_SECONDS)
            raise

    async def _receive(self, message: QueueMessage) -> None:
        try:
            body = as_structured(message.body, message.properties, message.content_type)
            event = events.read_event(body)
        except InvalidEvent:
            await self.dead_letters().keep(message)
            return
        current_trace.set(event.traceparent)
        try:
            await self.process(event, message.delivery_count)
        except StoreUnavailable:
            attempts = attempts_of(message.properties) + 1
            if attempts > MAX_ATTEMPTS:
                raise
            await self._put_back(event, body, attempts)

    async def process(self, event: ReadinessEvent | CatalogChanged, delivery_count: int) -> None:
        """Apply one event, whatever was applied before it. Raises as `receive` does."""
        if isinstance(event, CatalogChanged):
            await self._check_dependent_flows(event)
            return
        verdict = await self._verdict(event)
        outcome, before = Outcome.GONE, None
        if verdict is not None:
            applied = await self.store.apply(
                Change(
                    event_id=event.id,
                    flow_set_id=event.flow_set_id,
                    kind=event.kind,
                    flow_id=event.flow_id,
                    revision=event.revision,
                    position=event.position,
                    verdict=verdict,
                )
            )
            outcome, before = applied.outcome, applied.before
        log_event(
            event.type,
            eventId=event.id,
            flowSetId=event.flow_set_id,
            flowId=event.flow_id,
            kind=event.kind,
            revision=event.revision,
            before=before,
            to=verdict.status if verdict else None,
            outcome=outcome,
            deliveryCount=delivery_count,
            latencyMs=(microseconds() - event.position.at) // 1000,
        )

    async def _verdict(self, event: ReadinessEvent) -> Verdict | None:
        """Return what an event says of its flow; None where the flow is gone or has changed."""
        if event.status is not None:
            return Verdict(event.status, event.reason)
        configuration = event.configuration
        if configuration is None:
            configuration = await self.store.read_configuration(
                event.flow_set_id, event.kind, event.flow_id, event.revision
            )
        if configuration is None:
            return None
        around = await self._surroundings(configuration, fresh=event.fresh)
        return readiness.check(event.kind, configuration, around)

    async def _surroundings(self, configuration: Mapping[str, Any], *, fresh: bool) -> Surroundings:
        groups = role_groups_of(configuration)
        if not groups and not role_codes_of(configuration):
            return Surroundings({})
        known = await self.catalog.known_role_groups(groups, fresh=fresh)
        disabled = await self.catalog.disabled_roles(fresh=fresh)
        return Surroundings({group.id: group.roles for group in known.values()}, disabled)

    async def _check_dependent_flows(self, event: CatalogChanged) -> None:
        """Request the checks of flows that use what changed, a bounded number of sets at once."""
        change = event.change
        groups = {change.role_group} if change.role_group is not None else set()
        if change.role_code is not None:
            groups = {
                group.id
                for group in await self.catalog.role_groups()
                if change.role_code in group.roles
            }
        found, more = await self.store.flows_that_use(
            groups, change.role_code, event.after, self.sets_at_once
        )
        trace = event.traceparent
        messages = [
            events.check_request(set_id, kind, flow, fresh=True, traceparent=trace)
            for set_id, kind, flow in found
        ]
        await asyncio.gather(*map(self.publisher.publish, messages))
        if more is not None:
            await self.publisher.publish(
                events.catalog_changed(change, after=more, traceparent=trace)
            )
        log_event(
            readiness.CATALOG_CHANGED,
            eventId=event.id,
            roleGroup=change.role_group,
            roleCode=change.role_code,
            asked=len(found),
            more=more is not None,
        )

    async def _put_back(
        self, event: ReadinessEvent | CatalogChanged, body: bytes, attempts: int
    ) -> None:
        delay = put_back_delay(attempts)
        await self.publisher.publish(
            events.Message(str(uuid.uuid4()), body, event.traceparent, delay, attempts)
        )
        log_event(
            "eventPutBack",
            logging.WARNING,
            eventId=event.id,
            attempts=attempts,
            wait=round(delay, 1),
        )


def attempts_of(properties: Mapping[str, Any]) -> int:
    """Return how often an event was put back; what is no number of ours counts as never."""
    given = properties.get(events.ATTEMPTS_PROPERTY)
    return given if type(given) is int and given > 0 else 0


def put_back_delay(attempts: int) -> float:
    """Return the seconds that an event waits: longer each time, and not the same for all."""
    doubled = _FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 16)
    return min(doubled, _LONGEST_WAIT_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
