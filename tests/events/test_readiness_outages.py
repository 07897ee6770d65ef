"""Parts of the stack that die: what was accepted meanwhile becomes ready without its event."""

from __future__ import annotations

import asyncio

from azure.cosmos.aio import ContainerProxy

from local.stack import Stack
from tests.emulators.service_bus_fixtures import SDK_LEAKS_SOCKETS
from tests.support.api import Api, Flow, ready_flow_of
from tests.support.bodies import bound_to
from tests.support.logs import logged
from tests.support.waiting import until


@SDK_LEAKS_SOCKETS
async def test_a_flow_created_while_the_queue_was_away_becomes_ready(
    service: Api, stack: Stack, stored_sets: ContainerProxy
) -> None:
    await (await service.new_flow()).until_status("ready")
    await asyncio.to_thread(stack.kill, "service_bus")
    try:
        flow = await service.new_flow("user")
        await logged(stack, '"event": "notPublished"')
    finally:
        await asyncio.to_thread(stack.start, "service_bus")
    assert await flow.status() == "notReady"
    # The first minute of waiting, cut short.
    path = f"/flows/{flow.kind}/checkDueAt"
    due = [{"op": "set", "path": path, "value": 0}]
    await stored_sets.patch_item(flow.set_id, flow.set_id, due)
    await run_the_timer_until(service, flow, "ready")


@SDK_LEAKS_SOCKETS
async def test_a_role_group_changed_while_the_queue_was_away_is_announced_by_the_timer(
    service: Api, stack: Stack
) -> None:
    group_id = await service.new_role_group("teacher", name="Before")
    flow = await ready_flow_of(service, bound_to(group_id))
    await asyncio.to_thread(stack.kill, "service_bus")
    try:
        deleted = await service.send("DELETE", f"{service.groups}/{group_id}")
        assert deleted.status == 204, deleted.text
        assert (await service.get(f"{service.groups}/{group_id}")).status == 404
        await logged(stack, '"event": "notPublished"')
    finally:
        await asyncio.to_thread(stack.start, "service_bus")
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
