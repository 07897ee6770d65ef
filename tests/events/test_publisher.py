"""What a publisher of events is answered, and how long that takes, on a real queue."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from azure.servicebus.aio import ServiceBusClient

from shared.adapters.service_bus import SEND_SECONDS, QueuePublisher
from shared.contract.events import MAX_EVENT_BYTES, Message, read_event
from shared.domain.errors import InvalidEvent, PublishFailed
from tests.emulators.service_bus_fixtures import (
    SDK_LEAKS_SOCKETS,
    Emulator,
    QueueEnds,
    Wire,
    running,
)

LINK_IDLE_SECONDS = 1.5
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


QUEUES = {f"q{number}": dict[str, Any]() for number in range(8)}
_unused = iter(QUEUES)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(tmp_path_factory.mktemp("publisher"), QUEUES) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def idle_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A Service Bus that detaches idle links soon; in Azure it takes ten minutes."""
    folder = tmp_path_factory.mktemp("idle")
    option = ("--link-idle-seconds", str(LINK_IDLE_SECONDS))
    with running(folder, {"readiness": {}}, *option) as emulator:
        yield emulator


@pytest.fixture
def name() -> str:
    """A queue that no other test uses: what one leaves in it is nothing to wait for."""
    return next(_unused)


@pytest.fixture
def queue(bus: Emulator, name: str) -> QueueEnds:
    return QueueEnds(bus, name)


@asynccontextmanager
async def publishing(
    bus: Emulator, queue: str, port: int | None = None, **settings: Any
) -> AsyncIterator[QueuePublisher]:
    client = ServiceBusClient.from_connection_string(
        bus.connection_string(port), retry_total=1, retry_backoff_factor=0.2
    )
    publisher = QueuePublisher(client, queue, **settings)
    yield publisher
    await publisher.close()


def event(body: bytes = b"{}", **more: Any) -> Message:
    return Message(str(uuid.uuid4()), body, more.pop("traceparent", None), **more)


def kept(queue: QueueEnds) -> list[str]:
    return sorted(str(message) for message in queue.kept())


async def test_the_largest_event_that_is_read_can_be_put_back(
    bus: Emulator, queue: QueueEnds
) -> None:
    """With everything that putting back adds: a delay, the number of attempts, the trace."""
    largest = b" " * MAX_EVENT_BYTES
    with pytest.raises(InvalidEvent, match="not JSON"):
        read_event(largest)
    async with publishing(bus, queue.name) as publisher:
        await publisher.publish(event(largest, traceparent=TRACE, delay=300.0, attempts=300))
    [found] = queue.receiver.peek_messages(1, sequence_number=1)
    assert len(b"".join(found.body)) == MAX_EVENT_BYTES
    queue.sender.cancel_scheduled_messages(found.sequence_number or 0)


async def test_an_event_that_is_too_large_is_refused_with_both_sizes(
    bus: Emulator, name: str
) -> None:
    larger = b" " * (MAX_EVENT_BYTES + 1)
    with pytest.raises(InvalidEvent, match="261120"):
        read_event(larger)
    async with publishing(bus, name) as publisher:
        with pytest.raises(PublishFailed) as failure:
            await publisher.publish(event(larger))
        assert "261121 bytes" in failure.value.why
        assert "takes 261120" in failure.value.why
        await publisher.publish(event())  # nothing rests because of it


async def test_every_way_in_which_a_send_fails_reaches_its_publisher(
    bus: Emulator, queue: QueueEnds
) -> None:
    async with publishing(bus, queue.name) as publisher:
        await publisher.publish(event(b"0"))
        # The second and third leave together, and AMQP has no integer for what the third holds.
        outcomes = await asyncio.gather(
            publisher.publish(event(b"1")),
            publisher.publish(event(b"2")),
            publisher.publish(event(b"3", attempts=2**70)),
            return_exceptions=True,
        )
    sent = kept(queue)
    for number, outcome in enumerate(outcomes, 1):
        assert (outcome is None) == (str(number) in sent)
        assert outcome is None or isinstance(outcome, PublishFailed)
    assert isinstance(outcomes[2], PublishFailed)


async def test_who_began_a_send_may_give_up_and_the_others_are_served(
    bus: Emulator, queue: QueueEnds
) -> None:
    async with publishing(bus, queue.name) as publisher:
        first = asyncio.create_task(publisher.publish(event(b"first")))
        await asyncio.sleep(0)
        others = [asyncio.create_task(publisher.publish(event(b"other"))) for _ in range(3)]
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(*others)
    assert kept(queue).count("other") == 3


@SDK_LEAKS_SOCKETS
async def test_a_sender_is_replaced_before_it_was_idle_for_too_long(
    bus: Emulator, queue: QueueEnds
) -> None:
    hop = Wire(bus.port)
    async with publishing(bus, queue.name, hop.port, idle_seconds=1.0) as publisher:
        for _ in range(3):
            await publisher.publish(event(b"a"))
            await asyncio.sleep(0.4)
        assert hop.accepted == 1
        await asyncio.sleep(1)
        await publisher.publish(event(b"b"))
        assert hop.accepted == 2
    hop.close()
    gc.collect()
    assert kept(queue) == ["a", "a", "a", "b"]


@pytest.mark.parametrize(("idle_seconds", "errors"), [(1.0, False), (60.0, True)])
async def test_a_link_that_service_bus_detached_is_replaced_before_a_send_fails_on_it(
    idle_bus: Emulator, caplog: pytest.LogCaptureFixture, idle_seconds: float, errors: bool
) -> None:
    """The SDK finds out by a send that fails, which its log says; that takes twice as long."""
    caplog.set_level(logging.INFO, "azure.servicebus.aio")
    async with publishing(idle_bus, "readiness", idle_seconds=idle_seconds) as publisher:
        await publisher.publish(event(b"a"))
        await asyncio.sleep(LINK_IDLE_SECONDS + 1.0)
        await publisher.publish(event(b"b"))
    failed = [record for record in caplog.records if "has an exception" in record.message]
    assert bool(failed) == errors


@SDK_LEAKS_SOCKETS
async def test_the_first_connection_may_take_longer_than_a_send(
    bus: Emulator, queue: QueueEnds
) -> None:
    hop = Wire(bus.port, delay=3.5)
    async with publishing(bus, queue.name, hop.port) as publisher:
        await publisher.publish(event(b"a"))
    hop.close()
    gc.collect()
    assert kept(queue) == ["a"]


@SDK_LEAKS_SOCKETS
async def test_no_publisher_waits_for_a_link_to_close(bus: Emulator, name: str) -> None:
    async with publishing(bus, name) as publisher:
        await publisher.publish(event())
        os.kill(bus.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for _ in range(2):  # and while it rests, no publisher waits for the queue either
                with pytest.raises(PublishFailed):
                    await publisher.publish(event())
            answered = time.monotonic() - began
            await publisher.close()
            closed = time.monotonic() - began
        finally:
            os.kill(bus.pid, signal.SIGCONT)
    gc.collect()
    # The SDK takes up to a second to close; had that been waited for, nothing would be left of it.
    assert SEND_SECONDS <= answered < closed - 0.1
