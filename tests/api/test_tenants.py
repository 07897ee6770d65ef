"""Each tenant sees its own: a service of two tenants and more, tried with the ids of another."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from azure.cosmos import PartitionKey
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

import function_app
from functions.http.operations import ROOT, ROUTES, Route
from local.access_token import application_token
from local.config import COSMOS_DATABASE, READINESS_QUEUE
from local.settings import example_values
from local.stack import Stack, throwaway_config
from shared.adapters.archive import Archive
from shared.domain.catalog import BUILT_IN_DEFINITIONS
from shared.domain.subscriptions import ALL_FLOWS
from tests.support.api import UNKNOWN, Answer, Api, Flow, sort_index
from tests.support.bodies import request_body
from tests.support.cosmos import CosmosRequests
from tests.support.receiver import Receiver, in_an_hour, receiving, subscribe
from tests.support.stored import cosmos_client
from tests.support.waiting import until

TENANTS = tuple(f"10ca1000-0000-4000-8000-00000000001{number}" for number in range(4))
FIRST, SECOND = TENANTS[:2]
FULL = "application/json;odata.metadata=full"
STEPS = 40
WHAT = (
    *("set", "set", "rename", "delete set", "flow", "flow", "reset", "delete flow"),
    *("group", "rename group", "delete group", "disable"),
)
# What an integrator stored before there were tenants.
EARLIER_SET = "2b0f9c4e-51d2-4a8c-9d7e-08dec00ac001"
EARLIER_GROUP = "2b0f9c4e-51d2-4a8c-9d7e-08dec00ac002"
EARLIER: dict[str, tuple[str, dict[str, Any]]] = {
    "roleGroups": (
        "/id",
        {
            "id": EARLIER_GROUP,
            "displayName": "Helpers of before",
            "roles": [{"code": "aide"}],
        },
    ),
    "flowSets": (
        "/id",
        {
            "id": EARLIER_SET,
            "displayName": "Schools of before",
            "filter": None,
            "createdDateTime": "2026-11-01T10:00:00.0000000Z",
            "lastModifiedDateTime": "2026-11-01T10:00:00.0000000Z",
            "version": 2,
            "flows": {},
        },
    ),
}

assert function_app.app is not None  # whose import registers the operations


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of four tenants, whose store has what was stored before there were any."""
    config = throwaway_config(tmp_path_factory.mktemp("tenants"))
    settings = {
        **example_values(),
        **config.app_settings(),
        "AUTH_TENANTS": ",".join(TENANTS),
    }
    with Stack(config, host_settings=settings, say=lambda _: None) as running:
        asyncio.run(store_earlier(config.cosmos_endpoint))
        yield running


async def store_earlier(endpoint: str) -> None:
    async with cosmos_client(endpoint) as client:
        database = client.get_database_client(COSMOS_DATABASE)
        for name, (key, document) in EARLIER.items():
            container = await database.create_container_if_not_exists(name, PartitionKey(path=key))
            await container.create_item(document)


@pytest.fixture(scope="module")
async def services(shared_stack: Stack) -> AsyncIterator[dict[str, Api]]:
    """The service as an application of each tenant sees it."""
    async with AsyncExitStack() as opened:
        found = {}
        for tenant in TENANTS:
            token = application_token(shared_stack.config, tenant=tenant)
            headers = {"Authorization": f"Bearer {token}"}
            session = await opened.enter_async_context(aiohttp.ClientSession(headers=headers))
            found[tenant] = Api(session, shared_stack.config.api)
        yield found


@pytest.fixture
async def requests(shared_stack: Stack) -> AsyncIterator[CosmosRequests]:
    """What reaches the stack's store."""
    async with aiohttp.ClientSession() as http:
        yield CosmosRequests(http, f"{shared_stack.config.cosmos_endpoint}/_emulator/requests")


@dataclass(frozen=True)
class Owned:
    """What the first tenant has, by the parameters of routes that name it."""

    keys: dict[str, str]
    flow: Flow
    receiver: Receiver


@pytest.fixture(scope="module")
async def owned(services: dict[str, Api]) -> AsyncIterator[Owned]:
    """A ready flow, a role group, a definition and a subscription of the first tenant."""
    service = services[FIRST]
    flow = await service.new_flow("user")
    await flow.until_status("ready")
    definition = {
        "referenceType": "RefRace",
        "isDisabled": False,
        "code": f"own{uuid.uuid4().hex[:8]}",
        "displayName": "Own",
        "sortIndex": sort_index(),
    }
    made = await service.post(service.definitions, definition)
    assert made.status == 201, made.text
    keys = {
        "set_id": flow.set_id,
        "flow_id": flow.id,
        "group_id": await service.new_role_group("aide"),
        "definition_id": made.json()["id"],
    }
    async with receiving() as receiver:
        subscribed = await subscribe(service, receiver, resource=ALL_FLOWS)
        yield Owned({**keys, "subscription_id": subscribed["id"]}, flow, receiver)


