"""Carries out what is on the readiness queue, and asks again where nothing came of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared import logs
from shared.adapters.catalog_store import CatalogStore
from shared.adapters.flow_store import Applied, FlowStore
from shared.adapters.service_bus import QueuePublisher
from shared.contract import events
from shared.contract.events import CatalogChanged, Message, ReadinessEvent
from shared.domain import flows, readiness
from shared.domain.errors import PublishFailed, ServiceError, StoreUnavailable
from shared.domain.ids import microseconds
from shared.domain.readiness import Change, Outcome, Surroundings, Verdict

SETS_AT_ONCE = 200
ASKS_AT_ONCE = 50


@dataclass(frozen=True)
class Processor:
    """What applies events: the stores it reads and writes, and where it asks for more."""

    store: FlowStore
    catalog: CatalogStore
    publisher: QueuePublisher
    sets_at_once: int = SETS_AT_ONCE

    async def process(self, event: ReadinessEvent | CatalogChanged, delivery_count: int) -> None:
        """Apply one event, whatever was applied before it.

        Raises StoreUnavailable or PublishFailed where it must be delivered again.
        """
        if isinstance(event, CatalogChanged):
            await self._ask_who_uses(event)
            return
        verdict = await self._verdict(event)
        applied = Applied(Outcome.GONE)
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
        logs.line(
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

    async def _verdict(self, event: ReadinessEvent) -> Verdict | None:
        if event.status is not None:
            return Verdict(event.status, event.reason)
        configuration = event.configuration
        if configuration is None:
            configuration = await self.store.read_configuration(event)
        if configuration is None:
            return None
        around = await self._surroundings(configuration, fresh=event.fresh)
        return readiness.check(event.kind, configuration, around)

    async def _surroundings(self, configuration: Mapping[str, Any], *, fresh: bool) -> Surroundings:
        flow = {"configuration": configuration}
        groups = flows.role_groups_of(flow)
        if not groups and not flows.role_codes_of(flow):
            return Surroundings({})
        known = await self.catalog.known_role_groups(groups, fresh=fresh)
        disabled = await self.catalog.disabled_roles(fresh=fresh)
        return Surroundings({group.id: group.roles for group in known.values()}, disabled)

    async def _ask_who_uses(self, event: CatalogChanged) -> None:
        groups = {event.role_group} if event.role_group is not None else set()
        if event.role_code is not None:
            groups = {
                group.id
                for group in await self.catalog.role_groups()
                if event.role_code in group.roles
            }
        found, more = await self.store.flows_that_use(
            groups, event.role_code, event.after, self.sets_at_once
        )
        await self._publish(
            events.check_request(set_id, kind, flow, fresh=True, traceparent=event.traceparent)
            for set_id, kind, flow in found
        )
        if more is not None:
            await self.publisher.publish(
                events.catalog_changed(
                    role_group=event.role_group,
                    role_code=event.role_code,
                    after=more,
                    traceparent=event.traceparent,
                )
            )
        logs.line(
            readiness.CATALOG_CHANGED,
            eventId=event.id,
            roleGroup=event.role_group,
            roleCode=event.role_code,
            asked=len(found),
            more=more is not None,
        )

    async def reconcile(self, most: int, seconds: float) -> int:
        """Ask again for flows that are notReady for too long; return for how many.

        Stops at `most` flows, after `seconds` or where something is away; whatever is left is due
        in the next run.
        """
        until = time.monotonic() + seconds
        due = await self.store.due_flows(microseconds(), most)
        asked = 0
        failure: ServiceError | None = None
        for start in range(0, len(due), ASKS_AT_ONCE):
            if failure is not None or time.monotonic() > until:
                break
            batch = due[start : start + ASKS_AT_ONCE]
            for each in await asyncio.gather(*(self._ask_again(*flow) for flow in batch)):
                if isinstance(each, ServiceError):
                    failure = each
                else:
                    asked += each
        logs.line(
            "reconciled",
            logging.INFO if failure is None else logging.WARNING,
            due=len(due),
            asked=asked,
            failure=None if failure is None else type(failure).__name__,
        )
        return asked

    async def _ask_again(
        self, set_id: str, kind: str, flow: Mapping[str, Any]
    ) -> bool | ServiceError:
        """Ask for a flow unless somebody else does; return whether, or what kept us from it.

        The ask is noted first, so that of two reconcilers one asks, and withdrawn where it could
        not be published: an outage of the queue is no reason to wait longer afterwards.
        """
        asks = flow["asks"]
        try:
            if not await self.store.note_ask(
                set_id, kind, flow, asks + 1, flows.ask_again_at(asks)
            ):
                return False
            try:
                await self.publisher.publish(events.check_request(set_id, kind, flow))
            except PublishFailed:
                noted = {**flow, "asks": asks + 1}
                await self.store.note_ask(set_id, kind, noted, asks, flow["askAgainAt"])
                raise
        except (PublishFailed, StoreUnavailable) as exc:
            return exc
        return True

    async def _publish(self, messages: Iterable[Message]) -> None:
        await asyncio.gather(*(self.publisher.publish(message) for message in messages))
