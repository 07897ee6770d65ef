"""The readiness store over Cosmos DB's wire: it does what the rule says, in one request mostly."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy

from local.stack import Stack
from shared.adapters.cosmos import Cosmos
from shared.adapters.flow_store import FlowStore
from shared.adapters.partition import FLOW_SETS, Partition
from shared.adapters.readiness_store import ReadinessStore
from shared.domain import flows
from shared.domain.context import LOCAL_TENANT
from shared.domain.readiness import Check, Outcome, Position, Report, Status, Verdict, effect
from tests.support.cosmos import CosmosRequests
from tests.support.stored import cosmos_client, create_database
from tests.unit.test_readiness_voices import FLOW_ID, KIND, TABLE, check, report, stored

DATABASE = "readiness-store"
WRITTEN = (Outcome.APPLIED, Outcome.OUTWEIGHED)


@dataclass(frozen=True)
class World:
    """The store, and a look at what it wrote."""

    store: ReadinessStore
    sets: ContainerProxy

    async def put(self, flow: dict[str, Any] | None) -> str:
        """Store a set with a flow that has these members; the set's id."""
        document = flows.new_flow_set({"displayName": "Contoso schools", "filter": None})
        if flow is not None:
            configuration = {"creationOptions": None}
            whole = {**flows.first_revision(FLOW_ID, configuration), **flow}
            whole["history"][0]["readinessStatus"] = whole["readinessStatus"]
            document["flows"] = {KIND: whole}
        await self.sets.create_item({**document, "tenantId": LOCAL_TENANT})
        return str(document["id"])

    async def flow(self, set_id: str) -> dict[str, Any]:
        """The flow of a set as it is stored."""
        document = await self.sets.read_item(set_id, LOCAL_TENANT)
        found: dict[str, Any] = document["flows"].get(KIND, {})
        return found


@pytest.fixture(scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
    """A store with a database of its own."""
    await create_database(stack.config.cosmos_endpoint, DATABASE)
    cosmos = Cosmos(cosmos_client(stack.config.cosmos_endpoint), DATABASE)
    yield World(
        ReadinessStore(FlowStore(Partition(cosmos, FLOW_SETS, LOCAL_TENANT))),
        cosmos.container(FLOW_SETS),
    )
    await cosmos.close()


async def test_the_store_does_what_the_rule_says(world: World) -> None:
    async def one(flow: dict[str, Any] | None, event: Check | Report) -> None:
        set_id = await world.put(flow)
        before = await world.flow(set_id)
        event = replace(event, flow_set_id=set_id)
        expected = effect(flow, event)
        applied = await world.store.apply(event)
        after = await world.flow(set_id)
        assert applied.outcome is expected.outcome, (flow, event)
        members = dict(expected.members or {})
        assert {name: after[name] for name in members} == members
        written = applied.outcome in WRITTEN
        assert applied.before == (before["readinessStatus"] if written else None)
        if not written:
            assert after == before
            return
        assert after["stamp"] != before["stamp"]
        assert len(after["history"]) == flows.HISTORY_ENTRIES
        if not expected.noted:
            assert after["history"] == before["history"]
            return
        entry = after["history"][0]
        assert entry.pop("appliedAt") > 0
        assert entry == {
            "readinessStatus": members["readinessStatus"],
            "reason": members["reason"],
            "revision": event.revision,
            "eventId": event.event_id,
            "eventAt": event.position.at,
        }
        assert after["history"][1:] == before["history"][:-1]

    await asyncio.gather(*(one(flow, event) for flow, event, *_ in TABLE))


async def test_an_event_about_a_set_that_is_gone_is_gone(world: World) -> None:
    nowhere = replace(report(), flow_set_id=str(uuid.uuid4()))
    assert (await world.store.apply(nowhere)).outcome is Outcome.GONE


@pytest.mark.parametrize(
    ("flow", "event", "requests"),
    [
        (stored(), check(), 1),
        (stored(check=Status.READY), report(Status.FAILED), 1),
        (stored(check=Status.READY, report=(Status.READY, 1, "a")), report(Status.FAILED), 1),
        (stored(check=Status.READY), check(fresh=True), 1),
        (stored(check=Status.READY), check(Status.FAILED, fresh=True), 2),
        (stored(check=Status.FAILED), report(Status.EXPIRED), 3),
    ],
)
async def test_an_ordinary_event_is_one_request(
    world: World,
    cosmos_requests: CosmosRequests,
    flow: dict[str, Any],
    event: Check | Report,
    requests: int,
) -> None:
    set_id = await world.put(flow)
    await cosmos_requests.reset()
    await world.store.apply(replace(event, flow_set_id=set_id))
    made = [entry for entry in await cosmos_requests.read() if set_id in entry["path"]]
    assert len(made) == requests


async def test_many_reports_at_once_leave_the_newest(world: World) -> None:
    set_id = await world.put(stored(check=Status.READY))
    reports = [
        Report(
            str(number),
            set_id,
            KIND,
            FLOW_ID,
            1,
            Position(100 + number, f"{number:03d}"),
            Verdict(Status.FAILED, str(number)),
        )
        for number in range(12)
    ]
    applied = await asyncio.gather(*map(world.store.apply, reports))
    assert {each.outcome for each in applied} <= {Outcome.APPLIED, Outcome.STALE}
    assert (await world.flow(set_id))["reason"] == "11"


async def test_checks_and_reports_at_once_leave_both(world: World) -> None:
    set_id = await world.put(stored())
    first = replace(check(), flow_set_id=set_id)
    said = replace(report(Status.EXPIRED), flow_set_id=set_id)
    fresh = replace(check(Status.DISABLED, fresh=True), flow_set_id=set_id)
    events: list[Check | Report] = [first, said, fresh, first, said]
    await asyncio.gather(*map(world.store.apply, events))
    flow = await world.flow(set_id)
    assert flow["check"]["status"] == "disabled"
    assert flow["report"]["status"] == "expired"
    assert flow["readinessStatus"] == "disabled"
