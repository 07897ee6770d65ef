"""Stored passwords are sealed with the newest key, while the service runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy, CosmosClient

from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY
from local.stack import Stack
from shared.adapters.cosmos import Cosmos
from shared.adapters.flow_store import FlowStore
from shared.adapters.partition import FLOW_SETS, Partition
from shared.domain.context import LOCAL_TENANT
from tests.support.api import UNKNOWN, Api, Flow, assert_envelope
from tests.support.bodies import request_body
from tests.support.sealed import LOST_KEY, Sealed, entries

PATH = "resealPasswords"


@pytest.fixture
async def sealed(stored_sets: ContainerProxy, password_keys: str) -> Sealed:
    return Sealed(stored_sets, password_keys)


async def reseal(service: Api, **body: Any) -> dict[str, Any]:
    """Send requests until nothing is left; return the sums of their answers."""
    flows, passwords, unreadable = 0, 0, []
    while True:
        answer = await service.post(f"{service.industry_data}/{PATH}", body)
        assert answer.status == 200, answer.text
        found = answer.json()
        flows += found["flows"]
        passwords += found["passwords"]
        unreadable += found["unreadable"]
        if found["after"] is None:
            return {"flows": flows, "passwords": passwords, "unreadable": unreadable}
        body["after"] = found["after"]


async def in_clear(service: Api, flow: Flow) -> list[str]:
    """A flow's passwords."""
    answer = await service.send("POST", f"{flow.url}/readPasswords")
    assert answer.status == 200, answer.text
    return [each["password"] for each in answer.json()["value"]]


async def test_nothing_but_the_seal_changes(service: Api, sealed: Sealed) -> None:
    await reseal(service)
    flow = await sealed.make(service)
    before = await sealed.document(flow)
    read = await service.get(flow.url, if_none_match='"x"')

    counted = await reseal(service, dryRun=True)
    assert counted == {"flows": 1, "passwords": 2, "unreadable": []}
    assert await sealed.key_ids(flow) == ["former", "former"]

    assert await reseal(service) == counted
    assert await sealed.key_ids(flow) == [sealed.current] * 2
    after = await sealed.document(flow)
    again = await service.get(flow.url, if_none_match='"x"')
    assert (again.text, again.headers["ETag"]) == (read.text, read.headers["ETag"])
    for document in (before, after):
        for entry in entries(document):
            del entry["defaultPasswordSettings"]["password"]
        del document["flows"][flow.kind]["stamp"]
    system = ("_etag", "_ts", "_rid", "_self", "_attachments")
    assert {k: v for k, v in before.items() if k not in system} == {
        k: v for k, v in after.items() if k not in system
    }
    published = json.loads(request_body("user"))["creationOptions"]["configurations"]
    assert await in_clear(service, flow) == [
        entry["defaultPasswordSettings"]["password"] for entry in published
    ]


async def test_a_request_does_as_many_sets_as_it_says(service: Api, sealed: Sealed) -> None:
    flows = [await sealed.make(service) for _ in range(3)]
    answer = (await service.post(f"{service.industry_data}/{PATH}", {"top": 1})).json()
    assert (answer["flows"], answer["passwords"]) == (1, 2)
    assert answer["after"] in [flow.set_id for flow in flows]
    await reseal(service, top=1)
    for flow in flows:
        assert await sealed.key_ids(flow) == [sealed.current] * 2


async def test_a_password_without_its_key_is_named_and_holds_nothing_up(
    service: Api, sealed: Sealed
) -> None:
    lost = await sealed.make(service, key=LOST_KEY)
    old = await sealed.make(service)
    try:
        unreadable = (await reseal(service))["unreadable"]
        assert len(unreadable) == 2  # one for each password
        for each in unreadable:
            assert (each["flowSetId"], each["flowId"]) == (lost.set_id, lost.id)
            assert "'lost'" in each["why"]
        assert await sealed.key_ids(lost) == ["lost", "lost"]
        assert await sealed.key_ids(old) == [sealed.current] * 2
    finally:
        await service.delete(service.set(lost.set_id))


async def test_an_instance_with_another_key_changes_nothing(service: Api, sealed: Sealed) -> None:
    flow = await sealed.make(service)
    url = f"{service.industry_data}/{PATH}"
    refused = await service.post(url, {"keyId": "newest"})
    assert_envelope(refused, 409, "Conflict")
    assert f"seals with the key '{sealed.current}'" in refused.text
    assert await sealed.key_ids(flow) == ["former", "former"]
    assert (await service.post(url, {"keyId": sealed.current})).status == 200


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"top": 0}, "$.top"),
        ({"top": 101}, "$.top"),
        ({"top": "1"}, "$.top"),
        ({"dryRun": "yes"}, "$.dryRun"),
        ({"after": "x" * 37}, "$.after"),
        ({"after": None}, "$.after"),
        ({"keyId": 7}, "$.keyId"),
        ({"all": True}, "$.all"),
        ([], "$"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_place(service: Api, body: Any, target: str) -> None:
    answer = await service.post(f"{service.industry_data}/{PATH}", body)
    assert_envelope(answer, 400, "BadRequest")
    assert [each["target"] for each in answer.json()["error"]["details"]] == [target]


async def test_a_flow_that_was_changed_meanwhile_is_not_overwritten(
    service: Api, sealed: Sealed, stack: Stack
) -> None:
    flow = await sealed.make(service)
    stored = (await sealed.document(flow))["flows"][flow.kind]
    assert (await service.send("POST", f"{flow.url}/reset")).status == 202
    client = CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    )
    cosmos = Cosmos(client, COSMOS_DATABASE)
    try:
        store = FlowStore(Partition(cosmos, FLOW_SETS, LOCAL_TENANT))
        assert not await store.put_resealed(flow.set_id, stored, stored["configuration"])
        assert not await store.put_resealed(UNKNOWN, stored, stored["configuration"])
    finally:
        await cosmos.close()
    assert await sealed.key_ids(flow) == ["former", "former"]
    assert (await reseal(service))["passwords"] == 2
