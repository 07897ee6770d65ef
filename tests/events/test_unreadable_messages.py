"""Messages that can never be understood, over the whole stack: archived at first sight."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.servicebus import ServiceBusMessage

from local.config import READINESS_QUEUE
from local.stack import Stack
from tests.emulators.service_bus_fixtures import ROOT
from tests.support.api import Api, Flow
from tests.support.logs import logged
from tests.support.queue import Queue
from tests.support.waiting import until

SENDERS = Path(__file__).with_name("service_bus_senders.mjs")


async def fire(stack: Stack, http: aiohttp.ClientSession) -> None:
    """Run the timer function that archives dead letters now."""
    admin = f"http://127.0.0.1:{stack.config.functions_port}/admin/functions"
    async with http.post(f"{admin}/archive_dead_letters", json={}) as response:
        assert response.status == 202


async def test_poison_is_archived_at_first_sight_in_one_line_each(
    service: Api, queue: Queue, stack: Stack
) -> None:
    log = stack.log_file("host")
    before = log.stat().st_size
    poison = [ServiceBusMessage(b"{", message_id=str(uuid.uuid4())) for _ in range(300)]
    for start in range(0, len(poison), 100):
        await queue.sender.send_messages(poison[start : start + 100])
    flow = await service.new_flow("user")
    # A good flow behind them: each took five deliveries once.
    await flow.until_status("ready")
    letters = await queue.dead_lettered(*(message.message_id for message in poison))
    assert {letter["deliveryCount"] for letter in letters} == {1}
    assert len(await logged(stack, "deadLetterArchived", str(poison[-1].message_id))) == 1
    said = log.read_bytes()[before:].decode(errors="replace")
    about = [line for line in said.splitlines() if "deadLetterArchived" in line]
    ids = {message.message_id for message in poison}
    assert sorted(
        json.loads(line[line.index("{") :])["messageId"]
        for line in about
        if any(message_id in line for message_id in ids)  # type: ignore[operator]
    ) == sorted(map(str, ids))
    assert "Traceback" not in said
    assert "Failed (readiness" not in said


@pytest.fixture(scope="module")
async def sent(
    tmp_path_factory: pytest.TempPathFactory, stack: Stack, service: Api
) -> tuple[Flow, dict[str, str]]:
    """A flow, and the ids of messages about it that npm's SDK sent in each form."""
    flow = await service.new_flow("user")
    await flow.until_status("ready")
    event_id, message = flow.report("failed", datetime.now(UTC))
    folder = tmp_path_factory.mktemp("senders")
    (folder / "node_modules").symlink_to(ROOT / "tests" / "node_modules")
    process = await asyncio.create_subprocess_exec(
        *("node", shutil.copy(SENDERS, folder), stack.config.service_bus_connection),
        *(READINESS_QUEUE, str(message)),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return flow, {**json.loads(out), "event": event_id}


async def test_an_object_that_npms_sdk_sends_is_an_event(
    sent: tuple[Flow, dict[str, str]], queue: Queue
) -> None:
    flow, ids = sent
    assert await queue.outcomes(ids["event"]) == ["applied"]
    assert await flow.status() == "failed"


async def test_a_string_that_npms_sdk_sends_is_archived_as_the_event_it_holds(
    sent: tuple[Flow, dict[str, str]], queue: Queue
) -> None:
    flow, ids = sent
    [letter] = await queue.dead_lettered(ids["stringified"])
    assert "JSON inside a JSON string" in letter["fault"]
    assert letter["deliveryCount"] == 1
    assert letter["body"]["data"]["flowId"] == flow.id


@pytest.mark.parametrize(
    ("name", "form"), [("value", "value"), ("nothing", "value"), ("sequence", "sequence")]
)
async def test_a_body_that_never_reaches_the_function_is_archived_by_the_timer(
    sent: tuple[Flow, dict[str, str]],
    queue: Queue,
    stack: Stack,
    http: aiohttp.ClientSession,
    name: str,
    form: str,
) -> None:
    flow, ids = sent
    found: list[dict[str, Any]] = []

    async def archived() -> bool:
        await fire(stack, http)
        found[:] = await queue.archived(ids[name])
        return bool(found)

    await until(archived, f"{name} is archived")
    [letter] = found
    assert letter["deadLetterReason"] == "MaxDeliveryCountExceeded"
    assert (letter["bodyForm"], f"AMQP {form} body" in letter["fault"]) == (form, True)
    event = letter["body"][0] if form == "sequence" else letter["body"]
    assert event is None if name == "nothing" else event["data"]["flowId"] == flow.id
