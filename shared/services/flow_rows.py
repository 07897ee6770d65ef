"""Flow sets in short, as the status page lists them: what is wrong first.

Of each set only what is listed is read from the store, never a configuration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.contract.printing import time_of
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.ids import microseconds, printed_time
from shared.domain.readiness import Status
from shared.odata.cosmos import Query

MOST: Final = 25_000
"""How many flow sets are looked at."""

STUCK: Final = "stuck"
STUCK_AFTER: Final = 300 * 1_000_000
"""Microseconds for which a flow may be notReady: two requests for its check were lost by then."""

FILTERS: Final = (*(str(status) for status in Status), STUCK)
_TROUBLE: Final = (
    Status.FAILED,
    Status.EXPIRED,
    STUCK,
    Status.DISABLED,
    Status.NOT_READY,
    Status.READY,
)
_BY_AGE: Final = (_TROUBLE.index(STUCK), _TROUBLE.index(Status.NOT_READY))
_MEMBERS: Final = ("id", "readinessStatus")
_SHOWN: Final = (*_MEMBERS, "reason", "revision", "asks")


@dataclass(frozen=True, slots=True)
class Row:
    """A flow set in the order of the list: the worst first, then the oldest or by name."""

    order: tuple[int, int, str, str]
    id: str
    ids: frozenset[str]
    name: str
    states: frozenset[str]
    flows: tuple[tuple[str, str, bool], ...]

    def passes(self, search: str, state: str | None) -> bool:
        """Tell whether it is searched for, and has a flow in a state of FILTERS (None: any)."""
        if state is not None and state not in self.states:
            return False
        return not search or search.casefold() in self.name or search.lower() in self.ids


@dataclass(frozen=True)
class Rows:
    """All flow sets in order, with counts; not `complete` where there are more than MOST."""

    rows: Sequence[Row]
    complete: bool
    counts: Mapping[str, Mapping[str, int]]
    stuck: int
    sets: Mapping[str, int]


def all_query() -> Query:
    """Ask for all flow sets, and one more than MOST where there are more."""
    return _query("", [], MOST + 1, _MEMBERS)


def search_query(search: str, most: int) -> Query:
    """Ask for the flow sets whose name has a text, or which have it as id or as a flow's id."""
    name = {"name": "@search", "value": search}
    if len(search) != 36:
        return _query("CONTAINS(c.displayName, @search, true)", [name], most, _MEMBERS)
    ids = ["c.id", *(f"c.flows.{kind}.id" for kind in FLOW_SCHEMAS)]
    # Flows' ids are in no index: this one looks at all documents.
    where = " OR ".join(["CONTAINS(c.displayName, @search, true)", *(f"{i} = @id" for i in ids)])
    return _query(where, [name, {"name": "@id", "value": search.lower()}], most, _MEMBERS)


def shown_query(ids: Sequence[str]) -> Query:
    """Ask for what is shown of the flow sets of one page."""
    parameters = [{"name": f"@p{at}", "value": each} for at, each in enumerate(ids)]
    names = ", ".join(each["name"] for each in parameters)
    return _query(f"c.id IN ({names})", parameters, None, _SHOWN)


def _query(
    where: str, parameters: list[dict[str, Any]], most: int | None, members: Sequence[str]
) -> Query:
    flows = ", ".join(f'"{kind}": {{{_flow_members(kind, members)}}}' for kind in FLOW_SCHEMAS)
    top = "" if most is None else f"TOP {most} "
    condition = f" WHERE {where}" if where else ""
    text = f"SELECT {top}c.id, c.displayName, c.createdDateTime, {{{flows}}} AS flows FROM c"  # noqa: S608 - all words are our own
    return Query(text + condition, parameters)


def _flow_members(kind: str, members: Sequence[str]) -> str:
    named = [f'"{name}": c.flows.{kind}.{name}' for name in members]
    return ", ".join([*named, f'"since": c.flows.{kind}.history[0].appliedAt'])


def rows_of(found: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return what a query found, in order."""
    now = microseconds()
    return sorted((_row(each, now) for each in found), key=lambda row: row.order)


def _is_stuck(status: str, since: int, now: int) -> bool:
    return status == Status.NOT_READY and now - since > STUCK_AFTER


def _row(found: Mapping[str, Any], now: int) -> Row:
    flows, ages, worst = [], [], len(_TROUBLE)
    for kind, flow in found["flows"].items():
        if not flow:
            continue
        status, since = flow["readinessStatus"], flow.get("since", now)
        stuck = _is_stuck(status, since, now)
        flows.append((kind, status, stuck))
        worst = min(worst, _TROUBLE.index(STUCK if stuck else status))
        if status == Status.NOT_READY:
            ages.append(since)
    name = found["displayName"].casefold()
    states = {status for _, status, _ in flows} | {STUCK for _, _, stuck in flows if stuck}
    return Row(
        order=(worst, min(ages) if worst in _BY_AGE else 0, name, found["id"]),
        id=found["id"],
        ids=frozenset([found["id"], *(flow["id"] for flow in found["flows"].values() if flow)]),
        name=name,
        states=frozenset(states),
        flows=tuple(flows),
    )


def counted(found: Sequence[Mapping[str, Any]]) -> Rows:
    """Return what `all_query` found, with how many flows and sets are in which state."""
    rows = rows_of(found[:MOST])
    flows = Counter((kind, status) for row in rows for kind, status, _ in row.flows)
    sets = Counter(state for row in rows for state in row.states)
    return Rows(
        rows=rows,
        complete=len(found) <= MOST,
        counts={kind: {str(s): flows[kind, s] for s in Status} for kind in FLOW_SCHEMAS},
        stuck=sum(stuck for row in rows for _, _, stuck in row.flows),
        sets={state: sets[state] for state in FILTERS},
    )


def shown(found: Mapping[str, Any]) -> dict[str, Any]:
    """Print a flow set that `shown_query` found."""
    return {
        "id": found["id"],
        "displayName": found["displayName"],
        "createdDateTime": printed_time(found["createdDateTime"]),
        "flows": [_shown_flow(kind, flow) for kind, flow in found["flows"].items() if flow],
    }


def _shown_flow(kind: str, flow: Mapping[str, Any]) -> dict[str, Any]:
    since = flow.get("since")
    status = flow["readinessStatus"]
    return {
        "id": flow["id"],
        "kind": kind,
        "readinessStatus": status,
        "reason": flow["reason"],
        "revision": flow["revision"],
        "changedDateTime": None if since is None else time_of(since),
        "stuck": since is not None and _is_stuck(status, since, microseconds()),
        # How often a check was requested: more than once means that something is slow or lost.
        "asks": flow["asks"],
    }
