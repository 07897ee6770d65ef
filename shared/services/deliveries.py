"""Sends a tenant's change notifications: one delivery at a time for each subscription.

A delivery takes a lease, reads what changed, sends what is new to the subscription in order, and
stores what was sent after the receiver took it. So a notification never comes before its change is
stored; one whose receipt was not stored is sent again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.contract.subscriptions import change_notification, is_expired, missed_notification
from shared.domain.errors import NotFound, ServiceError, UnreadablePassword
from shared.domain.flows import Stored
from shared.domain.ids import microseconds
from shared.domain.secrets import Ring
from shared.domain.subscriptions import (
    EARLIER,
    FIRST_PAUSE,
    GIVE_UP,
    OVERLAP,
    SETTLED,
    SetNews,
    news_of_set,
    pause_after,
)
from shared.services.notifying import Subscribed
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.receivers import Receivers
    from shared.adapters.subscription_store import Changed, SubscriptionStore
    from shared.services.notifying import Notifier

# With the last call that just began and what is stored after it, less than a lease.
SECONDS: Final = 20.0
LEASE_SECONDS: Final = 60.0
MOST_SETS: Final = 500
AT_ONCE: Final = 50
"""How many notifications one call carries, if no set has more."""
MISSED_PAUSE: Final = 300.0
_BUSY_SECONDS: Final = 2.0
KEPT_SECONDS: Final = 2 * int(GIVE_UP)
"""How long removals are kept: for longer than deliveries are tried."""
CLIENT_STATE: Final = "clientState"


@dataclass
class _Turn:
    """One delivery: the subscription, what its state becomes, and the end of its time."""

    stored: Stored
    state: dict[str, Any]
    until: float
    sent: int = 0
    again: bool = False


@dataclass(frozen=True)
class Deliveries:
    """Serves a tenant's subscriptions, and looks after them by the clock; times in seconds."""

    store: SubscriptionStore
    receivers: Receivers
    notifier: Notifier
    keyring: Ring
    first_pause: float = FIRST_PAUSE
    give_up: float = GIVE_UP
    missed_pause: float = MISSED_PAUSE
    lease: float = LEASE_SECONDS
    most_sets: int = MOST_SETS

    async def deliver(self, subscription_id: str) -> int:
        """Send a subscription what is new to it; return how many notifications were taken.

        Nothing is sent to one that is gone, expired, paused, or served elsewhere at this moment.
        Where the store is away, nothing is lost: the timer has the subscription served later.
        """
        try:
            return await self._deliver(subscription_id)
        except NotFound:
            return 0
        except ServiceError as exc:
            log_event("notDelivered", logging.WARNING, subscription=subscription_id, why=str(exc))
            return 0

    async def _deliver(self, subscription_id: str) -> int:
        stored: Stored = await self.store.read(subscription_id)
        now = microseconds()
        if is_expired(stored) or stored["delivery"]["nextTryAt"] > now:
            return 0
        lease = secrets.token_hex(8)
        until = now + int(self.lease * 1e6)
        taken = await self.store.take_lease(stored, lease, now, until)
        if taken is None:
            # The one that has it may have looked before this change: look again after it.
            self.notifier.remind(Subscribed.of(stored), _BUSY_SECONDS)
            return 0
        turn = _Turn(taken, dict(taken["delivery"]), time.monotonic() + SECONDS)
        try:
            await self._send_news(turn)
            await self._send_missed(turn)
        finally:
            await self.store.end_lease(taken, lease, turn.state)
        if turn.again:
            self.notifier.remind(Subscribed.of(taken))
        return turn.sent

    # --- one turn ------------------------------------------------------------------------------

    async def _send_news(self, turn: _Turn) -> None:
        state, stored = turn.state, turn.stored
        mark, set_id = state["mark"], stored["setId"]
        removals = await self.store.removals(mark, set_id)
        most = self.most_sets
        changed, complete = await self.store.changed(mark, set_id, most)
        while not complete and changed[-1].at <= mark:
            # More changed in this one second than a turn takes: the mark would stay for good.
            most *= 2
            changed, complete = await self.store.changed(mark, set_id, most)
        # Behind the removals: a flow that is gone by now was deleted.
        present = await self.store.sets({each["setId"] for each in removals}) if removals else {}
        removed, pending = _gone(removals, present, stored["_ts"])
        sets = {each.set_id: each for each in changed}
        ids = [*dict.fromkeys([*sets, *removed])]
        keys = await self.store.keys(stored, ids) if ids else {}
        batch: list[SetNews] = []
        for each in ids:
            flows = _flows_of(sets.get(each), present.get(each))
            news = news_of_set(
                each, flows, removed.get(each, {}), keys.get(each, {}), state["since"]
            )
            state["owesMissed"] = state["owesMissed"] or news.overflowed
            if news.news:
                batch.append(news)
            if sum(len(one.news) for one in batch) >= AT_ONCE:
                if not await self._send(turn, batch):
                    return
                batch = []
        if batch and not await self._send(turn, batch):
            return
        settled = stored["_ts"] - OVERLAP
        if not complete:
            settled = min(settled, changed[-1].at)
            turn.again = True
        state["mark"] = max(mark, min([settled, *pending]))
        turn.again = turn.again or bool(pending)

    async def _send(self, turn: _Turn, batch: Sequence[SetNews]) -> bool:
        """Send changes and store that they were sent; False where the turn ends here."""
        stored = turn.stored
        if time.monotonic() > turn.until:
            turn.again = True
            return False
        wanted = stored["changeTypes"]
        try:
            client_state = self._client_state(stored)
        except UnreadablePassword:
            self._failed(turn, "its clientState opens with none of PASSWORD_KEYS")
            return False
        notifications = [
            change_notification(stored, client_state, each.set_id, news)
            for each in batch
            for news in each.news
            if news.change in wanted
        ]
        if notifications:
            outcome = await self.receivers.deliver(stored["notificationUrl"], notifications)
            if outcome.fault is not None:
                self._failed(turn, outcome.fault)
                return False
        await self.store.keep_keys(stored, batch)
        turn.sent += len(notifications)
        if notifications:
            turn.state |= {
                "attempts": 0,
                "failingSince": None,
                "nextTryAt": 0,
                "fault": None,
                "deliveredAt": microseconds(),
            }
            log_event("notified", subscription=stored["id"], count=len(notifications))
        return True

    def _failed(self, turn: _Turn, fault: str) -> None:
        """Pause a subscription, or give up what it was to be notified of so far."""
        state, now = turn.state, microseconds()
        state["attempts"] += 1
        state["failingSince"] = state["failingSince"] or now
        state["fault"] = fault
        pause = pause_after(state["attempts"], self.first_pause)
        state["nextTryAt"] = now + int(pause * 1e6)
        gave_up = now - state["failingSince"] > self.give_up * 1e6
        if gave_up:
            state |= {"failingSince": now, "since": now - EARLIER, "owesMissed": True}
            state["mark"] = turn.stored["_ts"] - OVERLAP
        else:
            self.notifier.remind(Subscribed.of(turn.stored), pause)
        log_event(
            "notificationFailed",
            logging.WARNING,
            subscription=turn.stored["id"],
            attempts=state["attempts"],
            gaveUp=gave_up,
            why=fault,
        )

    async def _send_missed(self, turn: _Turn) -> None:
        """Say that changes were missed, to those that want to know."""
        state, stored, now = turn.state, turn.stored, microseconds()
        url = stored["lifecycleNotificationUrl"]
        if not state["owesMissed"] or state["missedTryAt"] > now:
            return
        if url is not None:
            try:
                notification = missed_notification(stored, self._client_state(stored))
            except UnreadablePassword:
                return
            outcome = await self.receivers.deliver(url, [notification])
            if outcome.fault is not None:
                state["missedTryAt"] = now + int(self.missed_pause * 1e6)
                return
        state |= {"owesMissed": False, "missedTryAt": 0}

    def _client_state(self, stored: Stored) -> str | None:
        sealed = stored["clientState"]
        if sealed is None:
            return None
        return self.keyring.open(sealed, stored["id"], CLIENT_STATE).reveal()

    # --- by the clock --------------------------------------------------------------------------

    async def watch(self) -> None:
        """Remove what has ended, seal with the newest key, and remind of what is due.

        Does nothing where no host may be called. Raises StoreUnavailable.
        """
        if not self.receivers.enabled:
            return
        now = microseconds()
        removed = 0
        alive: list[dict[str, Any]] = []
        for stored in await self.store.all():
            if "endedAt" in stored or is_expired(stored):
                removed += await self.store.erase(stored)
            else:
                alive.append(stored)
        await asyncio.gather(*map(self._reseal, alive))
        await self.store.forget_removals(now // 1_000_000 - KEPT_SECONDS, 1000)
        newest = await self.store.newest() if alive else 0
        for stored in alive:
            state = stored["delivery"]
            due = state["attempts"] or state["owesMissed"] or newest >= state["mark"]
            if due and state["nextTryAt"] <= now:
                self.notifier.remind(Subscribed.of(stored))
        if alive or removed:
            paused = sum(bool(each["delivery"]["attempts"]) for each in alive)
            log_event("subscriptions", alive=len(alive), removed=removed, failing=paused)

    async def _reseal(self, stored: Stored) -> None:
        sealed = stored["clientState"]
        if sealed is None or not self.keyring.is_outdated(sealed):
            return
        try:
            clear = self.keyring.open(sealed, stored["id"], CLIENT_STATE)
        except UnreadablePassword:
            return  # its deliveries say so
        sealed = self.keyring.seal(clear, stored["id"], CLIENT_STATE)
        await self.store.change(stored["id"], {"clientState": sealed})


def _flows_of(*found: Changed | None) -> dict[str, Stored]:
    """Return the flows of a set by id, as read last."""
    return {flow_id: flow for each in found if each for flow_id, flow in each.flows.items()}


def _gone(
    removals: Sequence[Stored], present: dict[str, Changed], now: int
) -> tuple[dict[str, dict[str, Stored]], list[int]]:
    """Return the flows that are gone, by set and id, and the seconds of removals still to happen.

    A removal whose flow is still there after SETTLED seconds never happened.
    """
    gone: dict[str, dict[str, Stored]] = {}
    pending: list[int] = []
    for removal in removals:
        there = present[removal["setId"]].flows if removal["setId"] in present else {}
        for flow in removal["flows"]:
            if flow["id"] not in there:
                of_set = gone.setdefault(removal["setId"], {})
                known = of_set.get(flow["id"])
                # A delete that was tried again was noted again, with what the flow was then.
                if known is None or known["at"] < flow["at"]:
                    of_set[flow["id"]] = flow
            elif now - removal["_ts"] < SETTLED:
                pending.append(removal["_ts"])
    return gone, pending
