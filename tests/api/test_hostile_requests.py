"""Requests made to do harm: refused with their place, before anything is looked up or published."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from azure.servicebus.aio import ServiceBusClient

from local.config import READINESS_QUEUE
from shared.odata.prefer import MAX_LENGTH, parse_prefer
from tests.support.api import Api, CosmosRequests, assert_envelope, request_body


@pytest.mark.parametrize(
    "reference",
    [
        {"roleGroup@odata.bind": "external/industryData/roleGroups/.."},
        {"roleGroup@odata.bind": "external/industryData/roleGroups/..%2F..%2F..%2Fusers"},
        {"roleGroup": {}},
        {"roleGroup": {"id": "../../users"}},
        {"roleGroup": {"@odata.id": "external/industryData/roleGroups/../users"}},
    ],
)
async def test_only_ids_that_can_exist_are_looked_up(
    service: Api, cosmos_requests: CosmosRequests, reference: dict[str, Any]
) -> None:
    set_id = await service.new_set()
    body = json.loads(request_body("user"))
    [entry, *_] = body["creationOptions"]["configurations"]
    bare = {name: value for name, value in entry.items() if not name.startswith("roleGroup")}
    body["creationOptions"]["configurations"] = [{**bare, **reference}]
    await cosmos_requests.reset()

    answer = await service.post(service.flows(set_id), body)

    assert_envelope(answer, 400, "BadRequest")
    asked = [entry["path"] for entry in await cosmos_requests.read()]
    assert [path for path in asked if "roleGroups/docs/" in path or "users" in path] == []


async def test_a_refused_change_of_a_role_group_publishes_nothing(
    service: Api, service_bus_client: ServiceBusClient
) -> None:
    group = await service.new_role_group("aide")
    refused = [
        await service.patch(f"{service.groups}/staff", {"displayName": "Everybody"}),
        await service.delete(f"{service.groups}/staff"),
        await service.patch(f"{service.groups}/{group}", {"displayName": 1}),
    ]
    assert [answer.status for answer in refused] == [409, 409, 400]

    # The later of a change's two events waits in the queue for half a minute.
    receiver = service_bus_client.get_queue_receiver(READINESS_QUEUE)
    async with receiver:
        waiting = [str(each) for each in await receiver.peek_messages(250, sequence_number=1)]
    assert [each for each in waiting if '"roleGroupId":"staff"' in each or group in each] == []


@pytest.mark.parametrize(
    "text",
    [
        'a="' + "\\" * 990,
        "a;" + ";" * 990,
        'a;"' + '"' * 990,
        "a" + " " * 990 + "b",
        'x;y="' * 190,
        "\t" * 990 + "=",
    ],
)
def test_a_hostile_prefer_header_costs_no_more_than_a_long_one(text: str) -> None:
    assert len(text) <= MAX_LENGTH
    began = time.process_time()

    parse_prefer(text)

    # One pass takes a millisecond; the backtracking that this guards against took minutes.
    assert time.process_time() - began < 5
