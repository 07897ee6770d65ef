"""Makes good what was lost on the way: checks that never came, changes that were not announced."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.contract.events import check_request
from shared.domain.errors import PublishFailed, ServiceError, StoreUnavailable
from shared.domain.flows import Stored, recheck_at
from shared.domain.ids import microseconds
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.service_bus import QueuePublisher
    from shared.services.announcing import Announcer

MOST: Final = 500
# With a last batch that just began, less than functionTimeout in host.json.
SECONDS: Final = 30.0
_AT_ONCE: Final = 50
_CHANGES: Final = 100


@dataclass(frozen=True)
class Reconciler:
    """Requests overdue checks again, and announces stored changes of the catalog."""

    store: FlowStore
    catalog: CatalogStore
    publisher: QueuePublisher
    announcer: Announcer

    async def run(self, most: int = MOST, seconds: float = SECONDS) -> int:
        """Request the checks of flows that are notReady for too long; return how many.

        Stops at `most` flows, after `seconds`, or where Cosmos DB or Service Bus is away; what is
        left is due in the next run. Raises StoreUnavailable where nothing could be read.
        """
        until = time.monotonic() + seconds
        announced = 0
        for change in await self.catalog.unannounced(_CHANGES):
            announced += await self.announcer.catalog_changed(change)
        due = await self.store.due_flows(microseconds(), most)
        asked = 0
        failure: ServiceError | None = None
        for start in range(0, len(due), _AT_ONCE):
            if failure is not None or time.monotonic() > until:
                break
            batch = due[start : start + _AT_ONCE]
            for each in await asyncio.gather(*(self._request_check(*flow) for flow in batch)):
                if isinstance(each, ServiceError):
                    failure = each
                else:
                    asked += each
        log_event(
            "reconciled",
            logging.INFO if failure is None else logging.WARNING,
            due=len(due),
            asked=asked,
            announced=announced,
            failure=None if failure is None else type(failure).__name__,
        )
        return asked

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
                await self.store.note_recheck(set_id, kind, noted, asks, flow["askAgainAt"])
                raise
        except (PublishFailed, StoreUnavailable) as exc:
            return exc
        return True
