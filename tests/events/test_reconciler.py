"""Asking again for flows that are notReady for too long, and telling flows of a changed catalog.

The stores and the publisher are the app's own, on a database and a queue of their own: so
what was asked stays in the queue, to be looked at.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from azure.cosmos.aio import ContainerProxy
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from local.components import free_ports
from local.stack import Stack
from shared.adapters.catalog_store import CatalogStore
from shared.adapters.cosmos import Cosmos
from shared.adapters.flow_store import FlowStore
from shared.adapters.keyring import Keyring
from shared.adapters.partition import FLOW_SETS, Partition
from shared.adapters.readiness_store import ReadinessStore
from shared.adapters.service_bus import QueuePublisher
from shared.adapters.subscription_store import SubscriptionStore
from shared.contract.events import (
    CatalogChanged,
    Message,
    ReadinessEvent,
    check_request,
    read_event,
    report,
)
from shared.contract.loading import load_flow
from shared.domain import flows
from shared.domain.catalog import CatalogChange
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import microseconds
from shared.services.announcing import Announcer
from shared.services.notifying import Notifier
from shared.services.provisioning_flows import new_flow as stored_form
from shared.services.readiness import Readiness
from shared.services.reconciliation import Reconciler
from tests.emulators.service_bus_fixtures import Emulator, running
from tests.support.api import Api, Flow
from tests.support.bodies import request_body
from tests.support.cosmos import CosmosFaults
from tests.support.stored import catalog_partitions, cosmos_client, create_database
from tests.support.waiting import until

DATABASE = "reconciler"
KIND = "userProvisioningFlow"
MINUTE = 60 * 1_000_000
MOST, SECONDS = 100, 30.0
CREDENTIALS = "SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A Service Bus emulator whose queue only these tests read."""
    folder = tmp_path_factory.mktemp("reconciler")
    with running(folder, {"readiness": {"RequiresDuplicateDetection": True}}) as started:
        yield started


@dataclass(frozen=True)
class World:
    """The app's parts, and a look at what they wrote and published."""

    readiness: Readiness
    reconciler: Reconciler
    sets: ContainerProxy
    keyring: Keyring
    receiver: ServiceBusReceiver

    async def new_flow(self, group: str = "staff", **members: Any) -> str:
        """Store a user flow in a set of its own, with these members; the set's id."""
        body = json.loads(request_body("user"))
        entry = body["creationOptions"]["configurations"].pop()
        body["creationOptions"]["configurations"] = [entry]
        entry["roleGroup@odata.bind"] = f"external/industryData/roleGroups/{group}"
        _, values = load_flow(body)
        document = flows.new_flow_set({"displayName": "Contoso schools", "filter": None})
        document["flows"] = {KIND: {**stored_form(KIND, values, self.keyring), **members}}
        await self.sets.create_item({**document, "tenantId": LOCAL_TENANT})
        return str(document["id"])

    async def flow(self, set_id: str) -> dict[str, Any]:
        """A set's flow as it is stored."""
        document = await self.sets.read_item(set_id, LOCAL_TENANT)
        found: dict[str, Any] = document["flows"][KIND]
        return found

    async def make_due(self, set_id: str) -> None:
        """Let a flow's wait be over."""
        operation = {"op": "set", "path": f"/flows/{KIND}/checkDueAt", "value": 0}
        await self.sets.patch_item(set_id, LOCAL_TENANT, [operation])

    async def published(self) -> list[ReadinessEvent | CatalogChanged]:
        """Take everything from the queue."""
        found: list[ReadinessEvent | CatalogChanged] = []
        while await self.receiver.peek_messages(1, sequence_number=1):
            for message in await self.receiver.receive_messages(100, max_wait_time=1):
                found.append(read_event(b"".join(message.body)))
                await self.receiver.complete_message(message)
        return found

    async def requested(self) -> list[str]:
        """Take everything from the queue; the sets of flows whose check is requested."""
        return [e.flow_set_id for e in await self.published() if isinstance(e, ReadinessEvent)]


@pytest.fixture(scope="module")
async def containers(stack: Stack) -> None:
    """A database of our own on the stack's Cosmos DB emulator."""
    await create_database(stack.config.cosmos_endpoint, DATABASE)


def read(message: Message) -> ReadinessEvent:
    """A message about a flow as the service reads it."""
    event = read_event(message.body)
    assert isinstance(event, ReadinessEvent)
    return event


