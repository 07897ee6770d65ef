"""A host with Service Bus functions and an emulator, for tests that talk to both."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusSubQueue,
)
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from local.config import SERVICE_BUS_CREDENTIALS
from tests.host.host_process import APPS, DEADLINE, ROOT, HostProcess, until

Seen = dict[str, Any]


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

    async def dead_letter(self, message_id: str) -> ServiceBusReceivedMessage:
        """Wait until a message is in the dead-letter queue of "work"; it stays there."""
        dead = self.client.get_queue_receiver("work", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        async with asyncio.timeout(DEADLINE), dead:
            while True:
                for found in await dead.peek_messages(100, sequence_number=1):
                    if found.message_id == message_id:
                        return found
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
    folder: Path,
    emulator: Emulator,
    app: Path = APPS / "bus",
    queue: str = "work",
    *options: str,
) -> AsyncIterator[Bus]:
    environ = {"ServiceBus": emulator.connection, "WORK_QUEUE": queue}
    host = HostProcess(app, folder / f"{queue}.log", environ, *options)
    try:
        async with aiohttp.ClientSession(await host.url()) as session:
            bus = Bus(host, emulator, session)
            try:
                yield bus
            finally:
                await bus.close()
    finally:
        host.kill()


def message(message_id: str, body: str = "hello", **more: Any) -> ServiceBusMessage:
    return ServiceBusMessage(body, message_id=message_id, **more)
