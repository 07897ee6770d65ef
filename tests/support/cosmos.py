"""Requests to the Cosmos DB emulator: counted, or made to fail."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True)
class CosmosRequests:
    """What reached the Cosmos DB emulator."""

    http: aiohttp.ClientSession
    url: str

    async def reset(self) -> None:
        """Forget what came so far."""
        async with self.http.delete(self.url) as response:
            response.raise_for_status()

    async def read(self) -> list[dict[str, Any]]:
        """The requests since the last reset: method, path, operation and status of each."""
        async with self.http.get(self.url) as response:
            response.raise_for_status()
            log: list[dict[str, Any]] = (await response.json())["log"]
            return log


class Counted:
    """Looks at what one operation asked of Cosmos DB."""

    def __init__(self, requests: CosmosRequests, set_id: str) -> None:
        self.requests = requests
        self.set_id = set_id

    async def read(self) -> list[str]:
        """The methods of all requests but those about documents of other tests.

        Queries do not count: the timer and the delayed events of other tests bring some.
        """
        methods = []
        for entry in await self.requests.read():
            if entry["operation"] in ("query", "plan"):
                continue
            document = re.search(r"/docs/([^/]+)", entry["path"])
            if document is None or document[1] == self.set_id:
                methods.append(str(entry["method"]))
        return methods


@dataclass(frozen=True)
class CosmosFaults:
    """Makes requests to the Cosmos DB emulator fail, while its block runs."""

    http: aiohttp.ClientSession
    url: str

    @contextlib.asynccontextmanager
    async def __call__(self, **fault: Any) -> AsyncIterator[None]:
        """Have requests fail as local/emulators/cosmos/README.md says, until the block ends."""
        async with self.http.post(self.url, json=fault) as response:
            response.raise_for_status()
        try:
            yield
        finally:
            async with self.http.delete(self.url) as response:
                response.raise_for_status()
