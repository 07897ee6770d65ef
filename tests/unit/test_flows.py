"""What is stored for a flow and what a reader gets, against the published answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.keyring import Keyring
from shared.contract import events
from shared.contract.json_body import read_json
from shared.contract.loading import load_flow
from shared.contract.names import NAMESPACE
from shared.contract.printing import Printer, readiness_history, role_group
from shared.contract.schemas import FLOW_SCHEMAS
from shared.contract.stored import flow_set_members
from shared.domain import flows
from shared.domain.catalog import BUILT_IN_ROLE_GROUPS, ROLE_CODES
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import as_guid
from shared.domain.readiness import Check, Outcome, Status, Verdict, effect
from shared.domain.secrets import MASKED_PASSWORD
from shared.services.provisioning_flows import new_flow as stored_form

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
NAMES = ("administrative_unit", "class_group", "security_group", "user")
PUBLISHED_SET = "9ab41255-5364-4c53-e15c-08dc4ab6ee03"
RING = Keyring.read(f"k1:{base64.b64encode(b'k' * 32).decode()}", LOCAL_TENANT)
ROOT = "https://graph.microsoft.com/beta"
PRINTER = Printer(ROOT)
USER = "userProvisioningFlow"


def published(name: str) -> str:
    """A published answer without its context, as JSON text with the members in their order."""
    answer = json.loads((PAYLOADS / f"{name}.response.json").read_bytes())
    del answer["@odata.context"]
    return json.dumps(answer)


def read(kind: str, flow: dict[str, Any], set_id: str = PUBLISHED_SET) -> dict[str, Any]:
    """A stored flow as it is read by a client."""
    return PRINTER.flow(set_id, kind, flow, BUILT_IN_ROLE_GROUPS)


def listed(flows_by_kind: dict[str, Any]) -> list[dict[str, Any]]:
    """The flows of a set as they are listed."""
    return PRINTER.flows({"id": PUBLISHED_SET, "flows": flows_by_kind}, BUILT_IN_ROLE_GROUPS)


def new_flow(name: str) -> tuple[str, dict[str, Any]]:
    """A published request body as it is stored."""
    body = read_json((PAYLOADS / f"{name}.request.json").read_bytes(), "application/json")
    kind, values = load_flow(body)
    return kind, stored_form(kind, values, RING)


def user_flow(**members: Any) -> dict[str, Any]:
    """A stored user flow with other members than the published one's."""
    body = json.loads((PAYLOADS / "user.request.json").read_bytes())
    _, values = load_flow({**body, **members})
    return stored_form(USER, values, RING)


def configurations(printed: Any) -> list[dict[str, Any]]:
    """The configurations of a user flow, stored or printed."""
    found: list[dict[str, Any]] = printed["creationOptions"]["configurations"]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_to_create_is_the_published_one_in_text(name: str) -> None:
    kind, flow = new_flow(name)
    printed = json.dumps(PRINTER.flow(PUBLISHED_SET, kind, flow, None))
    answer = json.loads(published(name))
    for member in ("id", "createdDateTime", "lastModifiedDateTime"):
        own = json.loads(printed)[member]
        printed = printed.replace(f'"{member}": "{own}"', f'"{member}": "{answer[member]}"')
    assert printed == published(name)


@pytest.mark.parametrize("name", ["administrative_unit", "class_group", "security_group"])
def test_a_flow_without_role_groups_reads_as_it_was_created(name: str) -> None:
    kind, flow = new_flow(name)
    created = PRINTER.flow(PUBLISHED_SET, kind, flow, None)
    assert json.dumps(read(kind, flow)) == json.dumps(created)


def test_reading_a_user_flow_puts_each_role_group_inline_behind_its_context() -> None:
    kind, flow = new_flow("user")
    printed = read(kind, flow)
    context = (
        f"{ROOT}/$metadata#external/industryData/outboundProvisioningFlowSets('{PUBLISHED_SET}')"
        f"/provisioningFlows('{flow['id']}')/microsoft.graph.industryData.userProvisioningFlow"
        "/creationOptions/configurations/roleGroup/$entity"
    )
    staff, students = configurations(printed)
    assert list(staff) == list(students)
    assert list(staff) == [
        "licenseSkus",
        "defaultPasswordSettings",
        "roleGroup@odata.context",
        "roleGroup",
    ]
    assert (staff["roleGroup@odata.context"], students["roleGroup@odata.context"]) == (
        context,
        context,
    )
    assert json.dumps(students["roleGroup"]) == json.dumps(
        {"id": "students", "displayName": "Students", "roles": [{"code": "student"}]}
    )
    assert (staff["roleGroup"]["id"], staff["roleGroup"]["displayName"]) == ("staff", "Staff")


