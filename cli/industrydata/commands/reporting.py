"""`industrydata report`: says how a flow fares, in the place of a provisioning engine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import click

from industrydata.commands.flow_rows import moment
from industrydata.errors import NotFoundError, RefusedError
from industrydata.session import SECONDS, Session, a_flow, an_id, with_session
from industrydata.text import clean

STATUSES: Final = ("ready", "failed", "disabled", "expired")
MAX_REASON: Final = 1024
POLL_SECONDS: Final = 0.5


def _a_reason(text: str) -> str:
    if len(text) > MAX_REASON:
        raise click.BadParameter(f"give at most {MAX_REASON} characters")
    return text


@click.command()
@click.argument("set_id", metavar="SET", type=an_id)
@click.argument("flow", metavar="FLOW", type=a_flow)
@click.argument("status", type=click.Choice(STATUSES))
@click.option("--reason", type=_a_reason, metavar="TEXT", help="What a person can do about it.")
@click.option(
    "--revision",
    type=click.IntRange(1, 2**53),
    metavar="N",
    help="It counts for this revision of the flow only. [default: the current one]",
)
@click.option("--no-wait", is_flag=True, help="Do not look whether it counted.")
@click.option(
    "--timeout",
    type=SECONDS,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to look whether it counted.",
)
@with_session
def report(
    session: Session,
    set_id: str,
    flow: str,
    status: str,
    reason: str | None,
    revision: int | None,
    no_wait: bool,
    timeout: float,
) -> None:
    """Report a flow's status, and say whether the report counted.

    It goes to the readiness queue, as the reports of a provisioning engine do.
    """
    from industrydata import queue
    from industrydata.service import kind_of

    found = session.service.flow(set_id, flow)
    event = queue.reported(
        set_id,
        found,
        status,
        reason,
        revision,
        tenant=session.token.tenant,
        ahead=session.service.ahead,
    )
    queue.send(session.target, event)
    output = session.output
    if no_wait:
        output.value({"eventId": event.id}, f"Sent as event {event.id}.")
        return
    flow_id = str(found.get("id"))
    began = time.monotonic()
    with output.waiting("waiting until the report is processed"):
        entry = None
        while entry is None:
            is_last = time.monotonic() - began > timeout
            try:
                history = session.service.history(set_id, flow_id)
            except NotFoundError as error:
                raise RefusedError("The report does not count: the flow is gone.") from error
            entry = next((each for each in history if each.get("eventId") == event.id), None)
            if entry is None:
                explain(history, event.time, revision, timeout if is_last else None)
                time.sleep(POLL_SECONDS)
    output.value(
        {"eventId": event.id, "counted": True, **entry},
        f"The report counted: {kind_of(found)} is {clean(entry.get('readinessStatus'))} since "
        f"{moment(entry.get('appliedDateTime'))}.",
    )


def explain(
    history: Sequence[Mapping[str, Any]],
    sent: datetime,
    revision: int | None,
    given_up_after: float | None,
) -> None:
    """Raise RefusedError with the reason once a report cannot count, or is waited for too long."""
    latest = history[0] if history else {}
    current = latest.get("revision")
    status, reason = clean(latest.get("readinessStatus")), clean(latest.get("reason") or "")
    if revision is not None and isinstance(current, int) and current != revision:
        raise RefusedError(
            f"The report does not count: it is about revision {revision}, and the flow is at "
            f"{current}."
        )
    changed = latest.get("readinessStatus") == "notReady"
    if changed and revision is None and _is_later(latest.get("eventDateTime"), sent):
        raise RefusedError("The report does not count: the flow was changed after it was sent.")
    if given_up_after is None:
        return
    if _is_later(latest.get("eventDateTime"), sent):
        raise RefusedError("The report does not count: a later one was processed before it.")
    if status in ("failed", "disabled"):
        raise RefusedError(
            f"The flow stays {status}: {reason} Where the service's own check found that, the "
            "report is kept, and shows once the check finds the flow ready."
        )
    raise RefusedError(
        f"After {given_up_after:g} s the report was not processed yet, and the flow is {status}. "
        "`industrydata doctor` says whether the queue is reached; `industrydata flows history` "
        "shows the report once it counts."
    )


def _is_later(text: object, moment: datetime) -> bool:
    try:
        return datetime.fromisoformat(str(text)) > moment
    except (ValueError, TypeError):
        return False
