"""Updating flow sets and flows, and starting flows anew, over HTTP on the running stack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from local.config import READINESS_QUEUE
from shared.keyring import Keyring
from tests.api import NAMES, UNKNOWN, Answer, Api, Flow, assert_envelope, request_body
from tests.stored import stored_passwords

MASK = "*" * 15
NAMESPACE = "#microsoft.graph.industryData."
BASIC_FILTER = {
    "@odata.type": f"{NAMESPACE}basicFilter",
    "attribute": "orgExternalId",
    "in": ["10", "20"],
}
TIMES_AND_STATE = ("lastModifiedDateTime", "readinessStatus")


def without(printed: dict[str, Any], *names: str) -> dict[str, Any]:
    """An entity but for some members."""
    return {name: value for name, value in printed.items() if name not in names}


def at(value: Any, path: str) -> Any:
    """Follow a path of names and positions into a value."""
    for step in path.split("/"):
        value = value[int(step) if step.isdigit() else step]
    return value


def nested(path: str, value: Any) -> Any:
    """The body that sets what is at a path and nothing else."""
    for step in reversed(path.split("/")):
        value = {step: value}
    return value


# --- flow sets ---------------------------------------------------------------------------------


@pytest.fixture
async def filtered(service: Api) -> str:
    """The address of a set with a filter."""
    answer = await service.post(service.sets, {"displayName": "Before", "filter": BASIC_FILTER})
    assert answer.status == 201
    return service.set(answer.json()["id"])


async def test_a_set_keeps_what_an_update_does_not_name(service: Api, filtered: str) -> None:
    before = (await service.get(filtered)).json()
    answer = await service.patch(filtered, {"displayName": "After"})
    assert (answer.status, answer.text) == (204, "")
    after = (await service.get(filtered)).json()
    assert after["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    assert without(after, "lastModifiedDateTime") == {
        **without(before, "lastModifiedDateTime"),
        "displayName": "After",
    }


async def test_a_filter_is_merged_and_its_values_replaced(service: Api, filtered: str) -> None:
    assert (await service.patch(filtered, {"filter": {"IN": ["30"]}})).status == 204
    assert (await service.get(filtered)).json()["filter"] == {**BASIC_FILTER, "in": ["30"]}


async def test_null_takes_the_filter_away(service: Api, filtered: str) -> None:
    assert (await service.patch(filtered, {"filter": None})).status == 204
    assert (await service.get(filtered)).json()["filter"] is None


async def test_a_first_filter_must_name_its_type(service: Api, set_id: str) -> None:
    answer = await service.patch(service.set(set_id), {"filter": {"in": ["30"]}})
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert (detail["code"], detail["target"]) == ("MissingType", "$.filter['@odata.type']")


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        ({"displayName": None}, "NullValue", "$.displayName"),
        ({"displayName": " "}, "InvalidValue", "$.displayName"),
        ({"displayname": "a", "DISPLAYNAME": "b"}, "DuplicateProperty", "$.DISPLAYNAME"),
        ({"filter": {"in": None}}, "NullValue", "$.filter['in']"),
        ({"filter": {"attribute": "orgName"}}, "InvalidValue", "$.filter.attribute"),
        ({"surprise": 1}, "UnknownProperty", "$.surprise"),
        ({"provisioningFlows": [{}]}, "InvalidValue", "$.provisioningFlows"),
        ({"@odata.type": f"{NAMESPACE}roleGroup"}, "InvalidType", "$['@odata.type']"),
        ([], "InvalidValue", "$"),
        (None, "InvalidValue", "$"),
    ],
    ids=str,
)
async def test_a_refused_update_of_a_set_tells_why_and_changes_nothing(
    service: Api, filtered: str, body: Any, code: str, target: str
) -> None:
    before = await service.get(filtered)
    answer = await service.patch(filtered, body)
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert detail["code"] == code
    assert detail["target"].replace("['in']", ".in") == target.replace("['in']", ".in")
    assert (await service.get(filtered)).text == before.text


async def test_what_the_server_gives_a_set_cannot_be_set(service: Api, filtered: str) -> None:
    before = (await service.get(filtered)).json()
    body = {"id": UNKNOWN, "createdDateTime": "2001-01-01T00:00:00Z", "lastModifiedDateTime": None}
    assert (await service.patch(filtered, body)).status == 204
    after = (await service.get(filtered)).json()
    assert without(after, "lastModifiedDateTime") == without(before, "lastModifiedDateTime")


# --- flows: merge and replace ------------------------------------------------------------------

CLASS = "configuration"
MAPPINGS = f"{CLASS}/enrollmentMappings"
USER = "managementOptions"
CONFIGURATIONS = "creationOptions/configurations"

MERGES: list[tuple[str, str, Any]] = [
    ("administrative_unit", "creationOptions/createBasedOnOrg", False),
    ("administrative_unit", "creationOptions/createBasedOnOrgPlusRoleGroup", False),
    ("security_group", "creationOptions/createBasedOnRoleGroup", False),
    ("security_group", "creationOptions/createBasedOnOrgPlusRoleGroup", True),
    ("class_group", f"{CLASS}/additionalAttributes", ["classCode"]),
    ("class_group", f"{CLASS}/additionalAttributes", []),
    ("class_group", f"{CLASS}/additionalOptions/createTeam", False),
    ("class_group", f"{CLASS}/additionalOptions/writeDisplayNameOnCreateOnly", False),
    ("class_group", f"{MAPPINGS}/ownerEnrollmentMappings", [{"code": "coach"}]),
    ("class_group", f"{MAPPINGS}/memberEnrollmentMappings", []),
    ("user", "createUnmatchedUsers", False),
    ("user", f"{USER}/additionalAttributes", ["userNumber", "userGradeLevel"]),
    ("user", f"{USER}/additionalOptions/allowStudentContactAssociation", True),
    ("user", f"{USER}/additionalOptions/markAllStudentsAsMinors", False),
    ("user", CONFIGURATIONS, []),
    # Null, where a value is not needed.
    ("user", "createUnmatchedUsers", None),
    ("user", "creationOptions", None),
    ("user", f"{USER}/additionalOptions/allowStudentContactAssociation", None),
    ("user", f"{USER}/additionalOptions/markAllStudentsAsMinors", None),
]


@pytest.mark.parametrize(("name", "path", "value"), MERGES, ids=str)
async def test_an_update_changes_what_it_names_and_nothing_else(
    service: Api, name: str, path: str, value: Any
) -> None:
    flow = await service.new_flow(name)
    expected = await flow.read()
    answer = await service.patch(flow.url, nested(path, value))
    assert (answer.status, answer.text) == (204, "")
    parent, _, member = path.rpartition("/")
    (at(expected, parent) if parent else expected)[member] = value
    after = await flow.read()
    assert after["lastModifiedDateTime"] > expected["lastModifiedDateTime"]
    assert json.dumps(without(after, *TIMES_AND_STATE)) == json.dumps(
        without(expected, *TIMES_AND_STATE)
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("class_group", f"{CLASS}/additionalAttributes"),
        ("class_group", f"{MAPPINGS}/ownerEnrollmentMappings"),
        ("user", f"{USER}/additionalAttributes"),
        ("user", CONFIGURATIONS),
    ],
)
async def test_null_empties_a_collection(service: Api, name: str, path: str) -> None:
    flow = await service.new_flow(name)
    assert (await service.patch(flow.url, nested(path, None))).status == 204
    assert at(await flow.read(), path) == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("administrative_unit", "creationOptions"),
        ("administrative_unit", "creationOptions/createBasedOnOrg"),
        ("security_group", "creationOptions"),
        ("security_group", "creationOptions/createBasedOnRoleGroup"),
        ("class_group", CLASS),
        ("class_group", f"{CLASS}/additionalOptions"),
        ("class_group", f"{CLASS}/additionalOptions/createTeam"),
        ("class_group", MAPPINGS),
        ("user", USER),
        ("user", f"{USER}/additionalOptions"),
    ],
)
async def test_null_is_refused_where_a_value_is_needed(service: Api, name: str, path: str) -> None:
    flow = await service.new_flow(name)
    before = without(await flow.read(), "readinessStatus")
    answer = await service.patch(flow.url, nested(path, None))
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert (detail["code"], detail["target"]) == ("NullValue", f"$.{path.replace('/', '.')}")
    assert without(await flow.read(), "readinessStatus") == before


async def test_a_complex_value_that_was_null_must_come_complete(service: Api) -> None:
    flow = await service.new_flow("user")
    assert (await service.patch(flow.url, {"creationOptions": None})).status == 204
    entry = {"licenseSkus": ["Sku9"]}
    refused = await service.patch(flow.url, {"creationOptions": {"configurations": [entry]}})
    assert_envelope(refused, 400, "BadRequest")
    entry["roleGroup@odata.bind"] = "external/industryData/roleGroups/staff"  # type: ignore[assignment]
    given = await service.patch(flow.url, {"creationOptions": {"configurations": [entry]}})
    assert given.status == 204
    [printed] = at(await flow.read(), CONFIGURATIONS)
    assert (printed["licenseSkus"], printed["defaultPasswordSettings"]) == (["Sku9"], None)


@pytest.mark.parametrize("name", NAMES)
async def test_the_kind_of_a_flow_cannot_change(service: Api, name: str) -> None:
    flow = await service.new_flow(name)
    for other in NAMES:
        if other != name:
            answer = await service.send("PATCH", flow.url, request_body(other))
            [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
            assert (detail["code"], detail["target"]) == ("InvalidType", "$['@odata.type']")
            assert flow.kind in detail["message"]
    assert (await flow.read())["@odata.type"] == f"{NAMESPACE}{flow.kind}"


@pytest.mark.parametrize("casing", [str, str.lower, str.upper])
async def test_an_update_may_repeat_the_kind(service: Api, casing: Any) -> None:
    flow = await service.new_flow("user")
    body = {"@odata.type": casing(f"{NAMESPACE}{flow.kind}"), "createUnmatchedUsers": False}
    assert (await service.patch(flow.url, body)).status == 204
    assert (await flow.read())["createUnmatchedUsers"] is False


async def test_what_the_server_gives_a_flow_cannot_be_set(service: Api) -> None:
    flow = await service.new_flow("security_group")
    before = await flow.read()
    body = {
        "id": UNKNOWN,
        "createdDateTime": "2001-01-01T00:00:00Z",
        "lastModifiedDateTime": "2001-01-01T00:00:00Z",
        "readinessStatus": "expired",
    }
    assert (await service.patch(flow.url, body)).status == 204
    await flow.until_status("ready")
    after = await flow.read()
    assert without(after, *TIMES_AND_STATE) == without(before, *TIMES_AND_STATE)
    assert after["lastModifiedDateTime"] > before["lastModifiedDateTime"]


@pytest.mark.parametrize(
    ("name", "body", "code", "target"),
    [
        ("user", {"surprise": 1}, "UnknownProperty", "$.surprise"),
        ("user", {"configuration": {}}, "UnknownProperty", "$.configuration"),
        (
            "class_group",
            nested(f"{MAPPINGS}/ownerEnrollmentMappings", [{"code": "wizard"}]),
            "UnknownReference",
            "$.configuration.enrollmentMappings.ownerEnrollmentMappings[0].code",
        ),
        (
            "security_group",
            nested("creationOptions/createBasedOnOrg", True),
            "UnknownProperty",
            "$.creationOptions.createBasedOnOrg",
        ),
        ("user", [], "InvalidValue", "$"),
        ("user", "text", "InvalidValue", "$"),
    ],
    ids=str,
)
async def test_a_refused_update_of_a_flow_tells_why_and_changes_nothing(
    service: Api, name: str, body: Any, code: str, target: str
) -> None:
    flow = await service.new_flow(name)
    await flow.until_status("ready")
    before = await flow.read()
    answer = await service.patch(flow.url, body)
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert (detail["code"], detail["target"]) == (code, target)
    assert await flow.read() == before


async def test_what_is_not_there_is_not_found(service: Api) -> None:
    flow = await service.new_flow()
    other = await service.new_set()
    for url in (service.set(UNKNOWN), f"{service.flows(UNKNOWN)}/{flow.id}"):
        assert_envelope(await service.patch(url, {}), 404, "Request_ResourceNotFound")
    for url in (f"{service.flows(flow.set_id)}/{UNKNOWN}", f"{service.flows(other)}/{flow.id}"):
        assert_envelope(await service.patch(url, {}), 404, "Request_ResourceNotFound")
        assert_envelope(await service.send("POST", f"{url}/reset"), 404, "Request_ResourceNotFound")


async def test_updates_at_the_same_time_lose_nothing(service: Api) -> None:
    for _ in range(3):
        flow = await service.new_flow("user")
        await flow.until_status("ready")
        changes: list[dict[str, Any]] = [
            {"createUnmatchedUsers": False},
            nested(f"{USER}/additionalAttributes", ["userNumber"]),
            nested(f"{USER}/additionalOptions/allowStudentContactAssociation", True),
            nested(CONFIGURATIONS, []),
        ]
        answers = await asyncio.gather(*(service.patch(flow.url, change) for change in changes))
        assert [answer.status for answer in answers] == [204] * 4
        after = await flow.read()
        assert after["createUnmatchedUsers"] is False
        assert after[USER]["additionalAttributes"] == ["userNumber"]
        assert after[USER]["additionalOptions"]["allowStudentContactAssociation"] is True
        assert at(after, CONFIGURATIONS) == []
        assert (await history(flow))[0]["revision"] == 5


# --- the age group of 2025 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "minors"), [("minor", True), ("notAdult", False), ("adult", False), (None, False)]
)
async def test_the_age_group_decides_the_older_flag(
    service: Api, group: str | None, minors: bool
) -> None:
    flow = await service.new_flow("user")
    change = nested(f"{USER}/additionalOptions/studentAgeGroup", group)
    assert (await service.patch(flow.url, change)).status == 204
    assert (await flow.read())[USER]["additionalOptions"] == {
        "markAllStudentsAsMinors": minors,
        "allowStudentContactAssociation": False,
        "studentAgeGroup": group,
    }


async def test_the_older_flag_does_not_outvote_the_age_group(service: Api) -> None:
    flow = await service.new_flow("user")
    options = f"{USER}/additionalOptions"
    await service.patch(flow.url, nested(f"{options}/studentAgeGroup", "adult"))
    answer = await service.patch(flow.url, nested(f"{options}/markAllStudentsAsMinors", True))
    assert answer.status == 204
    additional = (await flow.read())[USER]["additionalOptions"]
    assert additional["markAllStudentsAsMinors"] is False
    assert additional["studentAgeGroup"] == "adult"


# --- readiness, revision, reset ----------------------------------------------------------------


async def history(flow: Flow) -> list[dict[str, Any]]:
    """What has happened to a flow's readiness, newest first."""
    answer = await flow.api.get(f"{flow.url}/readinessHistory")
    assert answer.status == 200, answer.text
    value: list[dict[str, Any]] = answer.json()["value"]
    return value


