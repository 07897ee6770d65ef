"""What a message may hold, and what of it a function is given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from local.host.messages import Timestamp, application_properties
from tests.host.bus import Bus, message
from tests.host.host_process import until


@pytest.mark.parametrize(
    ("body", "name"), [({"value_body": {"a": 1}}, "map"), ({"sequence_body": [["a"]]}, "list")]
)
async def test_body_that_cannot_be_handed_over_never_reaches_python_and_is_dead_lettered(
    body: dict[str, Any], name: str, bus: Bus
) -> None:
    sent = AmqpAnnotatedMessage(**body)
    sent.properties = AmqpMessageProperties(message_id=name)
    async with bus.client.get_queue_sender("kept") as sender:
        await sender.send_messages(sent)
    said = f"keep was not called (kept, message {name},"
    async with bus.client.get_queue_receiver(
        "kept", sub_queue=ServiceBusSubQueue.DEAD_LETTER
    ) as receiver:
        [dead] = await receiver.receive_messages(1, max_wait_time=20)
        await receiver.complete_message(dead)
    assert (dead.message_id, dead.dead_letter_reason) == (
        name,
        "MaxDeliveryCountExceeded",
    )
    await until(lambda: bus.host.output.count(said) == 3)  # the queue's maxDeliveryCount
    assert f"message {name}, sequence {dead.sequence_number}" in bus.host.output
    assert "its body is neither binary data nor an AMQP string" in bus.host.output
    assert await bus.deliveries(name, 0, "keep") == []


async def test_timestamp_among_the_properties_is_text(bus: Bus) -> None:
    moment = datetime(2026, 11, 24, 7, 21, 39, 500_000, UTC)
    properties = {"at": moment, "whole": moment.replace(microsecond=0), "number": 1_700_000_000}
    await bus.send("work", message("dated", application_properties=properties))
    [seen] = await bus.deliveries("dated", 1)
    assert seen["properties"] == {
        "at": "2026-11-24T07:21:39.5Z",
        "whole": "2026-11-24T07:21:39Z",
        "number": 1_700_000_000,
    }


@pytest.mark.parametrize("far", [2**63 - 1, -(2**63)])
def test_timestamp_outside_the_calendar_stays_a_number(far: int) -> None:
    class Received:
        application_properties = {b"at": Timestamp(far)}

    assert application_properties(Received()) == {"at": far}  # type: ignore[arg-type]  # this is all it reads
