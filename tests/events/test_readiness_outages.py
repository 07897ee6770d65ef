"""Parts of the stack that die: what was accepted meanwhile becomes ready without its event."""

from __future__ import annotations

import asyncio

from azure.cosmos.aio import ContainerProxy

from local.stack import Stack
from tests.emulators.service_bus_fixtures import SDK_LEAKS_SOCKETS
from tests.support.api import Api, Flow, logged, until


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
    path = f"/flows/{flow.kind}/askAgainAt"
    due = [{"op": "set", "path": path, "value": 0}]
    await stored_sets.patch_item(flow.set_id, flow.set_id, due)
    await become_ready_by_the_timer(service, flow)


@SDK_LEAKS_SOCKETS
async def test_no_role_is_changed_while_nobody_can_be_told(service: Api, stack: Stack) -> None:
    group_id = await service.new_role_group("teacher", name="Before")
    group = f"{service.groups}/{group_id}"
    await asyncio.to_thread(stack.kill, "service_bus")
    try:
        refused = await service.patch(group, {"displayName": "After"})
    finally:
        await asyncio.to_thread(stack.start, "service_bus")
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await service.get(group)).json()["displayName"] == "Before"

    async def is_changed() -> bool:
        return (await service.patch(group, {"displayName": "After"})).status in (200, 204)

    await until(is_changed, "the change is accepted after the outage")


async def become_ready_by_the_timer(service: Api, flow: Flow) -> None:
    """Run the timer until the flow is ready; what it cannot send yet stays due."""
    root = service.root.removesuffix("/beta")

    async def is_ready() -> bool:
        answer = await service.post(f"{root}/admin/functions/reconcile_readiness", {})
        assert answer.status in (200, 202), answer.text
        await asyncio.sleep(0.3)
        return await flow.status() == "ready"

    await until(is_ready, f"{flow.id} is asked for again and ready")
