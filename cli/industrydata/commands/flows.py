"""`industrydata flows`: provisioning flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from industrydata.commands.creating import create_flows
from industrydata.commands.flow_rows import ROW_COLUMNS, flow_row, history_row, moment
from industrydata.commands.watching import until_ready
from industrydata.errors import UsageError
from industrydata.files import read_flows, read_object
from industrydata.output import status_text
from industrydata.session import (
    KINDS,
    STATUSES,
    Session,
    a_flow,
    an_id,
    confirmed,
    one_of_each,
    timeout_option,
    with_session,
    yes_option,
)
from industrydata.text import clean, counted

_FILE = click.Path(allow_dash=True, path_type=Path)
set_argument = click.argument("set_id", metavar="SET", type=an_id)
flow_argument = click.argument("flow", metavar="FLOW", type=a_flow)
flows_argument = click.argument("names", metavar="[FLOW]...", nargs=-1, type=a_flow)
watch_option = click.option("--watch", is_flag=True, help="Wait until they are ready.")


@click.group()
def flows() -> None:
    """List, show, create, update, reset, delete and watch flows.

    SET is the id of a flow set. FLOW is the id of a flow in it, or its kind, as user: a set has one
    of a kind.
    """


@flows.command("list")
@click.argument("set_id", metavar="[SET]", required=False, type=an_id)
@click.option("--status", type=click.Choice(STATUSES), help="Only flows of this readiness.")
@click.option("--kind", type=click.Choice(KINDS), help="Only flows of this kind.")
@click.option("--search", metavar="TEXT", help="Only of sets whose name has these words.")
@with_session
def list_flows(
    session: Session,
    set_id: str | None,
    status: str | None,
    kind: str | None,
    search: str | None,
) -> None:
    """List the flows of a set, or of all sets."""
    from industrydata.service import flows_of, kind_of

    if set_id is not None and search is not None:
        raise UsageError("Give SET or --search, one of the two.")
    service = session.service

    def found() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for flow_set in service.sets(search) if set_id is None else [service.set(set_id)]:
            for flow in flows_of(flow_set):
                if status in (None, flow.get("readinessStatus")) and kind in (None, kind_of(flow)):
                    yield flow_set, flow

    if session.output.as_json:
        for flow_set, flow in found():
            session.output.value({"flowSetId": flow_set.get("id"), **flow})
        return
    columns = ROW_COLUMNS if set_id is not None else (*ROW_COLUMNS, "SET", "NAME")

    def row(pair: tuple[dict[str, Any], dict[str, Any]]) -> list[Any]:
        flow_set, flow = pair
        where = [] if set_id is not None else [flow_set.get("id"), flow_set.get("displayName")]
        return [*flow_row(flow), *map(str, where)]

    if not session.output.table(columns, found(), row):
        session.output.say("No flow was found.")


@flows.command("show")
@set_argument
@flow_argument
@with_session
def show_flow(session: Session, set_id: str, flow: str) -> None:
    """Show a flow: its readiness, the reason, and its configuration."""
    from industrydata.service import kind_of

    found = session.service.flow(set_id, flow)
    output = session.output
    if output.as_json:
        output.value(found)
        return
    status = found.get("readinessStatus")
    latest = session.service.history(set_id, str(found.get("id")))[:1]
    output.say(f"{kind_of(found)}  {clean(found.get('id'))}")
    since = f"  since {moment(latest[0].get('appliedDateTime'))}" if latest else ""
    output.say(status_text(status), since)
    if latest and latest[0].get("reason") and status != "notReady":
        output.say(clean(latest[0]["reason"]))
    output.whole(found)


@flows.command("history")
@set_argument
@flow_argument
@with_session
def show_history(session: Session, set_id: str, flow: str) -> None:
    """Show what happened to a flow's readiness, newest first."""
    found = session.service.flow(set_id, flow)
    entries = session.service.history(set_id, str(found.get("id")))
    session.output.table(["WHEN", "READINESS", "REASON"], entries, history_row)


