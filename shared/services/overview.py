"""What an operator wants to see at a glance: flow sets, readiness, the queue and dead letters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from shared.contract.printing import readiness_history
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.errors import Fault, InvalidRequest, StoreUnavailable
from shared.domain.ids import printed_time
from shared.domain.readiness import Status
from shared.odata.cosmos import Query

if TYPE_CHECKING:
    from shared.adapters.archive import Archive
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.service_bus import QueueDepth

log = logging.getLogger(__name__)

PAGE: Final = 50
MAX_SETS: Final = 500
MAX_SEARCH: Final = 256
# However many look: what goes through everything that is stored is asked for this often at most.
COUNTED_SECONDS: Final = 10.0
DEAD_LETTER_DAYS: Final = 7
_OPTIONS: Final = ("search", "status", "top")


class Overview:
    """Reads what the status page shows. What goes through all sets is kept for COUNTED_SECONDS."""

    def __init__(self, store: FlowStore, archive: Archive, depth: QueueDepth) -> None:
        self._store = store
        self._archive = archive
        self._depth = depth
        self._counting = asyncio.Lock()
        self._counted: dict[str, Any] = {}
        self._counted_at = -COUNTED_SECONDS

    async def read(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return counts and the first sets by name.

        `params` are a request's: search (in names, or a set's id), status (sets with a flow of that
        readiness) and top (1 to MAX_SETS). Raises InvalidRequest and StoreUnavailable.
        """
        search, status, top = _options(params)
        totals, found = await asyncio.gather(
            self._totals(), self._store.query_sets(_query(search, status, top), top + 1)
        )
        return {
            **totals,
            "value": [_flow_set(each) for each in found[:top]],
            "more": len(found) > top,
        }

    async def _totals(self) -> dict[str, Any]:
        async with self._counting:
            if time.monotonic() - self._counted_at >= COUNTED_SECONDS:
                sets, counts, queue, letters = await asyncio.gather(
                    self._store.count_sets(Query("SELECT VALUE COUNT(1) FROM c", [])),
                    self._counts(),
                    self._depth.read(),
                    self._dead_letters(),
                )
                self._counted = {
                    "flowSets": sets,
                    "counts": counts,
                    "queue": queue,
                    "deadLetters": letters,
                }
                self._counted_at = time.monotonic()
            return self._counted

    async def _counts(self) -> dict[str, dict[str, int]]:
        """Count the flows of each kind and status; each count is answered from an index."""
        kinds = list(FLOW_SCHEMAS)
        numbers = iter(
            await asyncio.gather(
                *(
                    self._store.count_sets(
                        Query(
                            f"SELECT VALUE COUNT(1) FROM c WHERE {_has(kind)}",  # noqa: S608 - kinds are our own words
                            [{"name": "@status", "value": str(status)}],
                        )
                    )
                    for kind in kinds
                    for status in Status
                )
            )
        )
        return {kind: {str(status): next(numbers) for status in Status} for kind in kinds}

    async def _dead_letters(self) -> dict[str, Any] | None:
        """Count the dead letters of the last days in the archive; None where it is out of reach."""
        today = datetime.now(UTC)
        days = [f"{today - timedelta(days=ago):%Y/%m/%d}" for ago in range(DEAD_LETTER_DAYS)]
        try:
            async with asyncio.timeout(5):
                names = {name for day in days async for name in self._archive.names(day)}
                done = (
                    await self._archive.replayed() | await self._archive.discarded()
                    if names
                    else set()
                )
        except (StoreUnavailable, TimeoutError) as exc:
            log.warning("dead letters not counted: %s", type(exc).__name__)
            return None
        return {
            "days": DEAD_LETTER_DAYS,
            "kept": len(names),
            "notReplayed": len(names - done),
        }


def _options(params: Mapping[str, str]) -> tuple[str, str | None, int]:
    faults = [
        Fault("UnknownOption", f"Use {', '.join(_OPTIONS)}.", name[:64])
        for name in params
        if name not in _OPTIONS
    ]
    search = params.get("search", "").strip()
    if len(search) > MAX_SEARCH:
        faults.append(Fault("InvalidValue", f"Give up to {MAX_SEARCH} characters.", "search"))
    status = params.get("status")
    if status is not None and status not in list(Status):
        faults.append(Fault("InvalidValue", f"Give one of {', '.join(Status)}.", "status"))
    text = params.get("top", str(PAGE))
    top = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    if not 1 <= top <= MAX_SETS:
        faults.append(Fault("InvalidValue", f"Give a number from 1 to {MAX_SETS}.", "top"))
    if faults:
        raise InvalidRequest(*faults)
    return search, status, top


def _has(kind: str) -> str:
    return f"c.flows.{kind}.readinessStatus = @status"


def _query(search: str, status: str | None, top: int) -> Query:
    parameters: list[dict[str, Any]] = [{"name": "@most", "value": top + 1}]
    conditions = []
    if search:
        conditions.append("(CONTAINS(c.displayName, @search, true) OR c.id = @id)")
        parameters += [
            {"name": "@search", "value": search},
            {"name": "@id", "value": search.lower()},
        ]
    if status is not None:
        conditions.append(f"({' OR '.join(map(_has, FLOW_SCHEMAS))})")
        parameters.append({"name": "@status", "value": status})
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    text = f"SELECT TOP @most * FROM c{where} ORDER BY c.displayName, c.id"  # noqa: S608 - all words are our own
    return Query(text, parameters)


def _flow_set(document: Mapping[str, Any]) -> dict[str, Any]:
    stored = document["flows"]
    return {
        "id": document["id"],
        "displayName": document["displayName"],
        "createdDateTime": printed_time(document["createdDateTime"]),
        "flows": [_flow(kind, stored[kind]) for kind in FLOW_SCHEMAS if kind in stored],
    }


def _flow(kind: str, flow: Mapping[str, Any]) -> dict[str, Any]:
    latest = readiness_history(flow)[:1]
    return {
        "id": flow["id"],
        "kind": kind,
        "readinessStatus": flow["readinessStatus"],
        "reason": flow["reason"],
        "revision": flow["revision"],
        "changedDateTime": latest[0]["appliedDateTime"] if latest else None,
        # How often a check was asked for: more than once means that something is slow or lost.
        "asks": flow["asks"],
    }