def publisher_to(connection: str) -> QueuePublisher:
    """The app's publisher."""
    client = ServiceBusClient.from_connection_string(
        connection, retry_total=1, retry_backoff_factor=0.2
    )
    return QueuePublisher(client, "readiness")


@pytest.fixture(scope="module")
async def parts(
    stack: Stack, containers: None, emulator: Emulator, keyring: Keyring
) -> AsyncIterator[World]:
    """The parts, with their clients."""
    cosmos = Cosmos(cosmos_client(stack.config.cosmos_endpoint), DATABASE)
    publisher = publisher_to(emulator.connection_string())
    sets = Partition(cosmos, FLOW_SETS, LOCAL_TENANT)
    flow_store, catalog = FlowStore(sets), CatalogStore(*catalog_partitions(cosmos))
    store = ReadinessStore(flow_store)

    subscriptions = SubscriptionStore(cosmos, LOCAL_TENANT, sets)
    notifier = Notifier(subscriptions, publisher, LOCAL_TENANT, enabled=False)
    readiness = Readiness(store, catalog, publisher, notifier)
    announcer = Announcer(publisher, catalog, notifier)
    reconciler = Reconciler(flow_store, store, catalog, publisher, announcer)
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string()) as looking,
        looking.get_queue_receiver("readiness") as receiver,
    ):
        yield World(readiness, reconciler, cosmos.container(FLOW_SETS), keyring, receiver)
    await publisher.close()
    await cosmos.close()


@pytest.fixture
async def world(parts: World) -> World:
    """The parts, with nothing stored and nothing published."""
    for set_id in [document["id"] async for document in parts.sets.read_all_items()]:
        await parts.sets.delete_item(set_id, LOCAL_TENANT)
    await parts.published()
    return parts


# --- which checks are requested ----------------------------------------------------------------


async def test_a_check_that_is_due_is_requested_once_as_of_its_revision(
    world: World,
) -> None:
    set_id = await world.new_flow(checkDueAt=0)
    flow = await world.flow(set_id)
    assert await world.reconciler.run(MOST, SECONDS) == 1
    assert await world.reconciler.run(MOST, SECONDS) == 0
    [event] = await world.published()
    assert isinstance(event, ReadinessEvent)
    assert (event.flow_set_id, event.flow_id, event.revision) == (set_id, flow["id"], 1)
    # Whatever was reported about the revision since counts more.
    assert event.position.at == flow["revisedAt"]
    assert event.configuration is not None


async def test_a_new_flow_gets_a_minute_for_the_event_on_its_way(world: World) -> None:
    flow = await world.flow(await world.new_flow())
    assert flow["checkDueAt"] - flow["revisedAt"] == MINUTE
    assert await world.reconciler.run(MOST, SECONDS) == 0
    assert await world.requested() == []


async def test_the_check_of_a_flow_that_was_checked_is_not_requested(world: World) -> None:
    set_id = await world.new_flow(checkDueAt=0)
    flow = await world.flow(set_id)
    await world.readiness.process(read(check_request(set_id, KIND, flow)), 1)
    assert (await world.flow(set_id))["readinessStatus"] == "ready"
    assert await world.reconciler.run(MOST, SECONDS) == 0
    assert await world.requested() == []


async def test_a_report_before_the_check_leaves_the_check_due(world: World) -> None:
    set_id = await world.new_flow(checkDueAt=0)
    flow = await world.flow(set_id)
    await world.readiness.process(read(report(set_id, KIND, flow["id"], "expired")), 1)
    assert (await world.flow(set_id))["readinessStatus"] == "expired"
    assert await world.reconciler.run(MOST, SECONDS) == 1
    assert await world.requested() == [set_id]


async def test_the_wait_doubles_up_to_four_hours_and_never_ends(world: World) -> None:
    set_id = await world.new_flow(checkDueAt=0)
    waits = []
    for _ in range(10):
        before = microseconds()
        assert await world.reconciler.run(MOST, SECONDS) == 1
        flow = await world.flow(set_id)
        waits.append(round((flow["checkDueAt"] - before) / MINUTE))
        await world.make_due(set_id)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 256, 256]
    assert (await world.flow(set_id))["asks"] == 11
    assert await world.requested() == [set_id] * 10


