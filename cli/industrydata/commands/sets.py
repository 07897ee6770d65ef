"""`industrydata sets`: flow sets."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import click

from industrydata.commands.flow_rows import ROW_COLUMNS, flow_row, moment
from industrydata.errors import UsageError
from industrydata.files import read_object
from industrydata.session import (
    STATUSES,
    Session,
    an_id,
    confirmed,
    one_of_each,
    with_session,
    yes_option,
)
from industrydata.text import clean, counted


@click.group()
def sets() -> None:
    """List, show, create, update and delete flow sets."""


@sets.command("list")
@click.option("--search", metavar="TEXT", help="Only sets whose name has these words.")
@click.option("--status", type=click.Choice(STATUSES), help="Only sets with such a flow.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.")
@with_session
def list_sets(session: Session, search: str | None, status: str | None, limit: int | None) -> None:
    """List flow sets by name, and how ready their flows are."""
    from industrydata.service import flows_of

    found = session.service.sets(search)
    if status is not None:
        found = (
            each
            for each in found
            if any(flow.get("readinessStatus") == status for flow in flows_of(each))
        )

    def row(flow_set: dict[str, Any]) -> list[str]:
        return [str(flow_set.get("id")), _summary(flow_set), str(flow_set.get("displayName"))]

    if not session.output.table(["ID", "FLOWS", "NAME"], islice(found, limit), row):
        session.output.say("No flow set was found.")


@sets.command("show")
@click.argument("set_id", metavar="SET", type=an_id)
@with_session
def show_set(session: Session, set_id: str) -> None:
    """Show a flow set with its flows."""
    from industrydata.service import flows_of

    found = session.service.set(set_id)
    output = session.output
    if output.as_json:
        output.value(found)
        return
    output.say(clean(found.get("displayName")))
    for label, member in (
        ("id", "id"),
        ("created", "createdDateTime"),
        ("changed", "lastModifiedDateTime"),
    ):
        output.say(f"{label:<9} {moment(found.get(member))}")
    output.say("")
    if not output.table(ROW_COLUMNS, flows_of(found), flow_row):
        output.say("It has no flows.")


@sets.command("create")
@click.argument("name")
@with_session
def create_set(session: Session, name: str) -> None:
    """Create an empty flow set and print its id."""
    from industrydata.service import SETS

    created = session.service.create(SETS, json.dumps({"displayName": name}).encode())
    session.output.value(created, clean(created.get("id")))


@sets.command("update")
@click.argument("set_id", metavar="SET", type=an_id)
@click.option("--name", help="The new name.")
@click.option(
    "--file",
    type=click.Path(allow_dash=True, path_type=Path),
    metavar="FILE",
    help="A JSON object with what changes; - is standard input.",
)
@with_session
def update_set(session: Session, set_id: str, name: str | None, file: Path | None) -> None:
    """Change a flow set's name, or whatever else a file says."""
    from industrydata.service import set_path

    if (name is None) == (file is None):
        raise UsageError("Give --name or --file, one of the two.")
    body = json.dumps({"displayName": name}).encode() if file is None else read_object(file)
    changed = session.service.call("PATCH", set_path(set_id), body)
    session.output.value(changed, f"Changed flow set {set_id}.")


@sets.command("delete")
@click.argument("set_ids", metavar="SET...", nargs=-1, required=True, type=an_id)
@yes_option
@with_session
def delete_sets(session: Session, set_ids: tuple[str, ...], yes: bool) -> None:
    """Delete flow sets and the flows in them."""
    from industrydata.service import flows_of, set_path

    wanted = one_of_each(set_ids)
    # All are looked up first, so that a wrong id is found before anything is deleted.
    found = [session.service.set(set_id) for set_id in wanted]
    number = sum(len(flows_of(each)) for each in found)
    confirmed(f"Delete {counted(len(found), 'flow set')} and {counted(number, 'flow')}", yes)
    for set_id in wanted:
        session.service.call("DELETE", set_path(set_id))
        session.output.value({"id": set_id, "deleted": True}, f"Deleted flow set {set_id}.")


def _summary(flow_set: dict[str, Any]) -> str:
    """Count the flows of a set by readiness: 3 ready, 1 failed."""
    from industrydata.service import flows_of

    statuses = [str(flow.get("readinessStatus")) for flow in flows_of(flow_set)]
    parts = [f"{statuses.count(each)} {each}" for each in one_of_each(statuses)]
    return ", ".join(parts) or "none"
