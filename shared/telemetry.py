"""One structured log line an event, and running totals of the outcomes."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from typing import Any

from shared.domain.context import current_tenant, current_trace

COUNTERS_EVERY_SECONDS = 60.0

_log = logging.getLogger("provisioning")
_totals: Counter[str] = Counter()
_last_totals = time.monotonic()


def log_event(event: str, /, level: int = logging.INFO, **members: Any) -> None:
    """Log one event as a JSON object: ids, states and numbers, never bodies or secrets.

    Each `event`, with its `outcome` or `status` where it has one, is also counted. At most once a
    minute the totals of this process are logged as an event of their own.
    """
    what = members.get("outcome") or members.get("status")
    _totals[f"{event}:{what}" if what else event] += 1
    # The second part of a traceparent is the id that all log lines of one trace share.
    trace = current_trace.get()
    trace_id = None if trace is None else trace.split("-")[1]
    line = {"event": event, **members, "tenant": current_tenant.get(), "traceId": trace_id}
    _log.log(level, "%s", json.dumps(line))
    global _last_totals
    now = time.monotonic()
    if now - _last_totals >= COUNTERS_EVERY_SECONDS:
        _last_totals = now
        _log.info("%s", json.dumps({"event": "counters", **_totals}))
