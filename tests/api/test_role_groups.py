"""Role groups: what is stored and printed, how flows refer to them, which cannot change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.api import GUID, UNKNOWN, Api, Flow, assert_envelope
from tests.support.bodies import request_body

NAMESPACE = "microsoft.graph.industryData"


async def test_a_role_group_keeps_each_role_once_in_alphabetical_order(service: Api) -> None:
    body = {
        "@odata.type": f"#{NAMESPACE}.roleGroup",
        "displayName": "Helpers",
        "roles": [{"code": code} for code in ("TEACHER", "nurse", "teacher", "chair")],
    }
    created = await service.post(service.groups, body)
    assert created.status == 201
    printed = created.json()
    assert GUID.fullmatch(printed["id"])
    assert list(printed) == ["@odata.context", "id", "displayName", "roles"]
    assert printed["roles"] == [{"code": "chair"}, {"code": "nurse"}, {"code": "teacher"}]
    assert (await service.get(created.headers["Location"])).text == created.text
    answer = await service.patch(created.headers["Location"], {"displayName": "Others"})
    assert answer.status == 204
    assert (await service.get(created.headers["Location"])).json() == {
        **printed,
        "displayName": "Others",
    }


def user_flow(bind: str) -> Any:
    """A body of a user flow with one configuration."""
    body = json.loads(request_body("user"))
    entry = {**body["creationOptions"]["configurations"][0], "roleGroup@odata.bind": bind}
    body["creationOptions"] = {"configurations": [entry]}
    return body


@pytest.mark.parametrize(
    "form",
    [
        "https://graph.microsoft.com/beta/external/industryData/roleGroups/{}",
        "https://graph.microsoft.com/beta/external/industryData/roleGroups('{}')",
        "external/industryData/roleGroups/{}",
        "external/industryData/roleGroups('{}')",
        "{root}/external/industryData/roleGroups/{}",
    ],
)
async def test_a_created_group_is_bound_in_every_form_and_inlined_on_reads(
    service: Api, form: str
) -> None:
    group = await service.new_role_group("nurse")
    set_id = await service.new_set()
    bind = form.format(group, root=service.root)
    created = await service.post(service.flows(set_id), user_flow(bind))
    assert created.status == 201, created.text
    [entry] = created.json()["creationOptions"]["configurations"]
    assert list(entry) == ["licenseSkus", "defaultPasswordSettings"]
    read = (await service.get(created.headers["Location"])).json()
    [entry] = read["creationOptions"]["configurations"]
    assert entry["roleGroup@odata.context"].endswith(
        "/creationOptions/configurations/roleGroup/$entity"
    )
    assert entry["roleGroup"] == {
        "id": group,
        "displayName": "Helpers",
        "roles": [{"code": "nurse"}],
    }
    await Flow(service, set_id, read["id"], "userProvisioningFlow").until_status("ready")


async def test_an_unknown_group_is_named(service: Api, set_id: str) -> None:
    bind = f"external/industryData/roleGroups/{UNKNOWN}"
    answer = await service.post(service.flows(set_id), user_flow(bind))
    error = assert_envelope(answer, 400, "BadRequest")
    assert UNKNOWN in error["message"]
    assert error["details"][0]["target"].endswith("['roleGroup@odata.bind']")


async def test_a_changed_group_is_printed_as_it_is_and_a_deleted_one_fails_the_flow(
    service: Api, set_id: str
) -> None:
    group = await service.new_role_group("nurse")
    bind = f"external/industryData/roleGroups/{group}"
    created = await service.post(service.flows(set_id), user_flow(bind))
    flow = Flow(service, set_id, created.json()["id"], "userProvisioningFlow")
    await flow.until_status("ready")

    async def inline() -> Any:
        return (await flow.read())["creationOptions"]["configurations"][0]["roleGroup"]

    answer = await service.patch(f"{service.groups}/{group}", {"roles": [{"code": "chair"}]})
    assert answer.status == 204
    assert (await inline())["roles"] == [{"code": "chair"}]
    assert (await service.delete(f"{service.groups}/{group}")).status == 204
    assert_envelope(await service.get(f"{service.groups}/{group}"), 404, "Request_ResourceNotFound")
    await flow.until_status("failed")
    assert await inline() is None


@pytest.mark.parametrize("group", ["staff", "students"])
async def test_a_built_in_group_stays_as_it_is(service: Api, group: str) -> None:
    url = f"{service.groups}/{group}"
    before = (await service.get(url)).text
    assert_envelope(await service.patch(url, {"displayName": "Other"}), 409, "Conflict")
    assert_envelope(await service.delete(url), 409, "Conflict")
    assert (await service.get(url)).text == before
