"""Has each tenant's subscriptions served: by reminders of the queue, and by the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.domain.context import current_tenant
from shared.domain.errors import ServiceError
from shared.services.notifying import read_reminder
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.services.deliveries import Deliveries


@dataclass(frozen=True)
class Delivering:
    """`deliveries` returns what serves the subscriptions of the tenant being served."""

    tenants: Sequence[str]
    deliveries: Callable[[], Deliveries]

    async def receive(self, reminder: bytes) -> None:
        """Serve the subscription that a message of the queue is about."""
        about = read_reminder(reminder)
        if about is None or about[0] not in self.tenants:
            log_event("reminderDropped", logging.WARNING)
            return
        tenant, subscription_id = about
        current_tenant.set(tenant)
        await self.deliveries().deliver(subscription_id)

    async def watch(self) -> None:
        """Look after the subscriptions of each tenant.

        A tenant for which that fails does not keep the others waiting; its error is raised in the
        end.
        """
        failed: ServiceError | None = None
        for tenant in self.tenants:
            current_tenant.set(tenant)
            try:
                await self.deliveries().watch()
            except ServiceError as exc:
                failed = exc
        if failed is not None:
            raise failed