async def steps(flow: Flow) -> list[tuple[str, str | None, int | None]]:
    """The history without ids and times."""
    return [
        (entry["readinessStatus"], entry["reason"], entry["revision"])
        for entry in await history(flow)
    ]


@pytest.fixture(scope="module")
async def engine(service_bus_client: ServiceBusClient) -> AsyncIterator[ServiceBusSender]:
    """What a provisioning engine sends its reports with."""
    async with service_bus_client.get_queue_sender(READINESS_QUEUE) as sender:
        yield sender


@pytest.mark.parametrize("name", NAMES)
async def test_an_updated_flow_is_not_ready_and_checked_again(service: Api, name: str) -> None:
    flow = await service.new_flow(name)
    await flow.until_status("ready")
    assert (await service.patch(flow.url, {})).status == 204
    await flow.until_status("ready")
    assert await steps(flow) == [
        ("ready", None, 2),
        ("notReady", "updated", 2),
        ("ready", None, 1),
        ("notReady", "created", 1),
    ]


async def test_the_answer_to_an_update_says_that_it_is_not_ready(service: Api) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    answer = await service.patch(flow.url, {}, prefer="return=representation")
    assert answer.json()["readinessStatus"] == "notReady"


RESETS = ["reset", "microsoft.graph.industryData.reset", "RESET"]


