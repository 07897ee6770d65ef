"""The dead-letter queue: what a run of the timer takes from it, and what it leaves there.

Queue and SDK are real, and so is the archive; the queue is one that only these tests read.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties
from azure.storage.blob.aio import BlobServiceClient

from local.components import free_ports
from local.config import LocalConfig
from local.stack import Stack
from shared.adapters.archive import Archive
from shared.adapters.dead_letter_queue import DeadLetterQueue
from shared.adapters.service_bus import QueuePublisher
from shared.contract import events
from shared.contract.dead_letters import QueueMessage
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import Conflict, InvalidEvent, Unavailable
from shared.services.archiving import Archiving
from shared.services.dead_letters import DeadLetters
from tests.emulators.service_bus_fixtures import SDK_LEAKS_SOCKETS, Emulator, running

GUID = "9ab41255-5364-4c53-e15c-08dc4ab6ee03"
EVENT: dict[str, Any] = json.loads(
    events.report(GUID, "userProvisioningFlow", GUID, "failed", reason="No licence.").body
)
ODD = uuid.UUID(int=7)
AT = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(tmp_path_factory.mktemp("dead-letters"), {"readiness": {}}) as emulator:
        yield emulator


@dataclass(frozen=True)
class World:
    """The use cases, and links to the queue behind them: the SDK takes a second to close one."""

    archiving: Archiving
    letters: DeadLetters
    client: ServiceBusClient
    sender: ServiceBusSender
    receiver: ServiceBusReceiver
    dead: ServiceBusReceiver

    async def dead_letter(self, *messages: AmqpAnnotatedMessage) -> None:
        """Put messages into the dead-letter queue as they are."""
        await self.sender.send_messages(list(messages))
        for _ in messages:
            await self.receiver.dead_letter_message(await self.received(), "R", "D")

    async def received(self) -> ServiceBusReceivedMessage:
        """The next message of the queue."""
        [message] = await self.receiver.receive_messages(1, max_wait_time=10)
        return message

    async def left(self) -> int:
        """How many messages are in the dead-letter queue."""
        return len(await self.dead.peek_messages(250, sequence_number=1))

    async def names(self, *message_ids: str) -> list[str]:
        """How the archive names messages, in this order."""
        archive, found = self.letters.archive, {}
        async for name in archive.names(f"{datetime.now(UTC):%Y/%m/%d}"):
            found[(await archive.read(name))["messageId"]] = name
        return [found[message_id] for message_id in message_ids]

    async def kept(self, *message_ids: str) -> list[dict[str, Any]]:
        """The records of messages in the archive, in this order."""
        return [await self.letters.archive.read(name) for name in await self.names(*message_ids)]

    async def empty(self) -> None:
        """Take what is in the dead-letter queue."""
        while await self.left():
            async with self.client.get_queue_receiver(
                "readiness", sub_queue=ServiceBusSubQueue.DEAD_LETTER
            ) as receiver:
                for message in await receiver.receive_messages(100, max_wait_time=1):
                    await receiver.complete_message(message)


@pytest.fixture(scope="module")
async def parts(bus: Emulator, stack: Stack) -> AsyncIterator[World]:
    """The parts, with their links."""
    storage = BlobServiceClient.from_connection_string(stack.config.storage_connection)
    client = ServiceBusClient.from_connection_string(bus.connection_string())
    publisher = QueuePublisher(
        ServiceBusClient.from_connection_string(bus.connection_string()), "readiness"
    )
    queue = DeadLetterQueue(client, "readiness")
    async with (
        storage,
        client,
        client.get_queue_sender("readiness") as sender,
        client.get_queue_receiver("readiness") as receiver,
        client.get_queue_receiver("readiness", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead,
    ):
        archive = Archive(storage, LOCAL_TENANT)
        archiving = Archiving([LOCAL_TENANT], lambda: archive, queue)
        yield World(
            archiving, DeadLetters(archive, publisher, LOCAL_TENANT), client, sender, receiver, dead
        )
    await publisher.close()


@pytest.fixture
async def world(parts: World) -> AsyncIterator[World]:
    """The parts; what a test leaves in the dead-letter queue is taken away."""
    yield parts
    await parts.empty()


def message(**body: Any) -> AmqpAnnotatedMessage:
    """A message with one of AMQP's kinds of body, and an id of its own."""
    made = AmqpAnnotatedMessage(**body)
    made.properties = AmqpMessageProperties(message_id=str(uuid.uuid4()))
    return made


