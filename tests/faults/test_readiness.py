"""Readiness on request: a new flow fails, expires or stays notReady, really stored."""

from __future__ import annotations

import time
from typing import Any

import pytest

from local.faults.readiness import MOST_HELD
from local.faults.reading import CREATES_FLOW
from tests.faults.conftest import Faults
from tests.support.api import Api, Flow
from tests.support.bodies import request_body

STATUSES = ("failed", "expired", "disabled")


async def created(service: Api, set_id: str, **headers: str) -> Flow:
    body = request_body("security_group")
    answer = await service.send("POST", service.flows(set_id), body, **headers)
    assert answer.status in (201, 204), answer.text
    flow_id = answer.headers["Location"].rpartition("/")[2]
    return Flow(service, set_id, flow_id, "securityGroupProvisioningFlow")


async def history(flow: Flow) -> list[tuple[str, str | None]]:
    """The statuses that the flow had, with their reasons."""
    answer = await flow.api.get(f"{flow.url}/readinessHistory")
    return [(each["readinessStatus"], each["reason"]) for each in answer.json()["value"]]


@pytest.mark.parametrize("status", STATUSES)
async def test_a_flow_gets_the_status_that_a_header_asks_for_and_is_never_ready_before(
    faults: Faults, service: Api, set_id: str, status: str
) -> None:
    flow = await created(
        service, set_id, **{"Local-Fault": f"readinessStatus={status}; reason=So it was asked."}
    )
    await flow.until_status(status)
    assert await history(flow) == [(status, "So it was asked."), ("notReady", "created")]


async def test_a_rule_gives_a_status_also_where_the_client_wants_no_body_back(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"readinessStatus": "failed", "count": 1})
    flow = await created(service, set_id, Prefer="return=minimal")
    await flow.until_status("failed")
    listed = [each["fault"] for each in await faults.requests() if each["fault"]]
    assert listed == [{"readinessStatus": "failed"}]


async def test_a_flow_stays_not_ready_for_the_time_that_was_asked_for_and_others_do_not_wait(
    faults: Faults, service: Api, set_id: str
) -> None:
    begin = time.monotonic()
    flow = await created(service, set_id, **{"Local-Fault": "readinessStatus=notReady; seconds=4"})
    other = await created(service, await service.new_set())
    await other.until_status("ready")
    assert await flow.status() == "notReady"
    assert time.monotonic() - begin < 4
    await flow.until_status("ready")
    assert time.monotonic() - begin >= 4


async def test_only_a_request_that_creates_a_flow_can_ask_for_a_readiness(
    faults: Faults, service: Api, set_id: str
) -> None:
    fault = {"Local-Fault": "readinessStatus=failed"}
    answer = await service.send("GET", service.set(set_id), None, **fault)
    assert answer.status == 400
    assert "creates a flow" in answer.text
    await faults.use({"readinessStatus": "failed"})
    assert (await service.get(service.set(set_id))).status == 200


@pytest.mark.parametrize(
    "rule",
    [
        {"readinessStatus": "ready"},
        {"readinessStatus": "notReady"},
        {"readinessStatus": "failed", "seconds": 1},
        {"readinessStatus": "notReady", "seconds": 241},
        {"readinessStatus": "failed", "status": 500},
        {"reason": "alone", "delay": 1},
    ],
)
async def test_a_readiness_that_cannot_be_is_refused(faults: Faults, rule: dict[str, Any]) -> None:
    assert (await faults.put(rule)).status == 400


async def test_more_flows_than_may_wait_become_ready_as_usual(faults: Faults, service: Api) -> None:
    await faults.use({"readinessStatus": "notReady", "seconds": 10})
    flows = [await created(service, await service.new_set()) for _ in range(MOST_HELD + 1)]
    await flows[-1].until_status("ready")
    assert {await flow.status() for flow in flows[:-1]} == {"notReady"}
    creates = [each for each in await faults.requests() if each["operation"] == CREATES_FLOW]
    assert [each["fault"] is not None for each in creates] == [True] * MOST_HELD + [False]
    assert [rule["applied"] for rule in await faults.rules()] == [MOST_HELD]
    for flow in flows:
        await flow.until_status("ready")


@pytest.mark.parametrize("by", ["rule", "header"])
async def test_a_flow_that_is_not_created_does_not_use_up_the_readiness_asked_for(
    faults: Faults, service: Api, set_id: str, by: str
) -> None:
    headers = {}
    if by == "rule":
        await faults.use({"readinessStatus": "failed", "count": 1})
    else:
        headers = {"Local-Fault": "readinessStatus=failed; id=one"}
    answer = await service.send("POST", service.flows(set_id), b"{}", **headers)
    assert answer.status == 400
    assert [each["fault"] for each in await faults.requests()] == [None]
    await (await created(service, set_id, **headers)).until_status("failed")
