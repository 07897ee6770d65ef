"""The fault run's engine and judge: what was reported, and what each flow must therefore be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import AzureError
from azure.cosmos.aio import CosmosClient
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusError

from bench.chaos_run import DEADLINE_SECONDS, Run
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, READINESS_QUEUE
from shared.adapters.catalog_store import CatalogStore
from shared.adapters.cosmos import Cosmos
from shared.domain import readiness
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import microseconds
from tests.support.stored import catalog_partitions

# Events that were put back come again after up to five minutes.
SETTLE_SECONDS = 600.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """A report: the revision it names, if any; when it counts as made (microseconds); a status."""

    revision: int | None
    at: int
    status: str


@dataclass
class Engine:
    """A provisioning engine, which remembers what it reported of each flow."""

    run: Run
    said: dict[str, list[Said]] = field(default_factory=dict)

    async def report(
        self,
        set_id: str,
        kind: str,
        flow_id: str,
        status: str,
        revision: int | None,
        ahead: int = 0,
    ) -> None:
        """Report a status by a clock that is `ahead` seconds ahead, until the queue has it."""
        sent = microseconds()
        dated = sent + ahead * 1_000_000
        event_id = str(uuid.uuid4())
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/bench/chaos",
            "type": readiness.EventType.REPORTED,
            "time": (_EPOCH + timedelta(microseconds=dated)).isoformat(timespec="microseconds"),
            "data": {
                "flowSetId": set_id,
                "flowId": flow_id,
                "kind": kind,
                "readinessStatus": status,
                **({} if revision is None else {"revision": revision}),
            },
        }
        # A future time counts as that of the queue, which is a little later than `sent`.
        self.said.setdefault(flow_id, []).append(Said(revision, min(dated, sent), status))
        await self._send(ServiceBusMessage(json.dumps(event), message_id=event_id))
        # The queue has times to the millisecond: the next report must not seem to come before.
        await asyncio.sleep(0.003)

    async def _send(self, message: ServiceBusMessage) -> None:
        ends = time.monotonic() + DEADLINE_SECONDS
        connection = self.run.stack.config.service_bus_connection
        while time.monotonic() < ends:
            with contextlib.suppress(ServiceBusError, OSError):
                async with (
                    ServiceBusClient.from_connection_string(connection, retry_total=0) as client,
                    client.get_queue_sender(READINESS_QUEUE) as sender,
                ):
                    await sender.send_messages(message)
                    return
            await asyncio.sleep(0.2)
        raise TimeoutError("a report could not be sent")


@dataclass
class Expected:
    """What must be stored: the flows of each set by kind, and what was last written of a flow."""

    flows: dict[str, dict[str, str]] = field(default_factory=dict)
    configurations: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """How many flows are not as they must be, how many events were given up; figures to print."""

    lost: int
    stuck: int
    wrong: int
    overwritten: int
    orphans: int
    duplicate_sets: int
    orphan_sets: int
    dead_letters: int

    @property
    def good(self) -> bool:
        """Whether all is as it must be."""
        return not any(vars(self).values())

    def __str__(self) -> str:
        return ", ".join(
            f"{name.replace('_', ' ')} {number}" for name, number in vars(self).items()
        )


async def judge(run: Run, engine: Engine, expected: Expected) -> Verdict:
    """Compare what is stored with what the rules say of it."""
    stored = await run.stored()
    around, _ = await _surroundings(run)
    must = {flow_id for flows in expected.flows.values() for flow_id in flows.values()}
    found = [stored[flow_id] for flow_id in must if flow_id in stored]
    of_sets = [flow for flow in stored.values() if flow["setId"] in expected.flows]
    orphan_sets, duplicates = await run.unnamed()
    return Verdict(
        lost=len(must - stored.keys()),
        stuck=sum(flow["readinessStatus"] == "notReady" for flow in found),
        wrong=sum(
            flow["readinessStatus"] not in ("notReady", _status(flow, around, engine))
            for flow in found
        ),
        overwritten=sum(
            flow["configuration"] != expected.configurations.get(flow["id"], flow["configuration"])
            for flow in found
        ),
        orphans=sum(flow["id"] not in must for flow in of_sets),
        duplicate_sets=duplicates,
        orphan_sets=orphan_sets,
        dead_letters=await _dead_letters(run),
    )


def _status(flow: Mapping[str, Any], around: readiness.Surroundings, engine: Engine) -> str:
    """What a flow must be: by a check of it as it is stored now, and by the last report of it."""
    checked = readiness.check(flow["kind"], flow["configuration"], around)
    said = [
        each
        for each in engine.said.get(flow["id"], ())
        if each.revision == flow["revision"]
        or (each.revision is None and each.at >= flow["revisedAt"])
    ]
    last = max(said, key=lambda each: each.at, default=None)
    report = None if last is None else {"status": last.status, "reason": None}
    return readiness.status_of(vars(checked), report).status


async def settle(run: Run, engine: Engine, expected: Expected, *, to_the_end: bool) -> Verdict:
    """Wait until nothing is left to do, or (not `to_the_end`) until all is as it must be.

    Flows whose check was lost would be due after a minute or more; they are made due. All else
    takes the time it takes in production: locks, messages that were put back, the second
    announcement of a change of the catalog, the timer.
    """
    ends = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < ends:
        verdict = await judge(run, engine, expected)
        if verdict.good and not to_the_end:
            return verdict
        if not await _messages(run):
            await run.reconcile(time.monotonic() + DEADLINE_SECONDS)
            _, unannounced = await _surroundings(run)
            if not unannounced and not await _messages(run):
                return await judge(run, engine, expected)
        await asyncio.sleep(0.5)
    run.faults.append(f"events are left in the queue after {SETTLE_SECONDS:.0f} s")
    return await judge(run, engine, expected)


async def _surroundings(run: Run) -> tuple[readiness.Surroundings, int]:
    """The catalog as it is stored now, and how many of its changes are still to be announced."""
    endpoint = run.stack.config.cosmos_endpoint
    async with CosmosClient(
        endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    ) as client:
        catalog = CatalogStore(*catalog_partitions(Cosmos(client, COSMOS_DATABASE)))
        groups = {group.id: group.roles for group in await catalog.role_groups()}
        disabled = await catalog.disabled_roles(fresh=True)
        return readiness.Surroundings(groups, disabled), len(await catalog.unannounced(100))


async def _messages(run: Run) -> bool:
    """Whether the queue has messages, those included that are locked or come later."""
    connection = run.stack.config.service_bus_connection
    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_receiver(READINESS_QUEUE) as receiver,
    ):
        return bool(await receiver.peek_messages(1, sequence_number=1))


async def _dead_letters(run: Run) -> int:
    """How many messages were given up and are not archived yet."""
    connection = run.stack.config.service_bus_connection
    async with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_receiver(
            READINESS_QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER
        ) as receiver,
    ):
        return len(await receiver.peek_messages(250, sequence_number=1))


async def read_set(run: Run, set_id: str) -> dict[str, Any]:
    """Read the document of a set, whatever is wrong with the store at the moment."""
    ends = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < ends:
        with contextlib.suppress(AzureError, OSError):
            return dict(await run.container.read_item(set_id, LOCAL_TENANT))
        await asyncio.sleep(0.2)
    raise TimeoutError(f"the set {set_id} could not be read")


def report(run: Run, title: str, lines: Iterable[str], verdict: Verdict) -> None:
    """Print a part's figures, and note what is wrong."""
    print("\n  ".join([title, *lines, str(verdict)]))
    if not verdict.good:
        run.faults.append(f"{title.partition(':')[0]}: {verdict}")
