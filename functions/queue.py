"""The doors of the readiness queue, its dead letters and the clock."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from datetime import UTC, datetime

import azure.functions as func

from shared import bootstrap, logs, trace
from shared.contract import events
from shared.contract.dead_letters import DeadLetter
from shared.domain.errors import PublishFailed, StoreUnavailable

bp = func.Blueprint()

# While Cosmos DB is away, events wait in the queue: 2 s, 4 s, ... up to 5 min, for about a day.
MAX_ATTEMPTS = 300
_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 300.0

RECONCILE_MOST = 500
# With a last batch that just began, less than functionTimeout in host.json.
RECONCILE_SECONDS = 30.0
# What is given back comes again at once, and the queue counts how often: so it is held for a moment
# where the fault is not its own. That is longer than the publisher rests.
PAUSE_SECONDS = 6.0


@bp.service_bus_queue_trigger(
    arg_name="msg", queue_name="%READINESS_QUEUE%", connection="ServiceBus"
)
async def update_readiness_status(msg: func.ServiceBusMessage) -> None:
    """Apply one event of the readiness queue; raising gives it back to the queue."""
    event = events.read_event(msg.get_body())
    trace.current.set(event.traceparent)
    try:
        try:
            await bootstrap.processor().process(event, msg.delivery_count or 1)
        except StoreUnavailable:
            attempts = attempts_of(msg) + 1
            if attempts > MAX_ATTEMPTS:
                raise
            delay = put_back_delay(attempts)
            await bootstrap.publisher().publish(
                events.Message(
                    str(uuid.uuid4()), msg.get_body(), event.traceparent, delay, attempts
                )
            )
            logs.line(
                "eventPutBack",
                logging.WARNING,
                eventId=event.id,
                attempts=attempts,
                wait=round(delay, 1),
            )
    except PublishFailed:
        await asyncio.sleep(PAUSE_SECONDS)
        raise


def attempts_of(msg: func.ServiceBusMessage) -> int:
    """Return how often an event was put back; what is no number of ours counts as never."""
    given = (msg.application_properties or {}).get(events.ATTEMPTS_PROPERTY)
    return given if isinstance(given, int) and given > 0 else 0


def put_back_delay(attempts: int) -> float:
    """Return the seconds that an event waits: longer each time, and not the same for all."""
    doubled = _FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 16)
    return min(doubled, _LONGEST_WAIT_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


@bp.service_bus_queue_trigger(
    arg_name="msg", queue_name="%READINESS_QUEUE%/$DeadLetterQueue", connection="ServiceBus"
)
async def archive_dead_letters(msg: func.ServiceBusMessage) -> None:
    """Keep a message that could not be processed, with the reason, in Blob Storage."""
    letter = DeadLetter(
        message_id=msg.message_id,
        sequence_number=msg.sequence_number or 0,
        enqueued=msg.enqueued_time_utc or datetime.now(UTC),
        delivery_count=msg.delivery_count or 0,
        content_type=msg.content_type,
        properties=msg.application_properties or {},
        body=msg.get_body(),
    )
    try:
        name = await bootstrap.archive().keep(letter)
    except Exception:
        # Whatever it is: nobody counts the deliveries of a dead letter, it would come at once.
        await asyncio.sleep(PAUSE_SECONDS)
        raise
    logs.line("deadLetterArchived", logging.WARNING, name=name, messageId=letter.message_id)


@bp.timer_trigger(arg_name="timer", schedule="0 * * * * *", use_monitor=True)
async def reconcile_readiness(timer: func.TimerRequest) -> None:
    """Ask again for flows that are notReady for too long: no lost message matters."""
    await bootstrap.processor().reconcile(RECONCILE_MOST, RECONCILE_SECONDS)
