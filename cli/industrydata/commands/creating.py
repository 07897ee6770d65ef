"""Creates flows from files: all of them, or none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from industrydata.errors import CommandError, NotFoundError, RefusedError, UnreachableError
from industrydata.files import FlowFile
from industrydata.session import Session
from industrydata.text import clean

if TYPE_CHECKING:
    from industrydata.service import Service

_UNDONE: Final = "Nothing is left of what was created before it."
_UNKNOWN: Final = "Whether the service created this one is not known: list the flows of the set."


def create_flows(
    session: Session, files: Sequence[FlowFile], set_id: str | None, new_set: str | None
) -> tuple[str, list[str]]:
    """Create flows in a set, or in a new one; return the set's id and those of the flows.

    Where one cannot be created, whatever this run has created is deleted before the error is
    raised, whose text names the file.
    """
    from industrydata.service import SETS, flow_path, flows_path, set_path

    service, output = session.service, session.output
    if set_id is not None:
        _check_room(service, set_id, files)
    made: list[str] = []
    values = []
    at = "The new set"
    try:
        if set_id is None:
            flow_set = service.create(SETS, json.dumps({"displayName": new_set}).encode())
            set_id = str(flow_set.get("id"))
            made.append(set_path(set_id))
            values.append((flow_set, f"Created flow set {clean(set_id)}."))
        ids = []
        for file in files:
            at = file.name
            flow = service.create(flows_path(set_id), file.body)
            flow_id = str(flow.get("id"))
            ids.append(flow_id)
            made.append(flow_path(set_id, flow_id))
            text = f"Created {file.kind} flow {clean(flow_id)} from {clean(file.name)}."
            values.append((flow, text))
    except CommandError as error:
        raise _undone(service, made, at, error) from error
    except BaseException:
        # Interrupted, most likely while the service was about to create the one that is named.
        output.note(f"Ended at {clean(at)}. {_UNKNOWN}\n{_delete(service, made) or _UNDONE}")
        raise
    # What a later refusal would have deleted again is shown only now.
    for value, text in values:
        output.value(value, text)
    return set_id, ids


def _check_room(service: Service, set_id: str, files: Sequence[FlowFile]) -> None:
    """Look for flows that the set has already; raises RefusedError before anything is sent."""
    from industrydata.service import kind_of

    there = {kind_of(flow): str(flow.get("id")) for flow in service.flows(set_id)}
    faults = [
        f"{file.name}: set {set_id} already has a flow of the kind {file.kind}, "
        f"{clean(there[file.kind])}."
        for file in files
        if file.kind in there
    ]
    if faults:
        raise RefusedError(
            "\n".join(faults)
            + "\nNothing was created. `industrydata flows update` changes a flow that is there."
        )


def _undone(service: Service, made: Sequence[str], at: str, error: CommandError) -> CommandError:
    """Delete what was created; return the error with what became of it."""
    lines = [f"{clean(at)}: {error}"]
    if isinstance(error, UnreachableError):
        lines.append(_UNKNOWN)
    if made:
        lines.append(_delete(service, made) or _UNDONE)
    return type(error)("\n".join(lines))


def _delete(service: Service, made: Sequence[str]) -> str:
    """Delete what was created, the newest first; return what could not be, in a sentence."""
    left = []
    # A set goes with the flows in it.
    for path in made[:1] if made and "/provisioningFlows/" not in made[0] else reversed(made):
        try:
            service.call("DELETE", path)
        except NotFoundError:
            continue
        except CommandError as error:
            left.append(f"{path} is left, and could not be deleted: {error}")
    return "\n".join(left)
