"""One tenant's part of a container, through which no item of another tenant can be reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from azure.core import MatchConditions

from shared.adapters.cosmos import Cosmos
from shared.contract.json_body import write_json
from shared.odata.cosmos import Query

FLOW_SETS: Final = "tenantFlowSets"
ROLE_GROUPS: Final = "tenantRoleGroups"
REFERENCE_DEFINITIONS: Final = "tenantReferenceDefinitions"
TENANT: Final = "tenantId"
"""The member by which these containers are partitioned."""


class Partition:
    """Items by their id, which is unique within a tenant.

    Everything is one request to Cosmos DB, bounded and translated as `Cosmos.request` says; answers
    that a store must understand (404, 409, 412) are raised as the SDK does. `before` is awaited
    before each request.
    """

    def __init__(
        self,
        cosmos: Cosmos,
        container: str,
        tenant: str,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._cosmos = cosmos
        self._container = cosmos.container(container)
        self._tenant = tenant
        self._before = before

    def _request(self) -> AbstractAsyncContextManager[None]:
        return self._cosmos.request(self._before)

    async def read(self, item_id: str) -> dict[str, Any]:
        """Return an item."""
        async with self._request():
            return dict(await self._container.read_item(item_id, self._tenant))

    async def create(self, item: Mapping[str, Any]) -> None:
        """Store a new item."""
        async with self._request():
            await self._container.create_item({**item, TENANT: self._tenant}, no_response=True)

    async def replace(self, item: Mapping[str, Any], etag: str) -> None:
        """Write an item over the stored one of its id, if that has this ETag."""
        async with self._request():
            await self._container.replace_item(
                item["id"],
                {**item, TENANT: self._tenant},
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
                no_response=True,
            )

    async def patch(
        self,
        item_id: str,
        operations: list[dict[str, Any]],
        condition: str,
        *,
        returned: bool = False,
    ) -> dict[str, Any]:
        """Change an item where a predicate about `c` holds; return it, empty unless `returned`."""
        async with self._request():
            item = await self._container.patch_item(
                item_id,
                self._tenant,
                operations,
                filter_predicate=f"FROM c WHERE {condition}",
                no_response=not returned,
            )
        return dict(item) if returned else {}

    async def delete(self, item_id: str, etag: str | None = None) -> None:
        """Delete an item, with `etag` only if it has this one."""
        condition: dict[str, Any] = {}
        if etag is not None:
            condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        async with self._request():
            await self._container.delete_item(item_id, self._tenant, **condition)

    async def query(self, query: Query, most: int = 1000) -> list[Any]:
        """Return what a query asks for, `most` of it in one request."""
        async with self._request():
            return [each async for each in self._found(query, most)]

    async def page(self, query: Query, most: int, most_bytes: int) -> tuple[list[Any], bool]:
        """Return `most` items, or one more than `most_bytes` hold, and whether there are others."""
        items: list[Any] = []
        size = 0
        async with self._request():
            async for item in self._found(query, most + 1):
                if len(items) == most or size > most_bytes:
                    return items, True
                items.append(item)
                size += len(write_json(item))
        return items, False

    def _found(self, query: Query, most: int) -> AsyncIterator[Any]:
        found: AsyncIterator[Any] = self._container.query_items(
            query.text,
            parameters=query.parameters,
            partition_key=self._tenant,
            max_item_count=min(most, 1000),
        )
        return found
