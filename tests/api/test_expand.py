"""What $expand brings, with options of its own: flows in sets, definitions in role groups."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contract.printing import Printer
from shared.domain.context import MAX_STEPS
from shared.domain.errors import InvalidRequest
from shared.odata.model import FLOW_SET
from shared.odata.options import ITEM, QueryOptions
from shared.services.representations import Expansion
from tests.support.api import Api, Flow, assert_envelope
from tests.support.bodies import NAMES

TYPE = "microsoft.graph.industryData."
USER = f"{TYPE}userProvisioningFlow"


@pytest.fixture(scope="module")
async def full_set(service: Api) -> str:
    """A set with a flow of each kind."""
    set_id = await service.new_set()
    for name in NAMES:
        made = (await service.create(set_id, name)).json()
        # Checks that come later would change what is read.
        await Flow(service, set_id, made["id"], name).until_status("ready")
    return set_id


async def flows(service: Api, set_id: str, expand: str) -> dict[str, Any]:
    answer = await service.get(service.set(set_id), {"$expand": expand})
    assert answer.status == 200, answer.text
    body: dict[str, Any] = answer.json()
    listed = await service.get(service.sets, {"$expand": expand, "$filter": f"id eq '{set_id}'"})
    same: dict[str, Any] = listed.json()["value"][0]
    assert same == {name: value for name, value in body.items() if name != "@odata.context"}
    return same


@pytest.mark.parametrize("expand", ["*", "provisioningFlows", "provisioningFlows($top=10)"])
async def test_all_flows_are_expanded(service: Api, full_set: str, expand: str) -> None:
    assert len((await flows(service, full_set, expand))["provisioningFlows"]) == len(NAMES)


async def test_options_inside_expand_count_for_the_flows_of_each_set(
    service: Api, full_set: str
) -> None:
    inside = (
        f"provisioningFlows($filter=not ({USER}/createUnmatchedUsers eq true);"
        "$orderby=createdDateTime desc;$skip=1;$top=1;$count=true;$select=id)"
    )
    found = await flows(service, full_set, inside)
    created = sorted(
        (await flows(service, full_set, "*"))["provisioningFlows"],
        key=lambda flow: str(flow["createdDateTime"]),
    )
    others = [flow for flow in created if flow["@odata.type"] != f"#{USER}"]
    assert found["provisioningFlows@odata.count"] == 3
    assert found["provisioningFlows"] == [{name: others[1][name] for name in ("@odata.type", "id")}]
    assert found["provisioningFlows@odata.context"].endswith("/provisioningFlows(id)")


async def test_flows_of_one_type_are_expanded(service: Api, full_set: str) -> None:
    found = await flows(
        service, full_set, f"provisioningFlows/{USER}($select=createUnmatchedUsers)"
    )
    [of_user] = found["provisioningFlows"]
    assert list(of_user) == ["@odata.type", "@odata.id", "createUnmatchedUsers"]
    assert found["provisioningFlows@odata.context"].endswith(f"/{USER}(createUnmatchedUsers)")


async def test_a_role_group_that_is_printed_anyway_may_be_expanded(
    service: Api, full_set: str
) -> None:
    path = f"{USER}/creationOptions/configurations/roleGroup"
    url = f"{service.set(full_set)}/provisioningFlows"
    expanded = await service.get(url, {"$expand": path, "$select": "id"})
    assert expanded.status == 200, expanded.text
    [of_user] = [each for each in expanded.json()["value"] if "creationOptions" in each]
    groups = [each["roleGroup"]["id"] for each in of_user["creationOptions"]["configurations"]]
    assert sorted(groups) == ["staff", "students"]


@pytest.mark.parametrize("path", ["", "/students"])
async def test_the_definitions_of_a_groups_roles_are_expanded(service: Api, path: str) -> None:
    answer = await service.get(
        f"{service.groups}{path}",
        {"$select": "displayName", "$expand": "roles/value($select=sortIndex)"},
    )
    body = answer.json()
    context = body["@odata.context"].partition("#")[2]
    assert context.startswith(
        "external/industryData/roleGroups(displayName,roles/value(sortIndex))"
    )
    found = body if path else body["value"][-1]
    assert found["displayName"] == "Students"
    address = f"{service.definitions}('RefRole-student')"
    assert found["roles"] == [{"value": {"@odata.id": address, "sortIndex": 300}}]


def test_filters_inside_an_expand_have_one_budget_of_steps() -> None:
    condition = " or ".join(["id eq 'x'"] * 33)
    expand = f"provisioningFlows($filter={condition})"
    [asked] = QueryOptions.parse({"$expand": expand}, ITEM, FLOW_SET).expand
    expansion = Expansion(Printer("https://example.com"), asked)
    flows = [{"id": "1"}] * 4
    # Each flow takes a step for the whole condition and three for each of its parts.
    for _ in range(MAX_STEPS // 400):
        assert expansion.inside("path", flows)["provisioningFlows"] == []
    with pytest.raises(InvalidRequest, match="too many steps"):
        expansion.inside("path", flows)


@pytest.mark.parametrize("inside", ["$filter=colour eq 1", "$select=colour", "$skiptoken=x"])
async def test_what_is_wrong_inside_an_expand_is_named(service: Api, inside: str) -> None:
    answer = await service.get(service.sets, {"$expand": f"provisioningFlows({inside})"})
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert detail["target"] == "$expand"
    assert "Inside $expand" in detail["message"]
