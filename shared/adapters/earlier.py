"""What releases before 1.1 stored, without a tenant: it is moved to the tenant that owns it."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Final

from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.adapters.cosmos import Cosmos
from shared.adapters.partition import FLOW_SETS, REFERENCE_DEFINITIONS, ROLE_GROUPS, Partition
from shared.domain.context import left
from shared.domain.errors import StoreUnavailable
from shared.telemetry import log_event

_MOST: Final = 100
_AT_ONCE: Final = 20
# Of the ten seconds that a caller waits; the next one continues.
_SECONDS: Final = 7.0
# An instance of the release before may have stored something after it was looked for.
_LOOK_AGAIN_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Moved:
    """How many documents were moved, which stay for good, and whether all others are moved."""

    count: int
    staying: list[str]
    complete: bool


class EarlierDocuments:
    """The containers of before, by the members that they are partitioned by.

    The flow sets are the last: as long as one is there, so may be what they refer to.
    """

    def __init__(self, cosmos: Cosmos, owner: str) -> None:
        self._cosmos = cosmos
        self._moves = [
            (cosmos.container(before), key, Partition(cosmos, name, owner))
            for before, key, name in (
                ("roleGroups", "id", ROLE_GROUPS),
                ("referenceDefinitions", "referenceType", REFERENCE_DEFINITIONS),
                ("flowSets", "id", FLOW_SETS),
            )
        ]
        self._moving = asyncio.Lock()
        self._looked_at = -_LOOK_AGAIN_SECONDS
        self._staying: set[str] = set()

    async def move_all(self) -> None:
        """See that nothing is left to move; raises StoreUnavailable while something is.

        The owner's requests wait for it: a list must not lack what is still to be moved.
        """
        if time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            return
        async with self._moving:
            if time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
                return
            if not (await self._move()).complete:
                raise StoreUnavailable

    async def move(self) -> Moved:
        """Move documents for some seconds, however long ago it was looked for them last."""
        async with self._moving:
            return await self._move()

    async def _move(self) -> Moved:
        until = time.monotonic() + left(_SECONDS)
        self._staying.clear()
        count, found = await self._move_some(_MOST)
        while found:
            if time.monotonic() > until:
                return Moved(count, sorted(self._staying), complete=False)
            some, found = await self._move_some(_MOST)
            count += some
        self._looked_at = time.monotonic()
        return Moved(count, sorted(self._staying), complete=True)

    async def _move_some(self, most: int) -> tuple[int, bool]:
        """Move documents, at most `most` of each kind; return how many were, and if any was found.

        Each is stored in its new place before it is deleted, so that an interruption loses nothing.
        """
        count, any_found = 0, False
        for container, key, items in self._moves:
            found = await self._found(container, most)
            any_found = any_found or bool(found)
            for start in range(0, len(found), _AT_ONCE):
                batch = found[start : start + _AT_ONCE]
                moved = await asyncio.gather(
                    *(self._move_one(container, key, items, d) for d in batch)
                )
                count += sum(moved)
        if count:
            log_event("earlierDocumentsMoved", count=count)
        return count, any_found

    async def _found(self, container: ContainerProxy, most: int) -> list[dict[str, Any]]:
        query = "SELECT TOP @most * FROM c WHERE NOT ARRAY_CONTAINS(@staying, c.id)"
        parameters: list[dict[str, Any]] = [
            {"name": "@most", "value": most},
            {"name": "@staying", "value": sorted(self._staying)},
        ]
        try:
            async with self._cosmos.request(optional=True):
                found = container.query_items(query, parameters=parameters, max_item_count=most)
                return [document async for document in found]
        except CosmosResourceNotFoundError:
            return []  # a service that began with tenants has no such container

    async def _move_one(
        self, container: ContainerProxy, key: str, items: Partition, document: dict[str, Any]
    ) -> bool:
        """Move a document; False where it stays: another has its place, or one of both changed."""
        kept = {name: value for name, value in document.items() if name not in _SYSTEM}
        try:
            await items.create(kept)
        except CosmosResourceExistsError:
            try:
                copy = await items.read(document["id"])
                if document["_ts"] >= copy["_ts"]:
                    # An instance of the release before wrote to it after it was copied.
                    await items.replace(kept, copy["_etag"])
            except CosmosResourceNotFoundError:
                # A definition whose code or sort index another one has by now.
                log_event("earlierDocumentLeft", logging.WARNING, id=document["id"])
                self._staying.add(document["id"])
                return False
            except CosmosAccessConditionFailedError:
                return False
        try:
            async with self._cosmos.request():
                await container.delete_item(
                    document["id"],
                    document[key],
                    etag=document["_etag"],
                    match_condition=MatchConditions.IfNotModified,
                )
        except CosmosResourceNotFoundError:
            return True  # another instance moved it
        except CosmosAccessConditionFailedError:
            return False
        return True


_SYSTEM: Final = ("_rid", "_self", "_etag", "_attachments", "_ts")