def about_entities() -> list[Route]:
    """The operations that name something which belongs to a tenant."""
    return [
        route
        for route in ROUTES
        if route.segments[0] == ROOT and any(part.startswith("{") for part in route.segments)
    ]


def body_for(route: Route) -> bytes | None:
    """A good body for an operation."""
    if route.method == "PATCH" and route.segments[1] == "subscriptions":
        return json.dumps({"expirationDateTime": in_an_hour()}).encode()
    if route.method == "PATCH":
        return b'{"displayName": "Taken over"}'
    if route.method == "POST" and route.segments[-1] == "provisioningFlows":
        return request_body("class_group")
    return None


async def tried(service: Api, route: Route, keys: dict[str, str]) -> Answer:
    parts = [keys[part.strip("{}")] if part.startswith("{") else part for part in route.segments]
    url = service.root.removesuffix(f"/{ROOT}") + "/" + "/".join(parts)
    return await service.send(route.method, url, body_for(route))


def without_ids(answer: Answer, keys: dict[str, str]) -> tuple[int, str, str]:
    """What an answer says, but for the ids that the caller named and the passing ones."""
    error = answer.json()["error"]
    message = error["message"]
    for key in keys.values():
        message = message.replace(key, "ID")
    return answer.status, error["code"], message


@pytest.mark.parametrize("route", about_entities(), ids=lambda r: f"{r.method} {r.name}")
async def test_what_is_another_tenants_is_not_found_in_the_same_words_and_at_the_same_cost(
    services: dict[str, Api], owned: Owned, requests: CosmosRequests, route: Route
) -> None:
    unknown = {
        "set_id": UNKNOWN,
        "flow_id": UNKNOWN,
        "group_id": UNKNOWN,
        "definition_id": f"RefRace-{uuid.uuid4().hex[:8]}",
        "subscription_id": UNKNOWN,
    }
    found = []
    for keys in (owned.keys, unknown):
        await requests.reset()
        answer = await tried(services[SECOND], route, keys)
        assert answer.status == 404, answer.text
        asked = [
            (each["operation"], each["status"])
            for each in await requests.read()
            if any(f"/docs/{key}" in each["path"] for key in keys.values())
        ]
        found.append((without_ids(answer, keys), asked))
    assert found[0] == found[1]
    assert found[0][1]


async def test_what_another_tenant_tried_changed_nothing(
    services: dict[str, Api], owned: Owned
) -> None:
    before = await owned.flow.read()
    for route in about_entities():
        await tried(services[SECOND], route, owned.keys)
    assert await owned.flow.read() == before
    for collection in (services[FIRST].groups, services[FIRST].definitions):
        listed = (await services[FIRST].get(collection)).json()["value"]
        assert {"Own", "Helpers"} & {each["displayName"] for each in listed}
        assert "Taken over" not in {each["displayName"] for each in listed}


async def test_lists_and_counts_are_of_one_tenant(services: dict[str, Api], owned: Owned) -> None:
    for path in ("sets", "groups", "definitions"):
        url = getattr(services[SECOND], path)
        listed = (await services[SECOND].get(url)).json()["value"]
        assert not {each["id"] for each in listed} & set(owned.keys.values())
        count = await services[SECOND].get(f"{url}/$count")
        assert int(count.text) == len(listed)
    overview = await services[SECOND].get(f"{services[SECOND].root[:-5]}/status/overview")
    assert owned.flow.set_id not in overview.text


async def test_a_subscription_to_all_flows_is_to_those_of_its_tenant(
    services: dict[str, Api], owned: Owned
) -> None:
    theirs = await services[SECOND].new_flow("user")
    own = await services[FIRST].new_flow("security_group")

    async def is_notified() -> bool:
        return own.id in {each["resourceData"]["id"] for each in owned.receiver.taken}

    await until(is_notified, "the own flow's change is sent")
    assert theirs.id not in {each["resourceData"]["id"] for each in owned.receiver.taken}
    assert {each["tenantId"] for each in owned.receiver.taken} == {FIRST}
    for service, listed in ((services[FIRST], 1), (services[SECOND], 0)):
        url = f"{service.root}/subscriptions"
        assert len((await service.get(url)).json()["value"]) == listed
        overview = await service.get(service.root.removesuffix("/beta") + "/status/subscriptions")
        assert len(overview.json()["value"]) == listed


