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

from tests.service_bus_fixtures import (
    PATIENCE,
    SDK_LEAKS_SOCKETS,
    Emulator,
    Wire,
    running,
)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    queues: dict[str, dict[str, Any]] = {
        f"q{number}": {"LockDuration": "PT1M"} for number in range(20)
    }
    queues["short"] = {"LockDuration": "PT1S", "MaxDeliveryCount": 2}
    with running(tmp_path_factory.mktemp("async"), queues) as emulator:
        yield emulator


@pytest.fixture(scope="module")
async def client(bus: Emulator) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(
        bus.connection_string(), retry_total=0
    ) as found:
        yield found


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"q{next(_numbers)}"


@pytest.fixture
async def ends(
    client: ServiceBusClient, queue: str
) -> AsyncIterator[tuple[ServiceBusSender, ServiceBusReceiver]]:
    sender, receiver = client.get_queue_sender(queue), client.get_queue_receiver(queue)
    yield sender, receiver
    await asyncio.gather(sender.close(), receiver.close())


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
    client: ServiceBusClient, queue: str, ends: tuple[ServiceBusSender, ServiceBusReceiver]
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
    graves = client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
    async with graves:
        (grave,) = await receive(graves)
        assert (grave.dead_letter_reason, grave.dead_letter_error_description) == ("R", "D")
        await graves.complete_message(grave)


async def test_a_batch_and_a_message_over_many_frames_arrive(
    ends: tuple[ServiceBusSender, ServiceBusReceiver],
) -> None:
    sender, receiver = ends
    batch = await sender.create_message_batch()
    batch.add_message(ServiceBusMessage("a"))
    batch.add_message(ServiceBusMessage("b" * 900_000))
    await sender.send_messages(batch)
    assert [len(str(message)) for message in await receive(receiver, 2)] == [1, 900_000]


async def test_a_message_that_is_too_large_is_refused_and_the_link_stays(
    ends: tuple[ServiceBusSender, ServiceBusReceiver],
) -> None:
    sender, receiver = ends
    with pytest.raises(MessageSizeExceededError):
        await sender.send_messages(ServiceBusMessage(b"x" * 1024 * 1024))
    await sender.send_messages(ServiceBusMessage("small"))
    assert await kept(receiver) == ["small"]


async def test_receive_and_delete_takes_the_message_out(
    client: ServiceBusClient, queue: str, ends: tuple[ServiceBusSender, ServiceBusReceiver]
) -> None:
    sender, receiver = ends
    await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    async with client.get_queue_receiver(queue, receive_mode=mode, prefetch_count=5) as eraser:
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


async def test_a_lock_ends_and_another_may_have_the_message(client: ServiceBusClient) -> None:
    async with (
        client.get_queue_sender("short") as sender,
        client.get_queue_receiver("short") as receiver,
    ):
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


async def test_an_unknown_queue_is_named_in_the_error(client: ServiceBusClient) -> None:
    sender = client.get_queue_sender("no-such-queue")
    with pytest.raises(MessagingEntityNotFoundError, match="no-such-queue"):
        await sender.send_messages(ServiceBusMessage("body"))
    await sender.close()


async def test_a_session_is_refused_at_once(client: ServiceBusClient, queue: str) -> None:
    receiver = client.get_queue_receiver(queue, session_id="s")
    with pytest.raises(ServiceBusError, match="has no sessions"):
        await receiver.receive_messages()
    await receiver.close()


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
