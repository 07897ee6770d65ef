"""Control information: its order, what metadata=full adds, and addresses of entities without id."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.api import Api, Flow
from tests.support.bodies import NAMES

TYPE = "microsoft.graph.industryData."
USER = f"{TYPE}userProvisioningFlow"
FULL = {"Accept": "application/json;odata.metadata=full"}
FIRST = ["@odata.context", "@odata.type", "@odata.id", "@odata.etag", "@odata.editLink"]


@pytest.fixture(scope="module")
async def stored(service: Api) -> tuple[str, dict[str, Flow]]:
    organisations = {
        "@odata.type": f"#{TYPE}basicFilter",
        "attribute": "orgExternalId",
        "in": ["10"],
    }
    made = await service.post(service.sets, {"displayName": "Control", "filter": organisations})
    set_id = made.json()["id"]
    flows = {}
    for name in NAMES:
        body = (await service.create(set_id, name)).json()
        flows[name] = Flow(service, set_id, body["id"], body["@odata.type"])
    return set_id, flows


async def full(service: Api, url: str, options: dict[str, object] | None = None) -> dict[str, Any]:
    answer = await service.get(url, options or {}, **FULL)
    assert answer.status == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_set_has_types_and_links_on_this_service(
    service: Api, stored: tuple[str, dict[str, Flow]]
) -> None:
    set_id, _ = stored
    body = await full(service, service.set(set_id))
    address = f"{service.sets}('{set_id}')"
    assert list(body) == [
        *FIRST,
        "id",
        "createdDateTime@odata.type",
        "createdDateTime",
        "lastModifiedDateTime@odata.type",
        "lastModifiedDateTime",
        "displayName",
        "filter",
        "provisioningFlows@odata.associationLink",
        "provisioningFlows@odata.navigationLink",
    ]
    assert body["@odata.type"] == f"#{TYPE}outboundProvisioningFlowSet"
    assert body["@odata.id"] == body["@odata.editLink"] == address
    assert body["createdDateTime@odata.type"] == "#DateTimeOffset"
    assert body["filter"] == {
        "@odata.type": f"#{TYPE}basicFilter",
        "attribute@odata.type": f"#{TYPE}filterOptions",
        "attribute": "orgExternalId",
        "in@odata.type": "#Collection(String)",
        "in": ["10"],
    }
    flows = body["provisioningFlows@odata.navigationLink"]
    assert len((await service.get(flows)).json()["value"]) == len(NAMES)
    assert (await service.patch(body["@odata.editLink"], {"displayName": "Control"})).status == 204


async def test_flows_are_addressed_by_the_links_of_their_list(
    service: Api, stored: tuple[str, dict[str, Flow]]
) -> None:
    set_id, flows = stored
    listed = (await full(service, f"{service.set(set_id)}/provisioningFlows"))["value"]
    expanded = await full(service, service.set(set_id), {"$expand": "provisioningFlows"})
    assert [each["@odata.id"] for each in expanded["provisioningFlows"]] == [
        each["@odata.id"] for each in listed
    ]
    for each in listed:
        one = await full(service, each["@odata.editLink"])
        assert (one["id"], one["@odata.id"]) == (each["id"], each["@odata.id"])
    of_user = next(each for each in listed if each["id"] == flows["user"].id)
    assert of_user["readinessStatus@odata.type"] == f"#{TYPE}readinessStatus"
    [first, *_] = of_user["creationOptions"]["configurations"]
    group = first["roleGroup"]
    assert group["@odata.id"] == f"{service.groups}('{group['id']}')"
    assert (await service.get(group["@odata.id"])).json()["id"] == group["id"]
    assert first["defaultPasswordSettings"]["@odata.type"] == f"#{TYPE}simplePasswordSettings"


@pytest.mark.parametrize(
    ("path", "annotations"),
    [
        ("/external", {"industryData@odata.navigationLink": "/external/industryData"}),
        (
            "/external/industryData",
            {"roleGroups@odata.associationLink": "/external/industryData/roleGroups/$ref"},
        ),
        (
            "/external/industryData/referenceDefinitions/RefRole-chair",
            {"@odata.id": "/external/industryData/referenceDefinitions('RefRole-chair')"},
        ),
    ],
)
async def test_links_lead_to_this_service(
    service: Api, path: str, annotations: dict[str, str]
) -> None:
    body = await full(service, f"{service.root}{path}")
    assert {name: body[name] for name in annotations} == {
        name: f"{service.root}{link}" for name, link in annotations.items()
    }


async def test_numbers_say_their_type(service: Api) -> None:
    body = await full(service, f"{service.definitions}/RefRole-chair")
    assert body["sortIndex@odata.type"] == "#Int32"
    assert "isDisabled@odata.type" not in body


@pytest.mark.parametrize("level", ["minimal", "full"])
@pytest.mark.parametrize("through", ["", f"/{USER}"])
async def test_an_entity_selected_without_its_id_has_its_address(
    service: Api, stored: tuple[str, dict[str, Flow]], level: str, through: str
) -> None:
    set_id, flows = stored
    user = flows["user"]
    address = f"{service.sets}('{set_id}')/provisioningFlows('{user.id}')"
    accept = f"application/json;odata.metadata={level}"
    for url in (f"{service.set(set_id)}/provisioningFlows{through}", f"{user.url}{through}"):
        answer = await service.get(url, {"$select": "readinessStatus"}, Accept=accept)
        body = answer.json()
        entities = body.get("value", [body])
        [found] = [each for each in entities if each["@odata.type"] == f"#{USER}"]
        assert found["@odata.id"] == address
        names = [name for name in found if name.startswith("@")]
        assert names == [name for name in FIRST if name in names]
        assert "id" not in found
    assert (await service.get(address)).json()["id"] == user.id


async def test_expanded_entities_without_id_have_their_address(
    service: Api, stored: tuple[str, dict[str, Flow]]
) -> None:
    set_id, _ = stored
    options = {"$expand": "provisioningFlows($select=readinessStatus)", "$select": "displayName"}
    body = (await service.get(service.set(set_id), options)).json()
    assert body["@odata.id"] == f"{service.sets}('{set_id}')"
    for flow in body["provisioningFlows"]:
        assert (await service.get(flow["@odata.id"])).json()["@odata.type"] == flow["@odata.type"]


async def test_no_address_is_given_where_the_id_is_or_no_metadata_is_wanted(
    service: Api, stored: tuple[str, dict[str, Flow]]
) -> None:
    url = service.set(stored[0])
    assert "@odata.id" not in (await service.get(url, {"$select": "id"})).json()
    none = await service.get(
        url, {"$select": "displayName"}, Accept="application/json;odata.metadata=none"
    )
    assert none.json() == {"displayName": "Control"}


@pytest.mark.parametrize("kind", NAMES)
async def test_the_order_is_context_type_id_etag_then_properties(
    service: Api, stored: tuple[str, dict[str, Flow]], kind: str
) -> None:
    flow = stored[1][kind]
    conditional = await service.get(flow.url, If_None_Match='"other"')
    assert list(conditional.json())[:4] == [
        *("@odata.context", "@odata.type", "@odata.etag"),
        "id",
    ]
    written = await service.patch(
        flow.url, {}, Prefer="return=representation", Accept=FULL["Accept"]
    )
    assert list(written.json())[:6] == [*FIRST, "id"]
    whole = await full(service, flow.url)
    assert [name for name in whole if name.startswith("@")] == FIRST
    assert not re.search(r"graph\.microsoft\.com[^$]*(?:Link|id)\"", str(whole))


@pytest.mark.parametrize("kind", NAMES)
async def test_what_was_read_in_full_can_be_sent_back(
    service: Api, stored: tuple[str, dict[str, Flow]], kind: str
) -> None:
    flow = stored[1][kind]
    whole = await full(service, flow.url)
    answer = await service.patch(whole["@odata.editLink"], whole)
    assert answer.status == 204, answer.text
    again = await full(service, flow.url)
    moving = ("lastModifiedDateTime", "readinessStatus", "@odata.etag")
    assert {name: value for name, value in again.items() if name not in moving} == {
        name: value for name, value in whole.items() if name not in moving
    }


async def test_a_set_and_a_role_group_read_in_full_can_be_sent_back(
    service: Api, stored: tuple[str, dict[str, Flow]]
) -> None:
    group = f"{service.groups}/{await service.new_role_group('nurse')}"
    for url in (service.set(stored[0]), group):
        whole = await full(service, url)
        answer = await service.patch(url, whole)
        assert answer.status == 204, answer.text