@flows.command("create")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=_FILE)
@click.option("--set", "set_id", metavar="SET", type=an_id, help="The set to create them in.")
@click.option("--new-set", metavar="NAME", help="Create a set of this name for them.")
@watch_option
@timeout_option
@with_session
def create(
    session: Session,
    paths: tuple[Path, ...],
    set_id: str | None,
    new_set: str | None,
    watch: bool,
    timeout: float,
) -> None:
    """Create flows, each from a JSON file; all of them, or none.

    A folder stands for its files that end with .json, and - for standard input. All are read and
    checked before the first is sent. Where the service refuses one, those before it are deleted
    again, and the new set with them.
    """
    if (set_id is None) == (new_set is None):
        raise UsageError("Give --set or --new-set, one of the two.")
    set_id, created = create_flows(session, read_flows(paths), set_id, new_set)
    if watch:
        until_ready(session, set_id, created, timeout)


@flows.command("update")
@set_argument
@flow_argument
@click.argument("file", type=_FILE)
@watch_option
@timeout_option
@with_session
def update(
    session: Session, set_id: str, flow: str, file: Path, watch: bool, timeout: float
) -> None:
    """Change a flow by a JSON file with what changes.

    FILE may be -, for standard input. A change that another client makes meanwhile is not
    overwritten.
    """
    from industrydata.service import flow_path, kind_of

    body = read_object(file)
    found = session.service.flow(set_id, flow)
    flow_id = str(found.get("id"))
    path = flow_path(set_id, flow_id)
    changed = session.service.call("PATCH", path, body, if_match=session.service.etag(path))
    session.output.value(changed, f"Changed {kind_of(found)} flow {clean(flow_id)}.")
    if watch:
        until_ready(session, set_id, [flow_id], timeout)


@flows.command("reset")
@set_argument
@flows_argument
@click.option("--all", "every", is_flag=True, help="All flows of the set.")
@watch_option
@timeout_option
@with_session
def reset(
    session: Session, set_id: str, names: tuple[str, ...], every: bool, watch: bool, timeout: float
) -> None:
    """Have flows checked anew."""
    from industrydata.service import flow_path, kind_of

    if bool(names) == every:
        raise UsageError("Name the flows to reset, or give --all.")
    found = _named(session, set_id, names)
    for flow in found:
        flow_id = str(flow.get("id"))
        session.service.call("POST", f"{flow_path(set_id, flow_id)}/reset", b"")
        session.output.value(
            {"id": flow_id, "reset": True}, f"Reset {kind_of(flow)} flow {clean(flow_id)}."
        )
    if watch:
        until_ready(session, set_id, [str(flow.get("id")) for flow in found], timeout)


@flows.command("delete")
@set_argument
@click.argument("names", metavar="FLOW...", nargs=-1, required=True, type=a_flow)
@yes_option
@with_session
def delete(session: Session, set_id: str, names: tuple[str, ...], yes: bool) -> None:
    """Delete flows."""
    from industrydata.service import flow_path, kind_of

    found = _named(session, set_id, names)
    kinds = ", ".join(map(kind_of, found))
    confirmed(f"Delete {counted(len(found), 'flow')} ({kinds}) of set {set_id}", yes)
    for flow in found:
        flow_id = str(flow.get("id"))
        session.service.call("DELETE", flow_path(set_id, flow_id))
        session.output.value(
            {"id": flow_id, "deleted": True}, f"Deleted {kind_of(flow)} flow {clean(flow_id)}."
        )


@flows.command("watch")
@set_argument
@flows_argument
@timeout_option
@with_session
def watch_flows(session: Session, set_id: str, names: tuple[str, ...], timeout: float) -> None:
    """Wait until flows are ready: those named, or all of the set.

    It shows each change, and ends with 1 when one cannot become ready, with the reason.
    """
    until_ready(session, set_id, names, timeout)


def _named(session: Session, set_id: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the flows of a set that are named, or all; raises NotFoundError."""
    if names:
        found = [session.service.flow(set_id, name) for name in one_of_each(names)]
        return list({str(flow.get("id")): flow for flow in found}.values())
    return session.service.flows(set_id)
