"""What updates, resets and deletes of sets and flows change, what they leave, and their headers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.servicebus.aio import ServiceBusClient

from local.config import READINESS_QUEUE
from local.stack import Stack
from shared.adapters.keyring import Keyring
from tests.support.api import (
    NAMES,
    ONE_QUERY,
    Api,
    Counted,
    Flow,
    assert_envelope,
    event_outcomes,
    request_body,
    until,
)

MASK = "*" * 15
BASIC_FILTER = {
    "@odata.type": "#microsoft.graph.industryData.basicFilter",
    "attribute": "orgExternalId",
    "in": ["10", "20"],
}
PASSWORDS = {
    entry["roleGroup@odata.bind"].rpartition("/")[2]: entry["defaultPasswordSettings"]["password"]
    for entry in json.loads(request_body("user"))["creationOptions"]["configurations"]
}


def at(value: Any, path: str) -> Any:
    """What stands at a path such as `creationOptions.createBasedOnOrg`."""
    for step in path.split("."):
        value = value[step]
    return value


def at_path(path: str, value: Any) -> Any:
    """A body that gives one value at a path and nothing else."""
    for step in reversed(path.split(".")):
        value = {step: value}
    return value


async def history(flow: Flow) -> list[dict[str, Any]]:
    """What has happened to a flow's readiness, newest first."""
    answer = await flow.api.get(f"{flow.url}/readinessHistory")
    assert answer.status == 200, answer.text
    value: list[dict[str, Any]] = answer.json()["value"]
    return value


async def patched(flow: Flow, body: Any) -> Any:
    """Update a flow and read it; what readiness and time do is left out."""
    answer = await flow.api.patch(flow.url, body)
    assert (answer.status, answer.text) == (204, "")
    return settled(await flow.read())


def settled(printed: dict[str, Any]) -> dict[str, Any]:
    """A printed flow without what every update changes."""
    volatile = ("lastModifiedDateTime", "readinessStatus")
    return {name: value for name, value in printed.items() if name not in volatile}


# --- the merge rule ----------------------------------------------------------------------------

OWNERS = "configuration.enrollmentMappings.ownerEnrollmentMappings"
CHANGES: list[tuple[str, str, Any]] = [
    ("administrative_unit", "creationOptions.createBasedOnOrg", False),
    ("administrative_unit", "creationOptions.createBasedOnOrgPlusRoleGroup", False),
    ("security_group", "creationOptions.createBasedOnRoleGroup", False),
    ("class_group", "configuration.additionalOptions.createTeam", True),
    ("class_group", "configuration.additionalOptions.createTeam", False),
    ("class_group", "configuration.additionalAttributes", ["classCode"]),
    ("class_group", "configuration.additionalAttributes", []),
    ("class_group", OWNERS, [{"code": "teacher"}]),
    ("class_group", OWNERS, []),
    ("user", "createUnmatchedUsers", False),
    ("user", "createUnmatchedUsers", None),
    ("user", "creationOptions", None),
    ("user", "managementOptions.additionalAttributes", ["userNumber"]),
    ("user", "managementOptions.additionalOptions.allowStudentContactAssociation", None),
    ("user", "creationOptions.configurations", []),
]


@pytest.mark.parametrize(
    ("name", "path", "value"), CHANGES, ids=[f"{path}={value}" for _, path, value in CHANGES]
)
async def test_an_update_changes_the_member_that_it_names_and_no_other(
    service: Api, name: str, path: str, value: Any
) -> None:
    flow = await service.new_flow(name)
    expected = settled(await flow.read())
    after = await patched(flow, at_path(path, value))
    assert at(after, path) == value
    parent, _, last = path.rpartition(".")
    (at(expected, parent) if parent else expected)[last] = value
    assert json.dumps(after) == json.dumps(expected)


