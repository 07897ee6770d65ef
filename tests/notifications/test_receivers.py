"""Receivers that are slow, fail, redirect, answer garbage or die: nothing is lost to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from local.stack import Stack
from shared.domain.ids import microseconds
from shared.domain.subscriptions import GIVE_UP
from tests.notifications.stored import alter, stored_subscription
from tests.support.api import Api
from tests.support.receiver import (
    CLIENT_STATE,
    Answer,
    Receiver,
    changes,
    in_turn,
    resource_of,
    slow,
    status,
    subscribe,
    taken,
)
from tests.support.waiting import until


async def garbage(request: web.Request) -> web.StreamResponse:
    """Answer something that is not HTTP, and close."""
    assert request.transport is not None
    request.transport.write(b"\x00\xffnothing that a client understands\r\n\r\n")
    request.transport.close()
    return web.Response(status=500)


async def endless(request: web.Request) -> web.StreamResponse:
    """Take it, with an answer that does not end."""
    response = web.StreamResponse(status=202)
    await response.prepare(request)
    try:
        for _ in range(300):
            await response.write(b"x" * 65536)
            await asyncio.sleep(0.01)
    except ConnectionError:
        pass
    return response


def has_arrived(receiver: Receiver, flow_id: str) -> Callable[[], Awaitable[bool]]:
    """Whether a receiver took the create and the readiness of a flow."""

    async def arrived() -> bool:
        return changes(receiver, flow_id) == [("created", "notReady"), ("updated", "ready")]

    return arrived


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (slow(4.0), "no answer within 3 s"),
        (status(500), "status 500"),
        (status(404), "status 404"),
        (status(307, Location="/elsewhere"), "status 307"),
        (garbage, "no HTTP answer"),
    ],
    ids=["slow", "failing", "missing", "redirecting", "garbage"],
)
async def test_what_a_receiver_did_not_take_comes_again(
    service: Api, set_id: str, receiver: Receiver, stack: Stack, first: Answer, said: str
) -> None:
    made = await subscribe(service, receiver, resource=resource_of(set_id))
    receiver.answer = in_turn(first, taken)
    flow_id = (await service.create(set_id)).json()["id"]

    async def failed() -> bool:
        delivery = (await stored_subscription(stack, made["id"]))["delivery"]
        return bool(delivery["attempts"] == 1 and delivery["fault"] == said)

    await until(failed, f"a failure: {said}")

    async def called_again() -> bool:
        return len(receiver.calls) >= 2

    await until(called_again, "a second call")
    await until(has_arrived(receiver, flow_id), "delivered after a pause")
    assert {each["resourceData"]["id"] for each in receiver.calls[0]["value"]} == {flow_id}


async def test_an_answer_without_end_counts_and_is_not_read(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    await subscribe(service, receiver, resource=resource_of(set_id))
    receiver.answer = endless
    flow = (await service.create(set_id)).json()
    seen: list[Any] = receiver.calls

    async def called() -> bool:
        found = {each["id"]: each["changeType"] for call in seen for each in call["value"]}
        return sorted(found.values()) == ["created", "updated"]

    await until(called, f"each change of {flow['id']} is sent")
    sent = [each["id"] for call in seen for each in call["value"]]
    assert len(sent) == len(set(sent))


async def test_a_receiver_that_was_away_gets_what_it_missed(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    await subscribe(service, receiver, resource=resource_of(set_id))
    await receiver.stop()
    flow_id = (await service.create(set_id)).json()["id"]
    await asyncio.sleep(3.0)
    assert receiver.taken == []
    await receiver.start()

    await until(has_arrived(receiver, flow_id), "delivered after it came back")


async def test_a_receiver_that_fails_holds_up_neither_readiness_nor_others(
    service: Api, set_id: str, receiver: Receiver, stack: Stack
) -> None:
    """It is paused: nothing is sent to it before its time has come."""
    made = await subscribe(service, receiver, resource=resource_of(set_id))
    receiver.answer = status(503)
    other_set = await service.new_set()
    created = (await service.create(set_id)).json()

    async def called() -> bool:
        return len(receiver.calls) == 1

    await until(called, "the first call")
    later = microseconds() + 3600 * 1_000_000
    await alter(stack, made["id"], {"attempts": 3, "nextTryAt": later})
    flow = f"{service.set(set_id)}/provisioningFlows/{created['id']}"
    for _ in range(3):
        assert (await service.post(f"{flow}/reset", {})).status == 202

    async def ready() -> bool:
        found: dict[str, Any] = (await service.get(flow)).json()
        return bool(found["readinessStatus"] == "ready")

    await until(ready, "the flow is ready")
    receiver.answer = taken
    await subscribe(service, receiver, resource=resource_of(other_set))
    other = (await service.create(other_set)).json()["id"]
    await until(has_arrived(receiver, other), "the other subscription is served")
    assert changes(receiver, created["id"]) == []
    shown = (await service.get(f"{service.root.removesuffix('/beta')}/status/subscriptions")).json()
    assert [each["health"] for each in shown["value"] if each["id"] == made["id"]] == ["paused"]


async def test_after_four_hours_of_failures_the_client_is_notified_of_what_it_missed(
    service: Api, set_id: str, receiver: Receiver, stack: Stack
) -> None:
    lifecycle = receiver.url + "/lifecycle"
    made = await subscribe(
        service, receiver, resource=resource_of(set_id), lifecycleNotificationUrl=lifecycle
    )
    missed: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/lifecycle"):
            missed.extend((await request.json())["value"])
            return web.Response(status=202)
        return web.Response(status=500)

    receiver.answer = answer
    created = (await service.create(set_id)).json()

    async def failed() -> bool:
        found = (await stored_subscription(stack, made["id"]))["delivery"]
        return found["attempts"] == 1 and found["lease"] is None

    await until(failed, "the first failure")
    assert missed == []
    long_ago = microseconds() - int((GIVE_UP + 1) * 1_000_000)
    await alter(stack, made["id"], {"failingSince": long_ago, "nextTryAt": 0})
    flow = f"{service.set(set_id)}/provisioningFlows/{created['id']}"
    assert (await service.post(f"{flow}/reset", {})).status == 202

    async def notified() -> bool:
        return bool(missed)

    await until(notified, "the lifecycle notification")
    [only] = missed
    assert only["lifecycleEvent"] == "missed"
    assert only["subscriptionId"] == made["id"]
    assert only["clientState"] == CLIENT_STATE