async def test_a_built_in_definition_is_changed_in_one_tenant(services: dict[str, Api]) -> None:
    definition_id = next(each for each in BUILT_IN_DEFINITIONS if each.startswith("RefGradeLevel"))
    first, second = services[FIRST], services[SECOND]
    url = f"{first.definitions}/{definition_id}"
    before = await second.get(url)
    changed = await first.patch(url, {"isDisabled": True})
    assert changed.status in (200, 204), changed.text
    assert (await first.get(url)).json()["isDisabled"] is True
    assert (await second.get(url)).json() == before.json()


async def test_an_etag_of_another_tenant_is_worth_nothing(services: dict[str, Api]) -> None:
    definition_id = next(each for each in BUILT_IN_DEFINITIONS if each.startswith("RefOrgType"))
    first, second = services[FIRST], services[SECOND]
    url = f"{first.definitions}/{definition_id}"
    tag = (await first.get(url, Accept=FULL)).headers["ETag"]
    assert (await first.get(url, If_None_Match=tag)).status == 304
    assert (await second.get(url, If_None_Match=tag)).status == 200
    refused = await second.patch(url, {"displayName": "Mine"}, If_Match=tag)
    assert refused.status == 412, refused.text


async def test_a_link_to_a_next_page_of_another_tenant_is_refused(
    services: dict[str, Api],
) -> None:
    first, second = services[FIRST], services[SECOND]
    for service in (first, second):
        for number in range(3):
            await service.new_set(f"Set {number}")
    link = (await first.get(first.sets, {"$top": 2})).json()["@odata.nextLink"]
    token = link.partition("$skiptoken=")[2]
    assert (await first.get(f"{first.sets}?$top=2&$skiptoken={token}")).status == 200
    refused = await second.get(f"{second.sets}?$top=2&$skiptoken={token}")
    assert refused.status == 400, refused.text


# --- events ------------------------------------------------------------------------------------


async def test_an_event_counts_in_the_tenant_that_it_names(
    shared_stack: Stack, services: dict[str, Api], owned: Owned
) -> None:
    async def send(**attributes: Any) -> str:
        _, message = owned.flow.report("failed", datetime.now(UTC))
        event = {**json.loads(str(message)), **attributes}
        message_id = str(uuid.uuid4())
        sent = type(message)(json.dumps(event), message_id=message_id)
        await sender.send_messages(sent)
        return message_id

    async def archived(tenant: str, message_id: str) -> str:
        archive = Archive(storage, tenant)
        found: list[str] = []

        async def there() -> bool:
            letters = [await archive.read(name) async for name in archive.names()]
            found[:] = [each["fault"] for each in letters if each["messageId"] == message_id]
            return bool(found)

        await until(there, f"message {message_id} is archived")
        return found[0]

    async with (
        ServiceBusClient.from_connection_string(
            shared_stack.config.service_bus_connection
        ) as client,
        client.get_queue_sender(READINESS_QUEUE) as sender,
        BlobServiceClient.from_connection_string(shared_stack.config.storage_connection) as storage,
    ):
        nameless = await send()
        elsewhere = str(uuid.uuid4())
        wrong = await send(tenantid=elsewhere)
        broken = await send(tenantid=SECOND, type="no type")
        assert "names no tenant" in await archived(FIRST, nameless)
        assert f"names the tenant {elsewhere}" in await archived(FIRST, wrong)
        assert "not a readiness event" in await archived(SECOND, broken)
        letters = await services[FIRST].get(f"{services[FIRST].root[:-5]}/status/dead-letters")
        assert broken not in letters.text
        assert wrong in letters.text
        # Of another tenant that is served, the flow is not there.
        await send(tenantid=SECOND)
        await send(tenantid=FIRST.upper())
        await owned.flow.until_status("failed")


async def test_an_event_that_the_release_before_left_in_the_queue_is_the_first_tenants(
    shared_stack: Stack, owned: Owned
) -> None:
    _, message = owned.flow.report("expired", datetime.now(UTC))
    event = {**json.loads(str(message)), "dataversion": 2}
    connection = shared_stack.config.service_bus_connection
    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender(READINESS_QUEUE) as sender,
    ):
        await sender.send_messages(type(message)(json.dumps(event), message_id=str(uuid.uuid4())))
    await owned.flow.until_status("expired")


# --- two at once, and each alone -----------------------------------------------------------------


