"""The rules of readiness: what a check finds for each kind of flow."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.keyring import Keyring
from shared.contract.loading import load_flow
from shared.contract.names import NAMESPACE
from shared.domain import flows, readiness
from shared.domain.catalog import BUILT_IN_ROLE_GROUPS
from shared.domain.context import LOCAL_TENANT
from shared.domain.readiness import Status, Surroundings, Verdict
from shared.services.provisioning_flows import new_flow

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
ADMINISTRATIVE_UNIT = "administrativeUnitProvisioningFlow"
CLASS_GROUP = "classGroupProvisioningFlow"
SECURITY_GROUP = "securityGroupProvisioningFlow"
USER = "userProvisioningFlow"
YES_AND_NO = list(itertools.product([False, True], repeat=2))
RING = Keyring.read(f"k1:{base64.b64encode(b'k' * 32).decode()}", LOCAL_TENANT)


AROUND = Surroundings({group.id: group.roles for group in BUILT_IN_ROLE_GROUPS.values()})


def check(kind: str, around: Surroundings = AROUND, **members: Any) -> Verdict:
    """Check a flow as it is stored when a client sends these members."""
    _, values = load_flow({"@odata.type": f"#{NAMESPACE}{kind}", **members})
    return verdict(kind, new_flow(kind, values, RING)["configuration"], around)


def verdict(kind: str, configuration: dict[str, Any], around: Surroundings = AROUND) -> Verdict:
    """Check a stored configuration."""
    return readiness.check(kind, configuration, around)


@pytest.mark.parametrize("name", ["administrative_unit", "class_group", "security_group", "user"])
def test_the_published_flows_are_ready(name: str) -> None:
    body = json.loads((PAYLOADS / f"{name}.request.json").read_bytes())
    kind = body["@odata.type"].removeprefix(f"#{NAMESPACE}")
    assert check(kind, **body) == Verdict(Status.READY, None)


@pytest.mark.parametrize(("one", "other"), YES_AND_NO)
def test_an_administrative_unit_flow_needs_something_to_create(one: bool, other: bool) -> None:
    found = check(
        ADMINISTRATIVE_UNIT,
        creationOptions={"createBasedOnOrg": one, "createBasedOnOrgPlusRoleGroup": other},
    )
    assert found.status == (Status.READY if one or other else Status.DISABLED)
    assert (found.reason is None) == (one or other)
    if found.reason:
        assert "createBasedOnOrg or createBasedOnOrgPlusRoleGroup" in found.reason


@pytest.mark.parametrize(("one", "other"), YES_AND_NO)
def test_a_security_group_flow_needs_something_to_create(one: bool, other: bool) -> None:
    found = check(
        SECURITY_GROUP,
        creationOptions={"createBasedOnRoleGroup": one, "createBasedOnOrgPlusRoleGroup": other},
    )
    assert found.status == (Status.READY if one or other else Status.DISABLED)
    assert (found.reason is None) == (one or other)
    if found.reason:
        assert "createBasedOnRoleGroup or createBasedOnOrgPlusRoleGroup" in found.reason


ROLES = [{"code": "teacher"}]


@pytest.mark.parametrize(
    ("owners", "members", "team", "status", "advice"),
    [
        (ROLES, ROLES, True, Status.READY, None),
        (ROLES, [], True, Status.READY, None),
        (ROLES, [], False, Status.READY, None),
        ([], ROLES, False, Status.READY, None),
        ([], ROLES, True, Status.FAILED, "set createTeam to false"),
        ([], [], False, Status.DISABLED, "map section roles"),
        ([], [], True, Status.DISABLED, "map section roles"),
        (None, None, True, Status.DISABLED, "map section roles"),
    ],
)
def test_a_class_group_flow_needs_people_and_a_team_needs_an_owner(
    owners: Any, members: Any, team: bool, status: Status, advice: str | None
) -> None:
    found = check(
        CLASS_GROUP,
        configuration={
            "additionalOptions": {"createTeam": team, "writeDisplayNameOnCreateOnly": False},
            "enrollmentMappings": {
                "ownerEnrollmentMappings": owners,
                "memberEnrollmentMappings": members,
            },
        },
    )
    assert found.status == status
    assert found.reason is None if advice is None else advice in str(found.reason)


def entry(group: str, *, password: bool = True) -> dict[str, Any]:
    """A user configuration for a role group."""
    settings_type = f"#{NAMESPACE}simplePasswordSettings"
    return {
        "roleGroup@odata.bind": f"external/industryData/roleGroups/{group}",
        "defaultPasswordSettings": (
            {"@odata.type": settings_type, "password": "first day"} if password else None
        ),
    }


NOTHING: dict[str, Any] = {"additionalOptions": {}}
STAFF = {"configurations": [entry("staff")]}


@pytest.mark.parametrize(
    ("create", "management", "creation", "status", "advice"),
    [
        (True, NOTHING, STAFF, Status.READY, None),
        (True, NOTHING, None, Status.FAILED, "needs creationOptions"),
        (True, NOTHING, {"configurations": []}, Status.FAILED, "needs creationOptions"),
        (
            True,
            NOTHING,
            {"configurations": [entry("students"), entry("staff", password=False)]},
            Status.FAILED,
            "role group 'staff' need defaultPasswordSettings",
        ),
        (False, NOTHING, None, Status.DISABLED, "set createUnmatchedUsers"),
        (None, NOTHING, None, Status.DISABLED, "set createUnmatchedUsers"),
        (False, NOTHING, STAFF, Status.DISABLED, "set createUnmatchedUsers"),
        (
            False,
            {"additionalOptions": {"allowStudentContactAssociation": False}},
            None,
            Status.DISABLED,
            "set createUnmatchedUsers",
        ),
        (
            False,
            {"additionalOptions": {}, "additionalAttributes": ["userNumber"]},
            None,
            Status.READY,
            None,
        ),
        (
            False,
            {"additionalOptions": {"allowStudentContactAssociation": True}},
            None,
            Status.READY,
            None,
        ),
        (
            False,
            {"additionalOptions": {"markAllStudentsAsMinors": True}},
            None,
            Status.READY,
            None,
        ),
        (False, {"additionalOptions": {"studentAgeGroup": "adult"}}, None, Status.READY, None),
    ],
)
def test_a_user_flow_needs_something_to_do_and_what_new_users_need(
    create: bool | None, management: Any, creation: Any, status: Status, advice: str | None
) -> None:
    found = check(
        USER,
        createUnmatchedUsers=create,
        managementOptions=management,
        creationOptions=creation,
    )
    assert found.status == status
    assert found.reason is None if advice is None else advice in str(found.reason)


@pytest.mark.parametrize("side", ["ownerEnrollmentMappings", "memberEnrollmentMappings"])
def test_a_class_group_flow_needs_its_mapped_roles_enabled(side: str) -> None:
    around = Surroundings(AROUND.role_groups, {"teacher", "coach"})
    mappings = {"ownerEnrollmentMappings": [{"code": "aide"}], side: [{"code": "teacher"}]}
    found = check(
        CLASS_GROUP,
        around,
        configuration={
            "additionalOptions": {"createTeam": False, "writeDisplayNameOnCreateOnly": False},
            "enrollmentMappings": mappings,
        },
    )
    assert found.status == Status.FAILED
    assert found.reason == "Mapped roles are disabled: teacher. Enable them or map others."


def users_of(group: str, around: Surroundings) -> Verdict:
    """Check a flow that creates users of one role group."""
    creation = {"configurations": [entry(group)]}
    return check(
        USER, around, createUnmatchedUsers=True, managementOptions=NOTHING, creationOptions=creation
    )


def test_a_user_flow_needs_its_role_groups_to_exist() -> None:
    found = users_of("staff", Surroundings({"students": ["student"]}))
    assert found.status == Status.FAILED
    assert "role group 'staff' does not exist" in str(found.reason)


@pytest.mark.parametrize(
    ("disabled", "status"),
    [({"student"}, Status.FAILED), ({"teacher"}, Status.READY), ((), Status.READY)],
)
def test_a_role_group_needs_an_enabled_role(disabled: Any, status: Status) -> None:
    found = users_of("students", Surroundings(AROUND.role_groups, disabled))
    assert found.status == status
    assert ("roles of the role group 'students' are disabled" in str(found.reason)) == bool(
        status == Status.FAILED
    )


def test_a_check_is_the_same_with_the_passwords_masked() -> None:
    _, values = load_flow(json.loads((PAYLOADS / "user.request.json").read_bytes()))
    stored = new_flow(USER, values, RING)["configuration"]
    masked = flows.without_passwords(stored)
    assert verdict(USER, masked) == verdict(USER, stored)
