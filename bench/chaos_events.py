"""Reports for the fault run, and how they are sent."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from bench.chaos_run import DEADLINE_SECONDS, KINDS, Accepted, Run
from local.config import READINESS_QUEUE

REPORTED = ("ready", "failed", "disabled", "expired")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def a_report(chance: random.Random, about: Accepted, flow: dict[str, Any]) -> dict[str, Any]:
    """A report about the present revision or, where there is one, the former."""
    revision = chance.randint(1, flow["revision"])
    # To the microsecond, since the check that made the flow ready.
    checked = flow["history"][0]["appliedAt"]
    moment = EPOCH + timedelta(microseconds=checked + chance.randint(1, 100_000))
    return {
        "specversion": "1.0",
        "id": str(uuid.UUID(int=chance.getrandbits(128))),
        "source": "/bench/chaos",
        "type": "industryData.provisioningFlow.readinessReported",
        "time": moment.isoformat(timespec="microseconds"),
        "data": {
            "flowSetId": about.set_id,
            "flowId": about.flow_id,
            "kind": KINDS[about.name],
            "revision": revision,
            "readinessStatus": chance.choice(REPORTED),
        },
    }


async def send_all(run: Run, messages: list[ServiceBusMessage]) -> None:
    """Send all, and wait until the queue is empty."""
    connection = run.stack.config.service_bus_connection
    async with ServiceBusClient.from_connection_string(connection) as client:
        async with client.get_queue_sender(READINESS_QUEUE) as sender:
            for start in range(0, len(messages), 100):
                await sender.send_messages(messages[start : start + 100])
        async with client.get_queue_receiver(READINESS_QUEUE) as receiver:
            ends = time.monotonic() + DEADLINE_SECONDS + len(messages) / 20
            while await receiver.peek_messages(1, sequence_number=1):
                if time.monotonic() > ends:
                    run.faults.append("messages are left in the queue")
                    break
                await asyncio.sleep(0.1)
