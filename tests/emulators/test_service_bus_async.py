"""The emulator through the real SDK, asynchronous: where its path differs from the other one."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from azure.servicebus.aio import (
    ServiceBusClient,
    ServiceBusReceiver,
    ServiceBusSender,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
)

from tests.emulators.service_bus_fixtures import (
    PATIENCE,
    SDK_LEAKS_SOCKETS,
    Emulator,
    Wire,
    running,
)

QUEUES = [f"q{number}" for number in range(10)]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    queues: dict[str, dict[str, Any]] = {name: {} for name in QUEUES}
    queues["short"] = {"LockDuration": "PT1S", "MaxDeliveryCount": 2}
    with running(tmp_path_factory.mktemp("async"), queues) as emulator:
        yield emulator


class Links:
    """Opens and closes links at once: one after the other, each takes a second of waiting."""

    def __init__(self, client: ServiceBusClient) -> None:
        self.client = client
        self.opened: list[ServiceBusSender | ServiceBusReceiver] = []
        self.pairs: dict[str, tuple[ServiceBusSender, ServiceBusReceiver]] = {}

    def sender(self, queue: str) -> ServiceBusSender:
        sender = self.client.get_queue_sender(queue)
        self.opened.append(sender)
        return sender

    def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        receiver = self.client.get_queue_receiver(queue, **options)
        self.opened.append(receiver)
        return receiver


@pytest.fixture(scope="module")
async def links(bus: Emulator) -> AsyncIterator[Links]:
    async with ServiceBusClient.from_connection_string(
        bus.connection_string(), retry_total=0
    ) as client:
        found = Links(client)
        pairs = [(found.sender(queue), found.receiver(queue)) for queue in QUEUES]
        await asyncio.gather(*(link.__aenter__() for pair in pairs for link in pair))
        found.pairs = dict(zip(QUEUES, pairs, strict=True))
        yield found
        await asyncio.gather(*(link.close() for link in found.opened))


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return QUEUES[next(_numbers)]


@pytest.fixture
def ends(links: Links, queue: str) -> tuple[ServiceBusSender, ServiceBusReceiver]:
    return links.pairs[queue]


async def receive(receiver: ServiceBusReceiver, count: int = 1) -> list[Any]:
    """Exactly `count` messages; the test fails if they do not come."""
    found: list[Any] = []
    while len(found) < count:
        more = await receiver.receive_messages(count - len(found), max_wait_time=PATIENCE)
        assert more, f"{len(found)} of {count} messages came"
        found += more
    return found


async def kept(receiver: ServiceBusReceiver) -> list[str]:
    return [str(m) for m in await receiver.peek_messages(100, sequence_number=1)]


async def test_every_settlement_is_done(
    links: Links, queue: str, ends: tuple[ServiceBusSender, ServiceBusReceiver]
) -> None:
    sender, receiver = ends
    names = ("complete", "abandon", "defer", "dead-letter")
    await sender.send_messages([ServiceBusMessage(name) for name in names])
    messages = await receive(receiver, 4)
    assert [str(message) for message in messages] == list(names)
    await receiver.complete_message(messages[0])
    await receiver.abandon_message(messages[1])
    await receiver.defer_message(messages[2])
    await receiver.dead_letter_message(messages[3], reason="R", error_description="D")
    peeked = await receiver.peek_messages(10, sequence_number=1)
    assert [(str(m), m.delivery_count, m.state) for m in peeked] == [
        ("abandon", 1, ServiceBusMessageState.ACTIVE),
        ("defer", 0, ServiceBusMessageState.DEFERRED),
    ]
    graves = links.receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
    (grave,) = await receive(graves)
    assert (grave.dead_letter_reason, grave.dead_letter_error_description) == ("R", "D")
    await graves.complete_message(grave)


async def test_a_batch_and_a_message_over_many_frames_arrive(
    ends: tuple[ServiceBusSender, ServiceBusReceiver],
) -> None:
    sender, receiver = ends
    batch = await sender.create_message_batch()
    batch.add_message(ServiceBusMessage("a"))
    batch.add_message(ServiceBusMessage("b" * 250_000))
    await sender.send_messages(batch)
    assert [len(str(message)) for message in await receive(receiver, 2)] == [1, 250_000]


async def test_a_message_that_is_too_large_is_refused_and_the_link_stays(
    ends: tuple[ServiceBusSender, ServiceBusReceiver],
) -> None:
    sender, receiver = ends
    with pytest.raises(MessageSizeExceededError):
        await sender.send_messages(ServiceBusMessage(b"x" * 256 * 1024))
    await sender.send_messages(ServiceBusMessage("small"))
    assert await kept(receiver) == ["small"]


async def test_receive_and_delete_takes_the_message_out(
    links: Links, queue: str, ends: tuple[ServiceBusSender, ServiceBusReceiver]
) -> None:
    sender, receiver = ends
    await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    eraser = links.receiver(queue, receive_mode=mode, prefetch_count=5)
    assert [str(message) for message in await receive(eraser, 2)] == ["a", "b"]
    assert await kept(receiver) == []


async def test_scheduling_cancelling_and_deferring_go_through_management(
    ends: tuple[ServiceBusSender, ServiceBusReceiver],
) -> None:
    sender, receiver = ends
    due = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)
    late = due + dt.timedelta(hours=1)
    first, second = await sender.schedule_messages(
        [ServiceBusMessage("soon"), ServiceBusMessage("never")], late
    )
    await sender.cancel_scheduled_messages([first, second])
    with pytest.raises(MessageNotFoundError):
        await sender.cancel_scheduled_messages(first)
    await sender.schedule_messages(ServiceBusMessage("soon"), due)
    (message,) = await receive(receiver)
    assert dt.datetime.now(dt.UTC) >= due - dt.timedelta(milliseconds=1)
    await receiver.defer_message(message)
    (deferred,) = await receiver.receive_deferred_messages(message.sequence_number)
    await receiver.complete_message(deferred)
    assert await kept(receiver) == []


async def test_a_lock_ends_and_another_may_have_the_message(links: Links) -> None:
    sender, receiver = links.sender("short"), links.receiver("short")
    await sender.send_messages(ServiceBusMessage("body"))
    (first,) = await receive(receiver)
    (again,) = await receive(receiver)
    assert again.delivery_count == 1
    with pytest.raises(MessageLockLostError):
        await receiver.complete_message(first)
    await receiver.complete_message(again)


async def test_a_lock_is_renewed(ends: tuple[ServiceBusSender, ServiceBusReceiver]) -> None:
    sender, receiver = ends
    await sender.send_messages(ServiceBusMessage("body"))
    (message,) = await receive(receiver)
    first_end = message.locked_until_utc
    assert await receiver.renew_message_lock(message) > first_end
    await receiver.complete_message(message)


async def test_a_waiting_receiver_gets_a_message_at_once(
    ends: tuple[ServiceBusSender, ServiceBusReceiver],
) -> None:
    sender, receiver = ends
    await sender.send_messages(ServiceBusMessage("first"))
    await receive(receiver)  # the link is open from here on
    waiting = asyncio.ensure_future(receive(receiver))
    await asyncio.sleep(0.2)  # most likely it waits by now; if not, the test is only weaker
    sent = time.monotonic()
    await sender.send_messages(ServiceBusMessage("second"))
    assert [str(message) for message in await waiting] == ["second"]
    assert time.monotonic() - sent < 2


async def test_an_unknown_queue_is_named_in_the_error(links: Links) -> None:
    sender = links.sender("no-such-queue")
    with pytest.raises(MessagingEntityNotFoundError, match="no-such-queue"):
        await sender.send_messages(ServiceBusMessage("body"))


async def test_a_session_is_refused_at_once(links: Links, queue: str) -> None:
    receiver = links.receiver(queue, session_id="s")
    with pytest.raises(ServiceBusError, match="has no sessions"):
        await receiver.receive_messages()


@SDK_LEAKS_SOCKETS
async def test_a_message_settles_over_management_when_its_link_is_gone(
    bus: Emulator, queue: str, ends: tuple[ServiceBusSender, ServiceBusReceiver]
) -> None:
    sender, watcher = ends
    wire = Wire(bus.port)
    await sender.send_messages(ServiceBusMessage("a"))
    async with (
        ServiceBusClient.from_connection_string(bus.connection_string(wire.port)) as far,
        far.get_queue_receiver(queue) as receiver,
    ):
        (message,) = await receive(receiver)
        wire.cut()
        await receiver.complete_message(message)
        assert await kept(watcher) == []
    await asyncio.to_thread(wire.close)
    gc.collect()
