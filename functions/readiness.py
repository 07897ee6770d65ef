"""The door through which events move a flow's readinessStatus."""

from __future__ import annotations

import json
import logging

import azure.functions as func

from shared import clients, readiness
from shared.events import ReadinessEvent, read_event

bp = func.Blueprint()
log = logging.getLogger("provisioning.readiness")


@bp.service_bus_queue_trigger(
    arg_name="msg", queue_name="%READINESS_QUEUE%", connection="ServiceBus"
)
async def update_readiness_status(msg: func.ServiceBusMessage) -> None:
    """Apply one readiness event; raising gives it back to the queue."""
    event = read_event(msg.get_body())
    verdict = await _verdict(event)
    outcome = readiness.Outcome.GONE
    if verdict is not None:
        outcome = await clients.flow_store().apply(
            readiness.Change(
                flow_set_id=event.flow_set_id,
                kind=event.kind,
                flow_id=event.flow_id,
                revision=event.revision,
                position=event.position,
                verdict=verdict,
            )
        )
    log.info(
        "%s",
        json.dumps(
            {
                "event": event.type,
                "eventId": event.id,
                "flowSetId": event.flow_set_id,
                "flowId": event.flow_id,
                "kind": event.kind,
                "revision": event.revision,
                "to": verdict.status if verdict else None,
                "outcome": outcome,
                "deliveryCount": msg.delivery_count,
            }
        ),
    )


async def _verdict(event: ReadinessEvent) -> readiness.Verdict | None:
    if event.status is not None:
        return readiness.Verdict(event.status, event.reason)
    configuration = event.configuration
    if configuration is None:
        configuration = await clients.flow_store().read_configuration(
            event.flow_set_id, event.kind, event.flow_id, event.revision
        )
    return None if configuration is None else readiness.check(event.kind, configuration)