async def test_null_for_a_collection_empties_it(service: Api) -> None:
    flow = await service.new_flow("class_group")
    after = await patched(flow, at_path("configuration.additionalAttributes", None))
    assert after["configuration"]["additionalAttributes"] == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("administrative_unit", "creationOptions"),
        ("administrative_unit", "creationOptions.createBasedOnOrg"),
        ("security_group", "creationOptions"),
        ("class_group", "configuration"),
        ("class_group", "configuration.additionalOptions"),
        ("class_group", "configuration.additionalOptions.createTeam"),
        ("class_group", "configuration.enrollmentMappings"),
        ("user", "managementOptions"),
        ("user", "managementOptions.additionalOptions"),
    ],
)
async def test_null_where_a_value_is_needed_is_refused_with_its_place(
    service: Api, name: str, path: str
) -> None:
    flow = await service.new_flow(name)
    answer = await service.patch(flow.url, at_path(path, None))
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert (detail["code"], detail["target"]) == ("NullValue", f"$.{path}")
    assert len([entry for entry in await history(flow) if entry["revision"] > 1]) == 0


@pytest.mark.parametrize("other", ["userProvisioningFlow", "provisioningFlow", "basicFilter"])
async def test_a_flow_stays_of_its_kind(service: Api, other: str) -> None:
    flow = await service.new_flow()
    body = {"@odata.type": f"#microsoft.graph.industryData.{other}"}
    error = assert_envelope(await service.patch(flow.url, body), 400, "BadRequest")
    assert error["details"][0]["target"] == "$['@odata.type']"
    assert flow.kind in error["message"]
    assert (await flow.read())["@odata.type"].endswith(flow.kind)


async def test_an_unknown_member_of_an_update_is_named(service: Api) -> None:
    flow = await service.new_flow()
    answer = await service.patch(flow.url, {"creationOptions": {"surprise": True}})
    error = assert_envelope(answer, 400, "BadRequest")
    assert error["details"][0]["target"] == "$.creationOptions.surprise"


