"""What updates, resets and deletes of sets and flows change, and what they leave."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy

from shared.adapters.keyring import Keyring
from tests.support.api import UNKNOWN, Answer, Api, Flow, assert_envelope, ready_flow_of
from tests.support.bodies import NAMES, bound_to, request_body
from tests.support.queue import Queue
from tests.support.stored import stored_passwords

MASK = "*" * 15
TYPE = "#microsoft.graph.industryData."
BASIC_FILTER = {
    "@odata.type": f"{TYPE}basicFilter",
    "attribute": "orgExternalId",
    "in": ["10", "20"],
}
OWNERS = "configuration.enrollmentMappings.ownerEnrollmentMappings"
OPTIONS = "managementOptions.additionalOptions"
CONFIGURATIONS = "creationOptions.configurations"


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


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("class_group", "configuration.additionalAttributes"),
        ("class_group", OWNERS),
        ("user", "managementOptions.additionalAttributes"),
        ("user", CONFIGURATIONS),
    ],
)
async def test_null_empties_a_collection(service: Api, name: str, path: str) -> None:
    flow = await service.new_flow(name)
    assert (await service.patch(flow.url, at_path(path, None))).status == 204
    assert at(await flow.read(), path) == []


async def test_a_complex_value_that_was_null_must_come_complete(service: Api) -> None:
    flow = await service.new_flow("user")
    assert (await service.patch(flow.url, {"creationOptions": None})).status == 204
    entry: dict[str, Any] = {"licenseSkus": ["Sku9"]}
    refused = await service.patch(flow.url, {"creationOptions": {"configurations": [entry]}})
    assert_envelope(refused, 400, "BadRequest")
    entry["roleGroup@odata.bind"] = "external/industryData/roleGroups/staff"
    given = await service.patch(flow.url, {"creationOptions": {"configurations": [entry]}})
    assert given.status == 204
    [printed] = at(await flow.read(), CONFIGURATIONS)
    assert (printed["licenseSkus"], printed["defaultPasswordSettings"]) == (["Sku9"], None)


@pytest.mark.parametrize("name", NAMES)
async def test_the_kind_of_a_flow_cannot_change(service: Api, name: str) -> None:
    flow = await service.new_flow(name)
    others = [json.loads(request_body(other)) for other in NAMES if other != name]
    others += [{"@odata.type": f"{TYPE}{other}"} for other in ("provisioningFlow", "basicFilter")]
    for body in others:
        error = assert_envelope(await service.patch(flow.url, body), 400, "BadRequest")
        [detail] = error["details"]
        assert (detail["code"], detail["target"]) == ("InvalidType", "$['@odata.type']")
        assert flow.kind in detail["message"]
    assert (await flow.read())["@odata.type"] == f"{TYPE}{flow.kind}"


@pytest.mark.parametrize("casing", [str, str.lower, str.upper])
async def test_an_update_may_repeat_the_kind(service: Api, casing: Any) -> None:
    flow = await service.new_flow("user")
    body = {"@odata.type": casing(f"{TYPE}{flow.kind}"), "createUnmatchedUsers": False}
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
    assert settled(await flow.read()) == settled(before)


@pytest.mark.parametrize(
    ("name", "body", "code", "target"),
    [
        ("user", {"surprise": 1}, "UnknownProperty", "$.surprise"),
        ("user", {"configuration": {}}, "UnknownProperty", "$.configuration"),
        (
            "class_group",
            at_path(OWNERS, [{"code": "wizard"}]),
            "UnknownReference",
            "$.configuration.enrollmentMappings.ownerEnrollmentMappings[0].code",
        ),
        (
            "security_group",
            at_path("creationOptions.createBasedOnOrg", True),
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


@pytest.mark.parametrize(
    ("body", "target"),
    [
        (b'{"createUnmatchedUsers": true, "createUnmatchedUsers": true}', "createUnmatchedUsers"),
        (b'{"createUnmatchedUsers": true, "CREATEUNMATCHEDUSERS": true}', "CREATEUNMATCHEDUSERS"),
        (
            b'{"managementOptions": {"additionalOptions": {}, "AdditionalOptions": {}}}',
            "managementOptions.AdditionalOptions",
        ),
    ],
)
async def test_a_member_that_an_update_gives_twice_is_refused(
    service: Api, body: bytes, target: str
) -> None:
    flow = await service.new_flow("user")
    answer = await service.send("PATCH", flow.url, body)
    [detail] = assert_envelope(answer, 400, "BadRequest")["details"]
    assert (detail["code"], detail["target"]) == ("DuplicateProperty", f"$.{target}")


async def test_a_role_group_that_was_deleted_stays_possible_where_it_was_given(
    service: Api,
) -> None:
    gone, other = [await service.new_role_group("nurse") for _ in range(2)]
    flow = await ready_flow_of(service, bound_to(gone))
    for group in (gone, other):
        assert (await service.delete(f"{service.groups}/{group}")).status == 204
    await patched(flow, at_path(CONFIGURATIONS, [configuration(gone)]))
    refused = await service.patch(flow.url, at_path(CONFIGURATIONS, [configuration(other)]))
    assert other in assert_envelope(refused, 400, "BadRequest")["message"]


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
            at_path("managementOptions.additionalAttributes", ["userNumber"]),
            at_path(f"{OPTIONS}.allowStudentContactAssociation", True),
            at_path(CONFIGURATIONS, []),
        ]
        answers = await asyncio.gather(*(service.patch(flow.url, change) for change in changes))
        assert [answer.status for answer in answers] == [204] * 4
        after = await flow.read()
        assert after["createUnmatchedUsers"] is False
        assert after["managementOptions"]["additionalAttributes"] == ["userNumber"]
        assert at(after, OPTIONS)["allowStudentContactAssociation"] is True
        assert at(after, CONFIGURATIONS) == []
        assert (await history(flow))[0]["revision"] == 5


async def test_the_older_flag_does_not_outvote_the_age_group(service: Api) -> None:
    flow = await service.new_flow("user")
    await patched(flow, at_path(f"{OPTIONS}.studentAgeGroup", "adult"))
    after = at(await patched(flow, at_path(f"{OPTIONS}.markAllStudentsAsMinors", True)), OPTIONS)
    assert (after["markAllStudentsAsMinors"], after["studentAgeGroup"]) == (False, "adult")


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


@pytest.mark.parametrize("action", ["reset", "microsoft.graph.industryData.reset", "RESET"])
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


async def test_the_answer_to_an_update_says_that_it_is_not_ready(service: Api) -> None:
    flow = await service.new_flow()
    await flow.until_status("ready")
    answer = await service.patch(flow.url, {}, prefer="return=representation")
    assert answer.json()["readinessStatus"] == "notReady"


async def test_a_reset_takes_a_body_of_nothing(service: Api) -> None:
    flow = await service.new_flow()
    answer = await service.post(f"{flow.url}/reset", {})
    assert answer.status == 202


async def test_a_reset_clears_a_failure(service: Api, queue: Queue) -> None:
    flow = await service.new_flow("class_group")
    await flow.until_status("ready")
    _, report = flow.report("failed", datetime.now(UTC))
    await queue.send(report)
    await flow.until_status("failed")
    assert (await service.send("POST", f"{flow.url}/reset")).status == 202
    await flow.until_status("ready")


async def test_a_report_about_the_revision_before_an_update_is_ignored(
    service: Api, queue: Queue
) -> None:
    flow = await service.new_flow("class_group")
    await flow.until_status("ready")
    assert (await service.patch(flow.url, {})).status == 204
    await flow.until_status("ready")
    _, late = flow.report("failed", datetime.now(UTC), revision=1)
    _, current = flow.report("disabled", datetime.now(UTC), revision=2)
    await queue.send(late, current)
    await flow.until_status("disabled")
    assert "failed" not in {entry["readinessStatus"] for entry in await history(flow)}


# --- passwords ---------------------------------------------------------------------------------

SIMPLE = {"@odata.type": f"{TYPE}simplePasswordSettings"}
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
    return await service.patch(user.url, at_path(CONFIGURATIONS, list(entries)))


@pytest.mark.parametrize(
    "settings",
    [..., SIMPLE, {}, {**SIMPLE, "password": MASK}, {"password": MASK}, {"PASSWORD": MASK}],
    ids=["no settings", "no password", "nothing", "mask", "mask without type", "capitals"],
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


async def test_a_removed_entry_takes_its_password_with_it(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    assert (await give(service, user, configuration("staff"))).status == 204
    assert (await give(service, user, *map(configuration, PASSWORDS))).status == 204
    assert await stored_passwords(stored_sets, keyring, user.set_id) == {
        **PASSWORDS,
        "students": None,
    }


async def test_a_password_that_is_given_replaces_that_one_only(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    new = configuration("students", {**SIMPLE, "password": "Another-7!"})
    assert (await give(service, user, new, configuration("staff"))).status == 204
    expected = {**PASSWORDS, "students": "Another-7!"}
    assert await stored_passwords(stored_sets, keyring, user.set_id) == expected


async def test_null_takes_the_password_away(
    service: Api, user: Flow, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    none = configuration("students", None)
    assert (await give(service, user, none, configuration("staff"))).status == 204
    [printed, _] = at(await user.read(), CONFIGURATIONS)
    assert printed["defaultPasswordSettings"] is None
    expected = {**PASSWORDS, "students": None}
    assert await stored_passwords(stored_sets, keyring, user.set_id) == expected


async def test_the_mask_for_a_role_group_without_a_password_is_refused(
    service: Api, user: Flow
) -> None:
    group = await service.new_role_group("teacher")
    masked = configuration(group, {**SIMPLE, "password": MASK})
    error = assert_envelope(await give(service, user, masked), 400, "BadRequest")
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


async def test_what_the_server_gives_a_set_cannot_be_set(service: Api, set_id: str) -> None:
    url = service.set(set_id)
    before = (await service.get(url)).json()
    body = {"id": UNKNOWN, "createdDateTime": "2001-01-01T00:00:00Z", "lastModifiedDateTime": None}
    assert (await service.patch(url, body)).status == 204
    after = (await service.get(url)).json()
    assert settled(after) == settled(before)


# --- deletes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("whole_set", [True, False], ids=["set", "flow"])
async def test_what_is_deleted_is_gone_and_a_late_event_about_it_is_harmless(
    service: Api, queue: Queue, whole_set: bool
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
    await queue.send(report)
    assert await queue.outcomes(event_id) == ["gone"]
    assert (await service.get(flow.url)).status == 404
    assert (await service.get(service.set(flow.set_id))).status == (404 if whole_set else 200)


async def test_a_deleted_flow_makes_room_for_another_of_its_kind(service: Api) -> None:
    flow = await service.new_flow()
    assert (await service.create(flow.set_id)).status == 409
    assert (await service.delete(flow.url)).status == 204
    again = await service.create(flow.set_id)
    assert again.status == 201
    assert again.json()["id"] != flow.id


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
    controls = {name for name in answer.json() if name.startswith("@odata")}
    kind = {"@odata.type"} if "provisioningFlows" in url else set()
    assert (
        controls
        == {
            "none": set(),
            "minimal": {"@odata.context"} | kind,
            "full": {
                *("@odata.context", "@odata.type", "@odata.id", "@odata.etag"),
                "@odata.editLink",
            },
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
