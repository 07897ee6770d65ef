"""Change notifications from the request that changes a flow to a receiver, through the stack."""

from __future__ import annotations

from tests.support.api import Api
from tests.support.receiver import CLIENT_STATE, Receiver, changes, resource_of, subscribe
from tests.support.waiting import until


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