def test_the_staff_group_has_the_documented_codes_in_alphabetical_order() -> None:
    codes = [role["code"] for role in role_group(BUILT_IN_ROLE_GROUPS["staff"])["roles"]]
    assert " ".join(codes) == (
        "adjunct administrator advisor affiliate aide alumni assistant chair coach faculty "
        "instructor itAdmin lecturer nurse occupationalTherapist officeStaff paraprofessional "
        "physicalTherapist principal proctor professor researcher specialServices "
        "speechTherapist staff substitute teacher teacherAssistant visionTherapist"
    )


def test_every_role_of_a_built_in_group_is_a_role_that_exists() -> None:
    roles = [role for group in BUILT_IN_ROLE_GROUPS.values() for role in group.roles]
    assert set(roles) == set(ROLE_CODES) - {"other"}
    assert len({code.lower() for code in ROLE_CODES}) == len(ROLE_CODES) == 31


def test_a_bind_is_never_printed() -> None:
    kind, flow = new_flow("user")
    for printed in (
        PRINTER.flow(PUBLISHED_SET, kind, flow, None),
        read(kind, flow),
    ):
        assert "odata.bind" not in json.dumps(printed)


@pytest.mark.parametrize("password", ["x", "********", "a" * 200])
def test_a_password_reads_as_fifteen_asterisks_whatever_its_length(password: str) -> None:
    body = json.loads((PAYLOADS / "user.request.json").read_bytes())
    configurations(body)[0]["defaultPasswordSettings"]["password"] = password
    flow = user_flow(creationOptions=body["creationOptions"])
    for printed in (
        PRINTER.flow(PUBLISHED_SET, USER, flow, None),
        read(USER, flow),
        listed({USER: flow})[0],
    ):
        settings = configurations(printed)[0]["defaultPasswordSettings"]
        assert json.dumps(settings) == json.dumps(
            {
                "@odata.type": "#microsoft.graph.industryData.simplePasswordSettings",
                "password": "*" * 15,
            }
        )


@pytest.mark.parametrize("options", [None, {}, {"configurations": []}, {"configurations": None}])
def test_a_user_flow_without_configurations_prints_the_same_everywhere(options: Any) -> None:
    flow = user_flow(creationOptions=options)
    expected: Any = None if options is None else {"configurations": []}
    for printed in (
        PRINTER.flow(PUBLISHED_SET, USER, flow, None),
        read(USER, flow),
    ):
        assert printed["creationOptions"] == expected


def test_a_configuration_without_a_password_prints_null() -> None:
    bind = {"roleGroup@odata.bind": "external/industryData/roleGroups/staff"}
    flow = user_flow(creationOptions={"configurations": [bind]})
    [entry] = configurations(PRINTER.flow(PUBLISHED_SET, USER, flow, None))
    assert entry == {"licenseSkus": [], "defaultPasswordSettings": None}


# --- what is stored ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_new_flow_is_revision_one_and_not_ready(name: str) -> None:
    _, flow = new_flow(name)
    assert as_guid(flow["id"]) == flow["id"]
    assert flow["createdDateTime"] == flow["lastModifiedDateTime"]
    assert (flow["readinessStatus"], flow["revision"]) == ("notReady", 1)
    assert_is_to_be_checked(flow)


def assert_is_to_be_checked(flow: dict[str, Any]) -> None:
    """Nothing is known of this revision; a check that gets lost is due again after a minute."""
    assert (flow["readinessStatus"], flow["check"], flow["report"]) == ("notReady", None, None)
    assert (flow["asks"], flow["checkDueAt"]) == (1, flow["revisedAt"] + 60_000_000)
    assert flow["history"][0]["revision"] == flow["revision"]
    assert flow["history"][0]["eventAt"] == flow["revisedAt"]
    assert len(flow["history"]) == flows.HISTORY_ENTRIES


@pytest.mark.parametrize("reason", ["updated", "reset"])
def test_a_changed_flow_is_one_revision_more_and_not_ready(reason: str) -> None:
    _, flow = new_flow("user")
    ready = {"readinessStatus": "ready", "check": {"status": "ready", "reason": None}}
    before = {**flow, **ready, "revision": 5, "asks": 3, "checkDueAt": None}
    configuration = flow["configuration"]
    after = (
        flows.reset_flow(before)
        if reason == "reset"
        else flows.next_revision(before, configuration)
    )
    assert_is_to_be_checked(after)
    assert (after["revision"], after["history"][0]["reason"]) == (6, reason)
    assert after["history"][1:] == before["history"][:-1]
    assert after["stamp"] != before["stamp"]
    assert after["configuration"] == configuration


def test_the_first_event_about_a_new_flow_is_news() -> None:
    kind, flow = new_flow("user")
    event = events.read_event(events.check_request(PUBLISHED_SET, kind, flow).body)
    assert isinstance(event, events.ReadinessEvent)
    ready = Verdict(Status.READY)
    check = Check(event.id, PUBLISHED_SET, kind, flow["id"], 1, event.position, ready)
    assert effect(flow, check).outcome is Outcome.APPLIED


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_survives_json(name: str) -> None:
    _, flow = new_flow(name)
    assert json.loads(json.dumps(flow)) == flow