# --- revision, readiness and times -------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_writing_back_what_was_read_changes_time_and_readiness_only(
    service: Api, name: str
) -> None:
    flow = await service.new_flow(name)
    await flow.until_status("ready")
    before = await flow.read()
    after = await patched(flow, before)
    assert json.dumps(after) == json.dumps(settled(before))
    await flow.until_status("ready")
    again = await flow.read()
    assert again["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    assert again["createdDateTime"] == before["createdDateTime"]


async def test_an_update_is_checked_anew_as_the_next_revision(service: Api) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    before = await flow.read()
    assert await patched(flow, {}) == settled(before)
    await flow.until_status("ready")
    assert (await flow.read())["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    published = [
        (entry["revision"], entry["readinessStatus"], entry["reason"])
        for entry in await history(flow)
    ]
    assert [entry[:2] for entry in published] == [
        (2, "ready"),
        (2, "notReady"),
        (1, "ready"),
        (1, "notReady"),
    ]
    assert (published[1][2], published[3][2]) == ("updated", "created")


@pytest.mark.parametrize("action", ["reset", "microsoft.graph.industryData.reset"])
async def test_a_reset_is_checked_anew_and_modifies_nothing(service: Api, action: str) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    before = await flow.read()
    answer = await service.send("POST", f"{flow.url}/{action}")
    assert (answer.status, answer.text) == (202, "")
    await flow.until_status("ready")
    assert await flow.read() == before
    entries = await history(flow)
    assert [entry["revision"] for entry in entries] == [2, 2, 1, 1]
    assert entries[1]["reason"] == "reset"


async def test_an_update_to_what_creates_nothing_disables(service: Api) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    options = {"createBasedOnOrg": False, "createBasedOnOrgPlusRoleGroup": False}
    await patched(flow, {"creationOptions": options})
    await flow.until_status("disabled")


# --- passwords ---------------------------------------------------------------------------------


class Passwords:
    """Opens what is stored of a flow's passwords."""

    def __init__(self, sets: ContainerProxy, keyring: Keyring) -> None:
        self.sets = sets
        self.keyring = keyring

    async def of(self, flow: Flow) -> dict[str, str]:
        """The passwords in clear, by role group."""
        stored = (await self.sets.read_item(flow.set_id, flow.set_id))["flows"][flow.kind]
        opened = {}
        for entry in stored["configuration"]["creationOptions"]["configurations"]:
            sealed = entry["defaultPasswordSettings"]
            if sealed is not None:
                password = self.keyring.open(
                    sealed["password"], flow.id, entry["roleGroup"]
                ).reveal()
                opened[entry["roleGroup"]] = password
        return opened


@pytest.fixture(scope="module")
def passwords(stored_sets: ContainerProxy, keyring: Keyring) -> Passwords:
    """What is stored of passwords."""
    return Passwords(stored_sets, keyring)


def configuration(group: str, **settings: Any) -> dict[str, Any]:
    """A configuration as an update gives it."""
    typed = {"@odata.type": "#microsoft.graph.industryData.simplePasswordSettings", **settings}
    return {
        "roleGroup@odata.bind": f"external/industryData/roleGroups/{group}",
        "licenseSkus": ["Sku9"],
        "defaultPasswordSettings": typed,
    }


def unchanged(entry: dict[str, Any]) -> None:
    """Leave an entry as it was sent."""


def omitted(entry: dict[str, Any]) -> None:
    """Leave the settings out."""
    del entry["defaultPasswordSettings"]


@pytest.mark.parametrize(
    ("settings", "change"),
    [({"password": MASK}, unchanged), ({}, unchanged), ({}, omitted)],
    ids=["mask", "settings without password", "nothing"],
)
async def test_a_password_that_is_not_given_stays(
    service: Api,
    passwords: Passwords,
    settings: dict[str, Any],
    change: Callable[[dict[str, Any]], None],
) -> None:
    flow = await service.new_flow("user")
    assert await passwords.of(flow) == PASSWORDS
    entries = [configuration(group, **settings) for group in PASSWORDS]
    for entry in entries:
        change(entry)
    after = await patched(flow, {"creationOptions": {"configurations": entries}})
    for entry in after["creationOptions"]["configurations"]:
        assert entry["licenseSkus"] == ["Sku9"]
        assert entry["defaultPasswordSettings"]["password"] == MASK
    assert await passwords.of(flow) == PASSWORDS


async def test_a_password_that_is_given_replaces_that_one_only(
    service: Api, passwords: Passwords
) -> None:
    flow = await service.new_flow("user")
    entries = [configuration("students", password="Another-7!"), configuration("staff")]
    await patched(flow, {"creationOptions": {"configurations": entries}})
    assert await passwords.of(flow) == {**PASSWORDS, "students": "Another-7!"}


async def test_null_takes_the_password_away(service: Api, passwords: Passwords) -> None:
    flow = await service.new_flow("user")
    entry = {**configuration("students"), "defaultPasswordSettings": None}
    after = await patched(
        flow, {"creationOptions": {"configurations": [entry, configuration("staff")]}}
    )
    assert after["creationOptions"]["configurations"][0]["defaultPasswordSettings"] is None
    assert await passwords.of(flow) == {"staff": PASSWORDS["staff"]}


async def test_the_mask_for_a_role_group_without_a_password_is_refused(service: Api) -> None:
    group = await service.new_role_group("teacher")
    flow = await service.new_flow("user")
    body = {"creationOptions": {"configurations": [configuration(group, password=MASK)]}}
    error = assert_envelope(await service.patch(flow.url, body), 400, "BadRequest")
    assert error["details"][0]["target"].endswith("defaultPasswordSettings.password")


# --- flow sets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"displayName": "Other"}, ("Other", BASIC_FILTER)),
        ({"filter": None}, ("Contoso", None)),
        ({"filter": {**BASIC_FILTER, "in": ["7"]}}, ("Contoso", {**BASIC_FILTER, "in": ["7"]})),
        ({"filter": {"in": ["8"]}}, ("Contoso", {**BASIC_FILTER, "in": ["8"]})),
        ({"FILTER": None, "DISPLAYNAME": "X"}, ("X", None)),
        ({}, ("Contoso", BASIC_FILTER)),
    ],
)
async def test_a_set_is_merged_with_its_update(
    service: Api, body: Any, expected: tuple[str, Any]
) -> None:
    created = await service.post(service.sets, {"displayName": "Contoso", "filter": BASIC_FILTER})
    before = created.json()
    url = service.set(before["id"])
    answer = await service.patch(url, body)
    assert (answer.status, answer.text) == (204, "")
    after = (await service.get(url)).json()
    assert after["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    expected_set = {
        **before,
        "lastModifiedDateTime": after["lastModifiedDateTime"],
        "displayName": expected[0],
        "filter": expected[1],
    }
    assert json.dumps(after) == json.dumps(expected_set)


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"displayName": None}, "$.displayName"),
        ({"filter": {"in": None}}, "$.filter.in"),
        ({"filter": {"in": ["1"]}}, "$.filter['@odata.type']"),
        ({"surprise": 1}, "$.surprise"),
        ([], "$"),
    ],
)
async def test_an_update_of_a_set_is_refused_with_its_place(
    service: Api, set_id: str, body: Any, target: str
) -> None:
    before = (await service.get(service.set(set_id))).text
    if target == "$.filter.in":
        body = {"filter": {**BASIC_FILTER, "in": None}}
    error = assert_envelope(await service.patch(service.set(set_id), body), 400, "BadRequest")
    assert error["details"][0]["target"] == target
    assert (await service.get(service.set(set_id))).text == before


