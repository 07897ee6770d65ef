"""Service Bus queue functions under the local host, with the real SDK and the emulator."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from local.config import SERVICE_BUS_CREDENTIALS
from tests.host.host_process import APPS, DEADLINE, ROOT, HostProcess, until

Seen = dict[str, Any]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Emulator:
    """The Service Bus emulator as a process that a test may kill and start again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection(self) -> str:
        return f"Endpoint=sb://127.0.0.1:{self.port};{SERVICE_BUS_CREDENTIALS}"

    async def start(self) -> None:
        log = self._spawn()
        await until(lambda: "listening on" in log.read_text())

    def _spawn(self) -> Path:
        log = self._folder / "emulator.log"
        options = ["--port", str(self.port), "--state", str(self._folder / "state")]
        options += ["--config", str(APPS / "bus" / "queues.json")]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.emulators.service_bus", *options],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return log

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._process = None


class Bus:
    """A running host with an emulator, and what its functions saw."""

    def __init__(
        self, host: HostProcess, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        self.host, self.emulator, self.session = host, emulator, session
        self.connect()

    def connect(self) -> None:
        self.client = ServiceBusClient.from_connection_string(self.emulator.connection)
        self._senders: dict[str, ServiceBusSender] = {}
        self._peeking: ServiceBusReceiver | None = None

    async def close(self) -> None:
        await self.client.close()

    async def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        if queue not in self._senders:
            self._senders[queue] = self.client.get_queue_sender(queue)
        await self._senders[queue].send_messages(list(messages))

    async def gone(self, message_id: str) -> None:
        """Wait until a message is no longer in the queue "work"."""
        if self._peeking is None:
            self._peeking = self.client.get_queue_receiver("work")
        receiver = self._peeking
        async with asyncio.timeout(DEADLINE):
            while True:
                found = await receiver.peek_messages(100, sequence_number=1)
                if message_id not in [item.message_id for item in found]:
                    return
                await asyncio.sleep(0.05)

    async def seen(self) -> Seen:
        async with self.session.get("/api/seen") as answer:
            found: Seen = await answer.json()
            return found

    async def seen_with(self, condition: Callable[[Seen], Any]) -> Seen:
        """What the functions saw, once a condition holds."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found = await self.seen()
                if condition(found):
                    return found
                await asyncio.sleep(0.02)

    async def release(self, order: str) -> None:
        """Let the functions go that wait with this order."""
        async with self.session.post("/api/release", data=order) as answer:
            assert answer.status == 200

    async def deliveries(self, message_id: str, count: int, name: str = "work") -> list[Seen]:
        """The deliveries of one message to a function, once there are so many."""

        def of(found: Seen) -> list[Seen]:
            return [item for item in found[name] if item["id"] == message_id]

        return of(await self.seen_with(lambda found: len(of(found)) >= count))


@asynccontextmanager
async def running(
    folder: Path, emulator: Emulator, app: Path = APPS / "bus", queue: str = "work"
) -> AsyncIterator[Bus]:
    environ = {"ServiceBus": emulator.connection, "WORK_QUEUE": queue}
    host = HostProcess(app, folder / f"{queue}.log", environ)
    try:
        async with aiohttp.ClientSession(await host.url()) as session:
            bus = Bus(host, emulator, session)
            try:
                yield bus
            finally:
                await bus.close()
    finally:
        host.kill()


@pytest.fixture(scope="module")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    """One host for most tests; it was started before its emulator."""
    folder = tmp_path_factory.mktemp("bus")
    emulator = Emulator(folder)
    try:
        async with running(folder, emulator) as started:
            await until(lambda: "does not receive" in started.host.output)
            await emulator.start()
            yield started
    finally:
        emulator.kill()


def message(message_id: str, body: str = "hello", **more: Any) -> ServiceBusMessage:
    return ServiceBusMessage(body, message_id=message_id, **more)


async def test_message_is_what_the_worker_gives(bus: Bus) -> None:
    await bus.send(
        "work",
        message(
            "described",
            "grüße",
            content_type="text/x",
            correlation_id="c",
            subject="s",
            application_properties={"number": 1, "text": "x", "flag": True},
        ),
    )
    (seen,) = await bus.deliveries("described", 1)
    properties = {"number": 1, "text": "x", "flag": True}
    expected = {
        "class": "azure.functions.servicebus.ServiceBusMessage",
        "body": "grüße",
        "count": 1,
        "properties": properties,
        "user properties": properties,
        "content type": "text/x",
        "correlation": "c",
        "subject": "s",
        "label": "s",
        "sequence": "int",
        "zone": "None",
    }
    assert {name: seen[name] for name in expected} == expected


async def test_absent_metadata_is_left_out(bus: Bus) -> None:
    await bus.send("work", message("bare"))
    (seen,) = await bus.deliveries("bare", 1)
    assert seen["properties"] == {}
    assert seen["metadata"] == [
        "ApplicationProperties",
        "DeliveryCount",
        "EnqueuedTime",
        "EnqueuedTimeUtc",
        "ExpiresAt",
        "ExpiresAtUtc",
        "LockToken",
        "MessageId",
        "SequenceNumber",
        "UserProperties",
    ]


async def test_trace_context_comes_from_the_message(bus: Bus) -> None:
    await bus.send("work", message("traced", application_properties={"Diagnostic-Id": TRACE}))
    (seen,) = await bus.deliveries("traced", 1)
    assert seen["trace"] == TRACE


async def test_message_of_a_successful_run_is_gone(bus: Bus) -> None:
    await bus.send("work", message("done"))
    await bus.deliveries("done", 1)
    await bus.gone("done")
    assert len(await bus.deliveries("done", 1)) == 1


async def test_failed_message_comes_again_and_ends_as_a_dead_letter(bus: Bus) -> None:
    await bus.send("work", message("poison", "fail"))
    (dead,) = await bus.deliveries("poison", 1, "dead")
    assert [item["count"] for item in await bus.deliveries("poison", 3)] == [1, 2, 3]
    assert dead["properties"]["DeadLetterReason"] == "MaxDeliveryCountExceeded"


async def test_failed_message_comes_again_at_once(bus: Bus) -> None:
    await bus.send("work", message("at once", "fail"))
    times = [item["at"] for item in await bus.deliveries("at once", 3)]
    assert times[2] - times[0] < 1.9  # a lock that had to expire takes 2 s each time


async def test_failed_message_does_not_hold_up_others(bus: Bus) -> None:
    poisonous = [message(f"bad {number}", "fail") for number in range(5)]
    await bus.send("work", *poisonous, message("good"))
    assert len(await bus.deliveries("good", 1)) == 1


async def test_failure_is_logged_with_function_and_message(bus: Bus) -> None:
    await bus.send("work", message("logged failure", "fail with hidden-body"))
    await bus.deliveries("logged failure", 1, "dead")
    lines = [line for line in bus.host.output.splitlines() if "logged failure" in line]
    assert " ERROR work " in lines[0]
    assert "RuntimeError: told to fail" in lines[0]
    assert "hidden-body" not in bus.host.output


async def test_lock_is_renewed_while_the_function_runs(bus: Bus) -> None:
    await bus.send("work", message("long", "sleep 3.5"))
    await bus.deliveries("long", 1)
    await until(lambda: "Succeeded (work, message long," in bus.host.output)
    assert len(await bus.deliveries("long", 1)) == 1
    await bus.gone("long")


async def test_no_more_calls_at_once_than_host_json_says(bus: Bus) -> None:
    await bus.send("work", *(message(f"waits {number}", "wait") for number in range(6)))
    await bus.seen_with(lambda found: found["running"]["now"] == 3)
    await bus.release("wait")
    found = await bus.seen_with(
        lambda found: sum(item["body"] == "wait" for item in found["work"]) == 6
    )
    assert found["running"]["most"] == 3


async def test_message_is_settled_while_others_run(bus: Bus) -> None:
    slow = [message(f"slow {number}", "wait for the quick one") for number in range(2)]
    await bus.send("work", *slow)
    await bus.seen_with(lambda found: found["running"]["now"] == 2)
    await bus.send("work", message("quick"))
    await bus.gone("quick")
    assert (await bus.seen())["running"]["now"] == 2
    await bus.release("wait for the quick one")
    await bus.gone("slow 0")
    await bus.gone("slow 1")


async def test_lock_is_renewed_while_others_are_received(bus: Bus) -> None:
    await bus.send("work", message("renewed", "wait for its lock"))
    (first,) = await bus.deliveries("renewed", 1)
    number = 0
    while time.time() < first["at"] + 4.5:  # its lock lasts 2 s
        number += 1
        await bus.send("work", message(f"beside {number}"))
        await bus.deliveries(f"beside {number}", 1)
    await bus.release("wait for its lock")
    await bus.gone("renewed")
    assert len(await bus.deliveries("renewed", 1)) == 1


async def test_functions_do_not_see_what_others_left_in_the_context(bus: Bus) -> None:
    names = [f"context {number}" for number in range(5)]  # more than there are links
    for name in names:
        await bus.send("work", message(name))
    for name in names:
        (seen,) = await bus.deliveries(name, 1)
        assert seen["left behind"] == "nothing"


async def test_body_that_the_extension_does_not_hand_over_is_abandoned(bus: Bus) -> None:
    body = AmqpAnnotatedMessage(value_body={"a": "map"})
    body.properties = AmqpMessageProperties(message_id="map")
    async with bus.client.get_queue_sender("work") as sender:
        await sender.send_messages(body)
    await until(lambda: bus.host.output.count("work was not called (work, message map,") == 3)
    assert "its body is neither binary data nor an AMQP string" in bus.host.output


async def test_batch_comes_in_one_call(bus: Bus) -> None:
    await bus.send("batches", *(message(f"b{number}", f"b{number}") for number in range(4)))
    found = await bus.seen_with(lambda found: found["batch"])
    assert found["batch"] == [{"bodies": ["b0", "b1", "b2", "b3"]}]


async def test_text_parameter_gets_the_body(bus: Bus) -> None:
    await bus.send("plain", message("text", "only text"))
    found = await bus.seen_with(lambda found: found["plain"])
    assert found["plain"] == [{"text": "only text"}]


async def test_function_is_run_by_hand(bus: Bus) -> None:
    async with bus.session.post("/admin/functions/work", json={"input": "by hand"}) as answer:
        assert answer.status == 202
    found = await bus.seen_with(
        lambda found: [item for item in found["work"] if item["body"] == "by hand"]
    )
    item = next(item for item in found["work"] if item["body"] == "by hand")
    assert (item["class"], item["count"]) == ("azure.functions.servicebus.ServiceBusMessage", 1)


async def test_receiving_goes_on_after_the_emulator_was_killed(bus: Bus) -> None:
    before = bus.host.output.count("work does not receive")
    await bus.close()  # the SDK leaks the sockets of clients that are open meanwhile
    bus.emulator.kill()
    await until(lambda: bus.host.output.count("work does not receive") > before)
    await bus.emulator.start()
    bus.connect()
    await bus.send("work", message("after the outage"))
    assert len(await bus.deliveries("after the outage", 1)) == 1
    assert bus.host.output.count("work does not receive") == before + 1
    assert bus.host.output.count("work receives from the queue work again") == before + 1


async def test_outage_while_functions_run_is_logged_once_and_they_come_again(bus: Bus) -> None:
    before = bus.host.output.count("work does not receive")
    names = [f"cut off {number}" for number in range(3)]
    await bus.send("work", *(message(name, "wait for the outage") for name in names))
    await bus.seen_with(lambda found: found["running"]["now"] == 3)
    await bus.close()
    bus.emulator.kill()
    await bus.release("wait for the outage")
    await until(lambda: bus.host.output.count("work does not receive") > before)
    await bus.emulator.start()
    bus.connect()
    for name in names:
        assert len(await bus.deliveries(name, 2)) == 2
        await bus.gone(name)
    assert bus.host.output.count("work does not receive") == before + 1


async def test_outage_is_no_flood_of_log_lines(bus: Bus) -> None:
    outages = [line for line in bus.host.output.splitlines() if "azure.servicebus" in line]
    assert outages == []


async def test_unfinished_message_is_released_at_the_end(bus: Bus, tmp_path: Path) -> None:
    async with running(tmp_path, bus.emulator, queue="held") as other:
        held = [message(name, "sleep 60") for name in ("hangs 1", "hangs 2")]
        await other.send("held", message("finishes", "sleep 1"), *held)
        for name in ("hangs 1", "hangs 2", "finishes"):
            await other.deliveries(name, 1)
        assert await other.host.stop() == 0
        assert "Succeeded (held, message finishes," in other.host.output
    async with bus.client.get_queue_receiver("held") as receiver:
        # Their locks would last a minute.
        received = await receiver.receive_messages(2, max_wait_time=20)
        assert {item.message_id for item in received} == {"hangs 1", "hangs 2"}


async def test_without_auto_complete_the_message_stays_and_prefetch_works(
    bus: Bus, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    shutil.copytree(APPS / "bus", app)
    content = json.loads((app / "host.json").read_text())
    content["extensions"]["serviceBus"] = {"autoCompleteMessages": False, "prefetchCount": 5}
    (app / "host.json").write_text(json.dumps(content))
    async with running(tmp_path, bus.emulator, app, "unsettled") as other:
        await other.send("unsettled", message("kept"))
        counts = [item["count"] for item in await other.deliveries("kept", 2)]
    assert counts[:2] == [1, 2]
