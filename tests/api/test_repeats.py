"""Requests that come again: a create is made once, and many writers at once all succeed."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient

from local.access_token import all_roles, application_token
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY
from local.issuer import claims, sign, signing_key
from local.stack import Stack
from shared.adapters.catalog_store import CatalogStore
from shared.adapters.cosmos import Cosmos
from shared.contract.stored import new_role_group
from shared.domain.context import LOCAL_TENANT, Caller, current_caller
from shared.domain.ids import as_guid
from shared.services.repeats import Repeats
from tests.support.api import GUID, Answer, Api, assert_envelope, sort_index
from tests.support.bodies import bound_to, request_body
from tests.support.cosmos import CosmosFaults, CosmosRequests
from tests.support.logs import logged
from tests.support.stored import catalog_partitions

SETS = "/external/industryData/outboundProvisioningFlowSets"


def new_id() -> str:
    """A client-request-id that no other request has."""
    return str(uuid.uuid4())


async def creation(service: Api, kind: str) -> tuple[str, dict[str, Any]]:
    """Where an entity of a kind is created, and a body that no other test sends."""
    word = uuid.uuid4().hex
    if kind == "set":
        return service.sets, {"displayName": word}
    if kind == "flow":
        return service.flows(await service.new_set()), json.loads(request_body("user"))
    if kind == "role group":
        return service.groups, {"displayName": word, "roles": [{"code": "nurse"}]}
    definition = {"referenceType": "RefRace", "code": word, "displayName": word}
    return service.definitions, {**definition, "isDisabled": False, "sortIndex": sort_index()}


async def number_of(service: Api, kind: str, url: str, body: dict[str, Any]) -> int:
    """How many entities were made of a body."""
    if kind == "flow":
        return int((await service.get(f"{url}/$count")).text)
    options = {"$filter": f"displayName eq '{body['displayName']}'"}
    return int((await service.get(f"{url}/$count", options)).text)


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers are about one entity."""
    assert (one.status, other.status) == (201, 201), other.text
    assert (one.json()["id"] == other.json()["id"]) == (
        one.headers["Location"] == other.headers["Location"]
    )
    return bool(one.headers["Location"] == other.headers["Location"])


