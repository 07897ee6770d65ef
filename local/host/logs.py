"""Log lines on stdout: time, level, function, invocation id, message. Bodies are never logged."""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
import time

#: (function name, invocation id) of the invocation that runs in this context
current: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar(
    "invocation", default=None
)
HOST = logging.getLogger("local.host")


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        invocation = current.get()
        place = f" {invocation[0]} {invocation[1]}" if invocation else ""
        record.message = record.getMessage()
        line = (
            f"[{_second(int(record.created))}.{int(record.msecs):03d}Z] {record.levelname}{place} "
            f"{record.name}: {record.message}"
        )
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


@functools.lru_cache(maxsize=1)
def _second(since_1970: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_1970))


def set_up() -> None:
    """Give the root logger a handler and the level INFO, as it has in the worker."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # During an outage the SDK reports every step, also as errors. What matters of it is raised too,
    # and the host says once that there is an outage.
    logging.getLogger("azure.servicebus").setLevel(logging.CRITICAL)