async def test_a_run_requests_so_many_and_the_next_the_rest(world: World) -> None:
    set_ids = {await world.new_flow(checkDueAt=0) for _ in range(5)}
    counts = [await world.reconciler.run(2, SECONDS) for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    requested = await world.requested()
    assert len(requested) == 5
    assert set(requested) == set_ids


async def test_a_set_of_more_due_flows_than_a_run_requests_does_not_stop_it(world: World) -> None:
    set_id = await world.new_flow(checkDueAt=0)
    others = {
        kind: {**flows.first_revision(str(uuid.uuid4()), {}), "checkDueAt": 0}
        for kind in ("securityGroupProvisioningFlow", "administrativeUnitProvisioningFlow")
    }
    operations = [
        {"op": "add", "path": f"/flows/{kind}", "value": flow} for kind, flow in others.items()
    ]
    await world.sets.patch_item(set_id, LOCAL_TENANT, operations)
    assert [await world.reconciler.run(1, SECONDS) for _ in range(4)] == [1, 1, 1, 0]
    assert await world.requested() == [set_id] * 3


async def test_a_run_ends_when_its_time_is_over(world: World) -> None:
    await world.new_flow(checkDueAt=0)
    assert await world.reconciler.run(MOST, -1) == 0
    assert await world.reconciler.run(MOST, SECONDS) == 1


async def test_two_reconcilers_at_once_request_once(world: World) -> None:
    set_ids = [await world.new_flow(checkDueAt=0) for _ in range(8)]
    counts = await asyncio.gather(*(world.reconciler.run(MOST, SECONDS) for _ in range(2)))
    assert sum(counts) == 8
    assert sorted(await world.requested()) == sorted(set_ids)


async def test_a_flow_that_was_checked_meanwhile_is_left_alone(world: World) -> None:
    set_id = await world.new_flow(checkDueAt=0)
    [(_, kind, flow)] = await world.reconciler.store.due_flows(microseconds(), MOST, "")
    await world.readiness.process(read(check_request(set_id, kind, flow)), 1)
    assert not await world.reconciler.store.note_recheck(set_id, kind, flow, 2, 0)
    assert (await world.flow(set_id))["asks"] == 1


# --- when something is away --------------------------------------------------------------------


async def test_a_request_that_cannot_be_published_is_no_reason_to_wait_longer(world: World) -> None:
    set_id = await world.new_flow(checkDueAt=5)
    [unused] = free_ports(1)
    away = publisher_to(f"Endpoint=sb://127.0.0.1:{unused};{CREDENTIALS}")
    assert await replace(world.reconciler, publisher=away).run(MOST, SECONDS) == 0
    await away.close()
    flow = await world.flow(set_id)
    assert (flow["asks"], flow["checkDueAt"]) == (1, 5)
    assert await world.requested() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 401},
        {"status": 403},
        {"status": 404, "subStatus": 1002},
        {"status": 404, "subStatus": 1003},
        {"status": 413},
        {"status": 429, "retryAfterMs": 60_000},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
async def test_a_run_goes_on_with_the_others_when_one_write_fails(
    world: World, cosmos_faults: CosmosFaults, fault: dict[str, int]
) -> None:
    for _ in range(3):
        await world.new_flow(checkDueAt=0)
    async with cosmos_faults(operation="patch", **fault):
        assert await world.reconciler.run(MOST, SECONDS) == 2
    assert await world.reconciler.run(MOST, SECONDS) == 1
    assert len(set(await world.requested())) == 3


# --- over the whole stack ----------------------------------------------------------------------


async def fire(stack: Stack, http: aiohttp.ClientSession) -> None:
    """Run the timer function now."""
    admin = f"http://127.0.0.1:{stack.config.functions_port}/admin/functions"
    async with http.post(f"{admin}/reconcile_readiness", json={}) as response:
        assert response.status == 202


async def test_a_flow_whose_event_was_lost_becomes_ready_by_the_timer(
    service: Api, stack: Stack, http: aiohttp.ClientSession, stored_sets: ContainerProxy
) -> None:
    flow = await service.new_flow("user")
    await flow.until_status("ready")
    # As it would be without the event.
    stored = (await stored_sets.read_item(flow.set_id, LOCAL_TENANT))["flows"][flow.kind]
    lost = {"readinessStatus": "notReady", "check": None, "checkDueAt": 0}
    history = [stored["history"][1], *[None] * 19]
    operation = {
        "op": "set",
        "path": f"/flows/{flow.kind}",
        "value": {**stored, **lost, "history": history},
    }
    await stored_sets.patch_item(flow.set_id, LOCAL_TENANT, [operation])
    assert await flow.status() == "notReady"
    await fire(stack, http)
    await flow.until_status("ready")
    asked = (await stored_sets.read_item(flow.set_id, LOCAL_TENANT))["flows"][flow.kind]
    assert asked["asks"] == 2