@pytest.mark.parametrize("action", RESETS)
async def test_a_reset_is_accepted_without_a_body(service: Api, action: str) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    answer = await service.send("POST", f"{flow.url}/{action}")
    assert (answer.status, answer.text) == (202, "")
    await flow.until_status("ready")
    assert (await steps(flow))[:2] == [("ready", None, 2), ("notReady", "reset", 2)]


async def test_a_reset_takes_a_body_of_nothing(service: Api) -> None:
    flow = await service.new_flow()
    answer = await service.post(f"{flow.url}/reset", {})
    assert answer.status == 202


async def test_a_reset_does_not_count_as_a_change(service: Api) -> None:
    flow = await service.new_flow("user")
    await flow.until_status("ready")
    before = await flow.read()
    assert (await service.send("POST", f"{flow.url}/reset")).status == 202
    await flow.until_status("ready")
    assert await flow.read() == before


async def test_a_reset_clears_a_failure(service: Api, engine: ServiceBusSender) -> None:
    flow = await service.new_flow("class_group")
    await flow.until_status("ready")
    _, report = flow.report("failed", datetime.now(UTC))
    await engine.send_messages(report)
    await flow.until_status("failed")
    assert (await service.send("POST", f"{flow.url}/reset")).status == 202
    await flow.until_status("ready")


