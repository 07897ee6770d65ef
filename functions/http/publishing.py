"""How the doors publish events: what they have stored counts, whether or not the queue takes it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from shared import bootstrap, logs, trace
from shared.contract import events
from shared.domain.catalog import CACHE_SECONDS
from shared.domain.errors import PublishFailed

_LATER_SECONDS = CACHE_SECONDS + 5


async def publish(message: events.Message) -> bool:
    """Publish an event; a failure is logged, and the caller's request still succeeds."""
    try:
        await bootstrap.publisher().publish(message)
    except PublishFailed as exc:
        logs.line("notPublished", logging.WARNING, eventId=message.id, why=exc.why[:200])
        return False
    return True


@contextlib.asynccontextmanager
async def catalog_change(
    *, role_group: str | None = None, role_code: str | None = None
) -> AsyncIterator[None]:
    """Change a role group or a role inside, and have the flows that use it checked anew.

    Twice: at once, and when no instance can have the former state in its cache any more, for flows
    that are created meanwhile. The later one is published before the change, which nothing else
    would make good if it were lost: without it, raises PublishFailed and nothing is changed.
    """

    def message(delay: float) -> events.Message:
        return events.catalog_changed(
            role_group=role_group,
            role_code=role_code,
            delay=delay,
            traceparent=trace.current.get(),
        )

    await bootstrap.publisher().publish(message(_LATER_SECONDS))
    yield
    await publish(message(0.0))
