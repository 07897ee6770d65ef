"""Log lines: one JSON object an event, totals once a minute, and the trace they belong to."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from shared import logs, trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the log, just after it told its totals, with nothing counted."""
    clock = Clock()
    monkeypatch.setattr(logs, "time", clock)
    monkeypatch.setattr(logs, "_last_totals", clock.now)
    monkeypatch.setattr(logs, "_totals", Counter())
    return clock


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, clock: Clock) -> pytest.LogCaptureFixture:
    """What is logged."""
    caplog.set_level(logging.INFO, "provisioning")
    return caplog


@pytest.fixture
def traced() -> Iterator[None]:
    """Inside a trace."""
    token = trace.current.set(PARENT)
    yield
    trace.current.reset(token)


def told(log: pytest.LogCaptureFixture) -> list[Any]:
    """The lines, read as JSON."""
    return [json.loads(record.getMessage()) for record in log.records]


def test_a_line_is_one_json_object(log: pytest.LogCaptureFixture) -> None:
    logs.line("done", outcome="applied", reason="two\nlines %s")
    [record] = log.records
    assert "\n" not in record.getMessage()
    assert told(log) == [
        {"event": "done", "outcome": "applied", "reason": "two\nlines %s", "traceId": None}
    ]


def test_a_line_has_its_level(log: pytest.LogCaptureFixture) -> None:
    logs.line("usual")
    logs.line("unusual", logging.WARNING)
    assert [record.levelno for record in log.records] == [logging.INFO, logging.WARNING]


@pytest.mark.usefixtures("traced")
def test_a_line_has_the_id_of_its_trace(log: pytest.LogCaptureFixture) -> None:
    logs.line("done")
    assert told(log)[0]["traceId"] == "0af7651916cd43dd8448eb211c80319c"


def test_totals_are_told_when_their_time_has_come(
    log: pytest.LogCaptureFixture, clock: Clock
) -> None:
    logs.line("event", outcome="applied")
    logs.line("event", outcome="stale")
    logs.line("request", status=201)
    logs.line("other")
    clock.now += logs.COUNTERS_EVERY_SECONDS - 0.1
    logs.line("event", outcome="applied")
    assert "counters" not in [line["event"] for line in told(log)]
    clock.now += 0.1
    logs.line("other")
    assert told(log)[-1] == {
        "event": "counters",
        "event:applied": 2,
        "event:stale": 1,
        "request:201": 1,
        "other": 2,
    }


def test_totals_are_told_once_a_minute_and_go_on(
    log: pytest.LogCaptureFixture, clock: Clock
) -> None:
    for _ in range(2):
        clock.now += logs.COUNTERS_EVERY_SECONDS
        logs.line("other")
        logs.line("other")
    totals = [line["other"] for line in told(log) if line["event"] == "counters"]
    assert totals == [1, 3]


# --- traces ------------------------------------------------------------------------------------


def test_a_callers_trace_is_continued() -> None:
    assert trace.continued(PARENT) == PARENT


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        PARENT.upper(),
        PARENT + "-more",
        PARENT + "\n",
        PARENT.replace("00-", "01-", 1),
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        PARENT[:-1],
    ],
)
def test_what_is_no_trace_gives_way_to_a_new_one(given: str | None) -> None:
    first, second = trace.continued(given), trace.continued(given)
    assert trace.is_traceparent(first)
    assert first not in (given, second)


def test_the_id_of_a_trace_is_its_second_part() -> None:
    assert trace.trace_id(PARENT) == "0af7651916cd43dd8448eb211c80319c"
    assert trace.trace_id(None) is None