# --- deletes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("whole_set", [True, False], ids=["set", "flow"])
async def test_what_is_deleted_is_gone_and_a_late_event_about_it_is_harmless(
    service: Api, stack: Stack, service_bus_client: ServiceBusClient, whole_set: bool
) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    url = service.set(flow.set_id) if whole_set else flow.url
    answer = await service.delete(url)
    assert (answer.status, answer.text) == (204, "")
    assert_envelope(await service.get(url), 404, "Request_ResourceNotFound")
    assert_envelope(await service.get(flow.url), 404, "Request_ResourceNotFound")
    assert_envelope(await service.delete(url), 404, "Request_ResourceNotFound")

    event_id, report = flow.report("failed", datetime.now(UTC))
    async with service_bus_client.get_queue_sender(READINESS_QUEUE) as sender:
        await sender.send_messages(report)
    assert await event_outcomes(stack, event_id) == ["gone"]
    assert (await service.get(flow.url)).status == 404
    assert (await service.get(service.set(flow.set_id))).status == (404 if whole_set else 200)


async def test_a_deleted_flow_makes_room_for_another_of_its_kind(service: Api) -> None:
    flow = await service.new_flow()
    assert (await service.create(flow.set_id)).status == 409
    assert (await service.delete(flow.url)).status == 204
    again = await service.create(flow.set_id)
    assert again.status == 201
    assert again.json()["id"] != flow.id


async def test_of_concurrent_updates_none_is_lost(service: Api) -> None:
    flow = await service.new_flow()
    bodies = [
        at_path(f"creationOptions.{name}", False)
        for name in ("createBasedOnOrg", "createBasedOnOrgPlusRoleGroup")
    ]
    answers = await asyncio.gather(*(service.patch(flow.url, body) for body in bodies))
    assert [answer.status for answer in answers] == [204, 204]
    assert set((await flow.read())["creationOptions"].values()) == {False}
    assert max(entry["revision"] for entry in await history(flow)) == 3


# --- Prefer, metadata and keys in parentheses --------------------------------------------------


@pytest.fixture(params=["set", "flow"])
async def url(request: pytest.FixtureRequest, service: Api) -> str:
    """A set and a flow, each of the test's own and settled."""
    flow = await service.new_flow()
    await flow.until_status("ready")
    return service.set(flow.set_id) if request.param == "set" else flow.url


async def test_prefer_representation_answers_an_update_with_what_is_read(
    service: Api, url: str
) -> None:
    answer = await service.patch(url, {}, Prefer="return=representation")
    assert answer.status == 200
    assert answer.headers["Preference-Applied"] == "return=representation"
    read = (await service.get(url)).json()
    assert list(answer.json()) == list(read)
    assert answer.json()["lastModifiedDateTime"] == read["lastModifiedDateTime"]


