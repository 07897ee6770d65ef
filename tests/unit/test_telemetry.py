"""Log lines: one JSON object an event, totals once a minute, and the trace they belong to."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from shared import telemetry
from shared.domain.context import continued, current_trace, is_traceparent
from shared.telemetry import log_event

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
    """The time of the log, just after its totals, with nothing counted."""
    clock = Clock()
    monkeypatch.setattr(telemetry, "time", clock)
    monkeypatch.setattr(telemetry, "_last_totals", clock.now)
    monkeypatch.setattr(telemetry, "_totals", Counter())
    return clock


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, clock: Clock) -> pytest.LogCaptureFixture:
    """What is logged."""
    caplog.set_level(logging.INFO, "provisioning")
    return caplog


@pytest.fixture
def traced() -> Iterator[None]:
    """Inside a trace."""
    token = current_trace.set(PARENT)
    yield
    current_trace.reset(token)


def logged(log: pytest.LogCaptureFixture) -> list[Any]:
    """The lines, read as JSON."""
    return [json.loads(record.getMessage()) for record in log.records]


def test_a_line_is_one_json_object(log: pytest.LogCaptureFixture) -> None:
    log_event("done", outcome="applied", reason="two\nlines %s")
    [record] = log.records
    assert "\n" not in record.getMessage()
    assert logged(log) == [
        {
            "event": "done",
            "outcome": "applied",
            "reason": "two\nlines %s",
            "tenant": None,
            "traceId": None,
        }
    ]


def test_a_line_has_its_level(log: pytest.LogCaptureFixture) -> None:
    log_event("usual")
    log_event("unusual", logging.WARNING)
    assert [record.levelno for record in log.records] == [logging.INFO, logging.WARNING]


@pytest.mark.usefixtures("traced")
def test_a_line_has_the_id_of_its_trace(log: pytest.LogCaptureFixture) -> None:
    log_event("done")
    assert logged(log)[0]["traceId"] == "0af7651916cd43dd8448eb211c80319c"


def test_totals_are_logged_when_they_are_due(log: pytest.LogCaptureFixture, clock: Clock) -> None:
    log_event("event", outcome="applied")
    log_event("event", outcome="stale")
    log_event("request", status=201)
    log_event("other")
    clock.now += telemetry.COUNTERS_EVERY_SECONDS - 0.1
    log_event("event", outcome="applied")
    assert "counters" not in [line["event"] for line in logged(log)]
    clock.now += 0.1
    log_event("other")
    assert logged(log)[-1] == {
        "event": "counters",
        "event:applied": 2,
        "event:stale": 1,
        "request:201": 1,
        "other": 2,
    }


def test_totals_are_logged_once_a_minute_and_go_on(
    log: pytest.LogCaptureFixture, clock: Clock
) -> None:
    for _ in range(2):
        clock.now += telemetry.COUNTERS_EVERY_SECONDS
        log_event("other")
        log_event("other")
    totals = [line["other"] for line in logged(log) if line["event"] == "counters"]
    assert totals == [1, 3]


# --- traces ------------------------------------------------------------------------------------


def test_a_callers_trace_is_continued() -> None:
    assert continued(PARENT) == PARENT


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
    first, second = continued(given), continued(given)
    assert is_traceparent(first)
    assert first not in (given, second)