KINDS = ["set", "flow", "role group", "definition"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_create_that_is_repeated_is_answered_with_what_the_first_made(
    service: Api, kind: str
) -> None:
    url, body = await creation(service, kind)
    mine = new_id()
    first = await service.post(url, body, client_request_id=mine)
    again = await service.post(url, body, client_request_id=mine)
    assert same(first, again)
    if kind != "flow":  # its readiness has changed meanwhile
        assert again.text == first.text
    # As another program would write the same: other white space, another order.
    turned = json.dumps(dict(reversed(body.items())), indent=2).encode()
    assert same(first, await service.send("POST", url, turned, client_request_id=mine))
    assert await number_of(service, kind, url, body) == 1
    if kind != "definition":
        assert GUID.fullmatch(first.json()["id"])


@pytest.mark.parametrize("kind", KINDS)
async def test_of_ten_at_the_same_time_one_is_made_and_all_get_it(service: Api, kind: str) -> None:
    url, body = await creation(service, kind)
    mine = new_id()
    answers = await asyncio.gather(
        *(service.post(url, body, client_request_id=mine) for _ in range(10))
    )
    assert all(same(answers[0], each) for each in answers)
    assert await number_of(service, kind, url, body) == 1


async def test_without_an_id_or_with_another_one_a_create_is_a_new_one(service: Api) -> None:
    url, body = await creation(service, "set")
    ids: list[dict[str, str]] = [
        {"client_request_id": "one"},
        {"client_request_id": "ONE"},
        {},
        {},
        # What cannot be echoed does not count either.
        {"client_request_id": "x" * 129},
        {"client_request_id": "x" * 129},
    ]
    made = [await service.post(url, body, **each) for each in ids]
    assert len({each.headers["Location"] for each in made}) == len(ids)


async def test_with_another_body_or_in_another_set_a_create_is_a_new_one(service: Api) -> None:
    mine = new_id()
    url, body = await creation(service, "set")
    first = await service.post(url, body, client_request_id=mine)
    for other in ({"displayName": new_id()}, {**body, "filter": None}):
        assert not same(first, await service.post(url, other, client_request_id=mine))
    flows = [(await creation(service, "flow"))[0] for _ in range(2)]
    sent = json.loads(request_body("user"))
    one, two = [await service.post(url, sent, client_request_id=mine) for url in flows]
    assert not same(one, two)


async def test_a_password_is_part_of_the_body(service: Api) -> None:
    mine = new_id()
    url, _ = await creation(service, "flow")
    bodies = [bound_to("staff") for _ in range(2)]  # the same but for the password
    first, other = [await service.send("POST", url, b, client_request_id=mine) for b in bodies]
    assert first.status == 201
    assert_envelope(other, 409, "Conflict")


async def test_of_another_caller_a_create_is_a_new_one(service: Api, stack: Stack) -> None:
    url, body = await creation(service, "set")
    mine = new_id()
    first = await service.post(url, body, client_request_id=mine)
    payload = claims(stack.config.issuer, roles=all_roles())
    other_app = {**payload, "oid": new_id()}
    other_app["sub"] = other_app["oid"]
    key = signing_key(stack.config.local_state / "issuer")
    authorization = f"Bearer {sign(other_app, key)}"
    other = await service.post(url, body, client_request_id=mine, Authorization=authorization)
    assert not same(first, other)
    own = f"Bearer {application_token(stack.config)}"  # another token of the same caller
    assert same(first, await service.post(url, body, client_request_id=mine, Authorization=own))


async def test_a_flow_that_is_in_the_way_is_named(service: Api) -> None:
    url, body = await creation(service, "flow")
    first = await service.post(url, body, client_request_id=new_id())
    for again in ({"client_request_id": new_id()}, {}):
        refused = await service.post(url, body, **again)
        message = assert_envelope(refused, 409, "Conflict")["message"]
        assert f"'{first.json()['id']}'" in message


async def test_an_update_does_not_make_a_repeat_a_new_request(service: Api) -> None:
    for kind in KINDS:
        url, body = await creation(service, kind)
        mine = new_id()
        first = await service.post(url, body, client_request_id=mine)
        change: dict[str, Any] = {} if kind == "flow" else {"displayName": "Renamed"}
        assert (await service.patch(first.headers["Location"], change)).status == 204
        again = await service.post(url, body, client_request_id=mine)
        assert same(first, again)
        assert {**again.json(), **change} == again.json()


@pytest.mark.parametrize("kind", ["set", "flow", "role group"])
async def test_after_the_first_was_deleted_a_repeat_makes_it_anew(service: Api, kind: str) -> None:
    url, body = await creation(service, kind)
    mine = new_id()
    for _ in range(2):
        made = await service.post(url, body, client_request_id=mine)
        assert made.status == 201, made.text
        assert (await service.get(made.headers["Location"])).status == 200
        assert (await service.delete(made.headers["Location"])).status == 204
        assert await number_of(service, kind, url, body) == 0


@pytest.mark.parametrize(
    ("kind", "operation", "status"),
    [("set", "create", 409), ("role group", "create", 409), ("flow", "patch", 412)],
)
async def test_what_is_gone_once_it_is_looked_at_is_not_in_the_way(
    service: Api, cosmos_faults: CosmosFaults, kind: str, operation: str, status: int
) -> None:
    url, body = await creation(service, kind)
    async with cosmos_faults(operation=operation, status=status):
        made = await service.post(url, body, client_request_id=new_id())
    assert made.status == 201, made.text
    assert (await service.get(made.headers["Location"])).status == 200


async def test_what_only_ignored_members_can_have_keeps_no_create_from_being_made(
    service: Api,
) -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    for ignored in (10**30, deep):
        url, body = await creation(service, "set")
        answer = await service.post(url, {**body, "id": ignored}, client_request_id=new_id())
        assert answer.status == 201, answer.text


# --- in a batch --------------------------------------------------------------------------------


async def batch(service: Api, *headers: dict[str, str], **outer: str) -> list[str]:
    """Create equal sets in one batch, each part with headers of its own; their ids."""
    body = {"displayName": "equal"}
    json_type = {"Content-Type": "application/json"}
    requests = [
        {
            "id": str(n),
            "method": "POST",
            "url": SETS,
            "headers": {**json_type, **each},
            "body": body,
            "dependsOn": [str(n - 1)] if n else [],
        }
        for n, each in enumerate(headers)
    ]
    answer = await service.post(f"{service.root}/$batch", {"requests": requests}, **outer)
    answers = answer.json()["responses"]
    assert [each["status"] for each in answers] == [201] * len(headers)
    return [each["body"]["id"] for each in answers]


async def test_equal_parts_of_a_batch_are_not_taken_for_repeats_of_each_other(service: Api) -> None:
    mine = new_id()
    first = await batch(service, {}, {}, client_request_id=mine)
    again = await batch(service, {}, {}, client_request_id=mine)
    assert len({*first, *again}) == 4


async def test_a_part_of_a_batch_is_repeated_by_its_own_id(service: Api) -> None:
    mine, other = ({"client-request-id": new_id()} for _ in range(2))
    first = await batch(service, mine, other)
    again = await batch(service, other, mine)
    assert first == again[::-1]
    alone = await service.post(
        service.sets, {"displayName": "equal"}, client_request_id=mine["client-request-id"]
    )
    assert alone.json()["id"] == first[0]


# --- what it costs and what it leaves ----------------------------------------------------------


async def test_only_a_repeat_costs_a_second_request_to_the_store(
    service: Api, cosmos_requests: CosmosRequests
) -> None:
    url, body = await creation(service, "set")
    mine = new_id()
    for expected in (["create"], ["create", "read"]):
        await cosmos_requests.reset()
        made = await service.post(url, body, client_request_id=mine)
        operations = [
            each["operation"]
            for each in await cosmos_requests.read()
            if each["operation"] == "create" or made.json()["id"] in each["path"]
        ]
        assert operations == expected


async def test_the_id_of_a_request_is_neither_logged_nor_stored(
    service: Api, stack: Stack, stored_sets: Any
) -> None:
    url, body = await creation(service, "flow")
    mine = new_id()
    made = await service.post(url, body, client_request_id=mine)
    [*_] = await logged(stack, "create_provisioning_flow", made.headers["request-id"])
    assert mine not in stack.log_file("host").read_text("utf-8", errors="replace")
    set_id = url.split("/")[-2]
    assert mine not in json.dumps(await stored_sets.read_item(set_id, LOCAL_TENANT))


# --- which callers differ ---------------------------------------------------------------------


@pytest.fixture
def caller() -> Iterator[None]:
    """No caller is left for other tests."""
    token = current_caller.set(None)
    yield
    current_caller.reset(token)


def digest_of(caller: Caller | None, key: bytes = b"key") -> str | None:
    """The digest of one request of a caller."""
    current_caller.set(caller)
    return Repeats(key).digest("sets", "id", {"displayName": "x"})


def test_callers_are_told_apart_and_who_cannot_be_told_has_no_repeats(caller: None) -> None:
    tenant, one, two, app = (str(uuid.uuid4()) for _ in range(4))
    digests = [
        digest_of(Caller("delegated", tenant, one, app)),
        digest_of(Caller("delegated", tenant, two, app)),
        digest_of(Caller("delegated", tenant, one, two)),
        digest_of(Caller("delegated", two, one, app)),
        digest_of(Caller("application", tenant, one, app)),
        digest_of(Caller("application", tenant, None, app)),
        digest_of(Caller("unchecked", LOCAL_TENANT)),
        digest_of(Caller("unchecked", LOCAL_TENANT), b"another key"),
    ]
    assert None not in digests
    assert len(set(digests)) == len(digests)
    assert digest_of(Caller("delegated", tenant, None, app)) is None
    assert digest_of(None) is None
    assert all(as_guid(new_role_group_id(digest)) for digest in digests)


def new_role_group_id(digest: str | None) -> str:
    """The id of a role group that a request with this digest creates."""
    body = {"displayName": "x", "roles": [{"code": "nurse"}]}
    group_id: str = new_role_group(body, digest)["id"]
    return group_id


# --- a role group that comes back --------------------------------------------------------------


@pytest.fixture
async def catalog(stack: Stack) -> AsyncIterator[CatalogStore]:
    """The store of role groups, as one more instance of the app has it."""
    async with CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    ) as client:
        yield CatalogStore(*catalog_partitions(Cosmos(client, COSMOS_DATABASE)))


