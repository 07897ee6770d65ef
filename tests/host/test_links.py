"""How many links a queue listener of the local host has, and what happens when they are cut.

The listener runs in this process, on an emulator that also does, so that its links can be counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.functions.meta import Datum
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from local.config import HOST, SERVICE_BUS_CREDENTIALS
from local.emulators.service_bus.config import read_queues
from local.emulators.service_bus.queues import Broker
from local.emulators.service_bus.server import Outbound, Server
from local.host import messages, service_bus
from local.host.invocation import Worker
from local.host.service_bus import QueueListener
from local.host.settings import ServiceBusSettings
from local.host.worker_checks import SERVICE_BUS_TRIGGER, IndexedFunction
from tests.host.host_process import APPS, DEADLINE, until

CALLS = 4
REPORTED = "does not receive from the queue"


class Listening:
    """A listener with a function that notes what it gets and does what they say."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.connection = f"Endpoint=sb://{HOST}:{port};{SERVICE_BUS_CREDENTIALS}"
        self.got: list[str] = []
        self.waiting = asyncio.Event()
        self.listener = self.new_listener()

    def new_listener(self) -> QueueListener:
        function = IndexedFunction(
            name="noting",
            call=self._note,
            trigger={
                "type": SERVICE_BUS_TRIGGER,
                "name": "msg",
                "queueName": "held",
                "connection": "Bus",
            },
            bindings=[],
            returns=None,
            return_type=None,
            has_retry=False,
            file=Path(__file__),
        )
        settings = ServiceBusSettings(max_concurrent_calls=CALLS)
        return QueueListener(function, Worker(), settings, {"Bus": self.connection})

    async def _note(self, msg: Any) -> None:
        self.got.append(msg.get_body().decode())
        if self.got[-1] == "wait":
            await self.waiting.wait()

    async def send(self, *bodies: str) -> None:
        client = ServiceBusClient.from_connection_string(self.connection)
        async with client, client.get_queue_sender("held") as sender:
            await sender.send_messages([ServiceBusMessage(body) for body in bodies])

    @property
    def links(self) -> int:
        """How many links receive from the queue."""
        queue = self.server.broker.find("held")
        assert queue is not None
        return len(self.server.receivers.get(queue, ()))

    @property
    def locked(self) -> int:
        """How many messages are locked."""
        queue = self.server.broker.find("held")
        assert queue is not None
        return len(queue._locked)

    def cut(self, count: int) -> None:
        """Reset the connections of some of the links."""
        receiving = [
            connection
            for connection in self.server.connections
            for session in connection.sessions.values()
            for link in session.links.values()
            if isinstance(link, Outbound) and link.node.name == "held"
        ]
        for connection in receiving[:count]:
            connection.transport.abort()


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    broker = Broker(tmp_path, read_queues(APPS / "bus" / "queues.json"))
    server = Server(broker)
    try:
        started = Listening(server, await server.start(HOST, 0))
        started.listener.start()
        await until(lambda: started.links == 1)
        yield started
        started.waiting.set()
        await started.listener.stop(5)
        await server.stop()
    finally:
        broker.close()


async def test_one_link_waits_and_all_are_there_with_the_first_message(
    listening: Listening,
) -> None:
    await listening.send("hello")
    await until(lambda: listening.links == CALLS)
    assert listening.got == ["hello"]


async def test_slow_calls_do_not_keep_others_from_being_made(listening: Listening) -> None:
    await listening.send(*["wait"] * (CALLS - 1), "quick")
    await until(lambda: "quick" in listening.got)
    await until(lambda: listening.locked == CALLS - 1)


async def test_links_without_messages_go_and_one_stays(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_bus, "_RECEIVE_WAIT", 0.5)
    await listening.send("before")
    await until(lambda: listening.links == CALLS)
    await until(lambda: listening.links == 1)
    await listening.send("after")
    await until(lambda: listening.got == ["before", "after"])


async def test_a_link_that_works_does_not_count_as_one_that_waits(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_bus, "_RECEIVE_WAIT", 0.5)
    await listening.send("wait")
    await until(lambda: listening.links == CALLS)
    await until(lambda: listening.links == 2)
    await listening.send("after")
    await until(lambda: listening.got == ["wait", "after"])


async def test_the_loss_of_some_links_is_no_outage(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    await listening.send("before")
    await until(lambda: listening.links == CALLS)
    listening.cut(CALLS - 1)
    await until(lambda: listening.links == 1)
    await until(lambda: listening.links == CALLS)
    await listening.send("after")
    await until(lambda: "after" in listening.got)
    assert REPORTED not in caplog.text


async def test_the_loss_of_all_links_is_reported_once(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "local.host")
    await listening.send("before")
    await until(lambda: listening.links == CALLS)
    listening.cut(CALLS)
    await until(lambda: "receives from the queue held again" in caplog.text)
    await listening.send("after")
    await until(lambda: "after" in listening.got)
    assert caplog.text.count(REPORTED) == 1


async def test_stop_gives_back_what_runs(listening: Listening) -> None:
    await listening.send(*["wait"] * CALLS)
    await until(lambda: listening.got == ["wait"] * CALLS)
    await listening.listener.stop(0.1)
    assert (listening.links, listening.locked) == (0, 0)


async def test_stop_lets_what_runs_end(listening: Listening) -> None:
    await listening.send("wait")
    await until(lambda: listening.got == ["wait"])
    stopping = asyncio.ensure_future(listening.listener.stop(10 * DEADLINE))
    await until(lambda: listening.links == 1)  # the others had nothing to do
    listening.waiting.set()
    await asyncio.wait_for(stopping, DEADLINE)
    queue = listening.server.broker.find("held")
    assert queue is not None
    assert list(queue.peek(0, 1)) == []
    assert listening.links == 0


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T07:21:39",
        "2026-11-24T07:21:39.5",
        "2026-11-24T07:21:39.123456",
        "2026-11-24T07:21:39.1234567",
        "9999-12-31T23:59:59.9999999",
        "2026-11-24T07:21:39.123456+00:00",
        "2026-11-24T07:21:39Z",
        "11/24/2026 07:21:39Z",
        "",
        None,
    ],
)
def test_times_are_read_as_the_library_reads_them(text: str | None) -> None:
    registry = func.get_binding_registry()
    assert messages.Converter._parse_datetime(text) == registry.get(
        SERVICE_BUS_TRIGGER
    )._parse_datetime(text)


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00", "2026-11-24 07:21:39", "soon"])
def test_what_is_no_time_is_refused_as_the_library_refuses_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        messages.Converter._parse_datetime(text)


def test_a_message_is_the_librarys_own() -> None:
    value = Datum("body", "string")
    metadata = {
        "UserProperties": Datum("{}", "json"),
        "MessageId": Datum("1", "string"),
        "DeliveryCount": Datum("1", "json"),
        "EnqueuedTimeUtc": Datum('"2026-11-24T07:21:39.123456"', "json"),
    }
    registry = func.get_binding_registry()
    theirs = registry.get(SERVICE_BUS_TRIGGER).decode(value, trigger_metadata=metadata)
    ours = messages.Converter.decode(value, trigger_metadata=metadata)
    assert type(ours) is type(theirs)
    assert vars(ours) == vars(theirs)
