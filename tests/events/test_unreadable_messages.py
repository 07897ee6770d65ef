"""Messages that can never be applied, over the whole stack: archived at first sight."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
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
from shared.contract.dead_letters import QueueMessage
from shared.contract.redaction import HIDDEN
from tests.emulators.service_bus_fixtures import ROOT
from tests.support.api import Api, Flow
from tests.support.logs import logged
from tests.support.queue import FORMS, Form, Queue
from tests.support.waiting import until

ARCHIVED = '"event": "deadLetterArchived"'
SENDERS = Path(__file__).with_name("service_bus_senders.mjs")


async def fire(stack: Stack, http: aiohttp.ClientSession) -> None:
    """Run the timer function that archives dead letters now."""
    admin = f"http://127.0.0.1:{stack.config.functions_port}/admin/functions"
    async with http.post(f"{admin}/archive_dead_letters", json={}) as response:
        assert response.status == 202


def poison(flow: Flow, **data: Any) -> ServiceBusMessage:
    """A report that the service refuses whenever it comes."""
    about = {"readinessStatus": "sideways", **data}
    return flow.event("readinessReported", str(uuid.uuid4()), datetime.now(UTC), about)


async def test_poison_is_archived_at_first_sight_in_one_line_each_and_holds_nothing_up(
    service: Api, queue: Queue, stack: Stack, ready_flow: Flow
) -> None:
    log = stack.log_file("host")
    before = log.stat().st_size
    bodies = (b"not an event", b"\xff\xfe", b"{}", b"[" * 10_000, b"null")
    broken = [ServiceBusMessage(b, message_id=str(uuid.uuid4())) for b in bodies * 50]
    refused = [poison(ready_flow) for _ in range(50)]
    for start in range(0, len(broken), 50):
        await queue.sender.send_messages(broken[start : start + 50])
    await queue.sender.send_messages(refused)
    flow = await service.new_flow("user")
    # What is right is processed behind them, also about the set that they name.
    assert await queue.outcome(ready_flow.report("expired", datetime.now(UTC))) == "applied"
    await flow.until_status("ready")
    ids = {str(message.message_id) for message in (*broken, *refused)}
    letters = await queue.dead_lettered(*ids)
    # Each took five deliveries once.
    assert {letter["deliveryCount"] for letter in letters} == {1}
    faults = {letter["messageId"]: letter["fault"] for letter in letters}
    assert all(faults[str(m.message_id)].startswith("The message is not") for m in broken)
    await logged(stack, "deadLetterArchived", str(refused[-1].message_id))
    said = log.read_bytes()[before:].decode(errors="replace")
    about = [json.loads(line[line.index("{") :]) for line in said.splitlines() if ARCHIVED in line]
    assert sorted(e["messageId"] for e in about if e["messageId"] in ids) == sorted(ids)
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


async def test_what_can_never_succeed_is_kept_with_its_reason(
    queue: Queue, ready_flow: Flow
) -> None:
    message = poison(ready_flow)
    message.application_properties = {"sender": "test"}
    message.content_type = "application/cloudevents+json"
    before = datetime.now(UTC)
    await queue.send(message)
    [letter] = await queue.dead_lettered(message.message_id)
    body = str(message)
    assert letter["body"] == json.loads(body)
    assert letter["bodySize"] == len(body)
    assert letter["bodySha256"] == hashlib.sha256(body.encode()).hexdigest()
    assert letter["contentType"] == "application/cloudevents+json"
    assert letter["properties"]["sender"] == "test"
    assert (letter["deliveryCount"], letter["deadLetterReason"]) == (1, None)
    assert "data.readinessStatus: Must be one of" in letter["fault"]
    archived = datetime.fromisoformat(letter["archivedDateTime"])
    assert before < archived <= datetime.now(UTC)


async def test_the_archive_keeps_no_secret(queue: Queue, ready_flow: Flow) -> None:
    secret = secrets.token_urlsafe(18)
    about = {"password": secret, "note": f"Endpoint=sb://a/;SharedAccessKey={secret}"}
    message = poison(ready_flow, **about)
    message.application_properties = {"accessKey": secret}
    opaque = ServiceBusMessage(f"not JSON, {secret}", message_id=str(uuid.uuid4()))
    await queue.send(message, opaque)
    letters = await queue.dead_lettered(message.message_id, opaque.message_id)
    assert secret not in json.dumps(letters)
    bodies = {letter["messageId"]: letter["body"] for letter in letters}
    assert bodies[opaque.message_id] is None
    assert bodies[message.message_id]["data"]["note"].startswith("Endpoint=sb://a/;")


@FORMS
async def test_the_archive_keeps_the_event_and_no_secret_in_each_form(
    queue: Queue, ready_flow: Flow, form: Form
) -> None:
    secret = secrets.token_urlsafe(18)
    plain = poison(ready_flow, password=secret)
    await queue.send(form(plain))
    [letter] = await queue.dead_lettered(plain.message_id)
    hidden = json.loads(str(plain).replace(secret, HIDDEN))
    assert letter["body"] == hidden
    assert "data.readinessStatus: Must be one of" in letter["fault"]


async def test_a_letter_is_named_by_its_day_and_written_once(queue: Queue) -> None:
    def delivered(count: int) -> QueueMessage:
        return QueueMessage(
            message_id="m",
            sequence_number=secrets.randbelow(2**50) if count == 1 else number,
            enqueued=datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC),
            delivery_count=count,
            content_type=None,
            properties={},
            body=b"{}",
        )

    first = delivered(1)
    number = first.sequence_number
    name = await queue.archive.keep(first)
    assert name == f"2001/02/03/040506-{number}.json"
    assert await queue.archive.keep(delivered(2)) == name
    assert (await queue.archive.read(name))["deliveryCount"] == 1
