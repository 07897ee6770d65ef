"""Sends events to the readiness queue: one open sender, and one send for all who wait for it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage

from shared.contract.events import (
    ATTEMPTS_PROPERTY,
    CONTENT_TYPE,
    ENQUEUED_PROPERTY,
    MAX_EVENT_BYTES,
    Message,
)
from shared.domain.errors import PublishFailed

log = logging.getLogger(__name__)

SEND_SECONDS = 3.0
# The first link of an instance needs a token and a TLS connection.
CONNECT_SECONDS = 6.0
# Service Bus detaches a link that was idle for ten minutes; the send that finds out is slow.
IDLE_SECONDS = 9 * 60.0
_CLOSE_SECONDS = 5.0
# While the queue cannot be reached, callers do not wait for it: the flow is stored, and notReady
# itself says that a check is due.
REST_SECONDS = 5.0
_BATCH_MESSAGES = 100
_SCHEDULED = b"x-opt-scheduled-enqueue-time"
_BATCH_BYTES = 192 * 1024


@dataclass(frozen=True)
class _Waiting:
    """An event that waits for its turn, and what became of it: None, or why it was not sent."""

    message: Message
    outcome: asyncio.Future[BaseException | None]

    def settle(self, failure: BaseException | None) -> None:
        """Say what became of it, unless the caller gave up."""
        if not self.outcome.done():
            self.outcome.set_result(failure)

    def as_sent(self) -> AmqpAnnotatedMessage:
        # ServiceBusMessage says the same at twice the CPU: it sets each of a dozen properties.
        message = self.message
        properties: dict[str, Any] = {}
        if message.traceparent is not None:
            # The name by which the Functions host and Azure Monitor continue a trace.
            properties["Diagnostic-Id"] = message.traceparent
        if message.attempts:
            properties[ATTEMPTS_PROPERTY] = message.attempts
        if message.enqueued_at is not None:
            # As text: the SDK writes a number in 32 bits.
            properties[ENQUEUED_PROPERTY] = str(message.enqueued_at)
        annotations: dict[Any, Any] | None = None
        if message.delay:
            due = datetime.now(UTC) + timedelta(seconds=message.delay)
            annotations = {_SCHEDULED: due}
        return AmqpAnnotatedMessage(
            data_body=message.body,
            properties={"message_id": message.id, "content_type": CONTENT_TYPE},
            application_properties=properties,
            annotations=annotations,
        )


class QueuePublisher:
    """Publishes to one queue. Events that wait for a running send leave together in the next.

    Sending is a task of its own, so that it ends whatever becomes of the caller who began it.
    """

    def __init__(
        self,
        client: ServiceBusClient,
        queue: str,
        connect_seconds: float = CONNECT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """Opening a link may take `connect_seconds`; one unused for `idle_seconds` is replaced."""
        self._client = client
        self._queue = queue
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._sender: ServiceBusSender | None = None
        self._used_at = 0.0
        self._sending: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting: list[_Waiting] = []
        self._rest_until = 0.0

    async def publish(self, message: Message) -> None:
        """Send an event; raises PublishFailed when it was not taken in time, or is too large."""
        if len(message.body) > MAX_EVENT_BYTES:
            raise PublishFailed(
                f"The event has {len(message.body)} bytes; the queue takes {MAX_EVENT_BYTES}."
            )
        loop = asyncio.get_running_loop()
        if loop.time() < self._rest_until:
            raise PublishFailed("Service Bus did not answer a moment ago.")
        waiting = _Waiting(message, loop.create_future())
        self._waiting.append(waiting)
        if self._sending is None:
            self._sending = loop.create_task(self._send_all())
        failure = await waiting.outcome
        if failure is not None:
            raise PublishFailed(f"{type(failure).__name__}: {failure}") from failure

    async def close(self) -> None:
        """Send what waits, then close the sender and its connection."""
        if self._sending is not None:
            await self._sending
        self._drop_sender()
        await asyncio.gather(*self._closing)
        await self._client.close()

    async def _send_all(self) -> None:
        batch: list[_Waiting] = []
        # The outcome of every event that still waits when this ends, should it be cut off.
        failure: BaseException | None = asyncio.CancelledError("the publisher was stopped")
        try:
            while self._waiting:
                # An event whose caller gave up meanwhile is not sent.
                alive = [entry for entry in self._waiting if not entry.outcome.done()]
                batch, self._waiting = _split(alive)
                if not batch:
                    break
                error = await self._send(batch)
                if error is not None:
                    failure = error
                    break
                for entry in batch:
                    entry.settle(None)
        finally:
            self._sending = None
            left, self._waiting = [*batch, *self._waiting], []
            for entry in left:
                entry.settle(failure)

    async def _send(self, batch: list[_Waiting]) -> Exception | None:
        """Send a batch; None if all of it was taken, else why not."""
        loop = asyncio.get_running_loop()
        try:
            if loop.time() - self._used_at > self._idle_seconds:
                self._drop_sender()
            if self._sender is None:
                self._sender = self._client.get_queue_sender(self._queue)
                async with asyncio.timeout(self._connect_seconds):
                    await self._sender.__aenter__()
            async with asyncio.timeout(SEND_SECONDS):
                sent = [entry.as_sent() for entry in batch]
                # Of a list the SDK makes a batch, be it of one, and encodes its messages twice.
                await self._sender.send_messages(sent if len(sent) > 1 else sent[0])
        except Exception as exc:
            self._rest_until = loop.time() + REST_SECONDS
            self._drop_sender()
            return exc
        self._used_at = loop.time()
        return None

    def _drop_sender(self) -> None:
        """Drop the sender and close its link in the background: that takes a second."""
        sender, self._sender = self._sender, None
        if sender is not None:
            closing = asyncio.get_running_loop().create_task(_close(sender))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _close(sender: ServiceBusSender) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await sender.close()
    except Exception as exc:
        log.warning("sender not closed cleanly: %s", type(exc).__name__)


def _split(waiting: list[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """Take from the front what fits one send; the first always goes."""
    size = 0
    for count, entry in enumerate(waiting):
        size += len(entry.message.body)
        if count and (count == _BATCH_MESSAGES or size > _BATCH_BYTES):
            return waiting[:count], waiting[count:]
    return waiting, []
