"""What Cosmos DB answers, one kind a row, and what callers, events and the timer get for it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.cosmos.exceptions import CosmosHttpResponseError

from local.stack import Stack
from shared.adapters.cosmos import translated
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import Conflict, StoreRefused, StoreUnavailable, Throttled
from shared.domain.flows import HISTORY_ENTRIES
from tests.support.api import Api, Flow, assert_envelope, sort_index
from tests.support.bodies import request_body
from tests.support.cosmos import CosmosFaults, CosmosRequests
from tests.support.logs import logged
from tests.support.queue import Queue

# README: a caller waits ten seconds; a slow machine may add some.
CALLER_WAITS_SECONDS = 12.0
MANY = 100_000
LOST = {"drop": True, "after": True}

# What Cosmos DB answers, and the status and code that a caller gets.
ANSWERS: list[tuple[dict[str, int], int, str]] = [
    ({"status": 404, "subStatus": 1002}, 503, "serviceNotAvailable"),
    ({"status": 404, "subStatus": 1003}, 503, "serviceNotAvailable"),
    ({"status": 401}, 503, "serviceNotAvailable"),
    ({"status": 403}, 503, "serviceNotAvailable"),
    ({"status": 408}, 503, "serviceNotAvailable"),
    ({"status": 449, "retryAfterMs": 1}, 503, "serviceNotAvailable"),
    ({"status": 500}, 503, "serviceNotAvailable"),
    ({"status": 503}, 503, "serviceNotAvailable"),
    ({"status": 413}, 409, "Conflict"),
    ({"status": 429, "retryAfterMs": 50}, 429, "TooManyRequests"),
    ({"status": 429, "retryAfterMs": 60_000}, 429, "TooManyRequests"),
]
REFUSALS = (401, 403)


def name(fault: dict[str, int]) -> str:
    """A test's name for an answer."""
    return "-".join(map(str, fault.values()))


def is_long(fault: dict[str, int]) -> bool:
    """Whether Cosmos DB wants to be left alone for longer than a caller waits."""
    return fault.get("retryAfterMs", 0) >= 60_000


NAMED = [pytest.param(*each, id=name(each[0])) for each in ANSWERS]
PUT_BACK = [pytest.param(each[0], id=name(each[0])) for each in ANSWERS if each[0]["status"] != 413]


@pytest.mark.parametrize(("fault", "status", "code"), NAMED)
async def test_what_a_caller_gets(
    service: Api,
    stack: Stack,
    ready_flow: Flow,
    cosmos_faults: CosmosFaults,
    fault: Any,
    status: int,
    code: str,
) -> None:
    refused = fault["status"] in REFUSALS or fault.get("subStatus") == 1003
    began = time.monotonic()
    async with cosmos_faults(operation="patch", count=MANY, **fault):
        created = await service.create(ready_flow.set_id, "user")
    assert time.monotonic() - began < CALLER_WAITS_SECONDS
    assert_envelope(created, status, code)
    if status in (429, 503):
        wait = int(created.headers["Retry-After"])
        assert (60 <= wait <= 62) if is_long(fault) else (1 <= wait <= (30 if refused else 10))
    if refused:
        lines = await logged(stack, '"event": "storeRefused"', str(fault["status"]))
        assert {line["why"].partition(" ")[0] for line in lines} <= {
            "CosmosHttpResponseError",
            "CosmosResourceNotFoundError",
        }
    # Nothing is stored of it.
    assert (await service.create(ready_flow.set_id, "user")).status == 201


@pytest.mark.parametrize("fault", PUT_BACK)
async def test_an_event_waits_for_the_store(
    queue: Queue, stack: Stack, ready_flow: Flow, cosmos_faults: CosmosFaults, fault: Any
) -> None:
    event_id, message = ready_flow.report("failed", datetime.now(UTC))
    async with cosmos_faults(operation="patch", count=MANY, **fault):
        await queue.send(message)
        [put_back] = await logged(stack, '"event": "eventPutBack"', event_id)
    assert put_back["attempts"] == 1
    if is_long(fault):
        assert 60 <= put_back["wait"] <= 100
        return
    # A throttled event waits for as long as a caller is asked to: three seconds at most, and more.
    assert 1.0 <= put_back["wait"] <= (5.0 if fault["status"] == 429 else 3.0)
    await ready_flow.until_status("failed")
    assert await queue.outcomes(event_id) == ["applied"]


