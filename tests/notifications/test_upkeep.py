"""Subscriptions that have ended are removed; deliveries outlive a host and a broker that die."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from local.stack import Stack
from tests.notifications.stored import alter, stored_subscription, stored_subscriptions
from tests.support.api import Api, assert_envelope
from tests.support.receiver import Receiver, changes, resource_of, subscribe

SECONDS = 180.0
SEEDS = (5, 19, 28)  # each kills others, at other moments


async def in_time(happened: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for what the timer, or a lease that ends, brings about."""
    deadline = time.monotonic() + SECONDS
    while not await happened():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        await asyncio.sleep(0.5)


async def test_what_has_expired_or_was_deleted_is_gone_from_the_store(
    service: Api, set_id: str, receiver: Receiver, stack: Stack
) -> None:
    expired = await subscribe(service, receiver, resource=resource_of(set_id))
    deleted = await subscribe(service, receiver, resource=resource_of(set_id), changeType="deleted")
    kept = await subscribe(service, receiver, resource=resource_of(set_id), changeType="created")
    await alter(stack, expired["id"], {}, expirationDateTime="2026-01-01T00:00:00Z")
    url = f"{service.root}/subscriptions"
    assert_envelope(await service.get(f"{url}/{expired['id']}"), 404, "Request_ResourceNotFound")
    assert (await service.delete(f"{url}/{deleted['id']}")).status == 204
    await service.create(set_id)

    async def removed() -> bool:
        return not [
            *await stored_subscriptions(stack, expired["id"]),
            *await stored_subscriptions(stack, deleted["id"]),
        ]

    await in_time(removed, "removed by the timer")
    assert (await stored_subscription(stack, kept["id"]))["id"] == kept["id"]
    assert {each["subscriptionId"] for each in receiver.taken} <= {kept["id"]}


async def test_each_change_comes_and_the_last_comes_last_whoever_dies(
    service: Api, receiver: Receiver, stack: Stack
) -> None:
    flows: dict[str, str] = {}
    for seed in SEEDS:
        made = await subscribed_flows(service, receiver, 3)
        flows |= made
        await asyncio.gather(reset(service, made, seed), end_some(stack, seed))

    async def was_sent(flow_id: str) -> bool:
        answer = await service.get(f"{flows[flow_id]}/readinessHistory")
        history = [each["readinessStatus"] for each in answer.json()["value"]]
        sent = [status for _, status in changes(receiver, flow_id)]
        return history[0] == "ready" and sent == history[::-1]

    async def complete() -> bool:
        return all([await was_sent(each) for each in flows])

    await in_time(complete, f"each change is delivered, in order: {_seen(receiver, flows)}")


async def subscribed_flows(service: Api, receiver: Receiver, how_many: int) -> dict[str, str]:
    """New flows, each in a set that is subscribed to: their URLs by id."""
    flows = {}
    for _ in range(how_many):
        set_id = await service.new_set()
        await subscribe(service, receiver, resource=resource_of(set_id))
        created = (await service.create(set_id)).json()
        flows[created["id"]] = f"{service.set(set_id)}/provisioningFlows/{created['id']}"
    return flows


async def reset(service: Api, flows: dict[str, str], seed: int) -> None:
    """Change flows again and again."""
    order = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(6):
        for flow in flows.values():
            # Where nothing listens just now, there is no change.
            with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError):
                await service.post(f"{flow}/reset", {})
            await asyncio.sleep(order.uniform(0.0, 0.3))


async def end_some(stack: Stack, seed: int) -> None:
    """Kill the host or the broker, three times, and start it again."""
    order = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(3):
        await asyncio.sleep(order.uniform(0.1, 1.0))
        name = order.choice(("host", "service_bus"))
        await asyncio.to_thread(stack.kill, name)
        await asyncio.to_thread(stack.start, name)


def _seen(receiver: Receiver, flows: dict[str, str]) -> Any:
    return {each: changes(receiver, each) for each in flows}
