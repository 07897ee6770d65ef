"""Flow sets in Cosmos DB: one document a set, one conditional request an operation.

Nothing that a client chose ever enters a predicate: only GUIDs, kinds and integers do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceNotFoundError,
)

from shared.errors import Conflict, NotFound, StoreUnavailable
from shared.readiness import Change, Outcome, explain

FLOW_SETS = "flowSets"
# What a caller can wait for, the SDK's own retries included.
TIMEOUT_SECONDS = 10.0
_OVERLOADED = (408, 429, 449)


class FlowStore:
    """Flow sets and the flows inside them."""

    def __init__(self, client: CosmosClient, database: str) -> None:
        self._client = client
        self._container: ContainerProxy = client.get_database_client(database).get_container_client(
            FLOW_SETS
        )
        self._entered = False
        self._entering = asyncio.Lock()

    async def create_set(self, document: Mapping[str, Any]) -> None:
        """Store a new flow set."""
        async with self._request():
            await self._container.create_item(dict(document), no_response=True)

    async def read_set(self, set_id: str) -> dict[str, Any]:
        """Return a flow set's document; raises NotFound."""
        try:
            async with self._request():
                return dict(await self._container.read_item(set_id, set_id))
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc

    async def add_flow(self, set_id: str, kind: str, flow: Mapping[str, Any]) -> None:
        """Put a new flow into its set, unless the set has one of that kind.

        Raises NotFound for the set and Conflict for the second of a kind.
        """
        operation = {"op": "add", "path": f"/flows/{kind}", "value": flow}
        try:
            async with self._request():
                await self._container.patch_item(
                    set_id,
                    set_id,
                    [operation],
                    filter_predicate=f"FROM c WHERE NOT IS_DEFINED(c.flows.{kind})",
                    no_response=True,
                )
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc
        except CosmosAccessConditionFailedError as exc:
            # The SDK may have repeated a request whose answer was lost: then the flow is ours.
            stored = (await self.read_set(set_id))["flows"].get(kind)
            if stored is None or stored["id"] != flow["id"]:
                raise Conflict(
                    f"Flow set '{set_id}' has a {kind} already; a set holds one of each kind. "
                    "Update that one, or use another set."
                ) from exc

    async def read_configuration(
        self, set_id: str, kind: str, flow_id: str, revision: int
    ) -> dict[str, Any] | None:
        """Return a flow's configuration as of one revision; None where it is gone or changed."""
        try:
            flow = (await self.read_set(set_id))["flows"].get(kind)
        except NotFound:
            return None
        if flow is None or flow["id"] != flow_id or flow["revision"] != revision:
            return None
        configuration: dict[str, Any] = flow["configuration"]
        return configuration

    async def apply(self, change: Change) -> Outcome:
        """Write a readiness status if its event is news for that revision of that flow.

        The predicate is `readiness.explain` in Cosmos' words; only a refused write is read up on.
        """
        flow, position = f"c.flows.{change.kind}", change.position
        path = f"/flows/{change.kind}"
        try:
            async with self._request():
                await self._container.patch_item(
                    change.flow_set_id,
                    change.flow_set_id,
                    [
                        {
                            "op": "set",
                            "path": f"{path}/readinessStatus",
                            "value": change.verdict.status,
                        },
                        {"op": "set", "path": f"{path}/reason", "value": change.verdict.reason},
                        {"op": "set", "path": f"{path}/appliedAt", "value": position.at},
                        {"op": "set", "path": f"{path}/appliedKey", "value": position.key},
                    ],
                    filter_predicate=(
                        f"FROM c WHERE {flow}.id = '{change.flow_id}' "
                        f"AND {flow}.revision = {change.revision} "
                        f"AND ({flow}.appliedAt < {position.at} OR ({flow}.appliedAt = "
                        f"{position.at} AND {flow}.appliedKey < '{position.key}'))"
                    ),
                    no_response=True,
                )
        except (CosmosResourceNotFoundError, CosmosAccessConditionFailedError):
            return await self._why_refused(change)
        return Outcome.APPLIED

    async def _why_refused(self, change: Change) -> Outcome:
        try:
            flow_set = await self.read_set(change.flow_set_id)
        except NotFound:
            return Outcome.GONE
        outcome = explain(flow_set["flows"].get(change.kind), change)
        if outcome is Outcome.APPLIED:
            # The flow changed between the two requests; the queue delivers the event again.
            raise StoreUnavailable
        return outcome

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @contextlib.asynccontextmanager
    async def _request(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._enter()
                yield
        except (CosmosResourceNotFoundError, CosmosAccessConditionFailedError):
            raise
        except CosmosHttpResponseError as exc:
            status = exc.status_code or 503
            if status in _OVERLOADED or status >= 500:
                raise StoreUnavailable(_retry_after(exc)) from exc
            raise
        except ClientAuthenticationError:
            raise
        except (AzureError, TimeoutError) as exc:
            raise StoreUnavailable from exc

    async def _enter(self) -> None:
        # Entering reads the account's consistency level: without it, session tokens are not sent
        # and a client may not see its own writes. It needs the loop, hence not at construction.
        if self._entered:
            return
        async with self._entering:
            if not self._entered:
                await self._client.__aenter__()
                self._entered = True


def _retry_after(error: CosmosHttpResponseError) -> int:
    milliseconds = (error.headers or {}).get("x-ms-retry-after-ms", "1000")
    return max(1, -(-int(float(milliseconds)) // 1000))
