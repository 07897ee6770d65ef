"""What the readiness of stored flows needs of Cosmos DB: checks, reports, and who is to be checked.

Nothing that a client chose ever enters a predicate: only GUIDs, kinds and integers do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from shared.adapters.flow_store import OF_BEFORE, FlowStore, unchanged
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.errors import NotFound, StoreUnavailable
from shared.domain.flows import HISTORY_ENTRIES, new_stamp
from shared.domain.ids import microseconds
from shared.domain.readiness import Applied, Check, Effect, Outcome, Report, Status, effect
from shared.odata.cosmos import Query

_TRIES: Final = 4
_NOT_CHECKED: Final = {"check": None, "report": None, "readinessStatus": "notReady", "reason": None}
_READY: Final = {
    "check": {"status": "ready", "reason": None},
    "report": None,
    "readinessStatus": "ready",
    "reason": None,
}

Found = tuple[str, str, dict[str, Any]]
"""A flow: its set's id, its kind and its stored form."""


class ReadinessStore:
    """Stores what is said of flows, and finds flows to check."""

    def __init__(self, flows: FlowStore) -> None:
        self._flows = flows

    async def apply(self, event: Check | Report) -> Applied:
        """Store what an event says of a flow, as `readiness.effect` decides.

        An ordinary event is one request: the first check of a revision that no engine has reported
        about, or a report about a flow that was found ready. Only where the flow is not so is it
        read. Raises StoreUnavailable, also where others write to the flow all the time.
        """
        try:
            if not (isinstance(event, Check) and event.fresh):
                before = await self._apply_ordinary(event)
                if before is not None:
                    return Applied(Outcome.APPLIED, before)
            for _ in range(_TRIES):
                document = await self._flows.read_set(event.flow_set_id, to_write=True)
                flow = document["flows"].get(event.kind)
                change = effect(flow, event)
                if change.members is None or flow is None:
                    return Applied(change.outcome)
                if await self._write(event, change, unchanged(event.kind, flow)) is not None:
                    return Applied(change.outcome, flow["readinessStatus"])
        except NotFound:
            return Applied(Outcome.GONE)
        raise StoreUnavailable

    async def _apply_ordinary(self, event: Check | Report) -> str | None:
        """Store an event of a flow that is as most are; return the status before, None if not."""
        flow, at = f"c.flows.{event.kind}", event.position.at
        revision = (
            f"{flow}.revisedAt <= {at}"
            if event.revision is None
            else f"{flow}.revision = {event.revision}"
        )
        condition = f"{flow}.id = '{event.flow_id}' AND {revision} AND "
        about = {"id": event.flow_id, "revision": event.revision, "revisedAt": 0}
        if isinstance(event, Check):
            change = effect({**about, **_NOT_CHECKED}, event)
            condition += f"IS_NULL({flow}.check) AND IS_NULL({flow}.report)"
            written = await self._write(event, change, condition)
            return None if written is None else Status.NOT_READY
        change = effect({**about, **_READY}, event)
        condition += (
            f"{flow}.check.status = 'ready' AND (IS_NULL({flow}.report) "
            f"OR ({flow}.report.at < {at} AND {flow}.report.key != '{event.position.key}') "
            f"OR ({flow}.report.at = {at} AND {flow}.report.key < '{event.position.key}'))"
        )
        written = await self._write(event, change, condition, returned=True)
        if written is None:
            return None
        history = written["flows"][event.kind]["history"]
        # A report about a flow without history would be one that was never created.
        return str(history[1]["readinessStatus"])

    async def _write(
        self, event: Check | Report, change: Effect, condition: str, *, returned: bool = False
    ) -> dict[str, Any] | None:
        assert change.members is not None  # noqa: S101 - the callers saw to it
        path = f"/flows/{event.kind}"
        members = {**change.members, "stamp": new_stamp()}
        operations: list[dict[str, Any]] = [
            {"op": "set", "path": f"{path}/{name}", "value": value}
            for name, value in members.items()
        ]
        if change.noted:
            entry = {
                "readinessStatus": change.members["readinessStatus"],
                "reason": change.members["reason"],
                "revision": event.revision,
                "eventId": event.event_id,
                "eventAt": event.position.at,
                "appliedAt": microseconds(),
            }
            operations += [
                {"op": "remove", "path": f"{path}/history/{HISTORY_ENTRIES - 1}"},
                {"op": "add", "path": f"{path}/history/0", "value": entry},
            ]
        return await self._flows.patch(event.flow_set_id, operations, condition, returned=returned)

    async def read_flow(self, set_id: str, kind: str, flow_id: str) -> dict[str, Any] | None:
        """Return a flow; None where it is gone."""
        try:
            flow: dict[str, Any] | None = (await self._flows.read_set(set_id))["flows"].get(kind)
        except NotFound:
            return None
        return flow if flow is not None and flow["id"] == flow_id else None

    async def due_flows(self, now: int, most: int, start: str) -> list[Found]:
        """Return flows whose check is due to be requested again.

        Those in sets from the id `start` on come first, so that flows that fail do not always stand
        before the others.
        """
        due = " OR ".join(f"c.flows.{kind}.checkDueAt <= @now" for kind in FLOW_SCHEMAS)
        found: list[Found] = []
        for side in (">=", "<"):
            left = most - len(found)
            if left <= 0:  # of one set, several flows may be due
                break
            query = Query(
                f"SELECT TOP @most * FROM c WHERE c.id {side} @start AND ({due})",  # noqa: S608 - kinds are our own words
                [
                    {"name": "@now", "value": now},
                    {"name": "@most", "value": left},
                    {"name": "@start", "value": start},
                ],
            )
            found += [
                (document["id"], kind, flow)
                for document in await self._flows.query_sets(query, left)
                for kind, flow in document["flows"].items()
                if flow["checkDueAt"] is not None and flow["checkDueAt"] <= now
            ]
        return found[:most]

    async def note_recheck(
        self, set_id: str, kind: str, flow: Mapping[str, Any], asks: int, at: int
    ) -> bool:
        """Note that a flow's check was requested `asks` times and is due again at `at`.

        False where the flow changed: only one that is still to be checked, and whose check was
        requested as often as `flow` says, is written to.
        """
        path = f"/flows/{kind}"
        condition = (
            f"c.flows.{kind}.id = '{flow['id']}' AND c.flows.{kind}.revision = {flow['revision']} "
            f"AND c.flows.{kind}.asks = {flow['asks']} AND IS_NULL(c.flows.{kind}.check)"
        )
        operations: list[dict[str, Any]] = [
            {"op": "set", "path": f"{path}/asks", "value": asks},
            {"op": "set", "path": f"{path}/checkDueAt", "value": at},
        ]
        try:
            return await self._flows.patch(set_id, operations, condition) is not None
        except NotFound:
            return False

    async def flows_that_use(
        self, names: Collection[str], revised_after: int, after: str, most: int
    ) -> tuple[list[Found], str | None]:
        """Return flows that refer to any of these role groups and roles, by id or code.

        Only those are given whose revision was made after `revised_after` (microseconds since
        1970). At most `most` sets after the id `after` are read; the second value is the id to
        continue after, None at the end.
        """
        parameters: list[dict[str, Any]] = [
            {"name": "@most", "value": most},
            {"name": "@after", "value": after},
        ]
        conditions = [OF_BEFORE]  # without a list of what their flows use
        for number, name in enumerate(sorted(names)):
            parameters.append({"name": f"@u{number}", "value": name})
            conditions += [
                f"ARRAY_CONTAINS(c.flows.{kind}.uses, @u{number})" for kind in FLOWS_THAT_USE
            ]
        query = Query(
            f"SELECT TOP @most * FROM c WHERE c.id > @after AND ({' OR '.join(conditions)}) "  # noqa: S608 - all words are our own
            "ORDER BY c.id",
            parameters,
        )
        documents = await self._flows.query_sets(query, most)
        found = [
            (document["id"], kind, flow)
            for document in documents
            for kind, flow in document["flows"].items()
            if flow["revisedAt"] > revised_after and not set(names).isdisjoint(flow["uses"])
        ]
        return found, documents[-1]["id"] if len(documents) == most else None


FLOWS_THAT_USE: Final = ("userProvisioningFlow", "classGroupProvisioningFlow")
"""The kinds whose configuration can refer to role groups or roles."""