async def test_prefer_minimal_answers_a_create_with_the_address_only(service: Api) -> None:
    answer = await service.post(service.sets, {"displayName": "Short"}, Prefer="return=minimal")
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert answer.headers["OData-EntityId"] == answer.headers["Location"]
    read = await service.get(answer.headers["Location"])
    assert read.json()["displayName"] == "Short"


@pytest.mark.parametrize("level", ["none", "minimal", "full"])
async def test_the_level_of_metadata_is_as_asked(service: Api, url: str, level: str) -> None:
    answer = await service.get(url, Accept=f"application/json;odata.metadata={level}")
    assert f"odata.metadata={level}" in answer.headers["Content-Type"]
    controls = {name for name in answer.json() if "@odata" in name}
    kind = {"@odata.type"} if "provisioningFlows" in url else set()
    assert (
        controls
        == {
            "none": set(),
            "minimal": {"@odata.context"} | kind,
            "full": {"@odata.context", "@odata.etag"} | kind,
        }[level]
    )


async def test_keys_may_stand_in_parentheses(service: Api) -> None:
    flow = await service.new_flow("user")
    await flow.until_status("ready")
    set_url = f"{service.sets}('{flow.set_id}')"
    url = f"{set_url}/provisioningFlows('{flow.id}')"
    assert (await service.get(set_url)).text == (await service.get(service.set(flow.set_id))).text
    assert (await service.get(url)).json() == await flow.read()
    groups = f"{service.industry_data}/roleGroups"
    assert (await service.get(f"{groups}('staff')")).json()["id"] == "staff"
    assert (await service.send("POST", f"{url}/reset")).status == 202
    assert (await service.patch(url, {})).status == 204
    assert (await service.delete(url)).status == 204
    assert (await service.delete(set_url)).status == 204


# --- what Cosmos DB is asked -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("PATCH", "", {"displayName": "Cheap"}, ["GET", "PATCH"]),
        ("DELETE", "", None, ["DELETE"]),
        ("PATCH", "/provisioningFlows/{}", {}, ["GET", "PATCH"]),
        ("DELETE", "/provisioningFlows/{}", None, ["GET", "PATCH"]),
        ("POST", "/provisioningFlows/{}/reset", None, ["GET", "PATCH"]),
        ("GET", "", None, ["GET"]),
        ("GET", "/provisioningFlows", None, ["GET"]),
        ("GET", "/provisioningFlows/$count", None, ["GET"]),
        ("GET", "/provisioningFlows/{}/readinessHistory", None, ["GET"]),
    ],
)
async def test_an_operation_asks_for_little(
    service: Api, counted: Counted, method: str, path: str, body: Any, asked: list[str]
) -> None:
    created = await service.create(counted.set_id)
    flow = Flow(service, counted.set_id, created.json()["id"], "")
    await flow.until_status("ready")
    await counted.requests.reset()
    url = service.set(counted.set_id) + path.format(flow.id)
    payload = None if body is None else json.dumps(body).encode()
    assert (await service.send(method, url, payload)).status < 300
    # What follows is the check of the new revision: one more PATCH.
    assert (await counted.read())[: len(asked)] == asked
    assert len(await counted.read()) - len(asked) <= (
        asked == ["GET", "PATCH"] and method != "DELETE"
    )


@pytest.mark.parametrize("path", ["", "/$count"])
async def test_listing_and_counting_sets_is_one_query(
    service: Api, counted: Counted, path: str
) -> None:
    # The clock and checks of other flows query too: what the request asks for is always there.
    async def one_query() -> bool:
        await counted.requests.reset()
        assert (await service.get(service.sets + path)).status == 200
        return [each["operation"] for each in await counted.requests.read()] == ONE_QUERY

    await until(one_query, f"GET {path or 'of the sets'} asks Cosmos DB once")