async def test_a_create_outlasts_a_short_throttling(
    service: Api, set_id: str, cosmos_faults: CosmosFaults, cosmos_requests: CosmosRequests
) -> None:
    await cosmos_requests.reset()
    async with cosmos_faults(operation="patch", status=429, count=3, retryAfterMs=20):
        answer = await service.create(set_id)
    assert answer.status == 201, answer.text
    statuses = [entry["status"] for entry in await cosmos_requests.read()]
    assert statuses.count(429) == 3


async def test_a_cosmos_db_that_does_not_answer_keeps_no_caller_waiting(
    service: Api, set_id: str, cosmos_faults: CosmosFaults
) -> None:
    began = time.monotonic()
    async with cosmos_faults(operation="read", count=MANY, delayMs=30_000):
        answer = await service.get(service.set(set_id))
    assert time.monotonic() - began < CALLER_WAITS_SECONDS
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


async def test_nothing_is_gone_because_the_store_does_not_know(
    service: Api, ready_flow: Flow, cosmos_faults: CosmosFaults
) -> None:
    # 1002: a session token that is ahead of every replica.
    for url in (ready_flow.url, service.set(ready_flow.set_id)):
        for code in (1002, 1003):
            async with cosmos_faults(operation="read", status=404, subStatus=code, count=MANY):
                answer = await service.get(url)
            assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert (await service.get(url)).status == 200


def sdk_error(status: int) -> CosmosHttpResponseError:
    """An answer as the SDK raises it."""
    return CosmosHttpResponseError(status_code=status)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (ClientAuthenticationError("no token"), StoreRefused),
        (ServiceRequestError("no connection"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (sdk_error(410), StoreUnavailable),
        (sdk_error(413), Conflict),
        (sdk_error(429), Throttled),
    ],
)
def test_what_an_error_of_the_sdk_means(error: Exception, meant: type[Exception]) -> None:
    assert type(translated(error)) is meant


def test_an_error_of_ours_stays_one() -> None:
    bad_request = sdk_error(400)
    assert translated(bad_request) is bad_request


# --- answers that are lost ---------------------------------------------------------------------


async def test_a_flow_whose_answer_was_lost_is_created_once(
    service: Api, set_id: str, cosmos_faults: CosmosFaults, cosmos_requests: CosmosRequests
) -> None:
    await cosmos_requests.reset()
    async with cosmos_faults(operation="patch", **LOST):
        answer = await service.create(set_id)
    assert answer.status == 201, answer.text
    requests = await cosmos_requests.read()
    ours = [e["status"] for e in requests if set_id in e["path"] and e["method"] == "PATCH"]
    assert ours[:2] == [0, 412], "the answer was not lost, or the write not repeated"
    [flow] = (await service.get(service.flows(set_id))).json()["value"]
    assert flow["id"] == answer.json()["id"]
    await Flow(service, set_id, flow["id"], "").until_status("ready")


@pytest.mark.parametrize("kind", ["set", "role group", "definition"])
async def test_an_entity_whose_answer_was_lost_is_created_once(
    service: Api, cosmos_faults: CosmosFaults, cosmos_requests: CosmosRequests, kind: str
) -> None:
    name = f"Lost {uuid.uuid4()}"
    grade = {"referenceType": "RefGradeLevel", "code": name[5:], "isDisabled": False}
    entities: dict[str, tuple[str, dict[str, Any]]] = {
        "set": (service.sets, {}),
        "role group": (service.groups, {"roles": [{"code": "coach"}]}),
        "definition": (service.definitions, {**grade, "sortIndex": sort_index()}),
    }
    url, members = entities[kind]
    await cosmos_requests.reset()
    async with cosmos_faults(operation="create", **LOST):
        answer = await service.post(url, {"displayName": name, **members})
    assert answer.status == 201, answer.text
    creates = [e["status"] for e in await cosmos_requests.read() if e["operation"] == "create"]
    assert creates == [0, 409], "the answer was not lost, or the write not repeated"
    found = await service.get(url, {"$filter": f"displayName eq '{name}'"})
    assert [each["id"] for each in found.json()["value"]] == [answer.json()["id"]]


async def test_an_event_whose_write_lost_its_answer_counts_once(
    queue: Queue, ready_flow: Flow, cosmos_faults: CosmosFaults
) -> None:
    report = ready_flow.report("failed", datetime.now(UTC))
    async with cosmos_faults(operation="patch", **LOST):
        assert await queue.outcome(report) == "duplicate"
    answer = await ready_flow.api.get(f"{ready_flow.url}/readinessHistory")
    reported = [entry["eventId"] for entry in answer.json()["value"]]
    assert reported.count(report[0]) == 1


