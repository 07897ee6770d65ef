"""Handlers of the readiness queue and its dead letters."""

from __future__ import annotations

from datetime import UTC, datetime

import azure.functions as func

from shared import bootstrap
from shared.domain.ids import microseconds_of

bp = func.Blueprint()


@bp.service_bus_queue_trigger(
    arg_name="msg", queue_name="%READINESS_QUEUE%", connection="ServiceBus"
)
async def update_readiness_status(msg: func.ServiceBusMessage) -> None:
    """Apply one event of the readiness queue; raising gives it back to the queue."""
    await bootstrap.readiness().receive(
        msg.get_body(),
        msg.application_properties or {},
        msg.content_type,
        msg.delivery_count or 1,
        # Service Bus cuts the time to the millisecond: an event of that one is not of the future.
        microseconds_of(msg.enqueued_time_utc or datetime.now(UTC)) + 999,
    )


@bp.service_bus_queue_trigger(
    arg_name="msg", queue_name="%READINESS_QUEUE%/$DeadLetterQueue", connection="ServiceBus"
)
async def archive_dead_letters(msg: func.ServiceBusMessage) -> None:
    """Keep a message that could not be processed, with the reason, in Blob Storage."""
    from shared.contract.dead_letters import DeadLetter

    letter = DeadLetter(
        message_id=msg.message_id,
        sequence_number=msg.sequence_number or 0,
        enqueued=msg.enqueued_time_utc or datetime.now(UTC),
        delivery_count=msg.delivery_count or 0,
        content_type=msg.content_type,
        properties=msg.application_properties or {},
        body=msg.get_body(),
    )
    await bootstrap.dead_letters().keep(letter)
