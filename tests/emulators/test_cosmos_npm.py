"""What another SDK gets of the Cosmos DB emulator: npm's @azure/cosmos, run once."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from local.config import COSMOS_EMULATOR_KEY, ROOT
from tests.emulators.cosmos_process import NODE, Emulator, finish, launch, running

SCRIPT = Path(__file__).with_name("cosmos_npm.mjs")


@pytest.fixture(scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with running(tmp_path_factory.mktemp("cosmos")) as (started, _):
        yield started


@pytest.fixture(scope="module")
async def results(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each scenario came to."""
    folder = tmp_path_factory.mktemp("npm")
    (folder / "node_modules").symlink_to(ROOT / "tests" / "node_modules")
    script = await asyncio.to_thread(shutil.copy, SCRIPT, folder)
    process = await launch(NODE, str(script), emulator.url, COSMOS_EMULATOR_KEY)
    out, err = await finish(process)
    assert (process.returncode, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    return {line["name"]: line["result"] for line in lines}


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("patchOfOperationsAlone", 1),
        ("patchWithCondition", [412, 200, 412]),
        ("batch", [201, 200]),
        ("refusals", {"missing": 404, "twice": 409, "tooLarge": 413, "changed": 412}),
        ("readsWhatItWrote", [300, 300, 3]),
        ("ordered", [4, 3, 2, 1, 0]),
        ("top", ["i0", "i1", "i2"]),
        ("offset", ["i2", "i3", "i4"]),
        ("count", [12]),
        ("average", [5.5]),
        ("distinct", ["even", "odd"]),
        ("plain", ["i1", "i11", "i3", "i5", "i7", "i9"]),
        ("pages", [5, 5, 2]),
    ],
)
async def test_each_scenario_gets_its_result(
    results: dict[str, Any], scenario: str, expected: Any
) -> None:
    assert results[scenario] == expected


@pytest.mark.usefixtures("results")
async def test_it_requests_plans_and_each_range(emulator: Emulator) -> None:
    async with (
        aiohttp.ClientSession() as web,
        web.get(f"{emulator.url}/_emulator/requests") as answer,
    ):
        log = (await answer.json())["log"]
    of = [
        (entry["operation"], entry["status"])
        for entry in log
        if entry["path"] == "/dbs/d/colls/ordered/docs" and entry["operation"] != "create"
    ]
    assert set(of[:2]) == {("query", 400), ("plan", 200)}
    assert set(of[2:]) == {("query", 200)}
    assert len(of) >= 4
