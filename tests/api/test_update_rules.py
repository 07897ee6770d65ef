"""Finer rules of updates and resets: what is fixed, races, the age group of 2025, passwords."""

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
from shared.adapters.keyring import Keyring
from tests.support.api import NAMES, UNKNOWN, Answer, Api, Flow, assert_envelope, request_body
from tests.support.stored import stored_passwords

MASK = "*" * 15
NAMESPACE = "#microsoft.graph.industryData."
TIMES_AND_STATE = ("lastModifiedDateTime", "readinessStatus")
CLASS = "configuration"
MAPPINGS = f"{CLASS}/enrollmentMappings"
USER = "managementOptions"
CONFIGURATIONS = "creationOptions/configurations"


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


# --- what is fixed -----------------------------------------------------------------------------


async def test_what_the_server_gives_a_set_cannot_be_set(service: Api, set_id: str) -> None:
    url = service.set(set_id)
    before = (await service.get(url)).json()
    body = {"id": UNKNOWN, "createdDateTime": "2001-01-01T00:00:00Z", "lastModifiedDateTime": None}
    assert (await service.patch(url, body)).status == 204
    after = (await service.get(url)).json()
    assert without(after, "lastModifiedDateTime") == without(before, "lastModifiedDateTime")


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


@pytest.mark.parametrize(
    "settings",
    [..., SIMPLE, {}, {"password": MASK}, {"PASSWORD": MASK}],
    ids=["no settings", "no password", "nothing", "mask without type", "mask in capitals"],
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


async def test_the_mask_is_refused_when_a_flow_is_created(service: Api, set_id: str) -> None:
    body = json.loads(request_body("user"))
    body["creationOptions"]["configurations"][0]["defaultPasswordSettings"]["password"] = MASK
    answer = await service.post(service.flows(set_id), body)
    assert_envelope(answer, 400, "BadRequest")
