"""What a client's author does with the local service: asks for faults, reads what was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.api import Answer, Api


@dataclass(frozen=True)
class Faults:
    """The addresses below /local of the running service."""

    service: Api

    def url(self, name: str) -> str:
        """Where one of them is."""
        return f"{self.service.root.removesuffix('/beta')}/local/{name}"

    async def put(self, *rules: dict[str, Any], seed: int = 0) -> Answer:
        """Have these rules in force, and no others."""
        body = {"seed": seed, "rules": rules}
        return await self.service.send("PUT", self.url("faults"), json.dumps(body).encode())

    async def use(self, *rules: dict[str, Any], seed: int = 0) -> None:
        """Have these rules in force; they must be accepted."""
        answer = await self.put(*rules, seed=seed)
        assert answer.status == 200, answer.text

    async def rules(self) -> list[dict[str, Any]]:
        """The rules with their counts."""
        found: list[dict[str, Any]] = (await self.service.get(self.url("faults"))).json()["rules"]
        return found

    async def requests(self) -> list[dict[str, Any]]:
        """What was asked since the test began."""
        answer = await self.service.get(self.url("requests"))
        found: list[dict[str, Any]] = answer.json()["value"]
        return found

    async def statuses(self) -> list[int | None]:
        """The statuses that were sent since the test began."""
        return [each["status"] for each in await self.requests()]

    async def clear(self) -> None:
        """Have no rules, and forget what was asked."""
        for name in ("faults", "requests"):
            assert (await self.service.delete(self.url(name))).status == 204


@pytest.fixture
async def faults(service: Api, set_id: str) -> AsyncIterator[Faults]:
    """No rules and no requests at the beginning and the end; after the set of the test was made."""
    faults = Faults(service)
    await faults.clear()
    yield faults
    await faults.clear()
