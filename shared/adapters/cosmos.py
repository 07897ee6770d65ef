"""Requests to Cosmos DB: one client for all stores, its errors translated into our own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.transport import AsyncHttpResponse
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.domain.context import left
from shared.domain.errors import StoreUnavailable

# For one request, the SDK's own retries included; a caller's deadline may leave it less.
TIMEOUT_SECONDS = 10.0
_MOST_RETRY_AFTER = 10
_OVERLOADED = (408, 429, 449)
_SESSION_NOT_AVAILABLE = 1002
_WAIT = "x-ms-retry-after-ms"
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
            async with asyncio.timeout(left(TIMEOUT_SECONDS)):
                await self._enter()
                yield
        except _ANSWERS as exc:
            if exc.sub_status == _SESSION_NOT_AVAILABLE:
                # A 404, but of a replica that is behind: whether there is an item is not known.
                raise StoreUnavailable(_retry_after(exc)) from exc
            raise
        except CosmosHttpResponseError as exc:
            status = exc.status_code or 503
            if status in _OVERLOADED or status >= 500:
                raise StoreUnavailable(_retry_after(exc)) from exc
            raise
        except ClientAuthenticationError:
            raise
        except (AzureError, TimeoutError) as exc:
            raise StoreUnavailable(_retry_after(None)) from exc

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


def spread_retry(response: PipelineResponse[Any, AsyncHttpResponse]) -> None:
    """Lengthen the wait that Cosmos DB asks of a throttled request, by up to half of it.

    The SDK waits exactly as long as it says; without this, all that were refused together would
    come back together.
    """
    answer = response.http_response
    if answer.status_code == 429 and _WAIT in answer.headers:
        wait = float(answer.headers[_WAIT]) * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        answer.headers[_WAIT] = str(math.ceil(wait))


def _retry_after(error: CosmosHttpResponseError | None) -> int:
    """Return the seconds after which a caller may try again, not the same for all."""
    headers = (error.headers if error is not None else None) or {}
    seconds = math.ceil(float(headers.get(_WAIT, 1000)) / 1000)
    return min(max(1, seconds) + random.randint(0, 2), _MOST_RETRY_AFTER)  # noqa: S311 - no secret
