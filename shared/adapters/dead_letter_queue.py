"""Receives from the dead-letter queue of the readiness queue, whatever body a message has.

A Service Bus trigger hands over bytes and text only. It abandons a message with any other body at
once, and a dead-letter queue does not limit how often that happens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.amqp import AmqpMessageBodyType
from azure.servicebus.exceptions import ServiceBusError

from shared.contract.dead_letters import BodyForm, QueueMessage
from shared.domain.errors import Unavailable

log = logging.getLogger(__name__)

Keep = Callable[[QueueMessage], Awaitable[None]]

WAIT_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 5.0
_AT_ONCE: Final = 16
_MAX_DEPTH: Final = 50


class DeadLetterQueue:
    """The dead-letter queue of one queue."""

    def __init__(
        self, client: ServiceBusClient, queue: str, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """One more message is waited for up to `wait_seconds` before a run ends."""
        self._client = client
        self._queue = queue
        self._wait_seconds = wait_seconds

    async def take(self, most: int, seconds: float, keep: Keep) -> int:
        """Hand up to `most` messages to `keep` and complete those it took; return their number.

        The first error of `keep` is raised, when those that it did not take are back in the queue.
        Raises Unavailable where Service Bus does not answer, or `keep` needs more than `seconds`.
        """
        receiver = self._client.get_queue_receiver(
            self._queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER
        )
        taken = 0
        try:
            async with asyncio.timeout(seconds):
                # There is seldom anything, and looking is quicker than waiting for nothing.
                if not await receiver.peek_messages(1, sequence_number=1):
                    return 0
                while taken < most:
                    some = await receiver.receive_messages(
                        min(_AT_ONCE, most - taken), max_wait_time=self._wait_seconds
                    )
                    if not some:
                        break
                    await _settle(receiver, some, keep)
                    taken += len(some)
        except (ServiceBusError, TimeoutError, OSError) as exc:
            log.warning("dead-letter queue not read: %s", type(exc).__name__)
            raise Unavailable("The dead-letter queue is not available", 60) from exc
        finally:
            await _close(receiver)
        return taken

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


async def _settle(
    receiver: ServiceBusReceiver, messages: list[ServiceBusReceivedMessage], keep: Keep
) -> None:
    """Complete the messages that `keep` takes, abandon the others, and raise its first error."""
    errors = await asyncio.gather(
        *(keep(received(message)) for message in messages), return_exceptions=True
    )
    for message, error in zip(messages, errors, strict=True):
        if error is None:
            await receiver.complete_message(message)
        else:
            await receiver.abandon_message(message)
    for error in errors:
        if error is not None:
            raise error


async def _close(receiver: ServiceBusReceiver) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await receiver.close()
    except (ServiceBusError, TimeoutError, OSError) as exc:
        log.warning("receiver not closed cleanly: %s", type(exc).__name__)


def received(message: ServiceBusReceivedMessage) -> QueueMessage:
    """Return a message as this app knows it."""
    body, form = _body(message)
    given = message.application_properties or {}
    return QueueMessage(
        message_id=_text(message.message_id),
        sequence_number=message.sequence_number or 0,
        enqueued=message.enqueued_time_utc or datetime.now(UTC),
        delivery_count=message.delivery_count or 0,
        content_type=_text(message.content_type),
        properties={str(plain(name)): plain(value) for name, value in given.items()},
        body=body,
        form=form,
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(plain(value))


def _body(message: ServiceBusReceivedMessage) -> tuple[bytes, BodyForm]:
    if message.body_type == AmqpMessageBodyType.DATA:
        return b"".join(message.body), BodyForm.DATA
    if message.body_type == AmqpMessageBodyType.SEQUENCE:
        items = [item for section in message.body for item in section]
        return json.dumps(plain(items)).encode(), BodyForm.SEQUENCE
    value = message.body
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        # The trigger hands text over as it does bytes, so this form is not what is wrong.
        return value, BodyForm.DATA
    return json.dumps(plain(value)).encode(), BodyForm.VALUE


def plain(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return an AMQP value as JSON has it: GUIDs and the like become text.

    Times are milliseconds since 1970, as the SDK gives them.
    """
    if isinstance(value, bytes):
        # The SDK gives AMQP's strings and symbols as bytes, too.
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping | list | tuple) and not depth:
        return f"[nested deeper than {_MAX_DEPTH}]"
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, depth - 1) for inner in value]
    return str(value)
