"""Parts of the stack that die: what was accepted meanwhile becomes ready without its event."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import pytest
from azure.cosmos.aio import ContainerProxy

from local.stack import Stack
from shared.domain.context import LOCAL_TENANT
from tests.emulators.service_bus_fixtures import SDK_LEAKS_SOCKETS
from tests.support.api import Api, Flow, ready_flow_of
from tests.support.bodies import bound_to
from tests.support.logs import logged
from tests.support.queue import Queue
from tests.support.stored import stored_flow
from tests.support.waiting import until

pytestmark = SDK_LEAKS_SOCKETS
# "A few seconds": the publisher gives up after three, and a slow machine may add some.
CALLER_WAITS_SECONDS = 6.0


@asynccontextmanager
async def killed(stack: Stack, part: str = "service_bus") -> AsyncIterator[None]:
    """Kill a part of the stack, and start it again afterwards."""
    await asyncio.to_thread(stack.kill, part)
    try:
        yield
    finally:
        await asyncio.to_thread(stack.start, part)


@asynccontextmanager
async def paused(stack: Stack) -> AsyncIterator[None]:
    """Have Service Bus keep its connections and not answer."""
    os.kill(stack.pid("service_bus"), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stack.pid("service_bus"), signal.SIGCONT)


async def new_flow_in_time(service: Api) -> Flow:
    """Create a flow: it is stored, soon answered for, and not ready."""
    began = time.monotonic()
    flow = await service.new_flow("user")
    assert time.monotonic() - began < CALLER_WAITS_SECONDS
    assert await flow.status() == "notReady"
    return flow


async def until_flows_become_ready(service: Api) -> None:
    """Wait until the service publishes again; it lets the queue rest after a failure."""

    async def one_becomes_ready() -> bool:
        flow = await service.new_flow()
        await asyncio.sleep(0.2)
        return await flow.status() == "ready"

    await until(one_becomes_ready, "a flow created after the outage is ready")


@pytest.mark.parametrize("outage", [killed, paused])
async def test_flows_created_without_service_bus_become_ready_as_later_ones_do(
    service: Api,
    stack: Stack,
    stored_sets: ContainerProxy,
    outage: Callable[[Stack], AbstractAsyncContextManager[None]],
) -> None:
    await (await service.new_flow()).until_status("ready")
    async with outage(stack):
        flow, *_ = [await new_flow_in_time(service) for _ in range(3)]
        await logged(stack, '"event": "notPublished"')
    await until_flows_become_ready(service)
    # What a paused Service Bus had received counts late; of the rest, the timer takes care.
    # The first minute of waiting is cut short.
    path = f"/flows/{flow.kind}/checkDueAt"
    due = [{"op": "set", "path": path, "value": 0}]
    await stored_sets.patch_item(flow.set_id, LOCAL_TENANT, due)
    await run_the_timer_until(service, flow, "ready")


async def test_a_role_group_changed_while_the_queue_was_away_is_announced_by_the_timer(
    service: Api, stack: Stack
) -> None:
    group_id = await service.new_role_group("teacher", name="Before")
    flow = await ready_flow_of(service, bound_to(group_id))
    async with killed(stack):
        deleted = await service.send("DELETE", f"{service.groups}/{group_id}")
        assert deleted.status == 204, deleted.text
        assert (await service.get(f"{service.groups}/{group_id}")).status == 404
        await logged(stack, '"event": "notPublished"')
    assert await flow.status() == "ready"
    await run_the_timer_until(service, flow, "failed")


async def run_the_timer_until(service: Api, flow: Flow, status: str) -> None:
    """Run the timer until the flow has a status; what it cannot send yet stays due."""
    root = service.root.removesuffix("/beta")

    async def has_it() -> bool:
        answer = await service.post(f"{root}/admin/functions/reconcile_readiness", {})
        assert answer.status in (200, 202), answer.text
        await asyncio.sleep(0.3)
        return await flow.status() == status

    await until(has_it, f"{flow.id} is checked again and {status}")


async def test_events_outlive_the_host(
    service: Api, stack: Stack, queue: Queue, stored_sets: ContainerProxy
) -> None:
    # Events before ours keep the host busy, so that it is killed with ours still in the queue.
    nowhere = Flow(service, str(uuid.uuid4()), str(uuid.uuid4()), "userProvisioningFlow")
    others = [nowhere.report("ready", datetime.now(UTC))[1] for _ in range(250)]
    await queue.sender.send_messages(others)
    flow = await service.new_flow("user")
    async with killed(stack, "host"):
        stored = await stored_flow(stored_sets, flow.set_id, flow.kind)
        assert stored["readinessStatus"] == "notReady"
    await flow.until_status("ready")
