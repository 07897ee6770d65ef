"""Parts of a batch that fail: those that depend on them are not carried out, the others are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.conftest import Faults
from tests.support.api import Api

SETS = "/external/industryData/outboundProvisioningFlowSets"


def read(part_id: str, url: str = SETS, *needed: str, **headers: str) -> dict[str, Any]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"id": part_id, "method": "GET", "url": url, "headers": names, "dependsOn": [*needed]}


def create(part_id: str, name: str, *needed: str, **headers: str) -> dict[str, Any]:
    made = {"method": "POST", "body": {"displayName": name}}
    return {**read(part_id, SETS, *needed, content_type="application/json", **headers), **made}


async def send(service: Api, *parts: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await service.post(f"{service.root}/$batch", {"requests": parts})
    assert answer.status == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["responses"]
    return found


async def stored(service: Api, name: str) -> int:
    """How many sets have a name."""
    answer = await service.get(service.sets, {"$filter": f"displayName eq '{name}'"})
    return len(answer.json()["value"])


async def test_a_part_fails_and_the_others_are_carried_out(faults: Faults, service: Api) -> None:
    await faults.use({"status": 429, "retryAfter": 9, "method": "POST", "nth": 1})
    found = await send(
        service, create("a", "batch one"), create("b", "batch two"), read("c", "/$a", "a")
    )
    assert [(each["id"], each["status"]) for each in found] == [("a", 429), ("b", 201), ("c", 424)]
    assert found[0]["headers"]["Retry-After"] == "9"
    assert found[0]["body"]["error"]["code"] == "TooManyRequests"
    assert found[2]["body"]["error"]["code"] == "FailedDependency"
    await faults.use()
    assert (await stored(service, "batch one"), await stored(service, "batch two")) == (0, 1)


async def test_a_write_is_stored_where_its_answer_fails_and_what_depends_on_it_is_not(
    faults: Faults, service: Api
) -> None:
    fault = {"Local_Fault": "504; when=after"}
    found = await send(
        service,
        create("a", "late one", **fault),
        create("b", "late two", "a"),
        create("c", "late three", "b"),
        create("d", "late four"),
    )
    assert [each["status"] for each in found] == [504, 424, 424, 201]
    assert "'a'" in found[1]["body"]["error"]["message"]
    names = ("late one", "late two", "late three", "late four")
    assert [await stored(service, name) for name in names] == [1, 0, 0, 1]


async def test_a_part_that_needs_a_failed_one_is_a_424_whatever_its_own_fault(
    faults: Faults, service: Api
) -> None:
    fault = {"Local_Fault": "503"}
    found = await send(service, read("a", f"{SETS}/1"), read("b", SETS, "a", **fault))
    assert [each["status"] for each in found] == [404, 424]
    [asked] = await faults.requests()
    assert [part["fault"] for part in asked["parts"]] == [None, None]


async def test_parts_are_listed_with_their_answers(
    faults: Faults, service: Api, set_id: str
) -> None:
    await faults.use({"status": 500, "operation": "get_flow_set"})
    await send(service, read("a", f"{SETS}/{set_id}"), read("b"))
    [asked] = await faults.requests()
    assert [(each["id"], each["operation"], each["status"]) for each in asked["parts"]] == [
        ("a", "get_flow_set", 500),
        ("b", "list_flow_sets", 200),
    ]
    assert [each["carriedOut"] for each in asked["parts"]] == [False, True]
    assert asked["parts"][0]["fault"] == {"status": 500, "when": "before"}
    assert all(each["requestId"] for each in asked["parts"])


@pytest.mark.parametrize("kind", ["cut", "truncate"])
async def test_no_rule_cuts_a_part_and_a_header_that_asks_for_it_is_refused(
    faults: Faults, service: Api, kind: str
) -> None:
    await faults.use({kind: True})
    found = await send(service, read("a"), read("b", SETS, Local_Fault=kind))
    assert [each["status"] for each in found] == [200, 400]
    assert "no connection of its own" in found[1]["body"]["error"]["message"]


async def test_a_batch_that_cannot_be_read_is_refused_by_the_service(
    faults: Faults, service: Api
) -> None:
    await faults.use({"status": 503})
    answer = await service.post(f"{service.root}/$batch", {"requests": [{"id": "1"}]})
    assert answer.status == 400


async def test_a_part_cannot_ask_for_a_readiness(faults: Faults, service: Api, set_id: str) -> None:
    part = create("a", "x", Local_Fault="readinessStatus=failed")
    [found] = await send(service, part | {"url": f"{SETS}/{set_id}/provisioningFlows"})
    assert found["status"] == 400
    assert "A part gets no readiness" in found["body"]["error"]["message"]