async def test_a_report_about_the_revision_before_an_update_is_ignored(
    service: Api, engine: ServiceBusSender
) -> None:
    flow = await service.new_flow("class_group")
    await flow.until_status("ready")
    assert (await service.patch(flow.url, {})).status == 204
    await flow.until_status("ready")
    _, late = flow.report("failed", datetime.now(UTC), revision=1)
    _, current = flow.report("disabled", datetime.now(UTC), revision=2)
    await engine.send_messages(late)
    await engine.send_messages(current)
    await flow.until_status("disabled")
    assert "failed" not in {status for status, _, _ in await steps(flow)}


# --- passwords ---------------------------------------------------------------------------------

SIMPLE = {"@odata.type": f"{NAMESPACE}simplePasswordSettings"}
PASSWORDS = {"staff": "Pa55-staff-ä", "students": "Pa55-students-✓"}


def configuration(group: str, settings: Any = ..., **other: Any) -> dict[str, Any]:
    """An entry of configurations; without settings it has no word about a password."""
    entry = {"roleGroup@odata.bind": f"external/industryData/roleGroups/{group}", **other}
    return entry if settings is ... else {**entry, "defaultPasswordSettings": settings}


@pytest.fixture
async def user(service: Api) -> Flow:
    """A user flow whose passwords are known."""
    body = json.loads(request_body("user"))
    body["creationOptions"]["configurations"] = [
        configuration(group, {**SIMPLE, "password": password})
        for group, password in PASSWORDS.items()
    ]
    set_id = await service.new_set()
    answer = await service.post(service.flows(set_id), body)
    assert answer.status == 201, answer.text
    return Flow(service, set_id, answer.json()["id"], "userProvisioningFlow")


