"""The readiness queue as a provisioning engine and an operator use it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusSender

from local.stack import Stack
from shared.adapters.archive import Archive
from tests.support.logs import event_outcomes
from tests.support.waiting import until


class Queue:
    """The readiness queue as a provisioning engine and an operator use it."""

    def __init__(self, sender: ServiceBusSender, archive: Archive, stack: Stack) -> None:
        self.sender = sender
        self.archive = archive
        self.stack = stack

    async def send(self, *messages: ServiceBusMessage) -> None:
        """Send each message by itself, in this order."""
        for message in messages:
            await self.sender.send_messages(message)

    async def outcome(self, report: tuple[str, ServiceBusMessage]) -> str:
        """Send a report, which is an event's id and its message; return what became of it."""
        event_id, message = report
        await self.send(message)
        [found] = await self.outcomes(event_id)
        return found

    async def outcomes(self, event_id: str, deliveries: int = 1) -> list[str]:
        """What became of each delivery of an event, as the log says."""
        return await event_outcomes(self.stack, event_id, deliveries)

    async def archived(self, message_id: object) -> list[dict[str, Any]]:
        """What is kept of a message as a dead letter so far."""
        letters = [await self.archive.read(name) async for name in self.archive.names()]
        return [letter for letter in letters if letter["messageId"] == message_id]

    async def dead_lettered(self, *message_ids: object) -> list[dict[str, Any]]:
        """Wait until messages are archived as dead letters; return what is kept of each."""
        found: dict[str, dict[str, Any]] = {}

        async def there() -> bool:
            async for name in self.archive.names():
                if name not in found:
                    found[name] = await self.archive.read(name)
            return {letter["messageId"] for letter in found.values()} >= set(message_ids)

        await until(there, f"{len(message_ids)} messages are archived as dead letters")
        return [letter for letter in found.values() if letter["messageId"] in message_ids]


def in_base64(message: ServiceBusMessage) -> ServiceBusMessage:
    """The same event, its data in base64."""
    event = json.loads(str(message))
    data = json.dumps(event.pop("data")).encode()
    body = json.dumps(event | {"data_base64": base64.b64encode(data).decode()})
    return ServiceBusMessage(body, message_id=message.message_id)


def in_binary_mode(message: ServiceBusMessage) -> ServiceBusMessage:
    """The same event, its attributes beside the data instead of around it."""
    event = json.loads(str(message))
    data = json.dumps(event.pop("data"))
    return ServiceBusMessage(
        data,
        message_id=message.message_id,
        content_type="application/json",
        application_properties={f"cloudEvents:{name}": value for name, value in event.items()},
    )


FORMS = pytest.mark.parametrize("form", [in_base64, in_binary_mode])


Form = Callable[[ServiceBusMessage], ServiceBusMessage]
