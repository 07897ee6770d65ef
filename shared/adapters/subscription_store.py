"""A tenant's subscriptions, how far each was served, and the changes that are new to them.

Every key begins with the tenant: its subscriptions are in one partition, what a subscription
was notified of is in one of its own, removals are in one. Nothing that a client chose ever enters
a predicate: only GUIDs, kinds and integers do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.adapters.cosmos import Cosmos
from shared.adapters.partition import TENANT, Partition
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.errors import NotFound
from shared.domain.flows import Stored
from shared.domain.subscriptions import SetNews
from shared.odata.cosmos import Query

SUBSCRIPTIONS: Final = "subscriptions"
NOTIFICATIONS: Final = "notifications"
_ALIVE: Final = "NOT IS_DEFINED(c.endedAt)"
_MOST_OPERATIONS: Final = 100  # of a batch


@dataclass(frozen=True)
class Changed:
    """A flow set that changed at the second `at`, with its flows by id: kind and history."""

    set_id: str
    at: int
    flows: Mapping[str, Mapping[str, Any]]


class SubscriptionStore:
    """Subscriptions of one tenant, and what they are to be notified of: changes of its `sets`."""

    def __init__(self, cosmos: Cosmos, tenant: str, sets: Partition) -> None:
        self._cosmos = cosmos
        self._subscriptions = cosmos.container(SUBSCRIPTIONS)
        self._notifications = cosmos.container(NOTIFICATIONS)
        self._sets = sets
        self._tenant = tenant
        self._removals = f"{tenant}/removals"

    # --- subscriptions -------------------------------------------------------------------------

    async def create(self, document: Mapping[str, Any]) -> bool:
        """Store a new subscription; False where the tenant has one for the same already."""
        item = {**document, TENANT: self._tenant}
        try:
            async with self._cosmos.request():
                await self._subscriptions.create_item(item, no_response=True)
        except CosmosResourceExistsError:
            # The SDK may have repeated a request whose answer was lost.
            return any(each["id"] == document["id"] for each in await self.alive())
        return True

    async def read(self, subscription_id: str) -> dict[str, Any]:
        """Return a subscription's document; raises NotFound, also for one that was deleted."""
        try:
            async with self._cosmos.request():
                found = dict(await self._subscriptions.read_item(subscription_id, self._tenant))
        except CosmosResourceNotFoundError as exc:
            raise NotFound(subscription_id) from exc
        if "endedAt" in found:
            raise NotFound(subscription_id)
        return found

    async def alive(self) -> list[dict[str, Any]]:
        """Return all subscriptions without those that were deleted."""
        return await self._found(
            self._subscriptions,
            f"SELECT * FROM c WHERE {_ALIVE}",  # noqa: S608 - our own words
            {},
            self._tenant,
        )

    async def all(self) -> list[dict[str, Any]]:
        """Return all subscriptions, those that were deleted among them."""
        return await self._found(self._subscriptions, "SELECT * FROM c", {}, self._tenant)

    async def change(
        self,
        subscription_id: str,
        members: Mapping[str, Any],
        condition: str = "true",
    ) -> dict[str, Any] | None:
        """Set members of a subscription where the condition holds; return it, None if not.

        Raises NotFound.
        """
        operations = [{"op": "set", "path": f"/{name}", "value": v} for name, v in members.items()]
        try:
            async with self._cosmos.request():
                return dict(
                    await self._subscriptions.patch_item(
                        subscription_id,
                        self._tenant,
                        operations,
                        filter_predicate=f"FROM c WHERE {_ALIVE} AND {condition}",
                    )
                )
        except CosmosResourceNotFoundError as exc:
            raise NotFound(subscription_id) from exc
        except CosmosAccessConditionFailedError:
            return None

    async def take_lease(self, stored: Stored, lease: str, now: int, until: int) -> Stored | None:
        """Have one delivery of a subscription at a time; None while another has the lease.

        Times are in microseconds since 1970. Returns the subscription as it is then, whose `_ts` is
        the store's own time. Raises NotFound.
        """
        return await self.change(
            stored["id"],
            {"delivery/lease": lease, "delivery/leaseUntil": until},
            f"(IS_NULL(c.delivery.lease) OR c.delivery.leaseUntil < {now})",
        )

    async def end_lease(self, stored: Stored, lease: str, delivery: Mapping[str, Any]) -> bool:
        """Store how a delivery went and give its lease back; False where the lease was lost."""
        ended = {**delivery, "lease": None, "leaseUntil": 0}
        try:
            return (
                await self.change(
                    stored["id"],
                    {"delivery": ended},
                    f"c.delivery.lease = '{lease}'",
                )
                is not None
            )
        except NotFound:
            return False

    async def erase(self, stored: Stored, most: int = 1000) -> bool:
        """Delete a subscription and what it was notified of; False where there is more to do."""
        partition = self._sent(stored)
        text = "SELECT TOP @most c.id FROM c"
        found = await self._found(self._notifications, text, {"@most": most}, partition)
        await self._in_batches(partition, [("delete", (each["id"],)) for each in found])
        if len(found) == most:
            return False
        try:
            async with self._cosmos.request():
                await self._subscriptions.delete_item(stored["id"], self._tenant)
        except CosmosResourceNotFoundError:
            return True
        return True

    # --- what was sent -------------------------------------------------------------------------

    async def keys(self, stored: Stored, set_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """Return, by set, the key of the last change of each flow that was sent."""
        partition = self._sent(stored)
        text = "SELECT c.id, c.keys FROM c WHERE ARRAY_CONTAINS(@ids, c.id)"
        found = await self._found(self._notifications, text, {"@ids": list(set_ids)}, partition)
        return {each["id"]: each["keys"] for each in found}

    async def keep_keys(self, stored: Stored, sent: Collection[SetNews]) -> None:
        """Store which changes were sent."""
        partition = self._sent(stored)
        documents = [
            {"id": each.set_id, "partition": partition, "keys": each.keys} for each in sent
        ]
        await self._in_batches(partition, [("upsert", (each,)) for each in documents])

    # --- changes -------------------------------------------------------------------------------

    async def changed(
        self, since: int, set_id: str | None, most: int
    ) -> tuple[list[Changed], bool]:
        """Return the sets that changed from the second `since` on, oldest first, and if all.

        Only one set where `set_id` is given.
        """
        condition = "" if set_id is None else " AND c.id = @id"
        text = f"SELECT TOP @most {_MEMBERS} FROM c WHERE c._ts >= @since{condition} ORDER BY c._ts"  # noqa: S608 - our own words
        given = {"@since": since, "@most": most, **({} if set_id is None else {"@id": set_id})}
        found = await self._sets.query(_query(text, given))
        return [_changed(each) for each in found], len(found) < most

    async def sets(self, set_ids: Collection[str]) -> dict[str, Changed]:
        """Return those of some sets that exist, by id."""
        text = f"SELECT {_MEMBERS} FROM c WHERE ARRAY_CONTAINS(@ids, c.id)"  # noqa: S608 - as above
        found = await self._sets.query(_query(text, {"@ids": list(set_ids)}))
        return {each["id"]: _changed(each) for each in found}

    async def newest(self) -> int:
        """Return the second of the last change of all."""
        text = "SELECT TOP 1 c._ts FROM c ORDER BY c._ts DESC"
        sets = await self._sets.query(_query(text, {}))
        removals = await self._found(self._notifications, text, {}, self._removals)
        return max((each["_ts"] for each in [*sets, *removals]), default=0)

    # --- removals ------------------------------------------------------------------------------

    async def note_removal(self, removal: Mapping[str, Any]) -> None:
        """Store that flows are about to be deleted, with what they were."""
        document = {**removal, "partition": self._removals}
        async with self._cosmos.request():
            await self._notifications.create_item(document, no_response=True)

    async def removals(self, since: int, set_id: str | None) -> list[dict[str, Any]]:
        """Return what was to be deleted from the second `since` on, oldest first."""
        condition = "" if set_id is None else " AND c.setId = @id"
        return await self._found(
            self._notifications,
            f"SELECT * FROM c WHERE c._ts >= @since{condition} ORDER BY c._ts",  # noqa: S608 - as above
            {"@since": since, **({} if set_id is None else {"@id": set_id})},
            self._removals,
        )

    async def forget_removals(self, before: int, most: int) -> int:
        """Delete removals from before a second, at most some; return how many."""
        found = await self._found(
            self._notifications,
            "SELECT TOP @most c.id FROM c WHERE c._ts < @ts",
            {"@most": most, "@ts": before},
            self._removals,
        )
        await self._in_batches(self._removals, [("delete", (each["id"],)) for each in found])
        return len(found)

    # --- requests ------------------------------------------------------------------------------

    async def _found(
        self,
        container: ContainerProxy,
        text: str,
        parameters: Mapping[str, Any],
        partition: str,
    ) -> list[dict[str, Any]]:
        query = _query(text, parameters)
        async with self._cosmos.request():
            found = container.query_items(
                query.text,
                parameters=query.parameters,
                partition_key=partition,
                max_item_count=1000,
            )
            return [each async for each in found]

    def _sent(self, stored: Stored) -> str:
        """The partition of what a subscription was notified of."""
        return f"{self._tenant}/{stored['id']}"

    async def _in_batches(
        self, partition: str, operations: list[tuple[str, tuple[Any, ...]]]
    ) -> None:
        for first in range(0, len(operations), _MOST_OPERATIONS):
            batch = operations[first : first + _MOST_OPERATIONS]
            async with self._cosmos.request():
                await self._notifications.execute_item_batch(batch, partition)


def _query(text: str, parameters: Mapping[str, Any]) -> Query:
    return Query(text, [{"name": name, "value": value} for name, value in parameters.items()])


def _members() -> str:
    flows = ", ".join(
        f'"{kind}": {{"id": c.flows.{kind}.id, "history": c.flows.{kind}.history}}'
        for kind in FLOW_SCHEMAS
    )
    return f"c.id, c._ts, {{{flows}}} AS flows"


_MEMBERS: Final = _members()


def _changed(found: Mapping[str, Any]) -> Changed:
    flows = {
        flow["id"]: {"kind": kind, "history": flow["history"]}
        for kind, flow in found["flows"].items()
        if "id" in flow
    }
    return Changed(found["id"], found["_ts"], flows)
