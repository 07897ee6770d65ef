"""What an operator wants to see at a glance: flow sets, readiness, the queue and dead letters."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from shared.domain.errors import Fault, InvalidRequest, StoreUnavailable
from shared.services.flow_rows import (
    FILTERS,
    MOST,
    Row,
    Rows,
    all_query,
    counted,
    rows_of,
    search_query,
    shown,
    shown_query,
)

if TYPE_CHECKING:
    from shared.adapters.archive import Archive
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.queue_depth import Counts, QueueDepth

log = logging.getLogger(__name__)

PAGE: Final = 50
MAX_SETS: Final = 500
MAX_SEARCH: Final = 256
# However many look: what goes through everything that is stored is read this often at most, beside
# the requests. A request waits for it only where what was read before is older than SEEN_SECONDS.
COUNTED_SECONDS: Final = 10.0
SEEN_SECONDS: Final = 30.0
# For what waits in the queue and the archive a request waits no longer than this.
LOOK_SECONDS: Final = 0.3
DEAD_LETTER_DAYS: Final = 7
_OPTIONS: Final = ("search", "skip", "status", "top")


@dataclass(frozen=True)
class Options:
    """What a request for the overview wants."""

    search: str
    status: str | None
    skip: int
    top: int


class Overview:
    """Reads what the status page shows. What goes through all sets is kept for COUNTED_SECONDS."""

    def __init__(
        self,
        store: FlowStore,
        archive: Archive,
        depth: QueueDepth,
        tenant: str,
        counts: Counts | None = None,
    ) -> None:
        """`counts` says which messages of the queue are the tenant's; without it, all are."""
        self._tenant = tenant
        self._store = store
        self._archive = archive
        self._depth = depth
        self._counts = counts
        self._counting: asyncio.Task[Rows] | None = None
        self._rows = counted([])
        self._counted_at = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -math.inf
        self._seen: dict[str, Any] = {}
        self._seen_at = -math.inf

    async def read(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return counts and some flow sets, those with trouble first.

        `params` are a request's: search (in names, or a set's or a flow's id), status (sets with a
        flow of that readiness, or a stuck one), skip and top (1 to MAX_SETS). Counts and order are
        up to SEEN_SECONDS old, the sets themselves are read now. Raises InvalidRequest and
        StoreUnavailable.
        """
        options = _options(params)
        totals, all_rows = await self._totals()
        found = await self._found(all_rows, options)
        page = found[options.skip : options.skip + options.top]
        return {
            "tenantId": self._tenant,
            **totals,
            "found": len(found),
            "value": await self._shown([row.id for row in page]),
            "more": options.skip + options.top < len(found),
        }

    async def _found(self, all_rows: Rows, options: Options) -> list[Row]:
        """Return the rows that pass; where a search finds none of them, the store may know more."""
        search, status = options.search, options.status
        found = [row for row in all_rows.rows if row.passes(search, status)]
        if search and not (found and all_rows.complete):
            others = await self._store.rows(search_query(search, MAX_SETS), MAX_SETS)
            found = [row for row in rows_of(others) if row.passes(search, status)]
        return found

    async def _shown(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        if not ids:
            return []
        found = {each["id"]: each for each in await self._store.rows(shown_query(ids), len(ids))}
        return [shown(found[each]) for each in ids if each in found]

    async def _totals(self) -> tuple[dict[str, Any], Rows]:
        rows, waiting = await asyncio.gather(self._counted(), self._waiting())
        totals = {
            "flowSets": len(rows.rows),
            "complete": rows.complete,
            "counts": rows.counts,
            "sets": rows.sets,
            "stuck": rows.stuck,
        }
        return {**totals, **waiting}, rows

    async def _counted(self) -> Rows:
        """Return all sets as they were counted last; only the first caller in a while waits."""
        if self._counting is None and time.monotonic() - self._counted_at >= COUNTED_SECONDS:
            self._counting = asyncio.create_task(self._count())
            # A failure that no request waits for is met by the next one that does.
            self._counting.add_done_callback(lambda task: task.cancelled() or task.exception())
        if self._counting is not None and time.monotonic() - self._counted_at > SEEN_SECONDS:
            return await asyncio.shield(self._counting)
        return self._rows

    async def _count(self) -> Rows:
        try:
            found = await self._store.rows(all_query(), MOST)
            # For thousands of sets this takes a while, in which others are served.
            self._rows = await asyncio.to_thread(counted, found)
            self._counted_at = time.monotonic()
            return self._rows
        finally:
            self._counting = None

    async def _waiting(self) -> dict[str, Any]:
        """Return what waits in the queue and the archive, None for what is not known (yet).

        Service Bus takes a second for it, and an outage of either takes many.
        """
        if self._looking is None and time.monotonic() - self._looked_at >= COUNTED_SECONDS:
            self._looked_at = time.monotonic()
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None and time.monotonic() - self._seen_at > SEEN_SECONDS:
            await asyncio.wait([self._looking], timeout=LOOK_SECONDS)
        is_known = time.monotonic() - self._seen_at <= SEEN_SECONDS
        return self._seen if is_known else {"queue": None, "deadLetters": None}

    async def _look(self) -> None:
        try:
            queue, letters = await asyncio.gather(
                self._depth.read(self._counts), self._dead_letters()
            )
            self._seen = {"queue": queue, "deadLetters": letters}
            self._seen_at = time.monotonic()
        finally:
            self._looking = None

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


def _options(params: Mapping[str, str]) -> Options:
    faults = [
        Fault("UnknownOption", f"Use {', '.join(_OPTIONS)}.", name[:64])
        for name in params
        if name not in _OPTIONS
    ]
    search = params.get("search", "").strip()
    if len(search) > MAX_SEARCH:
        faults.append(Fault("InvalidValue", f"Give up to {MAX_SEARCH} characters.", "search"))
    status = params.get("status")
    if status is not None and status not in FILTERS:
        faults.append(Fault("InvalidValue", f"Give one of {', '.join(FILTERS)}.", "status"))
    numbers = {}
    for name, least, most, default in (("top", 1, MAX_SETS, PAGE), ("skip", 0, MOST, 0)):
        text = params.get(name, str(default))
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
        if not least <= number <= most:
            faults.append(Fault("InvalidValue", f"Give a number from {least} to {most}.", name))
        numbers[name] = number
    if faults:
        raise InvalidRequest(*faults)
    return Options(search, status, numbers["skip"], numbers["top"])