class Life:
    """Random operations of one tenant, the same ones for the same seed."""

    def __init__(self, service: Api, seed: int) -> None:
        self._service = service
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._sets: list[str] = []
        self._groups: list[str] = []
        self.said: list[tuple[str, int]] = []

    async def step(self) -> None:
        """Do one thing."""
        service, chance = self._service, self._chance
        what = chance.choice(WHAT)
        name = f"{what} {chance.randrange(10**6)}"
        if what == "set":
            answer = await service.post(service.sets, {"displayName": name})
            self._sets.append(answer.json()["id"])
        elif what == "group":
            answer = await service.post(service.groups, {"displayName": name, "roles": []})
            self._groups.append(answer.json()["id"])
        elif what == "flow" and self._sets:
            kind = chance.choice(["administrative_unit", "class_group", "security_group", "user"])
            answer = await service.create(chance.choice(self._sets), kind)
        elif what == "rename" and self._sets:
            answer = await service.patch(
                service.set(chance.choice(self._sets)), {"displayName": name}
            )
        elif what == "delete set" and self._sets:
            answer = await service.delete(service.set(chance.choice(self._sets)))
        elif what == "rename group" and self._groups:
            group = f"{service.groups}/{chance.choice(self._groups)}"
            answer = await service.patch(group, {"displayName": name})
        elif what == "delete group" and self._groups:
            answer = await service.delete(f"{service.groups}/{chance.choice(self._groups)}")
        elif what == "disable":
            definition_id = chance.choice(sorted(BUILT_IN_DEFINITIONS)[:3])
            answer = await service.delete(f"{service.definitions}/{definition_id}")
        elif what in ("reset", "delete flow") and self._sets:
            flows = service.flows(chance.choice(self._sets))
            listed = (await service.get(flows)).json().get("value", [])
            if not listed:
                return
            one = f"{flows}/{listed[0]['id']}"
            answer = await (
                service.delete(one)
                if what == "delete flow"
                else service.send("POST", f"{one}/reset")
            )
        else:
            return
        self.said.append((what, answer.status))

    async def world(self) -> dict[str, list[Any]]:
        """All that the tenant has, without ids and times."""
        service = self._service
        sets = (await service.get(service.sets, {"$expand": "provisioningFlows"})).json()["value"]
        groups = (await service.get(service.groups)).json()["value"]
        definitions = (await service.get(service.definitions)).json()["value"]
        return {
            "sets": sorted(
                [each["displayName"], sorted(f["@odata.type"] for f in each["provisioningFlows"])]
                for each in sets
            ),
            "groups": sorted(each["displayName"] for each in groups),
            "definitions": [[each["id"], each["isDisabled"]] for each in definitions],
        }


async def test_two_tenants_at_once_are_as_each_of_them_alone(services: dict[str, Api]) -> None:
    # Two that no other test writes to.
    interleaved = [Life(services[tenant], seed) for seed, tenant in enumerate(TENANTS[2:])]
    for _ in range(STEPS):
        await asyncio.gather(*(life.step() for life in interleaved))
    there = [await life.world() for life in interleaved]
    assert there[0] != there[1]
    for seed, life in enumerate(interleaved):
        await emptied(services[TENANTS[2 + seed]])
        alone = Life(services[TENANTS[2 + seed]], seed)
        for _ in range(STEPS):
            await alone.step()
        assert alone.said == life.said
        assert await alone.world() == there[seed]


async def emptied(service: Api) -> None:
    """Take back what a tenant has written."""
    for each in (await service.get(service.sets)).json()["value"]:
        await service.delete(service.set(each["id"]))
    for each in (await service.get(service.groups)).json()["value"]:
        await service.delete(f"{service.groups}/{each['id']}")
    for each in (await service.get(service.definitions)).json()["value"]:
        if each["isDisabled"] and not BUILT_IN_DEFINITIONS[each["id"]]["isDisabled"]:
            await service.patch(f"{service.definitions}/{each['id']}", {"isDisabled": False})


# --- what was stored before ---------------------------------------------------------------------


async def test_only_the_first_tenant_has_what_was_stored_before_assigned_to_it(
    services: dict[str, Api],
) -> None:
    url = f"{services[FIRST].industry_data}/assignEarlierDocuments"
    refused = await services[SECOND].post(url, {})
    assert (refused.status, refused.json()["error"]["code"]) == (409, "Conflict")
    answer = await services[FIRST].post(url, {})
    assert answer.status == 200
    assert answer.json()["complete"] is True
    assert (answer.json()["tenantId"], answer.json()["staying"]) == (FIRST, [])


async def test_what_was_stored_before_is_the_first_tenants(
    shared_stack: Stack, services: dict[str, Api]
) -> None:
    first, second = services[FIRST], services[SECOND]
    assert EARLIER_SET in (await first.get(first.sets)).text
    assert EARLIER_GROUP in (await first.get(first.groups)).text
    assert (await first.get(first.set(EARLIER_SET))).json()["displayName"] == "Schools of before"
    assert (await second.get(second.set(EARLIER_SET))).status == 404
    assert EARLIER_GROUP not in (await second.get(second.groups)).text
    answer = await first.create(EARLIER_SET)
    assert answer.status == 201, answer.text
    async with cosmos_client(shared_stack.config.cosmos_endpoint) as client:
        for name in EARLIER:
            container = client.get_database_client(COSMOS_DATABASE).get_container_client(name)
            assert [each["id"] async for each in container.read_all_items()] == []
