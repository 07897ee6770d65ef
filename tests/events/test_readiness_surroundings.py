"""Readiness on the running stack: its history, what it depends on, its logs and dead letters."""

from __future__ import annotations

import json
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from local.stack import Stack
from shared.domain.context import LOCAL_TENANT
from shared.domain.flows import HISTORY_ENTRIES
from tests.support.api import DATE_TIME, UNKNOWN, Api, Flow, assert_envelope, ready_flow_of
from tests.support.bodies import bound_to, request_body
from tests.support.logs import logged
from tests.support.queue import Queue

# A role that no published body maps to one side alone, so that a test may disable it.
ROLE = "faculty"
CHECKED = "industryData.provisioningFlow.readinessCheckRequested"


async def history(flow: Flow) -> list[dict[str, Any]]:
    """What has happened to a flow's readiness, newest first."""
    answer = await flow.api.get(f"{flow.url}/readinessHistory")
    assert answer.status == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["value"]
    return entries


async def reported(queue: Queue, flow: Flow, status: str, **about: Any) -> str:
    """Report a status as of now, with these members of `data`; the event's id, once applied."""
    event_id = str(uuid.uuid4())
    data = {"readinessStatus": status, **about}
    await queue.send(flow.event("readinessReported", event_id, datetime.now(UTC), data))
    assert await queue.outcomes(event_id) == ["applied"]
    return event_id


# --- the history -------------------------------------------------------------------------------


async def test_the_history_has_each_status_newest_first(queue: Queue, ready_flow: Flow) -> None:
    reason = "No licence is left."
    event_id = await reported(queue, ready_flow, "failed", revision=1, reason=reason)
    failed, ready, created = await history(ready_flow)
    assert (failed["readinessStatus"], failed["reason"]) == ("failed", reason)
    assert (failed["eventId"], failed["revision"]) == (event_id, 1)
    assert (ready["readinessStatus"], ready["reason"]) == ("ready", None)
    assert (created["readinessStatus"], created["reason"]) == ("notReady", "created")
    assert created["eventId"] is None


async def test_an_entry_says_when_the_event_was_and_when_it_counted(
    queue: Queue, ready_flow: Flow
) -> None:
    before = datetime.now(UTC)
    await reported(queue, ready_flow, "failed")
    [entry, *_] = await history(ready_flow)
    assert DATE_TIME.fullmatch(entry["eventDateTime"])
    times = [datetime.fromisoformat(entry[f"{which}DateTime"]) for which in ("event", "applied")]
    assert before <= times[0] < times[1] <= datetime.now(UTC)


async def test_an_update_is_published_with_its_revision(ready_flow: Flow) -> None:
    options = {"creationOptions": {"createBasedOnOrg": True, "createBasedOnOrgPlusRoleGroup": True}}
    body = json.loads(request_body("administrative_unit"))
    changed = await ready_flow.api.patch(
        ready_flow.url, {"@odata.type": body["@odata.type"], **options}
    )
    assert changed.status in (200, 204), changed.text
    await ready_flow.until_status("ready")
    entries = await history(ready_flow)
    assert [(e["readinessStatus"], e["revision"]) for e in entries] == [
        ("ready", 2),
        ("notReady", 2),
        ("ready", 1),
        ("notReady", 1),
    ]
    assert entries[1]["reason"] == "updated"


async def test_the_history_keeps_the_newest_entries_only(queue: Queue, ready_flow: Flow) -> None:
    start = datetime.now(UTC)
    statuses = ["failed", "ready"] * HISTORY_ENTRIES
    reports = [
        ready_flow.report(status, start + timedelta(microseconds=order))
        for order, status in enumerate(statuses)
    ]
    for event_id, message in reports[: HISTORY_ENTRIES + 2]:
        await queue.send(message)
        assert await queue.outcomes(event_id) == ["applied"]
    reported = [entry["eventId"] for entry in await history(ready_flow)]
    sent = [event_id for event_id, _ in reports[2 : HISTORY_ENTRIES + 2]]
    assert reported == sent[::-1]


async def test_a_flow_that_is_not_there_has_no_history(service: Api, set_id: str) -> None:
    answer = await service.get(f"{service.flows(set_id)}/{UNKNOWN}/readinessHistory")
    assert_envelope(answer, 404, "Request_ResourceNotFound")


# --- reports -----------------------------------------------------------------------------------


# --- role groups and reference definitions -----------------------------------------------------


def mapping(role: str) -> bytes:
    """A class group flow that maps one role."""
    body = json.loads(request_body("class_group"))
    mappings = body["configuration"]["enrollmentMappings"]
    entry = {**mappings["ownerEnrollmentMappings"][0], "code": role}
    mappings["ownerEnrollmentMappings"] = [entry]
    mappings["memberEnrollmentMappings"] = []
    return json.dumps(body).encode()


async def newest(flow: Flow) -> tuple[str, Any]:
    """The present status and its reason."""
    [entry, *_] = await history(flow)
    return entry["readinessStatus"], entry["reason"]


