"""Subscriptions to changes of flows, as functions of values: their rules, and what is new to them.

The change itself is what notifications are made from: a flow's `history` is written by the same
conditional write as the change. For each flow a subscription keeps the key of the last entry that
it was notified of; the entries in front of that one are new to it. A deleted flow has no history
any more, so that a removal, with what the history was, is stored before the delete and counts once
the flow is gone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.flows import HISTORY_ENTRIES, Stored
from shared.domain.ids import as_guid

CHANGE_TYPES: Final = ("created", "updated", "deleted")
MAX_MINUTES: Final = 41_760
"""How long a subscription may last: a day less than 30, as for directory resources of Graph."""
MAX_PER_TENANT: Final = 100
MAX_PER_SET: Final = 10

ALL_FLOWS: Final = "external/industryData/outboundProvisioningFlowSets/getAllProvisioningFlows"

EARLIER: Final = 5_000_000
"""Microseconds before a subscription's creation from which on changes are new to it: instances'
clocks may differ by as much."""
OVERLAP: Final = 15
"""Seconds that each look at the changes goes back behind the one before."""
SETTLED: Final = 60
"""Seconds after which a delete that has not happened will not: requests end long before."""
DELETED: Final = "deleted"
_MOST_KEYS: Final = 40

FIRST_PAUSE: Final = 10.0
LONGEST_PAUSE: Final = 1800.0
GIVE_UP: Final = 4 * 3600.0
"""Seconds for which failing deliveries are repeated."""
PAUSED_AFTER: Final = 3
"""Failures in a row from which a subscription counts as paused."""

_RESOURCE: Final = re.compile(
    r"/?external/industryData/outboundProvisioningFlowSets"
    r"(?:/getAllProvisioningFlows|(?:/(?P<key>[0-9a-f-]{36})|\('(?P<quoted>[0-9a-f-]{36})'\))"
    r"/provisioningFlows)/?",
    re.IGNORECASE,
)


def resource_of_set(set_id: str) -> str:
    """Return how a subscription names the flows of one set."""
    return f"external/industryData/outboundProvisioningFlowSets/{set_id}/provisioningFlows"


@dataclass(frozen=True)
class Resource:
    """What a subscription is about: the flows of one set, or of all with `set_id` None."""

    set_id: str | None

    def __str__(self) -> str:
        return ALL_FLOWS if self.set_id is None else resource_of_set(self.set_id)

    @classmethod
    def read(cls, text: str) -> Resource | None:
        """Return what a path names, in any case, with or without a slash in front; else None."""
        match = _RESOURCE.fullmatch(text)
        if match is None:
            return None
        key = match["key"] or match["quoted"]
        if key is None:
            return cls(None)
        set_id = as_guid(key)
        return None if set_id is None else cls(set_id)


def new_delivery(now: int) -> dict[str, Any]:
    """Make the state of a new subscription's deliveries, at `now` (microseconds since 1970).

    `mark` is the second from which on stored changes are looked at; changes before `since` do not
    count. A `lease` keeps deliveries to one at a time.
    """
    return {
        "lease": None,
        "leaseUntil": 0,
        "mark": now // 1_000_000 - OVERLAP,
        "since": now - EARLIER,
        "attempts": 0,
        "failingSince": None,
        "nextTryAt": 0,
        "fault": None,
        "deliveredAt": None,
        "owesMissed": False,
        "missedTryAt": 0,
    }


def health(delivery: Stored) -> str:
    """Say in one word how deliveries go: healthy, failing, or paused."""
    attempts: int = delivery["attempts"]
    if not attempts:
        return "healthy"
    return "failing" if attempts < PAUSED_AFTER else "paused"


def pause_after(attempts: int, first: float = FIRST_PAUSE) -> float:
    """Return the seconds to wait after failures in a row: twice as long each time, up to 30 min."""
    doubled = min(first * 2.0 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return doubled * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


# --- what is new -------------------------------------------------------------------------------


@dataclass(frozen=True)
class News:
    """One change of a flow: its sort, and the readinessStatus that it led to."""

    flow_id: str
    kind: str
    change: str
    key: str
    status: str | None
    at: int


@dataclass(frozen=True)
class SetNews:
    """What is new about one set: changes in order for each flow, and the keys to keep afterwards.

    `overflowed` says that a flow changed more often than its history remembers.
    """

    set_id: str
    news: Sequence[News]
    keys: Mapping[str, str]
    overflowed: bool


def news_of_set(
    set_id: str,
    flows: Mapping[str, Stored],
    removed: Mapping[str, Stored],
    keys: Mapping[str, str],
    since: int,
) -> SetNews:
    """Return what is new about a set to a subscription that has notified up to `keys`, by flow.

    `flows` and `removed` have flows by id, each with its `kind` and `history`; the removed ones are
    gone from the set.
    """
    found: list[News] = []
    kept = dict(keys)
    overflowed = False
    for flow_id, flow in {**flows, **removed}.items():
        if kept.get(flow_id) == DELETED:
            continue
        news, complete = _news_of_flow(flow_id, flow, kept.get(flow_id), since)
        overflowed = overflowed or not complete
        if flow_id in removed and flow["at"] >= since:
            news.append(News(flow_id, flow["kind"], DELETED, DELETED, None, flow["at"]))
        if news:
            found += news
            kept.pop(flow_id, None)
            kept[flow_id] = news[-1].key
    return SetNews(set_id, found, dict([*kept.items()][-_MOST_KEYS:]), overflowed)


def _news_of_flow(
    flow_id: str, flow: Stored, last: str | None, since: int
) -> tuple[list[News], bool]:
    """Return a flow's new changes, oldest first, and whether the history goes back to `last`."""
    found: list[News] = []
    entries = [entry for entry in flow["history"] if entry is not None]
    complete = len(entries) < HISTORY_ENTRIES
    for entry in entries:
        key = f"{entry['revision']}:{entry['appliedAt']}:{entry['eventId'] or ''}"
        if key == last or entry["appliedAt"] < since:
            complete = True
            break
        is_first = entry["eventId"] is None and entry["reason"] == "created"
        change = "created" if is_first else "updated"
        status, at = entry["readinessStatus"], entry["appliedAt"]
        found.append(News(flow_id, flow["kind"], change, key, status, at))
    found.reverse()
    return found, complete
