"""A flow's two voices on the running stack: the last check of it, and the engine's last report."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.servicebus import ServiceBusMessage

from local.stack import Stack
from tests.support.api import Api, Flow, ready_flow_of
from tests.support.bodies import bound_to
from tests.support.cosmos import CosmosFaults
from tests.support.logs import logged
from tests.support.queue import Queue

CHECKED = "industryData.provisioningFlow.readinessCheckRequested"


async def statuses(flow: Flow) -> list[str]:
    """The flow's statuses, newest first."""
    answer = await flow.api.get(f"{flow.url}/readinessHistory")
    return [entry["readinessStatus"] for entry in answer.json()["value"]]


async def change(service: Api, group_id: str, **members: Any) -> None:
    """Change a role group."""
    answer = await service.patch(f"{service.groups}/{group_id}", members)
    assert answer.status in (200, 204), answer.text


async def test_a_changed_role_group_leaves_what_an_engine_reported(
    service: Api, stack: Stack, queue: Queue
) -> None:
    group_id = await service.new_role_group("teacher")
    flow = await ready_flow_of(service, bound_to(group_id))
    failed = flow.report("failed", datetime.now(UTC))
    assert await queue.outcome(failed) == "applied"
    await change(service, group_id, roles=[{"code": "coach"}])
    await logged(stack, CHECKED, flow.id, '"unchanged"')
    assert await statuses(flow) == ["failed", "ready", "notReady"]


async def test_a_report_from_a_clock_that_runs_ahead_holds_up_no_check(
    service: Api, queue: Queue
) -> None:
    group_id = await service.new_role_group("teacher")
    flow = await ready_flow_of(service, bound_to(group_id))
    ahead = flow.report("expired", datetime.now(UTC) + timedelta(minutes=4))
    assert await queue.outcome(ahead) == "applied"
    assert (await service.delete(f"{service.groups}/{group_id}")).status == 204
    await flow.until_status("failed")


async def test_a_report_from_a_clock_that_runs_ahead_holds_up_no_later_report(
    queue: Queue, ready_flow: Flow
) -> None:
    ahead = ready_flow.report("failed", datetime.now(UTC) + timedelta(days=1))
    assert await queue.outcome(ahead) == "applied"
    assert await ready_flow.status() == "failed"
    later = ready_flow.report("expired", datetime.now(UTC))
    assert await queue.outcome(later) == "applied"
    assert await ready_flow.status() == "expired"


async def test_a_report_put_back_keeps_the_time_at_which_it_came(
    queue: Queue, stack: Stack, ready_flow: Flow, cosmos_faults: CosmosFaults
) -> None:
    event_id, ahead = ready_flow.report("failed", datetime.now(UTC) + timedelta(days=1))
    async with cosmos_faults(operation="patch", count=100, status=503):
        await queue.send(ahead)
        await logged(stack, '"event": "eventPutBack"', event_id)
    meanwhile = ready_flow.report("expired", datetime.now(UTC))
    assert await queue.outcome(meanwhile) == "applied"
    [line] = await logged(stack, event_id, '"outcome"')
    assert line["outcome"] == "stale"
    assert await ready_flow.status() == "expired"


async def test_a_report_about_a_flow_that_cannot_run_shows_once_it_can(
    service: Api, queue: Queue
) -> None:
    group_id = await service.new_role_group("aide")
    flow = await ready_flow_of(service, bound_to(group_id))
    definition = f"{service.definitions}/RefRole-aide"
    try:
        await service.patch(definition, {"isDisabled": True})
        await flow.until_status("failed")
        expired = flow.report("expired", datetime.now(UTC))
        assert await queue.outcome(expired) == "outweighed"
        assert await flow.status() == "failed"
    finally:
        await service.patch(definition, {"isDisabled": False})
    await flow.until_status("expired")
    assert await statuses(flow) == ["expired", "failed", "ready", "notReady"]


async def test_changes_that_change_no_check_fill_no_history(service: Api, stack: Stack) -> None:
    group_id = await service.new_role_group("teacher")
    flow = await ready_flow_of(service, bound_to(group_id))
    for codes in [["coach", "teacher"], ["teacher"]] * 3:
        await change(service, group_id, roles=[{"code": code} for code in codes])
    lines = await logged(stack, CHECKED, flow.id, '"unchanged"', lines=6)
    assert len(lines) == 6
    assert await statuses(flow) == ["ready", "notReady"]


async def test_an_update_forgets_what_was_reported_of_the_revision_before(
    queue: Queue, ready_flow: Flow
) -> None:
    failed = ready_flow.report("failed", datetime.now(UTC))
    assert await queue.outcome(failed) == "applied"
    answer = await ready_flow.api.send("POST", f"{ready_flow.url}/reset")
    assert answer.status == 202, answer.text
    await ready_flow.until_status("ready")


async def test_an_engine_may_request_a_check(queue: Queue, ready_flow: Flow) -> None:
    event_id = str(uuid.uuid4())
    about = {"revision": 1}
    await queue.send(
        ready_flow.event("readinessCheckRequested", event_id, datetime.now(UTC), about)
    )
    assert await queue.outcomes(event_id) == ["unchanged"]


async def test_an_event_of_a_later_version_waits_in_the_queue(
    queue: Queue, stack: Stack, ready_flow: Flow
) -> None:
    later = ServiceBusMessage(b'{"dataversion": 99, "x": 1}', message_id=str(uuid.uuid4()))
    before = len(await logged(stack, '"event": "eventPutBack"', "version 99", lines=0))
    await queue.send(later)
    lines = await logged(stack, '"event": "eventPutBack"', "version 99", lines=before + 2)
    assert [line["attempts"] for line in lines[before:]] == [1, 2]
    # Events behind it do not wait for it.
    report = ready_flow.report("disabled", datetime.now(UTC))
    assert await queue.outcome(report) == "applied"


async def test_checks_and_reports_at_once_all_count(queue: Queue, service: Api) -> None:
    flows = [await service.new_flow("user") for _ in range(4)]
    reports = [flow.report("expired", datetime.now(UTC))[1] for flow in flows]
    await queue.send(*reports)
    await asyncio.gather(*(flow.until_status("expired") for flow in flows))
