"""Documents and events of version 1, kept as files: each is read, and brought up when written."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy

from local.stack import Stack
from shared.adapters.cosmos import Cosmos
from shared.adapters.flow_store import FlowStore
from shared.adapters.keyring import Keyring
from shared.adapters.partition import FLOW_SETS, Partition
from shared.adapters.readiness_store import ReadinessStore
from shared.contract import events
from shared.contract.printing import Printer, readiness_history
from shared.domain import flows
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import Conflict, StoreUnavailable
from shared.domain.ids import microseconds
from shared.domain.readiness import Check, EventType, Outcome, Position, Report, Status, Verdict
from shared.domain.versions import brought_up, version_of
from tests.support.api import Api
from tests.support.stored import cosmos_client, create_database

FILES = Path(__file__).parent / "version_1"
FLOW_SET: dict[str, Any] = {
    **json.loads((FILES / "flow_set.json").read_bytes()),
    "tenantId": LOCAL_TENANT,
}
SET_ID = FLOW_SET["id"]
DATABASE = "versions"
RING = Keyring.read(f"k1:{base64.b64encode(b'k' * 32).decode()}", LOCAL_TENANT)
ADMINISTRATIVE_UNIT, CLASS_GROUP, SECURITY_GROUP, USER = FLOW_SET["flows"]
READY = {"status": "ready", "reason": None}


def event_of(name: str) -> Any:
    """An event of version 1."""
    return events.read_event((FILES / f"{name}.json").read_bytes())


# --- documents ---------------------------------------------------------------------------------


def test_a_document_without_a_version_is_of_the_first() -> None:
    assert version_of(FLOW_SET) == 1
    up = brought_up(FLOW_SET)
    assert version_of(up) == flows.VERSION
    assert brought_up(up) == up


@pytest.mark.parametrize(
    ("kind", "check", "report"),
    [
        (ADMINISTRATIVE_UNIT, None, None),
        (SECURITY_GROUP, READY, None),
        (
            CLASS_GROUP,
            {
                "status": "failed",
                "reason": "Mapped roles are disabled: teacher. Enable them or map others.",
            },
            None,
        ),
        (USER, READY, {"status": "failed", "reason": "No licence is left."}),
    ],
)
def test_the_one_voice_of_version_1_becomes_the_check_or_the_report(
    kind: str, check: Any, report: Any
) -> None:
    before = FLOW_SET["flows"][kind]
    flow = brought_up(FLOW_SET)["flows"][kind]
    assert flow["check"] == check
    assert flow["report"] == (
        report and {**report, "at": before["appliedAt"], "key": before["appliedKey"]}
    )
    assert flow["checkDueAt"] == (before["askAgainAt"] if check is None else None)


def test_what_clients_read_of_a_document_stays() -> None:
    up = brought_up(FLOW_SET)
    printer = Printer("https://graph.microsoft.com/beta")
    assert printer.flow_set(up) == printer.flow_set(FLOW_SET)
    for kind, before in FLOW_SET["flows"].items():
        flow = up["flows"][kind]
        assert printer.flow(SET_ID, kind, flow, {}) == printer.flow(SET_ID, kind, before, {})
        assert readiness_history(flow) == readiness_history(before)


@pytest.mark.parametrize("entries", [1, flows.HISTORY_ENTRIES - 1, flows.HISTORY_ENTRIES + 30])
def test_a_history_of_any_length_is_read(entries: int) -> None:
    before = copy.deepcopy(FLOW_SET)
    flow = before["flows"][USER]
    flow["history"] = [{**flow["history"][0], "eventId": str(n)} for n in range(entries)]
    history = brought_up(before)["flows"][USER]["history"]
    assert len(history) == flows.HISTORY_ENTRIES
    kept = [entry["eventId"] for entry in history if entry is not None]
    assert kept == [str(n) for n in range(min(entries, flows.HISTORY_ENTRIES))]


def test_a_document_brought_up_has_the_members_of_a_new_one() -> None:
    up = brought_up(FLOW_SET)
    new = flows.new_flow_set({"displayName": "x", "filter": None})
    assert set(up) == {*new, "tenantId"}
    for flow in up["flows"].values():
        assert set(flow) == set(flows.first_revision("x", flow["configuration"]))


# --- stored documents --------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def cosmos(stack: Stack) -> AsyncIterator[Cosmos]:
    """A database of our own."""
    await create_database(stack.config.cosmos_endpoint, DATABASE)
    opened = Cosmos(cosmos_client(stack.config.cosmos_endpoint), DATABASE)
    yield opened
    await opened.close()


@pytest.fixture
async def sets(cosmos: Cosmos) -> ContainerProxy:
    """The container, with the set of version 1 and nothing else."""
    container = cosmos.container(FLOW_SETS)
    for set_id in [document["id"] async for document in container.read_all_items()]:
        await container.delete_item(set_id, LOCAL_TENANT)
    await container.create_item(FLOW_SET)
    return container


@pytest.fixture
def store(cosmos: Cosmos, sets: ContainerProxy) -> FlowStore:
    """The store of the set of version 1."""
    return FlowStore(Partition(cosmos, FLOW_SETS, LOCAL_TENANT))


async def version(sets: ContainerProxy) -> Any:
    """The version that is stored."""
    return version_of(await sets.read_item(SET_ID, LOCAL_TENANT))


async def test_reading_writes_nothing(store: FlowStore, sets: ContainerProxy) -> None:
    assert version_of(await store.read_set(SET_ID)) == flows.VERSION
    assert await version(sets) == 1


async def test_each_kind_of_write_brings_the_document_up(
    store: FlowStore, sets: ContainerProxy
) -> None:
    async def anew() -> None:
        await sets.upsert_item(FLOW_SET)
        assert await version(sets) == 1

    stored = await store.read_set(SET_ID, to_write=True)
    assert await store.write_set(stored, {"displayName": "Renamed"})
    assert await version(sets) == 2
    await anew()
    kind, flow = await store.read_flow(
        SET_ID, FLOW_SET["flows"][SECURITY_GROUP]["id"], to_write=True
    )
    assert await store.replace_flow(SET_ID, kind, flow, flows.reset_flow(flow))
    assert await version(sets) == 2
    await anew()
    kind, flow = await store.read_flow(SET_ID, FLOW_SET["flows"][USER]["id"], to_write=True)
    assert await store.remove_flow(SET_ID, kind, flow)
    assert USER not in (await store.read_set(SET_ID))["flows"]
    await anew()
    configuration, _, _ = flows.resealed(FLOW_SET["flows"][USER], RING)
    assert await store.put_resealed(SET_ID, FLOW_SET["flows"][USER], configuration)
    assert await version(sets) == 2
    await anew()
    new = flows.first_revision("f66e97ad-0870-46e0-3ff3-08dc49dccdc9", {})
    with pytest.raises(Conflict):
        await store.add_flow(SET_ID, USER, new)
    await sets.upsert_item({**FLOW_SET, "flows": {}})
    await store.add_flow(SET_ID, USER, new)
    assert (await store.read_set(SET_ID))["flows"][USER]["id"] == new["id"]


@pytest.mark.parametrize("name", ["check", "report"])
async def test_an_event_of_version_1_about_a_document_of_version_1(
    store: FlowStore, sets: ContainerProxy, name: str
) -> None:
    event = event_of(name)
    position, verdict = Position(microseconds(), "z"), Verdict(Status.EXPIRED, "Over.")
    about = (event.id, event.flow_set_id, event.kind, event.flow_id, event.revision)
    readiness = ReadinessStore(store)
    if name == "report":
        assert event.status == "expired"
        applied = await readiness.apply(Report(*about, position, verdict))
        assert (applied.outcome, applied.before) == (Outcome.APPLIED, "failed")
    else:
        assert event.configuration is not None
        applied = await readiness.apply(Check(*about, position, verdict))
        assert applied.outcome is Outcome.DUPLICATE  # the user flow was checked
    assert await version(sets) == 2


def test_every_event_of_version_1_is_read() -> None:
    assert event_of("check").type == EventType.CHECK_REQUESTED
    assert event_of("fresh_check").configuration is None
    changed = event_of("catalog_changed")
    assert (changed.change.role_group, changed.after, changed.revised_after) == ("staff", "", 0)


async def test_flows_of_version_1_are_found_by_what_they_use(
    store: FlowStore, sets: ContainerProxy
) -> None:
    found, more = await ReadinessStore(store).flows_that_use(["students"], 0, "", 10)
    assert [(set_id, kind) for set_id, kind, _ in found] == [(SET_ID, USER)]
    assert more is None


async def test_documents_of_version_1_are_found_to_be_brought_up(
    store: FlowStore, sets: ContainerProxy
) -> None:
    [document] = await store.sets_of_before(10)
    await store.bring_up(document)
    assert await store.sets_of_before(10) == []
    assert await version(sets) == 2
    # One that was changed meanwhile is left for the next run.
    await sets.upsert_item({**FLOW_SET, "displayName": "Changed meanwhile"})
    await store.bring_up(document)
    assert await version(sets) == 1


async def test_a_document_of_a_later_version_is_read_and_not_written(
    store: FlowStore, sets: ContainerProxy
) -> None:
    later = {**brought_up(FLOW_SET), "version": flows.VERSION + 1}
    await sets.upsert_item(later)
    stored = await store.read_set(SET_ID)
    assert stored["displayName"] == FLOW_SET["displayName"]
    with pytest.raises(StoreUnavailable):
        await store.read_set(SET_ID, to_write=True)
    assert not await store.write_set(stored, {"displayName": "Renamed"})
    kind, flow = USER, stored["flows"][USER]
    assert not await store.replace_flow(SET_ID, kind, flow, flows.reset_flow(flow))
    assert (await sets.read_item(SET_ID, LOCAL_TENANT))["displayName"] == FLOW_SET["displayName"]


async def test_a_client_uses_a_set_of_version_1(service: Api, stored_sets: ContainerProxy) -> None:
    await stored_sets.upsert_item(FLOW_SET)
    url = service.set(SET_ID)
    found = await service.get(service.flows(SET_ID))
    assert len(found.json()["value"]) == 4
    changed = await service.patch(url, {"displayName": "Renamed"})
    assert changed.status == 204, changed.text
    assert (await service.get(url)).json()["displayName"] == "Renamed"
    assert (await service.delete(url)).status == 204
