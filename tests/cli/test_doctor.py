"""`industrydata doctor`: what it finds, and says, when a part is away."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from local.access_token import application_token
from local.components import free_ports
from local.stack import Stack
from shared import VERSION
from shared.domain import permissions
from shared.domain.context import LOCAL_TENANT
from tests.cli.conftest import Command, Ran
from tests.support.waiting import until

PARTS = ["store", "queue", "archive", "issuer"]
ROWS = ["address", "token", "service", *PARTS, "access"]


def by_check(ran: Ran) -> dict[str, Any]:
    """The findings of a run with --json, by what was looked at."""
    return {each["check"]: each for each in ran.values()}


async def test_it_says_that_all_is_well(command: Command, api: str) -> None:
    async def well() -> bool:
        return (await asyncio.to_thread(command.run, "doctor")).code == 0

    # The service keeps what it saw of a part for seconds: so long one that was away still shows.
    await until(well, "a doctor that finds nothing")
    ran = command.ok("doctor")
    rows = {line.split()[0]: line for line in ran.out.splitlines()[1:]}
    assert list(rows) == ROWS
    assert all(line.split()[1] == "ok" for line in rows.values())
    assert f"{api}, the stack on this machine" in rows["address"]
    assert re.search(
        rf"from INDUSTRYDATA_TOKEN, of tenant {LOCAL_TENANT}, valid for \d+ min, with Industry",
        rows["token"],
    )
    assert rows["service"].endswith(f"it runs, release {VERSION}")


def test_a_token_without_permission_is_told_from_one_that_is_not_accepted(
    command: Command, stack: Stack
) -> None:
    lists_only = application_token(stack.config, permissions.READ_BASIC)
    ran = command.run("doctor", "--json", INDUSTRYDATA_TOKEN=lists_only)
    assert (ran.code, ran.err) == (3, "")
    assert "lacks the permission" in by_check(ran)["access"]["meaning"]
    assert permissions.READ_BASIC in by_check(ran)["token"]["meaning"]
    ran = command.run("doctor", "--json", INDUSTRYDATA_TOKEN="nonsense")
    assert ran.code == 3
    assert "which is not a JWT" in by_check(ran)["token"]["meaning"]
    assert "does not accept the token" in by_check(ran)["access"]["meaning"]


def test_a_service_that_is_not_there_is_said_to_be(command: Command) -> None:
    ran = command.run("doctor", "--json", FUNCTIONS_PORT=str(free_ports(1)[0]))
    assert ran.code == 4
    found = by_check(ran)
    assert found["service"]["result"] == "wrong"
    assert found["service"]["meaning"].endswith("Start the local stack: `make run`.")
    assert list(found) == ROWS[:3]


def test_something_else_at_the_address_is_not_taken_for_the_service(
    command: Command, stack: Stack
) -> None:
    ran = command.run("doctor", "--json", FUNCTIONS_PORT=str(stack.config.cosmos_port))
    assert ran.code == 1
    assert by_check(ran)["service"]["result"] == "wrong"


async def test_a_store_that_is_away_is_named(command: Command, stack: Stack) -> None:
    await asyncio.to_thread(stack.kill, "cosmos")
    try:
        async with asyncio.timeout(60):
            # What the service knows of it may be some seconds old.
            found: dict[str, Any] = {}
            while found.get("store", {}).get("result") != "wrong":
                ran = await asyncio.to_thread(command.run, "doctor", "--json")
                found = by_check(ran)
    finally:
        await asyncio.to_thread(stack.start, "cosmos")
    assert ran.code == 1
    assert found["store"]["meaning"].startswith("Cosmos DB: It ")
    assert found["store"]["meaning"].endswith("Nothing can be read or written until it does.")
    assert found["service"]["result"] == "wrong"
    assert found["queue"]["result"] == "ok"


@pytest.mark.parametrize(
    ("part", "check", "meaning"),
    [
        ("service_bus", "queue", "Service Bus: It does not answer."),
        ("azurite", "archive", "Blob Storage: It does not answer."),
    ],
)
async def test_another_part_that_is_away_is_named_and_no_other_is(
    command: Command, stack: Stack, part: str, check: str, meaning: str
) -> None:
    await asyncio.to_thread(stack.kill, part)
    try:
        async with asyncio.timeout(60):
            # Its figures are up to ten seconds old.
            found: dict[str, Any] = {}
            while found.get(check, {}).get("result") != "wrong":
                ran = await asyncio.to_thread(command.run, "doctor", "--json")
                found = by_check(ran)
    finally:
        await asyncio.to_thread(stack.start, part)
    assert ran.code == 1
    assert found[check]["meaning"].startswith(meaning)
    others = {name: each["result"] for name, each in found.items() if name != check}
    assert set(others.values()) == {"ok"}
