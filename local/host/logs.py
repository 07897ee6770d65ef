"""Log lines on stdout: time, level, function, invocation id, message. Bodies are never logged."""

from __future__ import annotations

import contextvars
import logging
import sys
import time

#: (function name, invocation id) of the invocation that runs in this context
current: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar(
    "invocation", default=None
)
HOST = logging.getLogger("local.host")


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        invocation = current.get()
        place = f" {invocation[0]} {invocation[1]}" if invocation else ""
        record.place = place
        return super().format(record)


def set_up() -> None:
    """Give the root logger a handler and the level INFO, as it has in the worker."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter("[%(asctime)s] %(levelname)s%(place)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # During an outage the SDK reports every step, also as errors. What matters of it is raised too,
    # and the host says once that there is an outage.
    logging.getLogger("azure.servicebus").setLevel(logging.CRITICAL)
