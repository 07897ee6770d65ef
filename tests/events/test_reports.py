"""What becomes of the reports of a provisioning engine, on the running stack."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage

from tests.support.api import Flow
from tests.support.queue import FORMS, Form, Queue


async def test_a_newer_report_is_applied(queue: Queue, ready_flow: Flow) -> None:
    assert await queue.outcome(ready_flow.report("failed", datetime.now(UTC))) == "applied"
    assert await ready_flow.status() == "failed"


@FORMS
async def test_a_report_counts_in_each_form_of_a_cloudevent(
    queue: Queue, ready_flow: Flow, form: Form
) -> None:
    event_id, message = ready_flow.report("failed", datetime.now(UTC))
    assert await queue.outcome((event_id, form(message))) == "applied"
    await ready_flow.until_status("failed")


async def test_the_same_event_twice_is_a_duplicate(queue: Queue, ready_flow: Flow) -> None:
    now = datetime.now(UTC)
    event_id, first = ready_flow.report("failed", now)
    await queue.send(first)
    await ready_flow.until_status("failed")
    _, again = ready_flow.report("failed", now, event_id=event_id)
    await queue.send(again)

    assert await queue.outcomes(event_id, deliveries=2) == ["applied", "duplicate"]
    assert await ready_flow.status() == "failed"


async def test_an_older_report_is_stale(queue: Queue, ready_flow: Flow) -> None:
    older = ready_flow.report("failed", datetime.now(UTC) - timedelta(minutes=5))
    assert await queue.outcome(ready_flow.report("disabled", datetime.now(UTC))) == "applied"
    assert await queue.outcome(older) == "stale"
    assert await ready_flow.status() == "disabled"


@pytest.mark.parametrize("revision", [2, 7])
async def test_a_report_about_another_revision_is_stale(
    queue: Queue, ready_flow: Flow, revision: int
) -> None:
    report = ready_flow.report("failed", datetime.now(UTC), revision=revision)
    assert await queue.outcome(report) == "stale"
    assert await ready_flow.status() == "ready"


async def test_a_report_about_a_flow_that_is_not_there_is_set_aside(
    queue: Queue, ready_flow: Flow
) -> None:
    now = datetime.now(UTC)
    nowhere = Flow(ready_flow.api, str(uuid.uuid4()), ready_flow.id, ready_flow.kind)
    unknown = ready_flow.report("failed", now, flow_id=str(uuid.uuid4()))
    assert await queue.outcome(unknown) == "gone"
    assert await queue.outcome(nowhere.report("failed", now)) == "gone"
    assert await ready_flow.status() == "ready"


async def test_reports_out_of_order_end_in_the_newest(queue: Queue, ready_flow: Flow) -> None:
    start = datetime.now(UTC) - timedelta(seconds=1)
    first, second, third = (
        ready_flow.report(status, start + timedelta(milliseconds=order))
        for order, status in enumerate(["failed", "disabled", "expired"])
    )
    await queue.send(third[1], first[1], second[1])
    for event_id, _ in (first, second, third):
        assert await queue.outcomes(event_id) in (["applied"], ["stale"])
    assert await ready_flow.status() == "expired"


async def test_an_illegal_step_is_archived_and_changes_nothing(
    queue: Queue, ready_flow: Flow
) -> None:
    _, message = ready_flow.report("notReady", datetime.now(UTC) + timedelta(seconds=1))
    await queue.send(message)
    [dead] = await queue.dead_lettered(message.message_id)
    assert "readinessStatus" in dead["fault"]
    assert await ready_flow.status() == "ready"


def without_revision(flow: Flow, status: str, at: datetime) -> tuple[str, ServiceBusMessage]:
    """A report that leaves open which revision it is about."""
    event_id = str(uuid.uuid4())
    return event_id, flow.event("readinessReported", event_id, at, {"readinessStatus": status})


async def test_a_report_may_leave_the_revision_open(queue: Queue, ready_flow: Flow) -> None:
    report = without_revision(ready_flow, "disabled", datetime.now(UTC))
    assert await queue.outcome(report) == "applied"
    assert await ready_flow.status() == "disabled"


async def test_a_report_without_a_revision_from_before_a_reset_is_stale(
    queue: Queue, ready_flow: Flow
) -> None:
    seen = datetime.now(UTC)
    answer = await ready_flow.api.send("POST", f"{ready_flow.url}/reset")
    assert answer.status == 202, answer.text
    await ready_flow.until_status("ready")
    assert await queue.outcome(without_revision(ready_flow, "failed", seen)) == "stale"
    assert await ready_flow.status() == "ready"