def test_a_stored_password_is_sealed_for_its_own_flow() -> None:
    _, flow = new_flow("user")
    for entry in configurations(flow["configuration"]):
        sealed = entry["defaultPasswordSettings"]["password"]
        assert RING.open(sealed, flow["id"], entry["roleGroup"]).reveal() == "********"


def test_a_stored_configuration_names_its_role_group_by_id() -> None:
    _, flow = new_flow("user")
    assert [entry["roleGroup"] for entry in configurations(flow["configuration"])] == [
        "staff",
        "students",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_printing_changes_nothing_that_is_stored(name: str) -> None:
    kind, flow = new_flow(name)
    before = json.dumps(flow)
    PRINTER.flow(PUBLISHED_SET, kind, flow, None)
    read(kind, flow)
    flows.without_passwords(flow["configuration"])
    assert json.dumps(flow) == before


def test_a_message_gets_the_configuration_with_its_passwords_masked() -> None:
    _, flow = new_flow("user")
    copied = flows.without_passwords(flow["configuration"])
    for entry, stored in zip(
        configurations(copied), configurations(flow["configuration"]), strict=True
    ):
        assert entry["defaultPasswordSettings"]["password"] == MASKED_PASSWORD
        assert {**entry, "defaultPasswordSettings": 0} == {**stored, "defaultPasswordSettings": 0}
    assert "sealed" not in json.dumps(copied)


@pytest.mark.parametrize("name", ["administrative_unit", "class_group", "security_group"])
def test_a_message_gets_a_configuration_without_passwords_whole(name: str) -> None:
    _, flow = new_flow(name)
    assert flows.without_passwords(flow["configuration"]) == flow["configuration"]


@pytest.mark.parametrize("options", [None, {"configurations": []}])
def test_a_user_flow_without_configurations_goes_into_a_message_whole(options: Any) -> None:
    flow = user_flow(creationOptions=options)
    assert flows.without_passwords(flow["configuration"]) == flow["configuration"]


def test_the_history_has_each_moment_to_the_microsecond() -> None:
    _, flow = new_flow("user")
    [entry] = readiness_history(
        {"history": [{**flow["history"][0], "eventAt": 1_711_151_282_716_420, "appliedAt": 0}]}
    )
    assert entry["eventDateTime"] == "2024-03-22T23:48:02.71642Z"
    assert entry["appliedDateTime"] == "1970-01-01T00:00:00Z"


# --- lists and sets ----------------------------------------------------------------------------


def test_a_list_is_in_ascending_order_of_ids_whatever_the_order_of_creation() -> None:
    stored = {}
    for name, first in zip(NAMES, "d1fa", strict=True):
        kind, flow = new_flow(name)
        stored[kind] = {**flow, "id": first + flow["id"][1:]}
    assert [flow["id"][0] for flow in listed(stored)] == ["1", "a", "d", "f"]


def test_a_listed_flow_is_the_read_one() -> None:
    for name in NAMES:
        kind, flow = new_flow(name)
        assert json.dumps(listed({kind: flow})) == json.dumps([read(kind, flow)])


def test_a_set_without_flows_lists_none() -> None:
    assert listed({}) == []


@pytest.mark.parametrize(
    "given_filter",
    [
        None,
        {
            "@odata.type": "#microsoft.graph.industryData.basicFilter",
            "attribute": "orgExternalId",
            "in": ["20", "10", "20"],
        },
    ],
)
def test_a_flow_set_is_printed_in_the_documented_order(given_filter: Any) -> None:
    members = flow_set_members({"filter": given_filter, "displayName": "Contoso Süd"})
    document = flows.new_flow_set(members)
    assert document["flows"] == {}
    assert as_guid(document["id"]) == document["id"]
    printed = PRINTER.flow_set({**document, "createdDateTime": "2024-03-22T21:28:02.7000000Z"})
    assert json.dumps(printed) == json.dumps(
        {
            "id": document["id"],
            "createdDateTime": "2024-03-22T21:28:02.7Z",
            "lastModifiedDateTime": printed["lastModifiedDateTime"],
            "displayName": "Contoso Süd",
            "filter": given_filter,
        }
    )


def test_contexts_start_with_the_service_root_that_was_set() -> None:
    printer = Printer("https://flows.contoso.com/beta")
    kind, flow = new_flow("user")
    printed = printer.flow(PUBLISHED_SET, kind, flow, BUILT_IN_ROLE_GROUPS)
    for context in (
        configurations(printed)[0]["roleGroup@odata.context"],
        printer.context("external/industryData/roleGroups"),
    ):
        assert context.startswith("https://flows.contoso.com/beta/$metadata#external/industryData/")


@pytest.mark.parametrize("kind", FLOW_SCHEMAS)
def test_there_is_a_published_example_of_every_kind(kind: str) -> None:
    kinds = [json.loads(published(name))["@odata.type"] for name in NAMES]
    assert kinds.count(f"#{NAMESPACE}{kind}") == 1
