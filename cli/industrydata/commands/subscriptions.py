"""`industrydata subscriptions`: who is notified of changes, and how that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from industrydata.commands.flow_rows import moment
from industrydata.session import Session, with_session

if TYPE_CHECKING:
    from rich.text import Text


@click.group()
def subscriptions() -> None:
    """List subscriptions to change notifications."""


@subscriptions.command("list")
@with_session
def list_subscriptions(session: Session) -> None:
    """List the tenant's subscriptions, and how deliveries to each go."""
    from industrydata.output import status_text

    found = session.service.call("GET", "/status/subscriptions")

    def row(each: dict[str, Any]) -> list[str | Text]:
        return [
            str(each.get("id")),
            status_text(each.get("health")),
            moment(each.get("expirationDateTime")),
            str(each.get("notificationUrl")),
            str(each.get("fault") or ""),
        ]

    columns = ["ID", "HEALTH", "EXPIRES", "RECEIVER", "LAST FAULT"]
    if not session.output.table(columns, found.get("value", []), row):
        session.output.say(
            "There is no subscription."
            if found.get("enabled")
            else "There is no subscription: the setting NOTIFICATION_HOSTS names no host."
        )
