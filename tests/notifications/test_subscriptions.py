"""Subscriptions as a client makes, reads, renews and ends them."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from azure.cosmos.aio import CosmosClient

from local.access_token import READ
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY
from local.issuer import claims, sign, signing_key
from local.stack import Stack
from shared.domain.subscriptions import ALL_FLOWS, MAX_MINUTES, MAX_PER_SET
from tests.support.api import UNKNOWN, Answer, Api, assert_envelope
from tests.support.receiver import (
    CLIENT_STATE,
    Receiver,
    in_an_hour,
    resource_of,
    slow,
    status,
    subscribe,
)
from tests.support.waiting import until


def url(service: Api, subscription_id: str = "") -> str:
    return f"{service.root}/subscriptions{'/' * bool(subscription_id)}{subscription_id}"


def body_for(receiver: Receiver, set_id: str, **members: Any) -> dict[str, Any]:
    return {
        "changeType": "updated",
        "notificationUrl": receiver.url,
        "resource": resource_of(set_id),
        "expirationDateTime": in_an_hour(),
        **members,
    }


async def posted(service: Api, receiver: Receiver, set_id: str, **members: Any) -> Answer:
    return await service.post(url(service), body_for(receiver, set_id, **members))


def fault(answer: Answer) -> tuple[str, str]:
    """The place and the text of the one fault of a 400."""
    [only] = assert_envelope(answer, 400, "BadRequest")["details"]
    return only["target"], only["message"]


async def test_a_subscription_is_made_read_renewed_and_ended(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    made = await subscribe(service, receiver, resource=f"/{resource_of(set_id)}")

    assert made["@odata.context"].endswith("/$metadata#subscriptions/$entity")
    assert made["clientState"] == CLIENT_STATE
    assert made["resource"] == resource_of(set_id)
    read = (await service.get(url(service, made["id"]))).json()
    assert read == {**made, "clientState": None}
    listed = (await service.get(url(service))).json()["value"]
    assert made["id"] in [each["id"] for each in listed]

    later = (datetime.now(UTC) + timedelta(days=20)).isoformat()
    renewed = await service.patch(url(service, made["id"]), {"expirationDateTime": later})
    assert renewed.status == 200
    assert renewed.json()["expirationDateTime"] != made["expirationDateTime"]

    assert (await service.delete(url(service, made["id"]))).status == 204
    gone = await service.get(url(service, made["id"]))
    assert_envelope(gone, 404, "Request_ResourceNotFound")
    again = await subscribe(service, receiver, resource=resource_of(set_id))
    assert again["id"] != made["id"]


async def test_every_address_repeats_a_token_of_its_own(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    lifecycle = receiver.url + "/lifecycle?code=1"
    await subscribe(
        service, receiver, resource=resource_of(set_id), lifecycleNotificationUrl=lifecycle
    )

    assert len(set(receiver.validations)) == 2


async def echo_with(request: web.Request, **changes: Any) -> web.StreamResponse:
    return web.Response(**{"text": request.query["validationToken"], **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": 202}, "Notification endpoint must respond with 200 OK"),
        ({"status": 500}, "HTTP status code is '500'"),
        ({"content_type": "text/html"}, "text/plain content type"),
        ({"text": "something else"}, "exactly match validationToken"),
        ({"text": "x" * 70_000}, "cannot be reached"),
    ],
)
async def test_an_endpoint_that_does_not_validate_gets_no_subscription(
    service: Api, set_id: str, receiver: Receiver, changes: dict[str, Any], said: str
) -> None:
    receiver.validate = lambda request: echo_with(request, **changes)

    error = assert_envelope(await posted(service, receiver, set_id), 400, "ValidationError")

    assert error["message"].startswith("Subscription validation request failed.")
    assert said in error["message"]
    await subscribed_anyway(service, receiver, set_id)


async def subscribed_anyway(service: Api, receiver: Receiver, set_id: str) -> None:
    """Nothing is in the way of the same subscription, once the endpoint validates."""
    receiver.validate = None
    assert (await posted(service, receiver, set_id)).status == 201


async def test_a_redirect_is_not_followed(service: Api, set_id: str, receiver: Receiver) -> None:
    receiver.validate = status(307, Location=receiver.url + "/elsewhere")

    error = assert_envelope(await posted(service, receiver, set_id), 400, "ValidationError")

    assert "HTTP status code is '307'" in error["message"]
    assert len(receiver.validations) == 1


async def test_an_endpoint_has_ten_seconds_to_validate(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    receiver.validate = slow(10.5)
    started = asyncio.get_running_loop().time()

    error = assert_envelope(await posted(service, receiver, set_id), 400, "ValidationError")

    assert error["message"] == "Subscription validation request timed out."
    assert 9.5 < asyncio.get_running_loop().time() - started < 10.5


async def test_an_endpoint_that_needs_nine_seconds_is_subscribed(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    """What the store needs afterwards is not taken out of the request's own time."""

    async def late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(9.8)
        return web.Response(text=request.query["validationToken"])

    receiver.validate = late
    assert (await posted(service, receiver, set_id)).status == 201