async def give(service: Api, user: Flow, *entries: dict[str, Any]) -> Answer:
    """Update a flow's configurations."""
    return await service.patch(user.url, nested(CONFIGURATIONS, list(entries)))


async def test_created_passwords_are_stored(
    user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    assert await stored_passwords(stored_sets, keyring, user.set_id) == PASSWORDS


@pytest.mark.parametrize(
    "settings",
    [..., SIMPLE, {}, {**SIMPLE, "password": MASK}, {"password": MASK}, {"PASSWORD": MASK}],
    ids=["no settings", "no password", "nothing", "mask", "mask only", "mask in capitals"],
)
async def test_an_omitted_or_masked_password_keeps_the_stored_one(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring, settings: Any
) -> None:
    # In another order, so that a password goes with its role group and not with its place.
    entries = [configuration(group, settings, licenseSkus=["Sku3"]) for group in PASSWORDS]
    assert (await give(service, user, *entries[::-1])).status == 204
    assert await stored_passwords(stored_sets, keyring, user.set_id) == PASSWORDS
    printed = at(await user.read(), CONFIGURATIONS)
    assert [entry["roleGroup"]["id"] for entry in printed] == ["students", "staff"]
    for entry in printed:
        assert entry["licenseSkus"] == ["Sku3"]
        assert entry["defaultPasswordSettings"] == {**SIMPLE, "password": MASK}


async def test_an_update_that_does_not_speak_of_passwords_keeps_them(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    assert (await service.patch(user.url, {"createUnmatchedUsers": False})).status == 204
    assert (await service.send("POST", f"{user.url}/reset")).status == 202
    assert await stored_passwords(stored_sets, keyring, user.set_id) == PASSWORDS


async def test_a_new_password_replaces_the_stored_one_of_its_group(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    answer = await give(
        service,
        user,
        configuration("staff", {**SIMPLE, "password": "another one"}),
        configuration("students"),
    )
    assert answer.status == 204
    assert await stored_passwords(stored_sets, keyring, user.set_id) == {
        **PASSWORDS,
        "staff": "another one",
    }


async def test_null_takes_a_password_away(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    entries = [configuration("staff", None), configuration("students")]
    assert (await give(service, user, *entries)).status == 204
    assert await stored_passwords(stored_sets, keyring, user.set_id) == {**PASSWORDS, "staff": None}


async def test_a_removed_entry_takes_its_password_with_it(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    assert (await give(service, user, configuration("staff"))).status == 204
    assert (await give(service, user, *map(configuration, PASSWORDS))).status == 204
    assert await stored_passwords(stored_sets, keyring, user.set_id) == {
        **PASSWORDS,
        "students": None,
    }


async def test_the_mask_is_refused_where_no_password_is_stored(service: Api, user: Flow) -> None:
    assert (await give(service, user, configuration("staff"))).status == 204
    answer = await give(
        service,
        user,
        configuration("staff"),
        configuration("students", {**SIMPLE, "password": MASK}),
    )
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    entry = "$.creationOptions.configurations[1]"
    assert detail["target"] == f"{entry}.defaultPasswordSettings.password"


async def test_the_mask_is_refused_when_a_flow_is_created(service: Api, set_id: str) -> None:
    body = json.loads(request_body("user"))
    body["creationOptions"]["configurations"][0]["defaultPasswordSettings"]["password"] = MASK
    answer = await service.post(service.flows(set_id), body)
    assert_envelope(answer, 400, "BadRequest")


async def test_what_was_read_can_be_written_back_with_its_masks(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    await user.until_status("ready")
    read = await user.read()
    assert (await service.patch(user.url, read)).status == 204
    await user.until_status("ready")
    after = await user.read()
    assert json.dumps(without(after, *TIMES_AND_STATE)) == json.dumps(
        without(read, *TIMES_AND_STATE)
    )
    assert await stored_passwords(stored_sets, keyring, user.set_id) == PASSWORDS
