"""Connections that end: before a request is carried out, after it, or in an answer."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.faults.conftest import Faults
from tests.support.api import Api


@pytest.mark.parametrize(("when", "flows"), [("before", 0), ("after", 1)])
async def test_a_cut_leaves_no_answer_and_what_was_stored_by_then(
    faults: Faults, service: Api, set_id: str, token: str, when: str, flows: int
) -> None:
    await faults.use({"cut": True, "when": when, "method": "POST"})
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            await http.post(
                service.flows(set_id),
                json={
                    "@odata.type": "#microsoft.graph.industryData.securityGroupProvisioningFlow",
                    "creationOptions": {
                        "createBasedOnRoleGroup": True,
                        "createBasedOnOrgPlusRoleGroup": False,
                    },
                },
            )
    [asked] = await faults.requests()
    await faults.clear()
    assert (asked["status"], asked["carriedOut"]) == (None, when == "after")
    stored = await service.get(f"{service.set(set_id)}/provisioningFlows")
    assert len(stored.json()["value"]) == flows


async def test_a_truncated_answer_ends_in_the_middle_of_its_body(
    faults: Faults, service: Api, set_id: str, token: str
) -> None:
    await faults.use({"truncate": True})
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(headers=headers) as http:
        with pytest.raises(httpx.RemoteProtocolError) as broken:
            await http.get(service.set(set_id))
    numbers = re.search(r"received (\d+) bytes, expected (\d+)", str(broken.value))
    assert numbers is not None
    assert int(numbers[1]) == int(numbers[2]) // 2 > 0
