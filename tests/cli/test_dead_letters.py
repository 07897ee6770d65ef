"""`industrydata dead-letters`: what an operator does with messages that could not be processed."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob.aio import BlobServiceClient

from local.stack import Stack
from shared.adapters.archive import Archive
from shared.domain.context import LOCAL_TENANT
from tests.cli.conftest import Command
from tests.support.api import Flow
from tests.support.letters import dead_letter

LETTERS = "dead-letters"
UNKNOWN_NAME = "2001/01/01/000000-1.json"


@pytest.fixture(scope="module")
async def archive(stack: Stack) -> AsyncIterator[Archive]:
    async with BlobServiceClient.from_connection_string(stack.config.storage_connection) as storage:
        yield Archive(storage, LOCAL_TENANT)


async def keep(archive: Archive, body: bytes, age: timedelta = timedelta()) -> str:
    """Archive a message as a dead letter; return its name."""
    return await archive.keep(dead_letter(body, age))


async def report(archive: Archive, flow: Flow) -> str:
    """Archive a good report, as after an outage; return the letter's name."""
    _, message = flow.report("failed", datetime.now(UTC))
    return await keep(archive, b"".join(message.body))


async def test_a_letter_is_listed_shown_and_put_back_once(
    command: Command, archive: Archive, ready_flow: Flow
) -> None:
    name = await report(archive, ready_flow)
    faulty = await keep(archive, b'{"type": "another"}')

    listed = (await asyncio.to_thread(command.ok, LETTERS, "list", "--day", name[:10])).out
    rows = {line.split()[0]: line for line in listed.splitlines()}
    assert rows["NAME"].split() == ["NAME", "STATE", "WHY"]
    assert rows[name].endswith("  waiting  well-formed; MaxDeliveryCountExceeded")
    assert "  waiting  The message is not a readiness event" in rows[faulty]
    shown = await asyncio.to_thread(command.ok, LETTERS, "show", name)
    assert json.loads(shown.out)["body"]["data"]["flowId"] == ready_flow.id

    ran = await asyncio.to_thread(command.ok, LETTERS, "replay", name)
    assert ran.out == f"{name}  replayed\n1 dead letter replayed, 0 not.\n"
    await ready_flow.until_status("failed")
    again = await asyncio.to_thread(command.run, LETTERS, "replay", name, faulty, "--json")
    assert again.code == 1
    assert [(each["name"], each["replayed"]) for each in again.values()] == [
        (name, False),
        (faulty, False),
    ]
    assert again.err == "2 dead letters not replayed.\n"
    everything = await asyncio.to_thread(command.ok, LETTERS, "list", "--all", "--json")
    assert {each["name"]: each["state"] for each in everything.values()}[name] == "replayed"


async def test_all_of_a_day_are_put_back_page_after_page_but_those_that_cannot_be(
    command: Command, archive: Archive, ready_flow: Flow
) -> None:
    age = timedelta(days=7000 + secrets.randbelow(900))
    names = [await keep(archive, b'{"type": "another"}', age) for _ in range(51)]
    day = names[0][:10]
    listed = await asyncio.to_thread(command.ok, LETTERS, "list", "--day", day, "--json")
    assert {each["name"] for each in listed.values()} == set(names)
    ran = await asyncio.to_thread(command.ok, LETTERS, "replay", "--all", "--day", day)
    assert ran.out.endswith("0 dead letters replayed, 51 not.\n")
    discard = (LETTERS, "discard", "--all", "--day", day, "--reason", "A test.")
    ran = await asyncio.to_thread(command.ok, *discard)
    assert ran.out.endswith("51 dead letters discarded, 0 not.\n")
    empty = await asyncio.to_thread(command.ok, LETTERS, "list", "--day", day)
    assert empty.out == "No dead letter waits.\n"


async def test_a_letter_is_discarded_with_a_reason(command: Command, archive: Archive) -> None:
    name = await keep(archive, b"no event")
    discard = (LETTERS, "discard", name, "--reason", " Sent by mistake. ")
    ran = await asyncio.to_thread(command.ok, *discard)
    assert ran.out.startswith(f"{name}  discarded\n")
    shown = await asyncio.to_thread(command.ok, LETTERS, "show", name, "--json")
    assert shown.value()["reason"] == "Sent by mistake."
    again = await asyncio.to_thread(command.run, *discard)
    assert again.code == 1
    assert f"{name}  It was discarded before." in again.out


def test_a_letter_that_does_not_exist_is_named(command: Command) -> None:
    shown = command.run(LETTERS, "show", UNKNOWN_NAME)
    assert (shown.code, shown.out) == (1, "")
    assert UNKNOWN_NAME in shown.err
    assert "`industrydata dead-letters list --all`" in shown.err
    assert command.run(LETTERS, "replay", UNKNOWN_NAME).code == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["list", "--day", "today"], "is not of the form 2026/11/24"),
        (["show", "../replays/x.json"], "is not of the form 2026/11/24/091500-17.json"),
        (["replay"], "or give --all"),
        (["replay", "--all", UNKNOWN_NAME], "or give --all"),
        (["replay", UNKNOWN_NAME, "--day", "2026/11/24"], "together with --all"),
        (["discard", "--all"], "--reason"),
        (["discard", "--all", "--reason", " "], "give 1 to 1024 characters"),
        (["discard", "--all", "--reason", "x" * 1025], "give 1 to 1024 characters"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_sent(
    command: Command, arguments: list[str], why: str
) -> None:
    ran = command.run(LETTERS, *arguments, SERVICE_ROOT="http://127.0.0.1:9/beta")
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
