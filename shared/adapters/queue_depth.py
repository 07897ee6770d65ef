"""Looks how full the readiness queue is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from azure.servicebus import (
    ServiceBusMessageState,
    ServiceBusReceivedMessage,
    ServiceBusSubQueue,
)
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)

from shared.adapters.dead_letter_queue import received
from shared.contract.dead_letters import QueueMessage
from shared.domain.errors import PublishFailed, QueueRefused

log = logging.getLogger(__name__)

Counts = Callable[[QueueMessage], bool]

_SECONDS = 3.0
_REFUSALS = (
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
)


class QueueDepth:
    """Counts what is in a queue by looking at the messages without taking them.

    The namespace knows the numbers, but tells them to who may manage it only; this app may not.
    """

    # What Service Bus shows at once.
    MOST = 250

    def __init__(self, client: ServiceBusClient, queue: str) -> None:
        self._client = client
        self._queue = queue

    async def read(self, counts: Counts | None = None) -> dict[str, Any] | None:
        """Return the numbers of messages that wait, are scheduled and are dead-lettered.

        Each queue is looked through up to MOST messages; `complete` says whether that was all. Only
        those that `counts` is true of are counted, all without it. None where Service Bus does not
        answer in time.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                live, dead = await asyncio.gather(
                    self._peek(None), self._peek(ServiceBusSubQueue.DEAD_LETTER)
                )
        except (ServiceBusError, TimeoutError, OSError) as exc:
            log.warning("queue not looked at: %s", type(exc).__name__)
            return None
        complete = max(len(live), len(dead)) < self.MOST
        if counts is not None:
            # Each is parsed, in a thread: they may be long.
            live, dead = await asyncio.to_thread(
                lambda: tuple([m for m in some if counts(received(m))] for some in (live, dead))
            )
        scheduled = sum(message.state == ServiceBusMessageState.SCHEDULED for message in live)
        return {
            "waiting": len(live) - scheduled,
            "scheduled": scheduled,
            "deadLettered": len(dead),
            "complete": complete,
        }

    async def probe(self) -> None:
        """Look at one message of the queue; raises PublishFailed unless Service Bus answers."""
        try:
            await self._peek(None, 1)
        except _REFUSALS as exc:
            raise QueueRefused(type(exc).__name__) from exc
        except (ServiceBusError, OSError) as exc:
            raise PublishFailed(type(exc).__name__) from exc

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _peek(
        self, sub_queue: ServiceBusSubQueue | None, most: int = MOST
    ) -> list[ServiceBusReceivedMessage]:
        receiver = self._client.get_queue_receiver(self._queue, sub_queue=sub_queue)
        async with receiver:
            return await receiver.peek_messages(most, sequence_number=1)
