"""Notes what subscriptions are to be notified of, and reminds the deliveries of it.

A reminder on the queue says which subscription to serve and nothing else: what there is to send is
read from the store. One that is lost costs a minute, until the timer sends another.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.contract.events import Message
from shared.domain.errors import PublishFailed, StoreUnavailable
from shared.domain.flows import Stored
from shared.domain.ids import as_guid, microseconds, passing_id
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.service_bus import QueuePublisher
    from shared.adapters.subscription_store import SubscriptionStore

KNOWN_SECONDS: Final = 10.0
"""How long a list of subscriptions counts; one made on another instance is unknown until then."""

MAX_REMINDER_BYTES: Final = 1024


@dataclass(frozen=True)
class Subscribed:
    """A subscription, as far as it matters for reminders."""

    id: str
    set_id: str | None

    @classmethod
    def of(cls, stored: Stored) -> Subscribed:
        """Make it of a stored subscription."""
        return cls(stored["id"], stored["setId"])


def read_reminder(body: bytes) -> tuple[str, str] | None:
    """Return whom a reminder is about, as tenant and subscription; None for what is none."""
    if len(body) > MAX_REMINDER_BYTES:
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    ids = [as_guid(str(found.get(name))) for name in ("tenantId", "subscriptionId")]
    return None if ids[0] is None or ids[1] is None else (ids[0], ids[1])


class Notifier:
    """Reminds of a tenant's subscriptions; where none are known, that costs a change nothing."""

    def __init__(
        self, store: SubscriptionStore, publisher: QueuePublisher, tenant: str, *, enabled: bool
    ) -> None:
        self._tenant = tenant
        self._store = store
        self._publisher = publisher
        self._enabled = enabled
        self._known: dict[str, Subscribed] = {}
        self._read_at = -math.inf
        self._reminded: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = False

    def changed(self, set_id: str) -> None:
        """Remind of the subscriptions to a set that was just written to; waits for nothing."""
        if not self._enabled:
            return
        if not self._reading and time.monotonic() - self._read_at > KNOWN_SECONDS:
            self._reading = True
            self._begin(self._read())
        for each in self._known.values():
            if each.set_id is None or each.set_id == set_id:
                self.remind(each)

    def know(self, subscribed: Subscribed) -> None:
        """Count a subscription that was just made."""
        self._known[subscribed.id] = subscribed

    def forget(self, subscription_id: str) -> None:
        """Count no more a subscription that ended."""
        self._known.pop(subscription_id, None)

    def remind(self, subscribed: Subscribed, delay: float = 0.0) -> None:
        """Have a subscription served in a second, or `delay` seconds later; waits for nothing.

        All who remind of it for one second send the same message, of which the queue keeps one.
        """
        second = math.floor(time.time() + delay) + 1
        if self._reminded.get(subscribed.id) != second:
            self._reminded[subscribed.id] = second
            self._begin(self._publish(subscribed, second))

    async def removing(self, set_id: str, flows: Iterable[tuple[str, Stored]]) -> bool:
        """Note that flows (kind and stored form) are about to be deleted; return whether.

        Not where no subscription is about them.

        To be called before the delete, for it could not be noted afterwards. Raises
        StoreUnavailable.
        """
        if not self._enabled:
            return False
        if not any(each["setId"] in (None, set_id) for each in await self._store.all()):
            return False
        now = microseconds()
        removed = [
            {"id": flow["id"], "kind": kind, "history": flow["history"], "at": now}
            for kind, flow in flows
        ]
        await self._store.note_removal({"id": passing_id(), "setId": set_id, "flows": removed})
        return True

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self) -> None:
        try:
            found = [each for each in await self._store.all() if "endedAt" not in each]
            self._known = {each["id"]: Subscribed.of(each) for each in found}
            self._reminded = {each: self._reminded.get(each, 0) for each in self._known}
        except StoreUnavailable as exc:
            log_event("subscriptionsNotRead", logging.WARNING, why=str(exc))
        finally:
            self._read_at = time.monotonic()
            self._reading = False

    async def _publish(self, subscribed: Subscribed, second: int) -> None:
        body = json.dumps({"tenantId": self._tenant, "subscriptionId": subscribed.id})
        delay = max(0.0, second - time.time())
        try:
            await self._publisher.publish(
                Message(f"{subscribed.id}:{second}", body.encode(), delay=delay)
            )
        except PublishFailed as exc:
            self._reminded.pop(subscribed.id, None)
            log_event("notReminded", logging.WARNING, subscription=subscribed.id, why=exc.why[:200])
