"""The rules of readiness: what a check finds for each kind, and which event counts."""

from __future__ import annotations

import base64
import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.adapters.keyring import Keyring
from shared.contract.loading import load_flow
from shared.contract.names import NAMESPACE
from shared.domain import flows, readiness
from shared.domain.catalog import BUILT_IN_ROLE_GROUPS
from shared.domain.readiness import (
    MAY_SET,
    Change,
    EventType,
    Outcome,
    Position,
    Status,
    Surroundings,
    Verdict,
)
from shared.services.provisioning_flows import new_flow

PAYLOADS = Path(__file__).parents[2] / "shared" / "contract" / "examples"
ADMINISTRATIVE_UNIT = "administrativeUnitProvisioningFlow"
CLASS_GROUP = "classGroupProvisioningFlow"
SECURITY_GROUP = "securityGroupProvisioningFlow"
USER = "userProvisioningFlow"
YES_AND_NO = list(itertools.product([False, True], repeat=2))
RING = Keyring.read(f"k1:{base64.b64encode(b'k' * 32).decode()}")


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


# --- which event counts ------------------------------------------------------------------------


def test_statuses_are_graphs_and_nobody_sets_not_ready() -> None:
    assert list(Status) == ["notReady", "ready", "failed", "disabled", "expired"]
    assert set(MAY_SET) == set(EventType)
    assert all(Status.NOT_READY not in statuses for statuses in MAY_SET.values())


def test_only_a_report_says_expired() -> None:
    assert MAY_SET[EventType.REPORTED] - MAY_SET[EventType.CHECK_REQUESTED] == {Status.EXPIRED}


FLOW_ID = "f66e97ad-0870-46e0-3ff3-08dc49dccdc9"
OTHER_ID = "f66e97ad-0870-46e0-3ff4-08dc49dccdc9"


def stored(revision: int = 1, at: int = 0, key: str = "") -> dict[str, Any]:
    """What the rule looks at in a stored flow."""
    return {
        "id": FLOW_ID,
        "revision": revision,
        "revisedAt": 40,
        "appliedAt": at,
        "appliedKey": key,
        "readinessStatus": Status.NOT_READY,
    }


def change(
    revision: int | None = 1, at: int = 50, key: str = "k", flow_id: str = FLOW_ID
) -> Change:
    """A change that an event asks for."""
    position = Position(at, key)
    return Change("event", "set", USER, flow_id, revision, position, Verdict(Status.READY))


@pytest.mark.parametrize(
    ("flow", "asked", "outcome"),
    [
        (None, change(), Outcome.GONE),
        (stored(), change(flow_id=OTHER_ID), Outcome.GONE),
        (stored(), change(), Outcome.APPLIED),
        (stored(2), change(1), Outcome.STALE),
        (stored(1), change(2), Outcome.STALE),
        (stored(at=50, key="k"), change(), Outcome.DUPLICATE),
        (stored(at=49, key="z"), change(), Outcome.APPLIED),
        (stored(at=51, key="a"), change(), Outcome.STALE),
        (stored(at=50, key="j"), change(), Outcome.APPLIED),
        (stored(at=50, key="l"), change(), Outcome.STALE),
        (stored(2, at=50, key="k"), change(1), Outcome.STALE),
        (stored(3), change(None), Outcome.APPLIED),
        (stored(3), change(None, at=40), Outcome.APPLIED),
        (stored(3), change(None, at=39), Outcome.STALE),
        (stored(3, at=51), change(None), Outcome.STALE),
        (stored(3, at=50, key="k"), change(None), Outcome.DUPLICATE),
    ],
)
def test_an_event_counts_if_it_is_about_this_revision_and_newer(
    flow: dict[str, Any] | None, asked: Change, outcome: Outcome
) -> None:
    assert readiness.explain(flow, asked) is outcome


def apply(flow: dict[str, Any], asked: Change) -> Outcome:
    """Do to a stored flow what the store does when the rule says so."""
    outcome = readiness.explain(flow, asked)
    if outcome is Outcome.APPLIED:
        flow["readinessStatus"] = asked.verdict.status
        flow["appliedAt"], flow["appliedKey"] = asked.position.at, asked.position.key
    return outcome


# A few moments and keys only, so that equal times and true duplicates are common.
changes = st.builds(
    Change,
    event_id=st.just("event"),
    flow_set_id=st.just("set"),
    kind=st.just(USER),
    flow_id=st.just(FLOW_ID),
    revision=st.integers(1, 3),
    position=st.builds(Position, at=st.integers(1, 4), key=st.sampled_from(["a", "b", "c"])),
    verdict=st.builds(Verdict, status=st.sampled_from(sorted(MAY_SET[EventType.REPORTED]))),
)
distinct_changes = st.lists(changes, unique_by=lambda one: (one.revision, one.position), max_size=8)


@given(distinct_changes, st.integers(1, 3), st.data())
def test_every_order_with_duplicates_ends_in_the_newest_event_of_the_stored_revision(
    events: list[Change], revision: int, data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    order = data.draw(st.permutations(events + again))
    flow = stored(revision)
    outcomes = [apply(flow, asked) for asked in order]
    about = [asked for asked in events if asked.revision == revision]
    newest = max(about, key=lambda asked: asked.position, default=None)
    expected = Status.NOT_READY if newest is None else newest.verdict.status
    assert flow["readinessStatus"] == expected
    if newest is not None:
        assert outcomes[order.index(newest)] is Outcome.APPLIED


@given(st.lists(changes, max_size=12))
def test_the_same_event_twice_changes_nothing_the_second_time(events: list[Change]) -> None:
    flow = stored()
    for asked in events:
        apply(flow, asked)
        before = copy.deepcopy(flow)
        assert apply(flow, asked) is not Outcome.APPLIED
        assert flow == before


class ChangedFlow(RuleBasedStateMachine):
    """A flow that is changed now and then, and a queue that delivers late, twice and in any order.

    The model keeps every event ever sent; what is stored must be what the newest delivered event
    about the present revision said.
    """

    @initialize()
    def create(self) -> None:
        self.flow = stored()
        self.sent: list[Change] = []
        self.delivered: list[Change] = []
        self.clock = 0

    @rule(status=st.sampled_from(sorted(MAY_SET[EventType.REPORTED])), same_moment=st.booleans())
    def send(self, status: Status, same_moment: bool) -> None:
        self.clock += not (same_moment and self.clock)
        key = f"{len(self.sent) * 7919 % 1000:03d}"  # ids do not come in the order of sending
        position = Position(self.clock, key)
        self.sent.append(
            Change("event", "set", USER, FLOW_ID, self.flow["revision"], position, Verdict(status))
        )

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if self.sent:
            asked = data.draw(st.sampled_from(self.sent))
            known = asked in self.delivered
            outcome = apply(self.flow, asked)
            assert not (known and outcome is Outcome.APPLIED)
            self.delivered.append(asked)

    @rule()
    def change_the_configuration(self) -> None:
        self.flow = stored(self.flow["revision"] + 1)

    @invariant()
    def the_newest_delivered_event_of_this_revision_shows(self) -> None:
        about = [one for one in self.delivered if one.revision == self.flow["revision"]]
        newest = max(about, key=lambda one: one.position, default=None)
        expected = Status.NOT_READY if newest is None else newest.verdict.status
        assert self.flow["readinessStatus"] == expected


ChangedFlow.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestChangedFlow = ChangedFlow.TestCase
