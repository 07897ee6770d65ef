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
from shared.domain.catalog import CatalogChange
from shared.domain.context import current_trace
from shared.domain.errors import (
    InvalidEvent,
    NewerEvent,
    PublishFailed,
    StoreUnavailable,
    Throttled,
)
from shared.domain.flows import role_codes_of, role_groups_of
from shared.domain.ids import microseconds, microseconds_of
from shared.domain.readiness import Applied, Check, Outcome, Report, Surroundings, Verdict
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.readiness_store import ReadinessStore
    from shared.adapters.service_bus import QueuePublisher
    from shared.services.dead_letters import DeadLetters
    from shared.services.notifying import Notifier

SETS_AT_ONCE: Final = 200
# How many role groups one search for flows names: each adds to its query.
GROUPS_AT_ONCE: Final = 50
# A fresh check is made again while its surroundings change under it.
_CHECKS: Final = 4

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

    store: ReadinessStore
    catalog: CatalogStore
    publisher: QueuePublisher
    dead_letters: Callable[[], DeadLetters]
    notifier: Notifier
    sets_at_once: int = SETS_AT_ONCE
    groups_at_once: int = GROUPS_AT_ONCE

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
            await self.process(event, message.delivery_count)
        except InvalidEvent:
            await self.dead_letters().keep(message)
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

    async def process(self, event: ReadinessEvent | CatalogChanged, delivery_count: int) -> None:
        """Apply one event, whatever was applied before it. Raises as `receive` does."""
        if isinstance(event, CatalogChanged):
            await self._check_dependent_flows(event)
            return
        verdict, applied = await self._apply(event)
        if applied.outcome is Outcome.APPLIED:
            self.notifier.changed(event.flow_set_id)
        log_event(
            event.type,
            eventId=event.id,
            flowSetId=event.flow_set_id,
            flowId=event.flow_id,
            kind=event.kind,
            revision=event.revision,
            before=applied.before,
            to=verdict.status if verdict else None,
            outcome=applied.outcome,
            deliveryCount=delivery_count,
            latencyMs=(microseconds() - event.position.at) // 1000,
        )

    async def _apply(self, event: ReadinessEvent) -> tuple[Verdict | None, Applied]:
        if event.status is not None:
            verdict = Verdict(event.status, event.reason)
            return verdict, await self.store.apply(_report(event, verdict))
        if event.configuration is None:
            return await self._apply_fresh_check(event)
        around = await self._surroundings(event.configuration, fresh=False)
        verdict = readiness.check(event.kind, event.configuration, around)
        return verdict, await self.store.apply(_check(event, verdict))

    async def _apply_fresh_check(self, event: ReadinessEvent) -> tuple[Verdict | None, Applied]:
        """Check a flow as it is stored, and what it refers to as that is stored.

        A check that was written is made again: of two at once, the one that read its surroundings
        first may have written last.
        """
        applied = None
        for _ in range(_CHECKS):
            flow = await self.store.read_flow(event.flow_set_id, event.kind, event.flow_id)
            if flow is None:
                return None, applied or Applied(Outcome.GONE)
            if flow["revision"] != event.revision:
                return None, applied or Applied(Outcome.STALE)
            configuration = flow["configuration"]
            around = await self._surroundings(configuration, fresh=True)
            verdict = readiness.check(event.kind, configuration, around)
            found = await self.store.apply(_check(event, verdict))
            if found.outcome is not Outcome.APPLIED:
                return verdict, applied or found
            applied = applied or found
            if not flow["uses"]:
                return verdict, applied
        raise StoreUnavailable

    async def _surroundings(self, configuration: Mapping[str, Any], *, fresh: bool) -> Surroundings:
        groups = role_groups_of(configuration)
        if not groups and not role_codes_of(configuration):
            return Surroundings({})
        known = await self.catalog.known_role_groups(groups, fresh=fresh)
        disabled = await self.catalog.disabled_roles(fresh=fresh)
        return Surroundings({group.id: group.roles for group in known.values()}, disabled)

    async def _check_dependent_flows(self, event: CatalogChanged) -> None:
        """Request the checks of flows that use what changed, a bounded number of sets at once."""
        change, trace = event.change, event.traceparent
        names, others = await self._names_of(change)
        found, more = await self.store.flows_that_use(
            names, event.revised_after, event.after, self.sets_at_once
        )
        messages = [
            events.check_request(set_id, kind, flow, fresh=True, traceparent=trace)
            for set_id, kind, flow in found
        ]
        if not event.after:
            messages += [
                events.catalog_changed(
                    CatalogChange(group), revised_after=event.revised_after, traceparent=trace
                )
                for group in others
            ]
        await asyncio.gather(*map(self.publisher.publish, messages))
        if more is not None:
            await self.publisher.publish(
                events.catalog_changed(
                    change, after=more, revised_after=event.revised_after, traceparent=trace
                )
            )
        log_event(
            readiness.CATALOG_CHANGED,
            eventId=event.id,
            roleGroup=change.role_group,
            roleCode=change.role_code,
            requested=len(found),
            more=more is not None,
        )

    async def _names_of(self, change: CatalogChange) -> tuple[list[str], list[str]]:
        """Return the role groups and roles to search flows by, and role groups left for later.

        A role stands in role groups, and those are what a user flow uses. The groups left for later
        get events of their own.
        """
        if change.role_group is not None:
            return [change.role_group], []
        code = change.role_code
        assert code is not None  # noqa: S101 - one of the two is given
        groups = [group.id for group in await self.catalog.role_groups() if code in group.roles]
        return [code, *groups[: self.groups_at_once]], groups[self.groups_at_once :]


def _check(event: ReadinessEvent, verdict: Verdict) -> Check:
    assert event.revision is not None  # noqa: S101 - a check is requested of a revision
    return Check(
        event_id=event.id,
        flow_set_id=event.flow_set_id,
        kind=event.kind,
        flow_id=event.flow_id,
        revision=event.revision,
        position=event.position,
        verdict=verdict,
        fresh=event.configuration is None,
    )


def _report(event: ReadinessEvent, verdict: Verdict) -> Report:
    return Report(
        event_id=event.id,
        flow_set_id=event.flow_set_id,
        kind=event.kind,
        flow_id=event.flow_id,
        revision=event.revision,
        position=event.position,
        verdict=verdict,
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
