"""The rules of readiness: what checks and reports do to a flow, in any order and number."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.domain.readiness import (
    MAY_SET,
    Check,
    EventType,
    Outcome,
    Position,
    Report,
    Status,
    Verdict,
    effect,
    status_of,
)

KIND = "userProvisioningFlow"
FLOW_ID = "f66e97ad-0870-46e0-3ff3-08dc49dccdc9"
OTHER_ID = "f66e97ad-0870-46e0-3ff4-08dc49dccdc9"
NOT_READY, READY, FAILED, DISABLED, EXPIRED = (
    Status.NOT_READY,
    Status.READY,
    Status.FAILED,
    Status.DISABLED,
    Status.EXPIRED,
)


def test_statuses_are_graphs_and_no_event_sets_not_ready() -> None:
    assert list(Status) == ["notReady", "ready", "failed", "disabled", "expired"]
    assert set(MAY_SET) == set(EventType)
    assert all(NOT_READY not in statuses for statuses in MAY_SET.values())


def test_only_a_report_says_expired() -> None:
    assert MAY_SET[EventType.REPORTED] - MAY_SET[EventType.CHECK_REQUESTED] == {EXPIRED}


# --- the two voices ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "report", "status"),
    [
        (None, None, NOT_READY),
        (READY, None, READY),
        (FAILED, None, FAILED),
        (DISABLED, None, DISABLED),
        (None, READY, READY),
        (None, FAILED, FAILED),
        (READY, READY, READY),
        (READY, FAILED, FAILED),
        (READY, DISABLED, DISABLED),
        (READY, EXPIRED, EXPIRED),
        (FAILED, READY, FAILED),
        (FAILED, EXPIRED, FAILED),
        (DISABLED, READY, DISABLED),
        (DISABLED, FAILED, DISABLED),
    ],
)
def test_a_check_counts_where_it_is_not_ready_and_else_the_report(
    check: Status | None, report: Status | None, status: Status
) -> None:
    found = None if check is None else {"status": check, "reason": "found"}
    said = None if report is None else {"status": report, "reason": "said", "at": 1, "key": "k"}
    verdict = status_of(found, said)
    assert verdict.status == status
    if check in (FAILED, DISABLED):
        assert verdict.reason == "found"
    elif report is not None:
        assert verdict.reason == "said"
    else:
        assert verdict.reason is None


# --- which event counts ------------------------------------------------------------------------


def stored(
    revision: int = 1,
    *,
    check: Status | None = None,
    report: tuple[Status, int, str] | None = None,
) -> dict[str, Any]:
    """What the rule looks at in a stored flow, revised at 40."""
    found = None if check is None else {"status": check, "reason": None}
    said = None
    if report is not None:
        status, at, key = report
        said = {"status": status, "reason": None, "at": at, "key": key}
    verdict = status_of(found, said)
    return {
        "id": FLOW_ID,
        "revision": revision,
        "revisedAt": 40,
        "check": found,
        "report": said,
        "readinessStatus": verdict.status,
        "reason": verdict.reason,
    }


def report(
    status: Status = READY,
    revision: int | None = 1,
    at: int = 50,
    key: str = "k",
    flow_id: str = FLOW_ID,
) -> Report:
    """A report of an engine."""
    return Report("event", "set", KIND, flow_id, revision, Position(at, key), Verdict(status))


def check(
    status: Status = READY, revision: int = 1, *, fresh: bool = False, flow_id: str = FLOW_ID
) -> Check:
    """A check, which is as old as its revision."""
    at = Position(40, "c")
    return Check("event", "set", KIND, flow_id, revision, at, Verdict(status), fresh)


TABLE: list[tuple[dict[str, Any] | None, Check | Report, Outcome, bool, Status]] = [
    # the flow, the event, what becomes of it, whether the history gets an entry, the status after
    (None, report(), Outcome.GONE, False, NOT_READY),
    (None, check(), Outcome.GONE, False, NOT_READY),
    (stored(), report(flow_id=OTHER_ID), Outcome.GONE, False, NOT_READY),
    (stored(), check(flow_id=OTHER_ID), Outcome.GONE, False, NOT_READY),
    (stored(2), check(revision=1), Outcome.STALE, False, NOT_READY),
    (stored(1), check(revision=2), Outcome.STALE, False, NOT_READY),
    (stored(2), check(revision=1, fresh=True), Outcome.STALE, False, NOT_READY),
    (stored(2), report(revision=1), Outcome.STALE, False, NOT_READY),
    # checks
    (stored(), check(READY), Outcome.APPLIED, True, READY),
    (stored(), check(FAILED), Outcome.APPLIED, True, FAILED),
    (stored(), check(READY, fresh=True), Outcome.APPLIED, True, READY),
    (stored(check=READY), check(FAILED), Outcome.DUPLICATE, False, READY),
    (stored(check=READY), check(READY, fresh=True), Outcome.UNCHANGED, False, READY),
    (stored(check=READY), check(FAILED, fresh=True), Outcome.APPLIED, True, FAILED),
    (stored(check=FAILED), check(READY, fresh=True), Outcome.APPLIED, True, READY),
    # an engine's report outlasts a check, whichever came first
    (stored(report=(EXPIRED, 50, "k")), check(READY), Outcome.APPLIED, False, EXPIRED),
    (stored(report=(EXPIRED, 50, "k")), check(FAILED), Outcome.APPLIED, True, FAILED),
    (
        stored(check=READY, report=(FAILED, 50, "k")),
        check(READY, fresh=True),
        Outcome.UNCHANGED,
        False,
        FAILED,
    ),
    (
        stored(check=FAILED, report=(EXPIRED, 50, "k")),
        check(READY, fresh=True),
        Outcome.APPLIED,
        True,
        EXPIRED,
    ),
    # reports
    (stored(), report(FAILED), Outcome.APPLIED, True, FAILED),
    (stored(check=READY), report(FAILED), Outcome.APPLIED, True, FAILED),
    (stored(check=FAILED), report(READY), Outcome.OUTWEIGHED, False, FAILED),
    (stored(check=DISABLED), report(EXPIRED), Outcome.OUTWEIGHED, False, DISABLED),
    (
        stored(check=READY, report=(FAILED, 50, "k")),
        report(READY),
        Outcome.DUPLICATE,
        False,
        FAILED,
    ),
    # put back, so that its time counts as another one: it is the same event
    (
        stored(check=READY, report=(FAILED, 50, "k")),
        report(FAILED, at=60),
        Outcome.DUPLICATE,
        False,
        FAILED,
    ),
    (stored(check=READY, report=(FAILED, 49, "z")), report(READY), Outcome.APPLIED, True, READY),
    (stored(check=READY, report=(FAILED, 51, "a")), report(READY), Outcome.STALE, False, FAILED),
    (stored(check=READY, report=(FAILED, 50, "j")), report(READY), Outcome.APPLIED, True, READY),
    (stored(check=READY, report=(FAILED, 50, "l")), report(READY), Outcome.STALE, False, FAILED),
    # a report that repeats what the one before said is worth an entry: the engine says it anew
    (stored(check=READY, report=(FAILED, 49, "z")), report(FAILED), Outcome.APPLIED, True, FAILED),
    # without a revision
    (stored(3, check=READY), report(FAILED, None), Outcome.APPLIED, True, FAILED),
    (stored(3, check=READY), report(FAILED, None, at=40), Outcome.APPLIED, True, FAILED),
    (stored(3, check=READY), report(FAILED, None, at=39), Outcome.STALE, False, READY),
]


@pytest.mark.parametrize(("flow", "event", "outcome", "noted", "status"), TABLE)
def test_what_an_event_does_to_a_flow(
    flow: dict[str, Any] | None,
    event: Check | Report,
    outcome: Outcome,
    noted: bool,
    status: Status,
) -> None:
    change = effect(flow, event)
    assert (change.outcome, change.noted) == (outcome, noted)
    after = {**(flow or stored()), **(change.members or {})}
    assert after["readinessStatus"] == status
    assert (change.members is None) == (outcome not in (Outcome.APPLIED, Outcome.OUTWEIGHED))


# --- in any order and number -------------------------------------------------------------------


def apply(flow: dict[str, Any], event: Check | Report) -> Outcome:
    """Do to a stored flow what the store does when the rule says so."""
    change = effect(flow, event)
    flow.update(change.members or {})
    return change.outcome


# A few moments and keys only, so that equal times and true duplicates are common.
reports = st.builds(
    report,
    st.sampled_from(sorted(MAY_SET[EventType.REPORTED])),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(["a", "b", "c"]),
)
checks = st.builds(
    check,
    st.sampled_from(sorted(MAY_SET[EventType.CHECK_REQUESTED])),
    st.integers(1, 3),
    fresh=st.booleans(),
)


@given(
    st.lists(reports, unique_by=lambda one: one.position.key, max_size=8),
    st.integers(1, 3),
    st.data(),
)
def test_reports_in_every_order_with_duplicates_end_in_the_newest_of_the_revision(
    events: list[Report], revision: int, data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    order = data.draw(st.permutations(events + again))
    flow = stored(revision, check=READY)
    outcomes = [apply(flow, event) for event in order]
    about = [event for event in events if event.revision == revision]
    newest = max(about, key=lambda event: event.position, default=None)
    expected = READY if newest is None else newest.verdict.status
    assert flow["readinessStatus"] == expected
    if newest is not None:
        assert outcomes[order.index(newest)] is Outcome.APPLIED


@given(st.lists(reports | checks, max_size=12))
def test_the_same_event_twice_changes_nothing_the_second_time(events: list[Any]) -> None:
    flow = stored()
    for event in events:
        apply(flow, event)
        before = copy.deepcopy(flow)
        assert apply(flow, event) not in (Outcome.APPLIED, Outcome.OUTWEIGHED)
        assert flow == before


class ChangedFlow(RuleBasedStateMachine):
    """A flow that is changed now and then, with a queue that delivers late, twice, in any order.

    The model keeps what was delivered about the present revision: what the last check that counts
    found, and all reports.
    """

    @initialize()
    def create(self) -> None:
        self.flow = stored()
        self.sent: list[Report] = []
        self.delivered: list[Report] = []
        self.found: Status | None = None
        self.clock = 0

    @rule(status=st.sampled_from(sorted(MAY_SET[EventType.REPORTED])), same_moment=st.booleans())
    def send_a_report(self, status: Status, same_moment: bool) -> None:
        self.clock += not (same_moment and self.clock)
        key = f"{len(self.sent) * 7919 % 1000:03d}"  # ids do not come in the order of sending
        self.sent.append(report(status, self.flow["revision"], self.clock, key))

    @rule(data=st.data())
    def deliver_a_report(self, data: st.DataObject) -> None:
        if self.sent:
            event = data.draw(st.sampled_from(self.sent))
            outcome = apply(self.flow, event)
            assert not (event in self.delivered and outcome is not Outcome.DUPLICATE) or (
                outcome is Outcome.STALE
            )
            self.delivered.append(event)

    @rule(status=st.sampled_from([READY, FAILED, DISABLED]), age=st.integers(0, 1))
    def deliver_the_first_check(self, status: Status, age: int) -> None:
        revision = self.flow["revision"] - age
        apply(self.flow, check(status, revision))
        if not age and self.found is None:
            self.found = status

    @rule(status=st.sampled_from([READY, FAILED, DISABLED]))
    def check_anew(self, status: Status) -> None:
        apply(self.flow, check(status, self.flow["revision"], fresh=True))
        self.found = status

    @rule()
    def change_the_configuration(self) -> None:
        self.flow = stored(self.flow["revision"] + 1)
        self.found = None

    @invariant()
    def the_status_is_made_of_the_last_check_and_the_newest_report(self) -> None:
        about = [each for each in self.delivered if each.revision == self.flow["revision"]]
        newest = max(about, key=lambda each: each.position, default=None)
        if self.found in (FAILED, DISABLED):
            expected: Status | None = self.found
        elif newest is not None:
            expected = newest.verdict.status
        else:
            expected = NOT_READY if self.found is None else READY
        assert self.flow["readinessStatus"] == expected


ChangedFlow.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestChangedFlow = ChangedFlow.TestCase
