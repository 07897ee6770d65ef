"""Requests to Cosmos DB: one client for all stores, its errors translated into our own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

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
from shared.domain.errors import Conflict, StoreRefused, StoreUnavailable, Throttled
from shared.telemetry import log_event

# For one request, the SDK's own retries included; a caller's deadline may leave it less.
TIMEOUT_SECONDS = 10.0
# Of that, for the waits of a throttled request together.
MOST_WAIT_SECONDS = 5
_MOST_RETRY_AFTER = 10
# An operator has to act first.
_REFUSED_RETRY_AFTER = 30
_WAIT = "x-ms-retry-after-ms"
_NOWHERE = "probe"  # no GUID, as tenants are
_ANSWERS = (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
# Sub-statuses of 404.
_SESSION_NOT_AVAILABLE = 1002
_NO_SUCH_CONTAINER = 1003


def translated(error: Exception) -> Exception | None:
    """Return what an error of the SDK means; None for an answer that a caller must understand.

    Those are a missing item (404), one that exists (409) and a condition that does not hold (412).
    All else means that it is not known what is stored, or whether a write was made: never that
    something is not there.
    """
    if isinstance(error, ClientAuthenticationError):
        return StoreRefused(_REFUSED_RETRY_AFTER)
    if not isinstance(error, CosmosHttpResponseError):
        return StoreUnavailable(_retry_after(None))
    status, sub_status = error.status_code or 503, error.sub_status
    if status == 404 and sub_status == _SESSION_NOT_AVAILABLE:
        # Of a replica that is behind: whether there is an item is not known.
        return StoreUnavailable(_retry_after(error))
    if status in (401, 403) or (status == 404 and not _is_about_an_item(error)):
        return StoreRefused(_REFUSED_RETRY_AFTER)
    if status == 429:
        return _throttled(float((error.headers or {}).get(_WAIT, 1000)))
    if status == 413:
        return Conflict("What would be stored is larger than the store takes; send less.")
    if status in (408, 410, 449) or status >= 500:
        return StoreUnavailable(_retry_after(error))
    return None if isinstance(error, _ANSWERS) else error


@dataclass
class _Throttling:
    """For how long Cosmos DB asked a request to wait, in milliseconds; 0 where it did not."""

    wait: float = 0.0


_throttling: ContextVar[_Throttling | None] = ContextVar("throttling", default=None)


def _is_about_an_item(error: CosmosHttpResponseError) -> bool:
    """Tell whether a 404 is about an item, not about the container or its database.

    The SDK reads the container before its first request for an item, and raises the same error for
    that: only the address tells them apart.
    """
    if error.sub_status == _NO_SUCH_CONTAINER:
        return False
    url = getattr(getattr(error.response, "request", None), "url", None)
    return url is None or "/docs" in urlsplit(url).path


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

    async def probe(self, container: str) -> None:
        """Read what is not there: raises StoreUnavailable unless the store answers this app."""
        try:
            async with self.request():
                await self.container(container).read_item(_NOWHERE, _NOWHERE)
        except CosmosResourceNotFoundError:
            return

    @contextlib.asynccontextmanager
    async def request(
        self, before: Callable[[], Awaitable[None]] | None = None, *, optional: bool = False
    ) -> AsyncIterator[None]:
        """Bound the requests made inside and translate what keeps Cosmos DB from answering.

        `before` is awaited first, outside of these bounds. Raises what `translated` says. Answers
        that a caller must understand (404, 409, 412) pass as the SDK raises them; with `optional`
        also that there is no such container.
        """
        if before is not None:
            await before()
        throttling = _Throttling()
        try:
            async with asyncio.timeout(left(TIMEOUT_SECONDS)):
                await self._enter()
                _throttling.set(throttling)
                yield
        except (AzureError, TimeoutError) as exc:
            if isinstance(exc, TimeoutError) and throttling.wait:
                raise _throttled(throttling.wait) from exc
            if optional and isinstance(exc, CosmosResourceNotFoundError):
                raise
            meant = translated(exc)
            if meant is None or meant is exc:
                raise
            if isinstance(meant, StoreRefused):
                log_event("storeRefused", logging.ERROR, why=_why(exc))
            raise meant from exc

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


def on_response(response: PipelineResponse[Any, AsyncHttpResponse]) -> None:
    """Lengthen the wait that Cosmos DB asks of a throttled request, by up to half of it.

    The SDK waits exactly as long as it says; without this, all that were refused together would
    come back together. Raises Throttled where that is longer than a request may wait: the SDK would
    wait all the same.
    """
    answer = response.http_response
    throttling = _throttling.get()
    if throttling is None:
        return
    throttling.wait = 0.0
    if answer.status_code == 429 and _WAIT in answer.headers:
        throttling.wait = float(answer.headers[_WAIT])
        if throttling.wait > MOST_WAIT_SECONDS * 1000:
            raise _throttled(throttling.wait)
        wait = throttling.wait * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        answer.headers[_WAIT] = str(math.ceil(wait))


def _throttled(milliseconds: float) -> Throttled:
    seconds = max(1, math.ceil(milliseconds / 1000))
    return Throttled(seconds + random.randint(0, 2))  # noqa: S311 - no secret


def _retry_after(error: CosmosHttpResponseError | None) -> int:
    """Return the seconds after which a caller may try again, not the same for all."""
    headers = (error.headers if error is not None else None) or {}
    seconds = math.ceil(float(headers.get(_WAIT, 1000)) / 1000)
    return min(max(1, seconds) + random.randint(0, 2), _MOST_RETRY_AFTER)  # noqa: S311 - no secret


def _why(error: Exception) -> str:
    """Say in short what an error was: its type, and Cosmos DB's status and sub-status."""
    if isinstance(error, CosmosHttpResponseError):
        return f"{type(error).__name__} {error.status_code}/{error.sub_status}"
    return type(error).__name__
