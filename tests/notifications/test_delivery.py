"""Change notifications from the request that changes a flow to a receiver, through the stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.receiver import Receiver, receiving
from tests.support.waiting import until

CLIENT_STATE = "a secret of the client's"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


def resource_of(set_id: str) -> str:
    return f"external/industryData/outboundProvisioningFlowSets/{set_id}/provisioningFlows"


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def subscribe(service: Api, receiver: Receiver, **members: Any) -> dict[str, Any]:
    body = {
        "changeType": "created,updated,deleted",
        "notificationUrl": receiver.url,
        "expirationDateTime": in_an_hour(),
        "clientState": CLIENT_STATE,
        **members,
    }
    answer = await service.post(f"{service.root}/subscriptions", body)
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def changes(receiver: Receiver, flow_id: str) -> list[tuple[str, str | None]]:
    """Changes of a flow as they were taken, repeats left out."""
    found: dict[str, tuple[str, str | None]] = {}
    for each in receiver.taken:
        if each["resourceData"]["id"] == flow_id:
            status = each["resourceData"].get("readinessStatus")
            found.setdefault(each["id"], (each["changeType"], status))
    return list(found.values())


async def test_each_change_of_a_flow_is_sent_in_order(
    service: Api, set_id: str, receiver: Receiver
) -> None:
    made = await subscribe(service, receiver, resource=resource_of(set_id))
    created = (await service.create(set_id, "security_group")).json()
    flow = f"{service.set(set_id)}/provisioningFlows/{created['id']}"

    async def ready() -> bool:
        return ("updated", "ready") in changes(receiver, created["id"])

    await until(ready, "notified of readiness")
    deleted = await service.delete(flow)
    assert deleted.status == 204

    async def gone() -> bool:
        return changes(receiver, created["id"])[-1][0] == "deleted"

    await until(gone, "notified of the delete")
    assert changes(receiver, created["id"]) == [
        ("created", "notReady"),
        ("updated", "ready"),
        ("deleted", None),
    ]
    first = receiver.taken[0]
    path = f"{resource_of(set_id)}/{created['id']}"
    assert {name: first[name] for name in first if name != "id"} == {
        "subscriptionId": made["id"],
        "subscriptionExpirationDateTime": made["expirationDateTime"],
        "clientState": CLIENT_STATE,
        "tenantId": first["tenantId"],
        "changeType": "created",
        "resource": path,
        "resourceData": {
            "@odata.type": "#microsoft.graph.industryData.securityGroupProvisioningFlow",
            "@odata.id": path,
            "id": created["id"],
            "readinessStatus": "notReady",
        },
    }
