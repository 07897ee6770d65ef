"""Applies the events of the readiness queue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.contract import events
from shared.contract.events import CatalogChanged, ReadinessEvent
from shared.domain import readiness
from shared.domain.catalog import CatalogChange
from shared.domain.errors import (
    StoreUnavailable,
)
from shared.domain.flows import role_codes_of, role_groups_of
from shared.domain.ids import microseconds
from shared.domain.readiness import Applied, Check, Outcome, Report, Surroundings, Verdict
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.readiness_store import ReadinessStore
    from shared.adapters.service_bus import QueuePublisher
    from shared.services.notifying import Notifier

SETS_AT_ONCE: Final = 200
# How many role groups one search for flows names: each adds to its query.
GROUPS_AT_ONCE: Final = 50
# A fresh check is made again while its surroundings change under it.
_CHECKS: Final = 4


@dataclass(frozen=True)
class Readiness:
    """Applies events to the flow store, and publishes the checks that follow from them."""

    store: ReadinessStore
    catalog: CatalogStore
    publisher: QueuePublisher
    notifier: Notifier
    sets_at_once: int = SETS_AT_ONCE
    groups_at_once: int = GROUPS_AT_ONCE

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