async def test_a_delete_whose_answer_is_lost_is_done(
    service: Api, cosmos_faults: CosmosFaults
) -> None:
    flow = await service.new_flow()
    async with cosmos_faults(operation="patch", **LOST):
        assert (await service.delete(flow.url)).status == 204
    async with cosmos_faults(operation="delete", **LOST):
        assert (await service.delete(service.set(flow.set_id))).status == 204
    assert (await service.delete(service.set(flow.set_id))).status == 404
    other = await service.new_set()
    async with cosmos_faults(operation="delete", **LOST):
        assert (await service.delete(service.set(other), If_Match="*")).status == 204
    group_id = await service.new_role_group("coach")
    async with cosmos_faults(operation="replace", **LOST):
        assert (await service.delete(f"{service.groups}/{group_id}")).status == 204
    assert (await service.get(f"{service.groups}/{group_id}")).status == 404


# --- the size of a set -------------------------------------------------------------------------

LARGEST = "\U0001f600"  # four bytes in UTF-8


async def test_the_largest_set_fits_the_store_with_all_four_flows_and_their_history(
    service: Api, queue: Queue, stored_sets: Any
) -> None:
    values = [LARGEST * 100 + f"{n:03}" for n in range(970)]
    flow_set = {
        "displayName": LARGEST * 256,
        "filter": {
            "@odata.type": "#microsoft.graph.industryData.basicFilter",
            "attribute": "orgExternalId",
            "in": values,
        },
    }
    answer = await service.send(
        "POST", service.sets, json.dumps(flow_set, ensure_ascii=False).encode()
    )
    assert answer.status == 201, answer.text
    set_id = answer.json()["id"]
    group_ids = [await service.new_role_group("coach") for _ in range(20)]
    skus = [LARGEST * 97 + f"{n:03}" for n in range(50)]
    user = json.loads(request_body("user"))
    entry = user["creationOptions"]["configurations"][0]
    user["creationOptions"]["configurations"] = [
        {
            **entry,
            "licenseSkus": skus,
            "roleGroup@odata.bind": f"external/industryData/roleGroups/{group_id}",
        }
        for group_id in group_ids
    ]
    bodies = [json.loads(request_body(n)) for n in ("administrative_unit", "class_group")]
    bodies += [json.loads(request_body("security_group")), user]
    flows = []
    for body in bodies:
        created = await service.send(
            "POST", service.flows(set_id), json.dumps(body, ensure_ascii=False).encode()
        )
        assert created.status == 201, created.text
        kind = body["@odata.type"].rpartition(".")[2]
        flow = Flow(service, set_id, created.json()["id"], kind)
        await flow.until_status("ready")
        flows.append(flow)
    for number in range(HISTORY_ENTRIES):
        reports = []
        for flow in flows:
            status = "failed" if number % 2 else "expired"
            about = {"readinessStatus": status, "reason": LARGEST * 1024}
            event_id = f"{flow.id}-{number}"
            await queue.send(flow.event("readinessReported", event_id, datetime.now(UTC), about))
            reports.append(event_id)
        outcomes = await asyncio.gather(*map(queue.outcomes, reports))
        assert outcomes == [["applied"]] * len(flows)
    stored = await stored_sets.read_item(set_id, LOCAL_TENANT)
    size = len(json.dumps(stored, ensure_ascii=False).encode())
    assert 900_000 < size < 2 * 1024 * 1024
    # It can still be changed.
    assert (await service.patch(service.set(set_id), {"displayName": "x"})).status == 204
    assert (await service.delete(service.set(set_id))).status == 204


async def test_more_text_than_a_set_has_room_for_is_refused(service: Api, set_id: str) -> None:
    answer = await service.patch(
        service.set(set_id),
        {
            "filter": {
                "@odata.type": "#microsoft.graph.industryData.basicFilter",
                "attribute": "orgExternalId",
                "in": ["x" * 250] * 401,
            }
        },
    )
    error = assert_envelope(answer, 400, "BadRequest")
    assert "at most 100000" in error["message"]
    assert error["details"][0]["target"] == "$.filter.in"
    user = json.loads(request_body("user"))
    entry = user["creationOptions"]["configurations"][0]
    user["creationOptions"]["configurations"] = [
        {
            **entry,
            "licenseSkus": ["x" * 128] * 50,
            "roleGroup@odata.bind": "external/industryData/roleGroups/"
            f"00000000-0000-0000-0000-{number:012}",
        }
        for number in range(16)
    ]
    answer = await service.post(service.flows(set_id), user)
    error = assert_envelope(answer, 400, "BadRequest")
    assert error["details"][0]["target"] == "$.creationOptions.configurations"
