"""What operations ask of Cosmos DB: one request, after a read where they change what is there."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from shared.adapters.partition import FLOW_SETS
from tests.support.api import Api, Flow
from tests.support.cosmos import Counted
from tests.support.waiting import until


async def test_creating_a_set_is_one_request(service: Api, counted: Counted) -> None:
    await service.new_set()
    assert await counted.read() == ["POST"]


async def test_creating_a_flow_and_making_it_ready_is_one_request_each(
    service: Api, counted: Counted
) -> None:
    created = await service.create(counted.set_id, "user")

    async def both() -> bool:
        return len(await counted.read()) >= 2

    await until(both, "the flow is created and its readiness written")
    flow = Flow(service, counted.set_id, created.json()["id"], "userProvisioningFlow")
    await flow.until_status("ready")
    methods = await counted.read()
    assert methods[:2] == ["PATCH", "PATCH"]
    assert set(methods[2:]) == {"GET"}
    assert len(methods) == 3


async def test_a_refused_body_asks_nothing_of_cosmos(service: Api, counted: Counted) -> None:
    answer = await service.send("POST", service.flows(counted.set_id), b'{"@odata.type": 1}')
    assert answer.status == 400
    assert await counted.read() == []


async def test_an_unknown_set_is_one_request(service: Api, counted: Counted) -> None:
    unknown = str(uuid.uuid4())
    assert (await service.create(unknown)).status == 404
    assert await Counted(counted.requests, unknown).read() == ["PATCH"]


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("PATCH", "", {"displayName": "Cheap"}, ["GET", "PATCH"]),
        # Whether a set that is not there was there before tells whether an answer was lost.
        ("DELETE", "", None, ["GET", "DELETE"]),
        ("PATCH", "/provisioningFlows/{}", {}, ["GET", "PATCH"]),
        ("DELETE", "/provisioningFlows/{}", None, ["GET", "PATCH"]),
        ("POST", "/provisioningFlows/{}/reset", None, ["GET", "PATCH"]),
        ("GET", "", None, ["GET"]),
        ("GET", "?$expand=provisioningFlows", None, ["GET"]),
        ("GET", "/provisioningFlows", None, ["GET"]),
        ("GET", "/provisioningFlows/{}", None, ["GET"]),
        ("GET", "/provisioningFlows/$count", None, ["GET"]),
        ("GET", "/provisioningFlows/{}/readinessHistory", None, ["GET"]),
    ],
)
async def test_an_operation_asks_for_little(
    service: Api, counted: Counted, method: str, path: str, body: Any, asked: list[str]
) -> None:
    created = await service.create(counted.set_id, "user")
    flow = Flow(service, counted.set_id, created.json()["id"], "")
    await flow.until_status("ready")
    await counted.requests.reset()
    url = service.set(counted.set_id) + path.format(flow.id)
    payload = None if body is None else json.dumps(body).encode()
    assert (await service.send(method, url, payload)).status < 300
    # What follows is the check of the new revision: one more PATCH.
    assert (await counted.read())[: len(asked)] == asked
    assert len(await counted.read()) - len(asked) <= (
        asked == ["GET", "PATCH"] and method != "DELETE"
    )


@pytest.mark.parametrize(
    ("path", "options", "queries"),
    [
        ("", {}, 1),
        ("/$count", {}, 1),
        ("", {"$expand": "provisioningFlows"}, 1),
        ("", {"$filter": "contains(displayName,'a')", "$orderby": "displayName", "$top": 5}, 1),
        ("", {"$count": "true"}, 2),
    ],
    ids=str,
)
async def test_a_page_of_sets_is_one_query_and_its_count_another(
    service: Api, counted: Counted, path: str, options: dict[str, object], queries: int
) -> None:
    # The timer and checks of other flows query too: what the request asks for is always there.
    async def few() -> bool:
        await counted.requests.reset()
        assert (await service.get(service.sets + path, options)).status == 200
        log = await counted.requests.read()
        asked = [each["operation"] for each in log if f"/{FLOW_SETS}/" in each["path"]]
        return asked == ["query"] * queries

    await until(few, f"GET {path or 'of the sets'} with {options} makes {queries} queries")