async def test_nothing_listens(service: Api, set_id: str, receiver: Receiver) -> None:
    await receiver.stop()

    error = assert_envelope(await posted(service, receiver, set_id), 400, "ValidationError")

    assert "cannot be reached" in error["message"]


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("notificationUrl", "https://hooks.example/x", "NOTIFICATION_HOSTS does not name it"),
        ("notificationUrl", "http://hooks.example/x", "must use https"),
        ("notificationUrl", "https://10.0.0.1/x", "NOTIFICATION_HOSTS does not name it"),
        ("notificationUrl", "ftp://127.0.0.1/", "absolute https URL"),
        ("notificationUrl", "https://me:secret@127.0.0.1/", "Omit user"),
        ("lifecycleNotificationUrl", "https://169.254.169.254/", "does not name it"),
        ("changeType", "moved", "is not made of created, updated, deleted"),
        ("changeType", "", "is not made of"),
        ("changeType", 7, "Edm.String"),
        ("resource", "users", "cannot be subscribed to"),
        ("resource", "x" * 100_000, "cannot be subscribed to"),
        ("clientState", "x" * 256, "at most 255"),
        ("includeResourceData", True, "do not include resource data"),
        ("expirationDateTime", "2020-01-01T00:00:00Z", "must be in the future"),
        ("expirationDateTime", "2026-12-01", "Edm.DateTimeOffset"),
        ("expirationDateTime", "2026-12-01T00:00:00", "Edm.DateTimeOffset"),
        ("unheardOf", 1, "microsoft.graph.subscription"),
        ("@odata.type", "#microsoft.graph.user", "microsoft.graph.subscription"),
    ],
)
async def test_a_faulty_body_is_refused_at_its_place(
    service: Api, set_id: str, receiver: Receiver, member: str, value: Any, said: str
) -> None:
    place, text = fault(await posted(service, receiver, set_id, **{member: value}))

    assert place in (f"$.{member}", f"$['{member}']")
    assert said in text
    assert receiver.validations == []