async def test_a_crash_between_write_and_publish_loses_no_flow(
    service: Api,
    stack: Stack,
    http: aiohttp.ClientSession,
    stored_sets: ContainerProxy,
    cosmos_faults: CosmosFaults,
    set_id: str,
) -> None:
    async def flows_of_the_set() -> dict[str, Any]:
        query = f"SELECT VALUE c.flows FROM c WHERE c.id = '{set_id}'"  # noqa: S608 - a GUID
        [found] = [
            each async for each in stored_sets.query_items(query, partition_key=LOCAL_TENANT)
        ]
        return dict(found)

    async def written() -> bool:
        return bool(await flows_of_the_set())

    # The work is done and its answer lost; the host asks what became of it, and waits.
    async with (
        cosmos_faults(operation="patch", drop=True, after=True),
        cosmos_faults(operation="read", delayMs=20_000),
    ):
        creating = asyncio.create_task(service.create(set_id, "user"))
        await until(written, "the flow is stored")
        await asyncio.to_thread(stack.kill, "host")
        with pytest.raises(aiohttp.ClientError):
            await creating
    await asyncio.to_thread(stack.start, "host")
    [(kind, flow)] = (await flows_of_the_set()).items()
    assert flow["readinessStatus"] == "notReady"
    # The caller, who cannot know, repeats and gets a 409; the timer does the rest.
    assert (await service.create(set_id, "user")).status == 409
    operation = {"op": "set", "path": f"/flows/{kind}/checkDueAt", "value": 0}
    await stored_sets.patch_item(set_id, LOCAL_TENANT, [operation])
    await fire(stack, http)
    await Flow(service, set_id, flow["id"], kind).until_status("ready")


# --- a changed catalog -------------------------------------------------------------------------


async def test_a_change_of_a_role_group_is_published_page_by_page(world: World) -> None:
    group = str(uuid.uuid4())
    users = sorted([await world.new_flow(group) for _ in range(5)])
    await world.new_flow("students")
    readiness = replace(world.readiness, sets_at_once=2)
    changes = [CatalogChanged("change", CatalogChange(group))]
    pages = []
    while changes:
        await readiness.process(changes[0], 1)
        events = await world.published()
        checks = [each for each in events if isinstance(each, ReadinessEvent)]
        assert all(each.configuration is None for each in checks)
        pages.append(sorted(each.flow_set_id for each in checks))
        changes = [each for each in events if isinstance(each, CatalogChanged)]
    assert pages == [users[:2], users[2:4], users[4:]]


async def test_flows_that_were_not_revised_since_are_left_alone(world: World) -> None:
    group = str(uuid.uuid4())
    before = await world.new_flow(group)
    at = (await world.flow(before))["revisedAt"]
    after = await world.new_flow(group)
    change = CatalogChanged("change", CatalogChange(group), revised_after=at)
    await world.readiness.process(change, 1)
    assert await world.requested() == [after]


async def test_more_role_groups_than_one_search_takes_get_events_of_their_own(
    world: World,
) -> None:
    groups = [str(uuid.uuid4()) for _ in range(4)]
    catalog = world.readiness.catalog
    for group in groups:
        document = {"id": group, "displayName": "Coaches", "roles": [{"code": "coach"}]}
        await catalog.create_role_group(document)
    sets = {await world.new_flow(group) for group in groups}
    readiness = replace(world.readiness, groups_at_once=2)
    changes = [CatalogChanged("change", CatalogChange(role_code="coach"))]
    checked: list[str] = []
    for _ in range(10):
        if not changes:
            break
        for change in changes:
            await readiness.process(change, 1)
        found = await world.published()
        checked += [each.flow_set_id for each in found if isinstance(each, ReadinessEvent)]
        changes = [each for each in found if isinstance(each, CatalogChanged)]
    for group in groups:
        written = await catalog.mark_role_group_deleted(await catalog.read_role_group(group))
        assert written is not None
        assert written.unannounced is not None
        await catalog.settle(written.unannounced)
    assert sorted(checked) == sorted(sets)


async def test_a_page_that_is_just_full_is_followed_by_an_empty_one(world: World) -> None:
    group = str(uuid.uuid4())
    for _ in range(2):
        await world.new_flow(group)
    readiness = replace(world.readiness, sets_at_once=2)
    await readiness.process(CatalogChanged("change", CatalogChange(group)), 1)
    [again] = [each for each in await world.published() if isinstance(each, CatalogChanged)]
    await readiness.process(again, 1)
    assert await world.published() == []
