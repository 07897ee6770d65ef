"""Waits until flows are ready, and says why one is not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from industrydata.errors import RefusedError
from industrydata.output import status_text
from industrydata.session import Session
from industrydata.text import clean

if TYPE_CHECKING:
    from industrydata.service import Service

POLL_SECONDS: Final = 0.5


def until_ready(session: Session, set_id: str, names: Sequence[str], seconds: float) -> None:
    """Show each change until all flows named are ready, by id or kind, or all of the set.

    Raises RefusedError with the reasons when one cannot become ready, or when the time is over.
    """
    from industrydata.service import kind_of

    service, output = session.service, session.output
    began = time.monotonic()
    seen: dict[str, str] = {}
    with output.waiting("waiting for readiness") as change:
        while True:
            flows = _wanted(service, set_id, names)
            elapsed = time.monotonic() - began
            for flow in flows:
                flow_id, status = str(flow.get("id")), str(flow.get("readinessStatus"))
                if seen.get(flow_id) != status:
                    seen[flow_id] = status
                    output.value(
                        flow,
                        f"{kind_of(flow):<18} ",
                        status_text(f"{status:<8}"),
                        f"  after {elapsed:4.1f} s  {clean(flow_id)}",
                    )
            late = [flow for flow in flows if flow.get("readinessStatus") == "notReady"]
            if not late:
                break
            if elapsed > seconds:
                kinds = ", ".join(map(kind_of, late))
                raise RefusedError(
                    f"Not ready after {seconds:g} s: {kinds}. `industrydata doctor` says whether "
                    "the queue is reached."
                )
            change(f"{len(flows) - len(late)} of {len(flows)} checked, {elapsed:.0f} s")
            time.sleep(POLL_SECONDS)
    unable = [flow for flow in flows if flow.get("readinessStatus") != "ready"]
    if unable:
        raise RefusedError("\n".join(_why(service, set_id, flow) for flow in unable))


def _wanted(service: Service, set_id: str, names: Sequence[str]) -> list[dict[str, Any]]:
    from industrydata.service import kind_of

    flows = service.flows(set_id)
    if not flows:
        raise RefusedError(f"Flow set {set_id} has no flows.")
    known = {str(flow.get("id")): flow for flow in flows} | {kind_of(flow): flow for flow in flows}
    if missing := [name for name in names if name not in known]:
        raise RefusedError(f"Flow set {set_id} has no flow {', '.join(missing)}.")
    return [known[name] for name in names] or flows


def _why(service: Service, set_id: str, flow: Mapping[str, Any]) -> str:
    from industrydata.service import kind_of

    status = flow.get("readinessStatus")
    reason = next(
        (
            entry.get("reason")
            for entry in service.history(set_id, str(flow.get("id")))
            if entry.get("readinessStatus") == status
        ),
        None,
    )
    return f"{kind_of(flow)} is {clean(status)}: {clean(reason or 'no reason was given.')}"
