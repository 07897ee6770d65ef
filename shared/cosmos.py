"""Requests to Cosmos DB: one client for all stores, its errors told in our own words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.errors import StoreUnavailable

# What a caller can wait for, the SDK's own retries included.
TIMEOUT_SECONDS = 10.0
_OVERLOADED = (408, 429, 449)
_ANSWERS = (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)


class Cosmos:
    """One database through one client, whose connections all stores share."""

    def __init__(self, client: CosmosClient, database: str) -> None:
        self._client = client
        self._database = client.get_database_client(database)
        self._entered = False
        self._entering = asyncio.Lock()

    def container(self, name: str) -> ContainerProxy:
        """Return a container of the database; makes no request."""
        return self._database.get_container_client(name)

    @contextlib.asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Bound the requests made inside and translate what keeps Cosmos DB from answering.

        Raises StoreUnavailable. Answers that a caller must understand (404, 409, 412) pass as the
        SDK raises them.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._enter()
                yield
        except _ANSWERS:
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

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

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
