"""Requests made to do harm: refused with their place, before anything is looked up or published."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shared.odata.prefer import MAX_LENGTH, parse_prefer
from tests.support.api import Api, assert_envelope
from tests.support.bodies import request_body
from tests.support.cosmos import CosmosRequests


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
