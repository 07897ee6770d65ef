"""How the doors publish events: what they have stored counts, whether or not the queue takes it."""

from __future__ import annotations

import logging

from shared import clients, events, logs, trace
from shared.catalog import CACHE_SECONDS
from shared.errors import PublishFailed

_LATER_SECONDS = CACHE_SECONDS + 5


async def publish(message: events.Message) -> bool:
    """Publish an event; a failure is logged, and the caller's request still succeeds."""
    try:
        await clients.publisher().publish(message)
    except PublishFailed as exc:
        logs.line("notPublished", logging.WARNING, eventId=message.id, why=str(exc)[:200])
        return False
    return True


async def tell_catalog_changed(
    *, role_group: str | None = None, role_code: str | None = None
) -> None:
    """Have the flows checked anew that use a role group or a role.

    Twice: at once, and when no instance can have the former state in its cache any more, for flows
    that are created meanwhile.
    """
    for delay in (0.0, _LATER_SECONDS):
        await publish(
            events.catalog_changed(
                role_group=role_group,
                role_code=role_code,
                delay=delay,
                traceparent=trace.current.get(),
            )
        )
