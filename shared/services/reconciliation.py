"""Makes good what was lost on the way: checks that never came, changes that were not announced.

And brings documents of the version before up to the present one, for whatever searches by members
that only those have.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.contract.events import check_request
from shared.domain.context import current_tenant
from shared.domain.errors import PublishFailed, ServiceError
from shared.domain.flows import Stored, recheck_at
from shared.domain.ids import microseconds
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.readiness_store import ReadinessStore
    from shared.adapters.service_bus import QueuePublisher
    from shared.services.announcing import Announcer

MOST: Final = 500
# With a last batch that just began, less than functionTimeout in host.json.
SECONDS: Final = 30.0
_AT_ONCE: Final = 50
_CHANGES: Final = 100
_DOCUMENTS: Final = 100


@dataclass(frozen=True)
class Reconciliation:
    """Has the reconciler of each tenant run, which `reconciler` returns for the one served."""

    tenants: Sequence[str]
    reconciler: Callable[[], Reconciler]

    async def run(self, seconds: float = SECONDS) -> None:
        """Run for each tenant in turn, beginning at a random one, for `seconds` in all.

        A tenant that fails does not keep the others waiting; its error is raised in the end.
        """
        until = time.monotonic() + seconds
        failed: ServiceError | None = None
        first = random.randrange(len(self.tenants))  # noqa: S311 - no secret
        for tenant in [*self.tenants[first:], *self.tenants[:first]]:
            current_tenant.set(tenant)
            try:
                await self.reconciler().run(seconds=until - time.monotonic())
            except ServiceError as exc:
                failed = exc
            if time.monotonic() > until:
                break
        if failed is not None:
            raise failed


@dataclass(frozen=True)
class Reconciler:
    """Requests overdue checks again, and announces stored changes of the catalog, in one tenant."""

    flows: FlowStore
    store: ReadinessStore
    catalog: CatalogStore
    publisher: QueuePublisher
    announcer: Announcer

    async def run(self, most: int = MOST, seconds: float = SECONDS) -> int:
        """Request the checks of flows that are notReady for too long; return how many.

        Stops at `most` flows or after `seconds`; what is left is due in the next run, which starts
        at other flows. A flow that fails does not keep the others waiting; Service Bus being away
        does. Raises StoreUnavailable where nothing could be read.
        """
        until = time.monotonic() + seconds
        brought_up = await self._bring_up()
        announced = 0
        for change in await self.catalog.unannounced(_CHANGES):
            announced += await self.announcer.catalog_changed(change)
        due = await self.store.due_flows(microseconds(), most, start=str(uuid.uuid4()))
        requested = 0
        failures: Counter[str] = Counter()
        for start in range(0, len(due), _AT_ONCE):
            if failures[PublishFailed.__name__] or time.monotonic() > until:
                break
            batch = due[start : start + _AT_ONCE]
            for each in await asyncio.gather(*(self._request_check(*flow) for flow in batch)):
                if isinstance(each, ServiceError):
                    failures[type(each).__name__] += 1
                else:
                    requested += each
        log_event(
            "reconciled",
            logging.WARNING if failures else logging.INFO,
            due=len(due),
            requested=requested,
            announced=announced,
            broughtUp=brought_up,
            failures=dict(failures) or None,
        )
        return requested

    async def _bring_up(self) -> int:
        """Store documents of the version before as ones of today's; return how many there were."""
        before = await self.flows.sets_of_before(_DOCUMENTS)
        for start in range(0, len(before), _AT_ONCE):
            batch = before[start : start + _AT_ONCE]
            await asyncio.gather(*map(self.flows.bring_up, batch))
        return len(before)

    async def _request_check(self, set_id: str, kind: str, flow: Stored) -> bool | ServiceError:
        """Request a flow's check unless another instance does; return whether, or what failed.

        The request is noted first, so that of two reconcilers one sends it, and the note withdrawn
        where it could not be sent: an outage of the queue is no reason to wait longer afterwards.
        """
        asks = flow["asks"]
        try:
            if not await self.store.note_recheck(set_id, kind, flow, asks + 1, recheck_at(asks)):
                return False
            try:
                await self.publisher.publish(check_request(set_id, kind, flow))
            except PublishFailed:
                noted = {**flow, "asks": asks + 1}
                await self.store.note_recheck(set_id, kind, noted, asks, flow["checkDueAt"])
                raise
        except ServiceError as exc:
            return exc
        return True