async def test_a_subscription_lasts_as_long_as_one_of_a_directory_resource(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    too_long = (datetime.now(UTC) + timedelta(minutes=MAX_MINUTES + 1)).isoformat()
    _, text = fault(await posted(service, receiver, set_id, expirationDateTime=too_long))
    assert f"{MAX_MINUTES} minutes" in text
    fits = (datetime.now(UTC) + timedelta(minutes=MAX_MINUTES - 1)).isoformat()
    assert (await posted(service, receiver, set_id, expirationDateTime=fits)).status == 201


async def test_a_set_that_is_unknown_has_no_subscriptions(service: Api, receiver: Receiver) -> None:
    answer = await posted(service, receiver, UNKNOWN)

    assert_envelope(answer, 404, "Request_ResourceNotFound")


async def test_a_second_subscription_for_the_same_is_refused(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    first = (await posted(service, receiver, set_id)).json()

    error = assert_envelope(await posted(service, receiver, set_id), 409, "Conflict")

    assert error["message"] == (
        f"Subscription Id {first['id']} already exists for the requested combination"
    )
    assert (await posted(service, receiver, set_id, changeType="deleted")).status == 201


async def test_of_several_at_once_for_the_same_one_is_made(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    answers = await asyncio.gather(*(posted(service, receiver, set_id) for _ in range(5)))

    assert sorted(each.status for each in answers) == [201, 409, 409, 409, 409]


async def test_a_set_has_ten_subscriptions_at_most(
    service: Api, set_id: str, receiver: Receiver, stack: Stack
) -> None:
    made = (await posted(service, receiver, set_id)).json()
    async with stored(stack) as container:
        document = await container.read_item(made["id"], await tenant_of(container))
        for _ in range(MAX_PER_SET - 2):
            other = str(uuid.uuid4())
            await container.create_item({**document, "id": other, "duplicateKey": other})

    tenth = await posted(service, receiver, set_id, changeType="deleted")
    assert tenth.status == 201
    refused = await posted(service, receiver, set_id, changeType="created")
    error = assert_envelope(refused, 403, "ExtensionError")
    assert f"has {MAX_PER_SET} subscriptions" in error["message"]

    await service.delete(url(service, tenth.json()["id"]))
    assert (await posted(service, receiver, set_id, changeType="created")).status == 201


async def test_of_several_at_once_a_set_keeps_ten_at_most(
    service: Api, set_id: str, receiver: Receiver, stack: Stack
) -> None:
    """All of them find room before their endpoint is called, and none of it after."""
    made = (await posted(service, receiver, set_id)).json()
    async with stored(stack) as container:
        document = await container.read_item(made["id"], await tenant_of(container))
        for _ in range(MAX_PER_SET - 2):
            other = str(uuid.uuid4())
            await container.create_item({**document, "id": other, "duplicateKey": other})

    async def late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1.0)
        return await echo_with(request)

    receiver.validate = late
    kinds = ("created", "deleted", "created,updated", "created,deleted")
    answers = await asyncio.gather(
        *(posted(service, receiver, set_id, changeType=each) for each in kinds)
    )

    assert len(receiver.validations) == 1 + len(kinds)
    assert {each.status for each in answers} <= {201, 403}
    assert [each.status for each in answers].count(201) <= 1
    async with stored(stack) as container:
        text = "SELECT * FROM c WHERE NOT IS_DEFINED(c.endedAt) AND c.setId = @id"
        given = [{"name": "@id", "value": set_id}]
        alive = [each async for each in container.query_items(text, parameters=given)]
    assert len(alive) <= MAX_PER_SET


class stored:  # noqa: N801 - used as a statement
    """The container of subscriptions, while the block runs."""

    def __init__(self, stack: Stack) -> None:
        self._client = CosmosClient(
            stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
        )

    async def __aenter__(self) -> Any:
        await self._client.__aenter__()
        return self._client.get_database_client(COSMOS_DATABASE).get_container_client(
            "subscriptions"
        )

    async def __aexit__(self, *raised: Any) -> None:
        await self._client.close()


async def tenant_of(container: Any) -> str:
    async for each in container.query_items("SELECT TOP 1 c.tenantId FROM c"):
        return str(each["tenantId"])
    raise AssertionError


async def test_another_application_sees_and_ends_none_of_them(
    service: Api, set_id: str, receiver: Receiver, stack: Stack
) -> None:
    made = await subscribe(service, receiver, resource=resource_of(set_id))
    payload = {**claims(stack.config.issuer, roles=READ), "azp": str(uuid.uuid4())}
    other = sign(payload, signing_key(stack.config.local_state / "issuer"))
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {other}"}) as http:
        theirs = Api(http, service.root)
        for answer in (
            await theirs.get(url(theirs, made["id"])),
            await theirs.delete(url(theirs, made["id"])),
            await theirs.patch(url(theirs, made["id"]), {"expirationDateTime": in_an_hour()}),
        ):
            assert_envelope(answer, 404, "Request_ResourceNotFound")
        assert (await theirs.get(url(theirs))).json()["value"] == []


async def test_a_client_state_is_stored_sealed_and_logged_nowhere(
    service: Api, set_id: str, receiver: Receiver, stack: Stack
) -> None:
    made = await subscribe(service, receiver, resource=resource_of(set_id))
    async with stored(stack) as container:
        document = await container.read_item(made["id"], await tenant_of(container))
    assert CLIENT_STATE not in json.dumps(document)
    log = (stack.config.local_state / "logs" / "host.log").read_text("utf-8")
    assert made["id"] in log
    assert CLIENT_STATE not in log


async def test_operators_see_how_deliveries_go(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    made = await subscribe(
        service,
        receiver,
        resource=resource_of(set_id),
        notificationUrl=receiver.url + "?code=secret",
    )
    receiver.answer = status(500)
    origin = service.root.removesuffix("/beta")

    async def shown() -> dict[str, Any]:
        found = (await service.get(f"{origin}/status/subscriptions")).json()
        assert found["enabled"] is True
        [own] = [each for each in found["value"] if each["id"] == made["id"]]
        assert "secret" not in json.dumps(own)
        return dict(own)

    assert (await shown())["health"] == "healthy"
    await service.create(set_id)

    async def failing() -> bool:
        own = await shown()
        return bool(own["health"] == "failing" and own["fault"] == "status 500")

    await until(failing, "shown as failing")


async def test_changes_of_all_sets_can_be_subscribed_to(service: Api, receiver: Receiver) -> None:
    made = await subscribe(service, receiver, resource=ALL_FLOWS.upper())

    assert made["resource"] == ALL_FLOWS
    assert (await service.delete(url(service, made["id"]))).status == 204