async def test_a_flow_fails_while_a_role_that_it_maps_is_disabled(service: Api) -> None:
    flow = await ready_flow_of(service, mapping(ROLE))
    other = await ready_flow_of(service, mapping("lecturer"))
    definition = f"{service.definitions}/RefRole-{ROLE}"
    try:
        answer = await service.patch(definition, {"isDisabled": True})
        assert answer.status in (200, 204), answer.text
        await flow.until_status("failed")
        status, reason = await newest(flow)
        assert (status, reason) == (
            "failed",
            f"Mapped roles are disabled: {ROLE}. Enable them or map others.",
        )
    finally:
        answer = await service.patch(definition, {"isDisabled": False})
        assert answer.status in (200, 204), answer.text
        await flow.until_status("ready")
    assert [entry["readinessStatus"] for entry in await history(other)] == ["ready", "notReady"]


async def test_a_flow_fails_when_its_role_group_is_deleted(service: Api) -> None:
    group_id = await service.new_role_group("teacher")
    flow = await ready_flow_of(service, bound_to(group_id))
    assert (await service.delete(f"{service.groups}/{group_id}")).status == 204
    await flow.until_status("failed")
    _, reason = await newest(flow)
    assert reason == f"The role group '{group_id}' does not exist any more; bind another."


async def test_a_flow_follows_the_roles_of_its_group(service: Api) -> None:
    group_id = await service.new_role_group(ROLE)
    flow = await ready_flow_of(service, bound_to(group_id))
    definition = f"{service.definitions}/RefRole-{ROLE}"
    try:
        await service.patch(definition, {"isDisabled": True})
        await flow.until_status("failed")
        _, reason = await newest(flow)
        assert reason == f"All roles of the role group '{group_id}' are disabled; enable one."
        group = f"{service.groups}/{group_id}"
        answer = await service.patch(group, {"roles": [{"code": ROLE}, {"code": "teacher"}]})
        assert answer.status in (200, 204), answer.text
        await flow.until_status("ready")
    finally:
        await service.patch(definition, {"isDisabled": False})
        # The service knows it when a flow is checked anew.
        class_group = await service.new_flow("class_group")
        await class_group.until_status("ready")


async def test_only_flows_that_use_a_role_group_are_checked_again(
    service: Api, stack: Stack
) -> None:
    group_id, other_id = [await service.new_role_group("teacher") for _ in range(2)]
    using = await ready_flow_of(service, bound_to(group_id))
    not_using = await ready_flow_of(service, bound_to(other_id))
    roles = {"roles": [{"code": "coach"}, {"code": "teacher"}]}
    answer = await service.patch(f"{service.groups}/{group_id}", roles)
    assert answer.status in (200, 204), answer.text
    [line, *_] = await logged(stack, "industryData.catalogChanged", group_id)
    assert (line["requested"], line["more"]) == (1, False)

    [line] = await logged(stack, CHECKED, using.id, '"unchanged"')
    assert (line["before"], line["to"]) == (None, "ready")
    # A check that finds what the one before found leaves no trace in the flow.
    assert [entry["readinessStatus"] for entry in await history(using)] == ["ready", "notReady"]
    assert len(await logged(stack, CHECKED, not_using.id)) == 1


# --- logs --------------------------------------------------------------------------------------


async def test_an_event_leaves_one_line_with_the_trace_of_the_request_that_caused_it(
    service: Api, stack: Stack, set_id: str
) -> None:
    trace_id, span = secrets.token_hex(16), secrets.token_hex(8)
    answer = await service.send(
        "POST",
        service.flows(set_id),
        request_body("security_group"),
        traceparent=f"00-{trace_id}-{span}-01",
    )
    flow = Flow(service, set_id, answer.json()["id"], "securityGroupProvisioningFlow")
    await flow.until_status("ready")
    [entry, _] = await history(flow)
    [line] = await logged(stack, f'"flowId": "{flow.id}"')
    assert line.pop("latencyMs") >= 0
    assert line == {
        "event": CHECKED,
        "eventId": entry["eventId"],
        "flowSetId": set_id,
        "flowId": flow.id,
        "kind": flow.kind,
        "revision": 1,
        "before": "notReady",
        "to": "ready",
        "outcome": "applied",
        "deliveryCount": 1,
        "tenant": LOCAL_TENANT,
        "traceId": trace_id,
    }
    [request] = await logged(stack, '"event": "request"', trace_id)
    assert (request["operation"], request["status"]) == ("create_provisioning_flow", 201)


async def test_an_event_that_changes_nothing_is_logged_as_well(
    queue: Queue, stack: Stack, ready_flow: Flow
) -> None:
    await reported(queue, ready_flow, "disabled")
    event_id, late = ready_flow.report("failed", datetime.now(UTC) - timedelta(hours=1))
    await queue.send(late)
    [line] = await logged(stack, event_id)
    assert (line["before"], line["to"], line["outcome"]) == (None, "failed", "stale")
    assert line["latencyMs"] > 3_600_000


# --- dead letters ------------------------------------------------------------------------------
