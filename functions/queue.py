"""Handlers of the queues."""

from __future__ import annotations

from datetime import UTC, datetime

import azure.functions as func

from shared import bootstrap

bp = func.Blueprint()


@bp.service_bus_queue_trigger(
    arg_name="msg", queue_name="%READINESS_QUEUE%", connection="ServiceBus"
)
async def update_readiness_status(msg: func.ServiceBusMessage) -> None:
    """Apply one event of the readiness queue; raising gives it back to the queue."""
    from shared.contract.dead_letters import QueueMessage

    message = QueueMessage(
        message_id=msg.message_id,
        sequence_number=msg.sequence_number or 0,
        enqueued=msg.enqueued_time_utc or datetime.now(UTC),
        delivery_count=msg.delivery_count or 1,
        content_type=msg.content_type,
        properties=msg.application_properties or {},
        body=msg.get_body(),
    )
    await bootstrap.receiver().receive(message)


@bp.service_bus_queue_trigger(
    arg_name="msg", queue_name="%NOTIFICATIONS_QUEUE%", connection="ServiceBus"
)
async def send_notifications(msg: func.ServiceBusMessage) -> None:
    """Send a subscription what is new to it; a reminder that cannot be read is dropped."""
    await bootstrap.delivering().receive(msg.get_body())
