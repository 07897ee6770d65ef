"""Paths as OData's clients write them: casts, keys and actions in parentheses, properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.api import UNKNOWN, Api, Flow, assert_envelope
from tests.support.bodies import NAMES

TYPE = "microsoft.graph.industryData."
KINDS = {
    "administrative_unit": f"{TYPE}administrativeUnitProvisioningFlow",
    "class_group": f"{TYPE}classGroupProvisioningFlow",
    "security_group": f"{TYPE}securityGroupProvisioningFlow",
    "user": f"{TYPE}userProvisioningFlow",
}
USER = KINDS["user"]


@dataclass(frozen=True)
class Stored:
    """A set with a filter and a flow of each kind."""

    set_id: str
    flows: dict[str, str]
    url: str

    def at(self, path: str) -> str:
        """A path below the set with the names of flows replaced by their ids."""
        for name, flow_id in self.flows.items():
            path = path.replace(f"{{{name}}}", flow_id)
        return self.url + path


@pytest.fixture(scope="module")
async def stored(service: Api) -> Stored:
    organisations = {
        "@odata.type": f"#{TYPE}basicFilter",
        "attribute": "orgExternalId",
        "in": ["10", "20"],
    }
    made = await service.post(service.sets, {"displayName": "Paths", "filter": organisations})
    set_id = made.json()["id"]
    flows = {name: (await service.create(set_id, name)).json()["id"] for name in NAMES}
    for name, flow_id in flows.items():
        await Flow(service, set_id, flow_id, name).until_status("ready")
    return Stored(set_id, flows, service.set(set_id))


# --- casts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_a_cast_keeps_the_flows_of_its_type(service: Api, stored: Stored, name: str) -> None:
    of_kind = stored.at(f"/provisioningFlows/{KINDS[name]}")
    listed = await service.get(of_kind)
    assert listed.status == 200, listed.text
    assert [each["id"] for each in listed.json()["value"]] == [stored.flows[name]]
    assert listed.json()["@odata.context"].endswith(f"/provisioningFlows/{KINDS[name]}")
    assert (await service.get(f"{of_kind}/$count")).text == "1"


async def test_a_cast_to_the_declared_type_changes_nothing(service: Api, stored: Stored) -> None:
    plain = stored.at("/provisioningFlows")
    for url in (
        f"{plain}/{TYPE}provisioningFlow",
        f"{service.sets}/{TYPE}outboundProvisioningFlowSet/{stored.set_id}/provisioningFlows",
    ):
        assert (await service.get(url)).json() == (await service.get(plain)).json()


@pytest.mark.parametrize(
    "path",
    [
        f"/provisioningFlows/{USER}/{{user}}",
        f"/provisioningFlows/{{user}}/{USER}",
        f"/provisioningFlows('{{user}}')/{USER}",
        f"/provisioningFlows(id='{{user}}')/{USER.upper()}",
        f"/provisioningFlows/{USER}('{{user}}')",
        f"/provisioningFlows/{USER}/{{user}}/{USER}",
    ],
)
async def test_a_flow_is_read_as_its_type(service: Api, stored: Stored, path: str) -> None:
    answer = await service.get(stored.at(path), {"$select": "createUnmatchedUsers"})
    assert answer.status == 200, answer.text
    assert answer.json() == {
        "@odata.context": (
            "https://graph.microsoft.com/beta/$metadata#external/industryData/"
            f"outboundProvisioningFlowSets('{stored.set_id}')/provisioningFlows/{USER}"
            "(createUnmatchedUsers)/$entity"
        ),
        "@odata.type": f"#{USER}",
        "@odata.id": stored.at("/provisioningFlows('{user}')").replace(
            f"/{stored.set_id}/", f"('{stored.set_id}')/"
        ),
        "createUnmatchedUsers": True,
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/provisioningFlows/{USER}/{{class_group}}", 404),
        (f"/provisioningFlows/{{class_group}}/{USER}", 404),
        (f"/provisioningFlows/{USER}/{UNKNOWN}", 404),
        (f"/provisioningFlows/{TYPE}roleGroup", 400),
        (f"/provisioningFlows/{{user}}/{TYPE}roleGroup", 400),
        (f"/provisioningFlows/{TYPE}nonsense/$count", 400),
        (f"/{USER}", 400),
    ],
)
async def test_what_is_not_of_a_type_is_not_found_by_it(
    service: Api, stored: Stored, path: str, status: int
) -> None:
    answer = await service.get(stored.at(path))
    assert_envelope(answer, status, "BadRequest" if status == 400 else "Request_ResourceNotFound")


async def test_options_are_about_the_type_of_the_cast(service: Api, stored: Stored) -> None:
    url = stored.at(f"/provisioningFlows/{USER}")
    options = {
        "$filter": "createUnmatchedUsers",
        "$orderby": "createUnmatchedUsers",
        "$count": "true",
    }
    found = (await service.get(url, options)).json()
    assert (found["@odata.count"], found["value"][0]["id"]) == (1, stored.flows["user"])
    answer = await service.get(url, {"$filter": "configuration ne null"})
    assert "'configuration'" in assert_envelope(answer, 400, "BadRequest")["message"]


async def test_a_cast_is_only_read(service: Api, stored: Stored) -> None:
    for path in (f"/provisioningFlows/{USER}", f"/provisioningFlows/{{user}}/{USER}"):
        for method in ("POST", "PATCH", "DELETE"):
            answer = await service.send(method, stored.at(path))
            assert_envelope(answer, 405, "Request_MethodNotAllowed")
            assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    answer = await service.send("POST", stored.at(f"/provisioningFlows/{USER}/{{user}}/reset"))
    assert_envelope(answer, 400, "BadRequest")


# --- parentheses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action", ["reset", "reset()", f"{TYPE}reset", f"{TYPE}reset()", "RESET()"]
)
async def test_an_action_is_called_with_and_without_parentheses(service: Api, action: str) -> None:
    flow = await service.new_flow()
    answer = await service.send("POST", f"{flow.url}/{action}")
    assert answer.status == 202, answer.text


@pytest.mark.parametrize("key", ["('staff')", "(id='staff')", "(ID='staff')"])
async def test_a_key_may_have_its_name(service: Api, key: str) -> None:
    assert (await service.get(f"{service.groups}{key}")).json()["displayName"] == "Staff"


@pytest.mark.parametrize("key", ["(name='staff')", "('staff',id='staff')", "(staff)", "((''))"])
async def test_no_other_key_is_one(service: Api, key: str) -> None:
    assert_envelope(await service.get(f"{service.groups}{key}"), 400, "BadRequest")


# --- properties --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/displayName", "Paths"),
        ("/DISPLAYNAME", "Paths"),
        (f"/filter/{TYPE}basicFilter/attribute", "orgExternalId"),
        (f"/filter/{TYPE}basicFilter/in", ["10", "20"]),
        ("/provisioningFlows/{user}/readinessStatus", "ready"),
        (f"/provisioningFlows/{{user}}/{USER}/createUnmatchedUsers", True),
        (f"/provisioningFlows/{USER}/{{user}}/createUnmatchedUsers", True),
    ],
)
async def test_a_property_is_read_by_its_path(
    service: Api, stored: Stored, path: str, value: Any
) -> None:
    answer = await service.get(stored.at(path))
    assert answer.status == 200, answer.text
    body = answer.json()
    assert list(body) == ["@odata.context", "value"]
    assert body["value"] == value
    declared = stored.at(path).rpartition("/")[2].lower()
    assert body["@odata.context"].lower().endswith(f"/{declared}")
    assert f"outboundProvisioningFlowSets('{stored.set_id}')/" in body["@odata.context"]


async def test_an_object_is_read_by_its_path(service: Api, stored: Stored) -> None:
    body = (await service.get(stored.at("/filter"))).json()
    assert list(body) == ["@odata.context", "@odata.type", "attribute", "in"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/displayName/$value", "Paths"),
        (f"/provisioningFlows/{{user}}/{USER}/createUnmatchedUsers/$value", "true"),
        (f"/filter/{TYPE}basicFilter/in/$count", "2"),
    ],
)
async def test_a_value_or_a_count_is_read_as_text(
    service: Api, stored: Stored, path: str, text: str
) -> None:
    answer = await service.get(stored.at(path), accept="text/plain")
    assert (answer.status, answer.text) == (200, text)
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_what_is_null_has_no_content(service: Api) -> None:
    set_id = await service.new_set()
    for path in ("filter", f"filter/{TYPE}basicFilter/attribute"):
        answer = await service.get(f"{service.set(set_id)}/{path}")
        assert (answer.status, answer.text) == (204, "")
    assert (await service.get(f"{service.definitions}/RefRole-chair/sortIndex/$value")).text == "20"


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("/surprise", "surprise"),
        ("/displayName/x", "x"),
        ("/filter/in", "in"),
        ("/filter/$value", "$value"),
        ("/displayName/$count", "$count"),
        (f"/filter/{TYPE}basicFilter/in/$value", "$value"),
        (f"/filter/{TYPE}basicFilter", f"{TYPE}basicFilter"),
        ("/provisioningFlows/{user}/createUnmatchedUsers", "createUnmatchedUsers"),
        (
            f"/provisioningFlows/{{user}}/{USER}/creationOptions/configurations/roleGroup",
            "roleGroup",
        ),
        (
            f"/provisioningFlows/{{user}}/{USER}/creationOptions/configurations"
            "/defaultPasswordSettings",
            "defaultPasswordSettings",
        ),
        (f"/{'/'.join(['filter'] * 500)}", "filter"),
    ],
)
async def test_what_is_no_property_is_400(
    service: Api, stored: Stored, path: str, segment: str
) -> None:
    answer = await service.get(stored.at(path))
    assert f"'{segment}'" in assert_envelope(answer, 400, "BadRequest")["message"]


async def test_a_property_is_only_read_and_takes_no_options(service: Api, stored: Stored) -> None:
    url = stored.at("/displayName")
    answer = await service.patch(url, {"value": "x"})
    assert_envelope(answer, 405, "Request_MethodNotAllowed")
    options = await service.send("OPTIONS", url)
    assert options.headers["Allow"] == answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert_envelope(await service.get(url, {"$select": "x"}), 400, "BadRequest")
    assert_envelope(
        await service.get(f"{service.set(UNKNOWN)}/displayName"), 404, "Request_ResourceNotFound"
    )


async def test_a_password_is_no_property(service: Api, stored: Stored) -> None:
    path = f"/provisioningFlows/{{user}}/{USER}/creationOptions"
    body = (await service.get(stored.at(path))).json()
    settings = [each["defaultPasswordSettings"]["password"] for each in body["configurations"]]
    assert set(settings) == {"***************"}
