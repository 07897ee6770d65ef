"""Announces on the readiness queue what was stored."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.contract import events
from shared.domain.catalog import CACHE_SECONDS
from shared.domain.context import current_trace
from shared.domain.errors import PublishFailed, StoreUnavailable
from shared.domain.flows import Stored
from shared.domain.ids import microseconds
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore, Unannounced
    from shared.adapters.service_bus import QueuePublisher
    from shared.services.notifying import Notifier

_LATER_SECONDS: Final = CACHE_SECONDS + 5
# Instances' clocks may differ by this much, in microseconds.
_CLOCK_MARGIN: Final = 15 * 60 * 1_000_000


@dataclass(frozen=True)
class Announcer:
    """Publishes events about what was stored; a failure is logged, and does not undo the write."""

    publisher: QueuePublisher
    catalog: CatalogStore
    notifier: Notifier

    async def flow_written(self, set_id: str, kind: str, flow: Stored) -> None:
        """Request the check of a flow that was created, updated or reset.

        Where that fails, the flow is stored and says notReady: the reconciler requests it again.
        """
        self.notifier.changed(set_id)
        await self._publish(
            events.check_request(set_id, kind, flow, traceparent=current_trace.get())
        )

    async def catalog_changed(self, stored: Unannounced | None) -> bool:
        """Have the flows that use a changed role group or role checked again; return whether.

        Twice: at once for all of them, and when no instance can have the former state in its cache
        any more, for those that were created or changed meanwhile. Where that fails, the change
        keeps its mark, and the reconciler announces it. With None there is nothing to announce.
        """
        if stored is None:
            return True
        trace = current_trace.get()
        messages = [
            events.catalog_changed(stored.change, traceparent=trace),
            events.catalog_changed(
                stored.change,
                revised_after=microseconds() - _CLOCK_MARGIN,
                delay=_LATER_SECONDS,
                traceparent=trace,
            ),
        ]
        if not all(await asyncio.gather(*map(self._publish, messages))):
            return False
        try:
            await self.catalog.settle(stored)
        except StoreUnavailable as exc:
            # It is announced once more by the reconciler, which does no harm.
            log_event("notSettled", logging.WARNING, id=stored.document_id, why=str(exc))
        return True

    async def _publish(self, message: events.Message) -> bool:
        try:
            await self.publisher.publish(message)
        except PublishFailed as exc:
            log_event("notPublished", logging.WARNING, eventId=message.id, why=exc.why[:200])
            return False
        return True
