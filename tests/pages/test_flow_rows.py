"""The list of the status page, read from a database of its own on two ranges."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from local.config import READINESS_QUEUE
from local.stack import Stack
from shared.adapters.archive import Archive
from shared.adapters.cosmos import Cosmos
from shared.adapters.flow_store import FlowStore
from shared.adapters.partition import FLOW_SETS, Partition
from shared.adapters.queue_depth import Counts, QueueDepth
from shared.domain import flows
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import microseconds
from shared.odata.cosmos import Query
from shared.services import flow_rows, overview
from shared.services.flow_rows import STUCK_AFTER
from shared.services.overview import Overview
from tests.support.stored import cosmos_client, create_database
from tests.support.waiting import until

USER = "userProvisioningFlow"
UNIT = "administrativeUnitProvisioningFlow"


class Service:
    """An overview of one database, and how many queries its store got."""

    def __init__(self, store: FlowStore, overview: Overview) -> None:
        self.store = store
        self.overview = overview
        self.queries = 0

    async def add(
        self, name: str, statuses: Mapping[str, str] | None = None, age: int = 0
    ) -> dict[str, Any]:
        """Store a set with flows by kind, each for `age` microseconds in its status."""
        document = flows.new_flow_set({"displayName": name, "filter": None})
        for kind, status in (statuses or {}).items():
            flow = flows.first_revision(str(uuid.uuid4()), {})
            at = microseconds() - age
            first = {**flow["history"][0], "appliedAt": at, "eventAt": at}
            flow["history"] = [first, *flow["history"][1:]]
            document["flows"][kind] = {
                **flow,
                "readinessStatus": status,
                "reason": None if status in ("ready", "notReady") else f"It is {status}.",
            }
        await self.store.create_set(document)
        return document

    async def names(self, **params: str) -> list[str]:
        """The names of what is listed."""
        return [each["displayName"] for each in (await self.overview.read(params))["value"]]


@pytest.fixture
async def service(
    stack: Stack, service_bus_client: ServiceBusClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    name = f"overview-{uuid.uuid4()}"
    await create_database(stack.config.cosmos_endpoint, name)
    cosmos = Cosmos(cosmos_client(stack.config.cosmos_endpoint), name)
    connection = stack.config.storage_connection
    async with BlobServiceClient.from_connection_string(connection) as blobs:
        store = FlowStore(Partition(cosmos, FLOW_SETS, LOCAL_TENANT))
        depth = QueueDepth(service_bus_client, READINESS_QUEUE)
        made = Service(store, Overview(store, Archive(blobs, LOCAL_TENANT), depth, LOCAL_TENANT))
        query_items = ContainerProxy.query_items

        def counted(*args: Any, **options: Any) -> Any:
            made.queries += 1
            return query_items(*args, **options)

        monkeypatch.setattr(ContainerProxy, "query_items", counted)
        yield made
    await cosmos.close()


async def test_trouble_comes_first_then_by_age_and_name(service: Service) -> None:
    await service.add("b ready", {USER: "ready"})
    await service.add("A ready", {USER: "ready", UNIT: "ready"})
    await service.add("empty")
    await service.add("new", {USER: "notReady"})
    await service.add("stuck", {USER: "notReady"}, STUCK_AFTER * 2)
    await service.add("stuck longer", {USER: "notReady", UNIT: "disabled"}, STUCK_AFTER * 3)
    await service.add("disabled", {USER: "disabled", UNIT: "ready"})
    await service.add("expired", {USER: "expired"})
    await service.add("failed", {USER: "ready", UNIT: "failed"})
    assert await service.names() == [
        *("failed", "expired", "stuck longer", "stuck", "disabled"),
        *("new", "A ready", "b ready", "empty"),
    ]
    assert await service.names(status="stuck") == ["stuck longer", "stuck"]
    assert await service.names(status="disabled") == ["stuck longer", "disabled"]
    assert await service.names(status="notReady") == ["stuck longer", "stuck", "new"]


async def test_counts_are_of_flows_by_kind_and_of_sets_by_filter(service: Service) -> None:
    await service.add("one", {USER: "failed", UNIT: "failed"})
    await service.add("two", {USER: "notReady", UNIT: "ready"}, STUCK_AFTER * 2)
    found = await service.overview.read({})
    assert found["flowSets"] == found["found"] == 2
    assert found["counts"][USER] == {
        **dict.fromkeys(("ready", "disabled", "expired"), 0),
        "failed": 1,
        "notReady": 1,
    }
    assert found["counts"][UNIT]["failed"] == found["counts"][UNIT]["ready"] == 1
    assert found["stuck"] == 1
    assert found["sets"] == {
        **{"failed": 1, "notReady": 1, "stuck": 1, "ready": 1},
        **{"disabled": 0, "expired": 0},
    }
    assert [flow["stuck"] for flow in found["value"][1]["flows"]] == [False, True]
    assert [flow["reason"] for flow in found["value"][0]["flows"]] == ["It is failed."] * 2


async def test_sets_are_found_by_part_of_a_name_by_id_and_by_a_flows_id(service: Service) -> None:
    wanted = await service.add("Straße 12", {USER: "ready"})
    await service.add("Other", {USER: "ready"})
    flow = wanted["flows"][USER]["id"]
    for search in ("STRASSE", "raße 1", wanted["id"].upper(), flow, flow.upper(), f" {flow} "):
        assert await service.names(search=search) == ["Straße 12"], search
    assert await service.names(search="12", status="failed") == []


async def test_a_set_newer_than_the_counts_is_found_by_name_and_ids(service: Service) -> None:
    assert await service.names() == []
    new = await service.add("New school", {USER: "failed"})
    assert await service.names() == []
    for search in ("new s", new["id"].upper(), new["flows"][USER]["id"]):
        assert await service.names(search=search) == ["New school"]
    assert await service.names(search="new s", status="ready") == []


async def test_pages_have_each_set_once_and_say_whether_there_are_more(service: Service) -> None:
    for number in range(7):
        await service.add(f"Set {number}")
    pages = [await service.overview.read({"top": "3", "skip": f"{skip}"}) for skip in (0, 3, 6, 9)]
    names = [[each["displayName"][-1] for each in page["value"]] for page in pages]
    assert names == [["0", "1", "2"], ["3", "4", "5"], ["6"], []]
    assert [page["more"] for page in pages] == [True, True, False, False]
    assert {page["found"] for page in pages} == {7}


async def test_a_refresh_costs_three_queries_at_most_and_viewers_share_the_first(
    service: Service,
) -> None:
    await service.add("one", {USER: "ready"})
    await service.overview.read({})
    assert service.queries == 2
    await service.overview.read({"status": "ready"})
    assert service.queries == 3
    service.queries = 0
    await service.add("two")
    assert await service.names(search="two") == ["two"]
    assert service.queries == 2


async def test_readiness_is_as_it_is_now_and_a_deleted_set_is_not_listed(service: Service) -> None:
    kept = await service.add("kept", {USER: "notReady"})
    gone = await service.add("gone")
    await service.names()
    operation = {"op": "set", "path": f"/flows/{USER}/readinessStatus", "value": "ready"}
    await service.store.patch(kept["id"], [operation], "true")
    await service.store.delete_set(gone["id"])
    (only,) = (await service.overview.read({}))["value"]
    assert only["flows"][0]["readinessStatus"] == "ready"


async def test_more_sets_than_are_looked_at_are_said_to_be_there_and_can_be_searched(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_rows, "MOST", 2)
    for number in range(3):
        await service.add(f"Set {number}")
    found = await service.overview.read({})
    assert (found["complete"], found["flowSets"], found["found"]) == (False, 2, 2)
    for number in range(3):
        assert await service.names(search=f"set {number}") == [f"Set {number}"]


async def test_a_slow_queue_holds_up_no_viewer_and_is_not_known_until_it_was_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()
    read = QueueDepth.read

    async def slow(depth: QueueDepth, counts: Counts | None) -> dict[str, Any] | None:
        await go_on.wait()
        return await read(depth, counts)

    monkeypatch.setattr(QueueDepth, "read", slow)
    async with asyncio.timeout(10):
        first = await service.overview.read({})
    assert (first["queue"], first["deadLetters"]) == (None, None)
    go_on.set()

    async def is_read() -> bool:
        return (await service.overview.read({}))["queue"] is not None

    await until(is_read, "the queue is read")


async def test_thousands_of_sets_are_counted_while_viewers_get_the_counts_of_before(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await service.overview.read({}))["flowSets"] == 0
    await service.add("one")
    go_on = asyncio.Event()
    rows = FlowStore.rows

    async def slow(store: FlowStore, query: Query, most: int) -> list[dict[str, Any]]:
        if most == flow_rows.MOST:
            await go_on.wait()
        return await rows(store, query, most)

    monkeypatch.setattr(FlowStore, "rows", slow)
    monkeypatch.setattr(overview, "COUNTED_SECONDS", 0.0)
    async with asyncio.timeout(10):
        assert [(await service.overview.read({}))["flowSets"] for _ in range(2)] == [0, 0]
    go_on.set()

    async def is_counted() -> bool:
        return bool((await service.overview.read({}))["flowSets"] == 1)

    await until(is_counted, "counted beside the requests")


async def test_counts_that_are_too_old_are_waited_for_by_all_viewers_together(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.overview.read({})
    await service.add("one")
    monkeypatch.setattr(overview, "COUNTED_SECONDS", 0.0)
    monkeypatch.setattr(overview, "SEEN_SECONDS", 0.0)
    service.queries = 0
    found = await asyncio.gather(*(service.overview.read({"search": "one"}) for _ in range(3)))
    assert [each["flowSets"] for each in found] == [1, 1, 1]
    # One that counts, and for each viewer one of what is listed.
    assert service.queries == 4
