"""Use cases of subscriptions to change notifications."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.contract.printing import time_of
from shared.contract.subscriptions import (
    SUBSCRIPTIONS,
    Renewal,
    is_expired,
    load_subscription,
    stored_time,
    subscription,
)
from shared.domain.context import current_caller, granted, served_tenant
from shared.domain.errors import Conflict, Fault, InvalidRequest, LimitReached, NotFound
from shared.domain.flows import Stored
from shared.domain.ids import microseconds, new_id
from shared.domain.secrets import Ring, Secret
from shared.domain.subscriptions import (
    MAX_PER_SET,
    MAX_PER_TENANT,
    health,
    new_delivery,
)
from shared.services.deliveries import CLIENT_STATE
from shared.services.notifying import Subscribed
from shared.services.representations import Representation, Representations
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.receivers import Receivers
    from shared.adapters.subscription_store import SubscriptionStore
    from shared.services.notifying import Notifier

_STORE_SECONDS = 10.0


@dataclass(frozen=True)
class Subscriptions:
    """Makes, reads, renews and deletes subscriptions; an application sees its own."""

    store: SubscriptionStore
    flows: FlowStore
    receivers: Receivers
    notifier: Notifier
    answers: Representations
    keyring: Ring

    async def create(self, body: Any) -> Representation:
        """Store a subscription whose endpoints have shown that they want it.

        Raises InvalidRequest, ReceiverRefused, NotFound for the flow set, LimitReached, or Conflict
        where the application has a subscription for the same.
        """
        loaded = load_subscription(body)
        self._check_endpoints(loaded)
        set_id = loaded["resource"].set_id
        if set_id is not None:
            await self.flows.read_set(set_id)
        document = self._document(loaded)
        await self._check_room(document)
        await self._validate(loaded)
        # The endpoints had their time; what is left of the request's would not do.
        with granted(_STORE_SECONDS):
            if not await self.store.create(document):
                await self._replace_expired(document)
            await self._end_if_too_many(document)
        self.notifier.know(Subscribed.of(document))
        log_event("subscribed", subscription=document["id"], flowSetId=set_id)
        return self._whole(document, loaded["client_state"])

    async def all(self) -> dict[str, Any]:
        """Return the subscriptions of the calling application."""
        found = await self._own()
        context = self.answers.printer.context(SUBSCRIPTIONS)
        return {"@odata.context": context, "value": [subscription(each) for each in found]}

    async def get(self, subscription_id: str) -> Representation:
        """Return one subscription. Raises NotFound."""
        return self._whole(await self._one(subscription_id))

    async def renew(self, subscription_id: str, body: Any) -> Representation:
        """Let a subscription last until another moment. Raises InvalidRequest or NotFound."""
        moment = load_subscription(body, Renewal)["expiration"]
        stored = await self._one(subscription_id)
        changed = await self.store.change(stored["id"], {"expirationDateTime": stored_time(moment)})
        if changed is None:
            raise NotFound(subscription_id)
        return self._whole(changed)

    async def delete(self, subscription_id: str) -> None:
        """End a subscription; the timer removes what is stored of it. Raises NotFound."""
        stored = await self._one(subscription_id)
        if not await self._end(stored):
            raise NotFound(subscription_id)
        self.notifier.forget(subscription_id)

    async def overview(self) -> dict[str, Any]:
        """Return how the deliveries of all subscriptions of the caller's tenant go."""
        found = await self.store.alive()
        shown = [_shown(each) for each in found if not is_expired(each)]
        return {"enabled": self.receivers.enabled, "value": shown}

    def _check_endpoints(self, loaded: Mapping[str, Any]) -> None:
        if not self.receivers.enabled:
            raise InvalidRequest(
                Fault(
                    "NotificationsOff",
                    "This service sends no change notifications: its setting NOTIFICATION_HOSTS "
                    "names no host that it may call.",
                    "$.notificationUrl",
                )
            )
        faults = [
            Fault("InvalidValue", fault, f"$.{member}")
            for member, url in (
                ("notificationUrl", loaded["notification_url"]),
                ("lifecycleNotificationUrl", loaded["lifecycle_notification_url"]),
            )
            if url is not None and (fault := self.receivers.fault_of(url)) is not None
        ]
        if faults:
            raise InvalidRequest(*faults)

    def _document(self, loaded: Mapping[str, Any]) -> dict[str, Any]:
        caller = current_caller.get()
        subscription_id = new_id()
        clear = loaded["client_state"]
        sealed = None
        if clear is not None:
            sealed = self.keyring.seal(Secret(clear), subscription_id, CLIENT_STATE)
        application = caller.app_id if caller else None
        changes, resource = loaded["change_type"], loaded["resource"]
        return {
            "id": subscription_id,
            "tenantId": served_tenant(),
            "applicationId": application,
            "creatorId": caller.object_id if caller else None,
            "resource": str(resource),
            "setId": resource.set_id,
            "changeTypes": changes,
            "changeType": ",".join(changes),
            "notificationUrl": loaded["notification_url"],
            "lifecycleNotificationUrl": loaded["lifecycle_notification_url"],
            "latestSupportedTlsVersion": loaded["latest_tls"],
            "clientState": sealed,
            "expirationDateTime": stored_time(loaded["expiration"]),
            "duplicateKey": f"{application} {resource} {changes}",
            "delivery": new_delivery(microseconds()),
        }

    async def _check_room(self, document: Stored) -> None:
        """Raise Conflict or LimitReached where other subscriptions are in the way."""
        found = await self.store.alive()
        alive = [each for each in found if not is_expired(each) and each["id"] != document["id"]]
        for each in alive:
            if each["duplicateKey"] == document["duplicateKey"]:
                raise _duplicate_of(each)
        if len(alive) >= MAX_PER_TENANT:
            raise LimitReached(
                f"The tenant has {MAX_PER_TENANT} subscriptions, as many as it may; delete one."
            )
        set_id = document["setId"]
        of_set = sum(each["setId"] == set_id for each in alive)
        if set_id is not None and of_set >= MAX_PER_SET:
            raise LimitReached(
                f"Flow set '{set_id}' has {MAX_PER_SET} subscriptions, as many as it may; delete "
                "one."
            )

    async def _end_if_too_many(self, document: Stored) -> None:
        """End a new subscription where others were made while its endpoints were called.

        Raises LimitReached. Of several at once all may end, but no more stay than may be.
        """
        try:
            await self._check_room(document)
        except LimitReached:
            await self._end(document)
            raise

    async def _end(self, stored: Stored) -> bool:
        """Mark a subscription as ended, and free what it was for; False where it was already."""
        ended = {"endedAt": microseconds(), "duplicateKey": stored["id"]}
        return await self.store.change(stored["id"], ended) is not None

    async def _replace_expired(self, document: Stored) -> None:
        """Replace a subscription for the same that has expired. Raises Conflict for another."""
        found = await self.store.alive()
        for each in found:
            if each["duplicateKey"] != document["duplicateKey"]:
                continue
            if not is_expired(each):
                raise _duplicate_of(each)
            await self._end(each)
        if not await self.store.create(document):
            raise Conflict("A subscription already exists for the requested combination")

    async def _validate(self, loaded: Mapping[str, Any]) -> None:
        """Have each endpoint repeat a token of its own. Raises ReceiverRefused."""
        urls = dict.fromkeys(
            url
            for url in (loaded["notification_url"], loaded["lifecycle_notification_url"])
            if url is not None
        )
        text = "Validation: Testing client application reachability for subscription Request-Id: "
        await asyncio.gather(
            *(self.receivers.validate(url, f"{text}{uuid.uuid4()}") for url in urls)
        )

    async def _own(self) -> list[dict[str, Any]]:
        caller = current_caller.get()
        application = caller.app_id if caller else None
        found = await self.store.alive()
        return [
            each for each in found if each["applicationId"] == application and not is_expired(each)
        ]

    async def _one(self, subscription_id: str) -> dict[str, Any]:
        caller = current_caller.get()
        stored = await self.store.read(subscription_id)
        application = caller.app_id if caller else None
        if stored["applicationId"] != application or is_expired(stored):
            raise NotFound(subscription_id)
        return stored

    def _whole(self, stored: Stored, client_state: str | None = None) -> Representation:
        return self.answers.whole(SUBSCRIPTIONS, subscription(stored, client_state))


def _duplicate_of(stored: Stored) -> Conflict:
    return Conflict(f"Subscription Id {stored['id']} already exists for the requested combination")


def _shown(stored: Stored) -> dict[str, Any]:
    """Return what operators see of a subscription: no clientState, no query of its endpoint."""
    delivery = stored["delivery"]
    return {
        "id": stored["id"],
        "applicationId": stored["applicationId"],
        "resource": stored["resource"],
        "changeType": stored["changeType"],
        "notificationUrl": stored["notificationUrl"].partition("?")[0],
        "expirationDateTime": subscription(stored)["expirationDateTime"],
        "health": health(delivery),
        "fault": delivery["fault"],
        "attempts": delivery["attempts"],
        "deliveredDateTime": _moment(delivery["deliveredAt"]),
        "nextTryDateTime": _moment(delivery["nextTryAt"] or None),
    }


def _moment(at: int | None) -> str | None:
    return None if at is None else time_of(at)
