"""The emulator takes, refuses and plans queries as Microsoft's own query compiler does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.cosmos import PartitionKey

from tests.emulators.cosmos_process import running, sign
from tests.emulators.generated_queries import generated
from tests.emulators.query_compiler import VERDICTS, recorded, verdict

STORED = [json.loads(line) for line in VERDICTS.read_text("utf-8").splitlines()]
PLAN = {"x-ms-cosmos-is-query-plan-request": "True"}


def test_the_stored_verdicts_are_of_the_generated_queries() -> None:
    # Otherwise: python -m tests.emulators.query_compiler --verdicts, where the compiler is at hand.
    assert [{**each, "verdict": None} for each in STORED] == [
        {**each, "verdict": None} for each in generated()
    ]
    refused = [each for each in STORED if each["verdict"] is None]
    assert min(len(refused), len(STORED) - len(refused)) > 100


async def test_each_generated_query_has_the_compiler_s_verdict(tmp_path: Path) -> None:
    async with running(tmp_path) as (emulator, client):
        database = await client.create_database("d")
        box = await database.create_container("c", PartitionKey("/id"))
        path = f"{emulator.url}/{box.container_link}/docs"
        found: list[Any] = []
        async with aiohttp.ClientSession(headers=PLAN, middlewares=(sign,)) as web:
            for asked in STORED:
                async with web.post(path, json=asked) as response:
                    assert response.status in (200, 400)
                    plan = await response.json()
                    found.append(verdict(plan if response.status == 200 else {"refusal": plan}))

    assert [
        (asked["query"], asked["verdict"], own)
        for asked, own in zip(STORED, found, strict=True)
        if own != asked["verdict"]
    ] == []


async def test_accepted_queries_and_predicates_are_recorded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "record"
    monkeypatch.setenv("COSMOS_EMULATOR_RECORD", str(folder))
    async with running(tmp_path / "state") as (_, client):
        database = await client.create_database("d")
        box = await database.create_container("c", PartitionKey("/kind"))
        await box.create_item({"id": "a", "kind": "x"})
        for sql in ("SELECT * FROM c WHERE c.id = @id", "SELECT TOP 1 * FROM c", "SELECT nonsense"):
            for _ in range(2):
                parameters: list[dict[str, Any]] = [{"name": "@id", "value": "a"}]
                rows = box.query_items(sql, parameters=parameters if "@id" in sql else [])
                if "nonsense" in sql:
                    with pytest.raises(Exception, match="nonsense"):
                        [row async for row in rows]
                else:
                    assert len([row async for row in rows]) == 1
        change = [{"op": "set", "path": "/n", "value": 1}]
        await box.patch_item("a", "x", change, filter_predicate="FROM c WHERE c.id = 'a'")

    assert recorded(folder) == [
        {
            "query": "SELECT * FROM c WHERE c.id = @id",
            "parameters": [{"name": "@id", "value": "a"}],
            "pk": "/kind",
        },
        {"query": "SELECT TOP 1 * FROM c", "parameters": [], "pk": "/kind"},
        {"query": "SELECT * FROM c WHERE c.id = 'a'", "parameters": [], "pk": "/id"},
    ]