async def test_a_late_end_of_a_deletion_leaves_the_role_group_that_was_made_anew(
    catalog: CatalogStore,
) -> None:
    group = new_role_group({"displayName": "x", "roles": [{"code": "nurse"}]}, uuid.uuid4().hex)
    assert await catalog.create_role_group(group)
    deleted = await catalog.mark_role_group_deleted(await catalog.read_role_group(group["id"]))
    assert deleted is not None
    assert deleted.unannounced is not None
    # While its deletion is announced, it is neither there nor can it be made.
    assert await catalog.create_role_group(group) is None
    await catalog.settle(deleted.unannounced)
    assert await catalog.create_role_group(group)
    await catalog.settle(deleted.unannounced)
    assert (await catalog.role_group(group["id"])).display_name == "x"


# --- many writers ------------------------------------------------------------------------------


async def test_twenty_four_updates_of_one_flow_at_twelve_at_once_all_succeed(
    service: Api, cosmos_faults: CosmosFaults
) -> None:
    flow = await service.new_flow("user")
    await flow.until_status("ready")
    twelve = asyncio.Semaphore(12)

    async def update(number: int) -> Answer:
        async with twelve:
            return await service.patch(flow.url, {"createUnmatchedUsers": number % 2 == 0})

    # A store that is far away: the longer a write takes, the more others come between.
    async with (
        cosmos_faults(operation="read", delayMs=80, count=2000),
        cosmos_faults(operation="patch", delayMs=80, count=2000),
    ):
        answers = await asyncio.gather(*map(update, range(24)))
    assert [answer.status for answer in answers] == [204] * 24
    history = (await service.get(f"{flow.url}/readinessHistory")).json()["value"]
    assert max(entry["revision"] for entry in history) == 25
