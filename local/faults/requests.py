"""What was asked of the service: the newest requests, without tokens, bodies or other secrets."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from local.faults.reading import Fault
from local.host.layer import Asked

MOST_REQUESTS: Final = 1000
_LONGEST: Final = 256
#: the headers that are shown: what clients say of a request, and nothing that opens anything
_HEADERS: Final = (
    "consistencylevel",
    "content-encoding",
    "content-type",
    "if-match",
    "if-none-match",
    "local-fault",
    "prefer",
    "retry-attempt",
    "sdkversion",
    "user-agent",
)
#: query options whose values are shown; of others, which may be secrets, the names only
_OPTIONS: Final = frozenset(
    {"count", "expand", "filter", "format", "orderby"}
    | {"search", "select", "skip", "skiptoken", "top"}
)


@dataclass
class Entry:
    """One request, or one part of a batch."""

    method: str
    path: str
    operation: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    client_request_id: str | None = None
    request_bytes: int = 0
    part_id: str | None = None
    parts: list[Entry] = field(default_factory=list)
    fault: Fault | None = None
    #: whether the service carried it out, whatever the client was answered
    carried_out: bool = False
    status: int | None = None
    request_id: str | None = None
    response_bytes: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.perf_counter)
    milliseconds: float | None = None

    @classmethod
    def of(cls, asked: Asked, operation: str) -> Entry:
        """Begin with what a request has that may be shown."""
        return cls(
            asked.method,
            asked.path[:2048],
            operation,
            query=_shown_query(asked.query),
            headers={n: asked.headers[n][:_LONGEST] for n in _HEADERS if n in asked.headers},
            client_request_id=asked.headers.get("client-request-id", "")[:_LONGEST] or None,
            request_bytes=len(asked.body),
        )

    def end(self, status: int | None, request_id: str | None, response_bytes: int) -> None:
        """Note the answer; no status where the connection was cut before one."""
        self.status, self.request_id, self.response_bytes = status, request_id, response_bytes
        self.milliseconds = round((time.perf_counter() - self.began) * 1000, 1)

    def shown(self) -> dict[str, Any]:
        """As `GET /local/requests` answers it."""
        if self.part_id is not None:
            timing = {}
        else:
            timing = {
                "query": self.query,
                "headers": self.headers,
                "clientRequestId": self.client_request_id,
                "startedDateTime": shown_time(self.started),
                "milliseconds": self.milliseconds,
                "requestBytes": self.request_bytes,
                "responseBytes": self.response_bytes,
                "parts": [part.shown() for part in self.parts],
            }
        return {
            **({} if self.part_id is None else {"id": self.part_id}),
            "method": self.method,
            "path": self.path,
            "operation": self.operation,
            "status": self.status,
            "requestId": self.request_id,
            "carriedOut": self.carried_out,
            "fault": None if self.fault is None else self.fault.shown(),
            **timing,
        }


class RequestLog:
    """The newest requests in the order in which they came."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MOST_REQUESTS)
        self._all = 0

    def add(self, entry: Entry) -> None:
        """Keep one more, and forget the oldest where there are too many."""
        self._entries.append(entry)
        self._all += 1

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._all = 0

    def shown(self) -> dict[str, Any]:
        """All that is kept, and how many were forgotten."""
        kept = [entry.shown() for entry in self._entries]
        return {"forgotten": self._all - len(kept), "value": kept}


def shown_time(moment: datetime) -> str:
    """Write a moment in UTC as the API does, in milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode(
        [(n, v if n.removeprefix("$").lower() in _OPTIONS else "***") for n, v in pairs],
        safe="$*(),/:'",
    )
