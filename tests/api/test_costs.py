"""What a request may set off: lookups, steps and answers are bounded, in a batch too."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient

from functions.http.operations import MAX_URL_CHARACTERS
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY
from local.stack import Stack
from shared.adapters.flow_store import MAX_PAGE_BYTES
from shared.adapters.partition import ROLE_GROUPS
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import MAX_FAULTS
from tests.support.api import Api, assert_envelope
from tests.support.bodies import request_body
from tests.support.cosmos import CosmosRequests

SETS = "/external/industryData/outboundProvisioningFlowSets"
GROUPS = "/external/industryData/roleGroups"
BASIC_FILTER = "#microsoft.graph.industryData.basicFilter"


def part(number: int, url: str, **members: Any) -> dict[str, Any]:
    return {"id": str(number), "method": "GET", "url": url, **members}


def bound_to(groups: list[str]) -> dict[str, Any]:
    """A user flow with a configuration for each of some role groups."""
    body: dict[str, Any] = json.loads(request_body("user"))
    entry, *_ = body["creationOptions"]["configurations"]
    body["creationOptions"]["configurations"] = [
        {**entry, "roleGroup@odata.bind": f"external/industryData/roleGroups/{group}"}
        for group in groups
    ]
    return body


async def test_many_role_groups_are_looked_up_in_one_query(
    service: Api, set_id: str, cosmos_requests: CosmosRequests
) -> None:
    made = [
        (await service.post(service.groups, {"displayName": "g", "roles": []})).json()["id"]
        for _ in range(6)
    ]
    unknown = [str(uuid.uuid4()) for _ in range(44)]
    await cosmos_requests.reset()

    answer = await service.post(service.flows(set_id), bound_to(made + unknown))

    asked = [each for each in await cosmos_requests.read() if f"/{ROLE_GROUPS}/" in each["path"]]
    assert [each["operation"] for each in asked] == ["query"]
    error = assert_envelope(answer, 400, "BadRequest")
    places = [int(each["target"].partition("[")[2].partition("]")[0]) for each in error["details"]]
    assert places == list(range(6, 50))

    answer = await service.post(service.flows(set_id), bound_to(made))
    assert answer.status == 201, answer.text


async def test_a_deleted_role_group_is_none_of_many_that_are_looked_up(
    service: Api, set_id: str, stack: Stack
) -> None:
    made = [
        (await service.post(service.groups, {"displayName": "g", "roles": []})).json()["id"]
        for _ in range(6)
    ]
    async with CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    ) as client:
        groups = client.get_database_client(COSMOS_DATABASE).get_container_client(ROLE_GROUPS)
        # As it is stored until flows that use it know.
        await groups.upsert_item({"id": made[2], "tenantId": LOCAL_TENANT, "deleted": True})

    answer = await service.post(service.flows(set_id), bound_to(made))

    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert "configurations[2]" in detail["target"]


async def test_the_requests_of_a_batch_share_one_budget_of_steps(service: Api) -> None:
    codes = ["teacher", "student", "aide"] * 33
    body = {"displayName": "steps", "roles": [{"code": code} for code in dict.fromkeys(codes)]}
    for _ in range(20):
        assert (await service.post(service.groups, body)).status == 201
    costly = "%20or%20".join([f"roles/any(a:a/code%20eq%20'{n}')" for n in range(16)])
    url = f"{GROUPS}?$filter={costly}"
    alone = await service.get(f"{service.root}{url}")
    assert alone.status == 200, alone.text

    answer = await service.post(
        f"{service.root}/$batch", {"requests": [part(n, url) for n in range(20)]}
    )

    statuses = [each["status"] for each in answer.json()["responses"]]
    assert statuses[0] == 200
    assert statuses[-1] == 400
    refused = answer.json()["responses"][-1]["body"]["error"]
    assert "too many steps" in refused["message"]


async def test_a_batch_skips_no_more_sets_than_one_request_may(service: Api) -> None:
    url = f"{SETS}?$skip=10000"
    assert (await service.get(f"{service.root}{url}")).status == 200

    answer = await service.post(
        f"{service.root}/$batch", {"requests": [part(n, url) for n in range(3)]}
    )

    assert [each["status"] for each in answer.json()["responses"]] == [200, 400, 400]


@pytest.mark.parametrize("where", ["one part", "each part"])
async def test_a_batch_lists_no_more_faults_than_any_request(service: Api, where: str) -> None:
    members = {f"m{number}": 1 for number in range(2000)}
    parts = [part(n, "/x", **members) for n in range(1 if where == "one part" else 20)]

    answer = await service.post(f"{service.root}/$batch", {"requests": parts})

    error = assert_envelope(answer, 400, "BadRequest")
    assert len(error["details"]) == MAX_FAULTS


@pytest.mark.parametrize("path", ["", "/$metadata", GROUPS, f"{GROUPS}/staff"])
async def test_unknown_options_are_listed_up_to_the_limit(service: Api, path: str) -> None:
    query = "&".join(f"x{number}=1" for number in range(500))
    answer = await service.get(f"{service.root}{path}?{query}")
    assert len(assert_envelope(answer, 400, "BadRequest")["details"]) == MAX_FAULTS


async def test_a_url_in_a_batch_is_as_long_as_any(service: Api) -> None:
    urls = [f"/$metadata?{'a' * MAX_URL_CHARACTERS}=1", "/" + "a/" * 400_000, "/$metadata"]

    answer = await service.post(
        f"{service.root}/$batch",
        {"requests": [part(number, url) for number, url in enumerate(urls)]},
    )

    statuses = [each["status"] for each in answer.json()["responses"]]
    assert statuses == [414, 414, 200]


async def test_pages_of_large_sets_are_short_and_lead_through_all_of_them(service: Api) -> None:
    values = {"@odata.type": BASIC_FILTER, "attribute": "orgExternalId"}
    name = f"large {uuid.uuid4()}"
    body = {"displayName": name, "filter": {**values, "in": [f"{n:0>100}" for n in range(1000)]}}
    answers = [await service.post(service.sets, body) for _ in range(45)]
    assert {each.status for each in answers} == {201}, answers
    made = {each.json()["id"] for each in answers}
    link = f"{service.sets}?$filter=displayName%20eq%20'{name.replace(' ', '%20')}'"
    seen, pages = [], 0

    while link:
        answer = await service.get(link)
        assert answer.status == 200, answer.text
        assert len(answer.text) < MAX_PAGE_BYTES + 2 * len(json.dumps(body))
        seen += [each["id"] for each in answer.json()["value"]]
        pages, link = pages + 1, answer.json().get("@odata.nextLink")

    assert (len(seen), set(seen), pages) == (45, made, 3)