def id_of(made: AmqpAnnotatedMessage) -> str:
    assert made.properties is not None
    return str(made.properties.message_id)


BODIES: dict[str, tuple[dict[str, Any], str, Any]] = {
    "data": ({"data_body": json.dumps(EVENT)}, "data", EVENT),
    "data in parts": ({"data_body": [b'{"a"', b": 1}"]}, "data", {"a": 1}),
    "text": ({"value_body": json.dumps(EVENT)}, "data", EVENT),
    "map": ({"value_body": EVENT}, "value", EVENT),
    "map of all kinds": (
        {
            "value_body": {
                "id": ODD,
                "at": AT,
                "n": None,
                "f": float("inf"),
                "b": b"\xff",
                "t": True,
            }
        },
        "value",
        {"id": str(ODD), "at": 1_796_029_200_000, "n": None, "f": "inf", "b": "/w==", "t": True},
    ),
    "list": ({"value_body": [EVENT, EVENT]}, "value", [EVENT, EVENT]),
    "number": ({"value_body": 7}, "value", None),
    "sequence": ({"sequence_body": [EVENT]}, "sequence", [EVENT]),
    "sequences": ({"sequence_body": [[EVENT], [EVENT]]}, "sequence", [EVENT, EVENT]),
}


async def test_every_kind_of_body_is_archived_and_completed(world: World) -> None:
    sent = {name: message(**body) for name, (body, _, _) in BODIES.items()}
    await world.dead_letter(*sent.values())
    await world.archiving.collect()
    assert await world.left() == 0
    kept = await world.kept(*map(id_of, sent.values()))
    found = {
        name: (letter["bodyForm"], letter["body"]) for name, letter in zip(sent, kept, strict=True)
    }
    assert found == {name: (form, value) for name, (_, form, value) in BODIES.items()}
    for letter in kept:
        assert (letter["deadLetterReason"], letter["deadLetterDescription"]) == ("R", "D")
        if letter["bodyForm"] != "data":
            assert f"AMQP {letter['bodyForm']} body" in letter["fault"]


async def test_ids_and_properties_of_any_type_are_archived(world: World) -> None:
    odd = AmqpAnnotatedMessage(
        data_body=b"{}",
        application_properties={"id": ODD, "at": AT, "token": "hunter2"},
        properties=AmqpMessageProperties(message_id=ODD),
    )
    await world.dead_letter(odd)
    await world.archiving.collect()
    [letter] = await world.kept(str(ODD))
    assert letter["properties"]["id"] == str(ODD)
    assert letter["properties"]["token"] == "[hidden]"
    assert await world.left() == 0


async def test_what_was_sent_as_an_amqp_value_is_put_back_as_an_event(world: World) -> None:
    wrong = message(value_body=EVENT)
    await world.dead_letter(wrong)
    await world.archiving.collect()
    [name] = await world.names(id_of(wrong))
    await world.letters.replay(name)
    back = await world.received()
    await world.receiver.complete_message(back)
    event = events.read_event(b"".join(back.body))
    assert isinstance(event, events.ReadinessEvent)
    assert (event.id, event.status) == (EVENT["id"], "failed")


async def test_an_event_of_a_later_version_is_put_back_for_that_release(world: World) -> None:
    newer = EVENT | {"dataversion": 99}
    made = message(data_body=json.dumps(newer))
    await world.dead_letter(made)
    await world.archiving.collect()
    [name] = await world.names(id_of(made))
    await world.letters.replay(name)
    back = await world.received()
    await world.receiver.complete_message(back)
    assert json.loads(b"".join(back.body)) == newer | {"tenantid": LOCAL_TENANT}


async def test_a_pass_takes_a_bounded_number_and_a_full_one_is_followed_at_once(
    world: World,
) -> None:
    await world.dead_letter(*(message(data_body=b"{}") for _ in range(23)))
    taken: list[QueueMessage] = []

    async def keep(letter: QueueMessage) -> None:
        taken.append(letter)

    assert await world.archiving.queue.take(20, 30, keep) == 20
    assert (len(taken), await world.left()) == (20, 3)
    began = time.monotonic()
    await replace(world.archiving, pass_messages=1).collect()
    assert await world.left() == 0
    assert time.monotonic() - began < 30


async def test_an_empty_queue_is_not_waited_for(world: World) -> None:
    began = time.monotonic()
    patient = DeadLetterQueue(world.client, "readiness", wait_seconds=30)
    assert await patient.take(1, 60, world.archiving.keep) == 0
    assert time.monotonic() - began < 20


async def test_what_cannot_be_archived_stays_and_is_archived_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    made = [message(data_body=b"{}") for _ in range(3)]
    await world.dead_letter(*made)
    nowhere = LocalConfig(azurite_blob_port=free_ports(1)[0]).storage_connection
    async with BlobServiceClient.from_connection_string(nowhere, retry_total=0) as storage:
        archive = Archive(storage, LOCAL_TENANT)
        await replace(world.archiving, archive=lambda: archive).collect()
    assert await world.left() == 3
    # Said in one line; the next run tries again.
    assert [record.message for record in caplog.records if "deadLettersLeft" in record.message]
    await world.archiving.collect()
    assert len(await world.kept(*map(id_of, made))) == 3
    assert await world.left() == 0


async def test_one_that_cannot_be_archived_does_not_hold_up_the_others(world: World) -> None:
    bad, good = message(data_body=b"bad"), message(data_body=b"good")
    await world.dead_letter(bad, good)

    async def keep(letter: QueueMessage) -> None:
        if letter.body == b"bad":
            raise InvalidEvent("bad")

    with pytest.raises(InvalidEvent):
        await world.archiving.queue.take(2, 30, keep)
    assert await world.left() == 1


@SDK_LEAKS_SOCKETS
async def test_a_queue_that_does_not_answer_ends_the_run_in_time(
    world: World, bus: Emulator
) -> None:
    await world.dead_letter(message(data_body=b"{}"))
    os.kill(bus.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await world.archiving.queue.take(1, 1.0, world.archiving.keep)
        # A second, and five that closing may take.
        assert time.monotonic() - began < 20
    finally:
        os.kill(bus.pid, signal.SIGCONT)
    await world.archiving.collect()
    assert await world.left() == 0


# --- discarding ---------------------------------------------------------------------------------


async def test_a_letter_is_discarded_once_with_its_reason_and_waits_no_more(world: World) -> None:
    made = message(data_body=json.dumps(EVENT))
    await world.dead_letter(made)
    await world.archiving.collect()
    [name] = await world.names(id_of(made))
    assert name not in await world.letters.archive.discarded()
    await world.letters.discard(name, "A test of ours.")
    assert name in await world.letters.archive.discarded()
    letter = await world.letters.read(name)
    assert letter["reason"] == "A test of ours."
    assert datetime.fromisoformat(letter["discardedDateTime"]).tzinfo is not None
    assert letter["body"] == EVENT
    with pytest.raises(Conflict, match="discarded before"):
        await world.letters.discard(name, "Again.")
    with pytest.raises(Conflict, match="was discarded"):
        await world.letters.replay(name)
    await world.letters.replay(name, again=True)
    back = await world.received()
    await world.receiver.complete_message(back)
    with pytest.raises(Conflict, match="put back before"):
        await world.letters.discard(name, "Too late.")
