"""The rules of readiness, as functions of values: what a check finds, and what a flow's status is.

Statuses are the members of Graph's readinessStatus enum. A flow is notReady when it is created or
its configuration changes (its `revision` then grows by one). After that two voices speak about the
revision: the last check of the flow, and the provisioning engine's last report. Neither overwrites
the other; `status_of` makes the status out of both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Graph's readinessStatus, without the sentinel for unknown future members."""

    NOT_READY = "notReady"
    READY = "ready"
    FAILED = "failed"
    DISABLED = "disabled"
    EXPIRED = "expired"


class EventType(StrEnum):
    """The CloudEvents types on the readiness queue."""

    CHECK_REQUESTED = "industryData.provisioningFlow.readinessCheckRequested"
    REPORTED = "industryData.provisioningFlow.readinessReported"


MAY_SET: dict[EventType, frozenset[Status]] = {
    EventType.CHECK_REQUESTED: frozenset({Status.READY, Status.FAILED, Status.DISABLED}),
    EventType.REPORTED: frozenset({Status.READY, Status.FAILED, Status.DISABLED, Status.EXPIRED}),
}
"""Which statuses each type of event may say. Only a change of the flow sets notReady."""


CATALOG_CHANGED = "industryData.catalogChanged"
"""The CloudEvents type that says a role group or a reference definition is not what it was."""


class Outcome(StrEnum):
    """What became of an event. None of them is an error."""

    APPLIED = "applied"
    """The flow's status or its reason is another one now, or an engine repeated its report."""
    OUTWEIGHED = "outweighed"
    """A report was stored, but the last check found the flow failed or disabled, which counts."""
    UNCHANGED = "unchanged"
    """A check found what the one before had found."""
    DUPLICATE = "duplicate"
    STALE = "stale"
    GONE = "gone"


@dataclass(frozen=True)
class Verdict:
    """A status and, where it is not ready, what a person can do about it."""

    status: Status
    reason: str | None = None


READY = Verdict(Status.READY)


@dataclass(frozen=True, order=True)
class Position:
    """Where an event stands among the reports about one revision: by time, then by id.

    `at` is in microseconds since 1970 UTC; `key` is a GUID made from the event's source and id.
    """

    at: int
    key: str


@dataclass(frozen=True)
class Check:
    """What a check found of one revision of a flow.

    `fresh` says that it was made because the surroundings had changed, and read them anew; every
    other check is the first of its revision.
    """

    event_id: str
    flow_set_id: str
    kind: str
    flow_id: str
    revision: int
    position: Position
    verdict: Verdict
    fresh: bool = False


@dataclass(frozen=True)
class Report:
    """What a provisioning engine says of a flow.

    `revision` None means the one that was current at the event's time: an engine that only reads
    the API does not know the number.
    """

    event_id: str
    flow_set_id: str
    kind: str
    flow_id: str
    revision: int | None
    position: Position
    verdict: Verdict


@dataclass(frozen=True)
class Effect:
    """What an event does to a stored flow: which members to write, if any.

    `noted` says that the flow's history gets an entry about it.
    """

    outcome: Outcome
    members: Mapping[str, Any] | None = None
    noted: bool = False


@dataclass(frozen=True)
class Applied:
    """What became of a check or a report, and the status before it where it was stored."""

    outcome: Outcome
    before: str | None = None


def effect(flow: Mapping[str, Any] | None, event: Check | Report) -> Effect:
    """Say what a check or a report does to the stored flow of its kind (None: there is none)."""
    if flow is None or flow["id"] != event.flow_id:
        return Effect(Outcome.GONE)
    if event.revision is None:
        if flow["revisedAt"] > event.position.at:
            return Effect(Outcome.STALE)
    elif flow["revision"] != event.revision:
        return Effect(Outcome.STALE)
    if isinstance(event, Check):
        return _effect_of_check(flow, event)
    return _effect_of_report(flow, event)


def status_of(check: Mapping[str, Any] | None, report: Mapping[str, Any] | None) -> Verdict:
    """Return a flow's status: the check's verdict where that is not ready, else the last report's.

    `check` and `report` are as stored, None before the first of the revision. Without either the
    flow is not ready.
    """
    if check is not None and check["status"] != Status.READY:
        return _verdict(check)
    if report is not None:
        return _verdict(report)
    return Verdict(Status.NOT_READY) if check is None else READY


def _effect_of_check(flow: Mapping[str, Any], event: Check) -> Effect:
    # Checks have no order among themselves: the first of a revision comes once, and a fresh one
    # says what is so when it is made, whichever event asked for it.
    found = {"status": event.verdict.status, "reason": event.verdict.reason}
    if flow["check"] is not None:
        if not event.fresh:
            return Effect(Outcome.DUPLICATE)
        if flow["check"] == found:
            return Effect(Outcome.UNCHANGED)
    before, after = _verdict_of(flow), status_of(found, flow["report"])
    members = {
        "check": found,
        "checkDueAt": None,
        "readinessStatus": after.status,
        "reason": after.reason,
    }
    return Effect(Outcome.APPLIED, members, noted=after != before)


def _effect_of_report(flow: Mapping[str, Any], event: Report) -> Effect:
    last = flow["report"]
    if last is not None:
        if last["key"] == event.position.key:
            return Effect(Outcome.DUPLICATE)
        if Position(last["at"], last["key"]) > event.position:
            return Effect(Outcome.STALE)
    said = {
        "status": event.verdict.status,
        "reason": event.verdict.reason,
        "at": event.position.at,
        "key": event.position.key,
    }
    after = status_of(flow["check"], said)
    members = {"report": said, "readinessStatus": after.status, "reason": after.reason}
    if flow["check"] is not None and flow["check"]["status"] != Status.READY:
        return Effect(Outcome.OUTWEIGHED, members)
    return Effect(Outcome.APPLIED, members, noted=True)


def _verdict(stored: Mapping[str, Any]) -> Verdict:
    return Verdict(Status(stored["status"]), stored["reason"])


def _verdict_of(flow: Mapping[str, Any]) -> Verdict:
    return Verdict(Status(flow["readinessStatus"]), flow["reason"])


# --- checks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surroundings:
    """What a check must know beside the flow: the state of what it refers to.

    `role_groups` has the role codes of each group that exists; `disabled_roles` the codes of
    disabled role definitions.
    """

    role_groups: Mapping[str, Collection[str]]
    disabled_roles: Collection[str] = ()


def check(kind: str, configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    """Decide from a stored flow's configuration and its surroundings whether the flow can run."""
    return _CHECKS[kind](configuration, around)


def _administrative_unit(configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    if any(configuration["creationOptions"].values()):
        return READY
    return Verdict(
        Status.DISABLED,
        "Nothing would be created: set createBasedOnOrg or createBasedOnOrgPlusRoleGroup.",
    )


def _security_group(configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    if any(configuration["creationOptions"].values()):
        return READY
    return Verdict(
        Status.DISABLED,
        "Nothing would be created: set createBasedOnRoleGroup or createBasedOnOrgPlusRoleGroup.",
    )


def _class_group(configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    settings = configuration["configuration"]
    mappings = settings["enrollmentMappings"]
    owners = mappings["ownerEnrollmentMappings"]
    if not owners and not mappings["memberEnrollmentMappings"]:
        return Verdict(
            Status.DISABLED,
            "Groups would stay empty: map section roles to owners or members.",
        )
    if settings["additionalOptions"]["createTeam"] and not owners:
        return Verdict(
            Status.FAILED,
            "A team needs an owner: map a section role to owners, or set createTeam to false.",
        )
    mapped = {entry["code"] for entries in mappings.values() for entry in entries}
    disabled = sorted(mapped.intersection(around.disabled_roles))
    if disabled:
        return Verdict(
            Status.FAILED,
            f"Mapped roles are disabled: {', '.join(disabled)}. Enable them or map others.",
        )
    return READY


def _user(configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    management = configuration["managementOptions"]
    if not configuration["createUnmatchedUsers"]:
        options = management["additionalOptions"]
        if management["additionalAttributes"] or any(options.values()):
            return READY
        return Verdict(
            Status.DISABLED,
            "Nothing would be created or changed: set createUnmatchedUsers, or choose attributes "
            "or options in managementOptions.",
        )
    entries = (configuration["creationOptions"] or {}).get("configurations", [])
    if not entries:
        return Verdict(
            Status.FAILED,
            "createUnmatchedUsers needs creationOptions with one configuration per role group.",
        )
    for entry in entries:
        group = entry["roleGroup"]
        roles = around.role_groups.get(group)
        if roles is None:
            return Verdict(
                Status.FAILED, f"The role group '{group}' does not exist any more; bind another."
            )
        if all(code in around.disabled_roles for code in roles):
            return Verdict(
                Status.FAILED, f"All roles of the role group '{group}' are disabled; enable one."
            )
        if entry["defaultPasswordSettings"] is None:
            return Verdict(
                Status.FAILED, f"New users of role group '{group}' need defaultPasswordSettings."
            )
    return READY


_CHECKS: dict[str, Callable[[Mapping[str, Any], Surroundings], Verdict]] = {
    "administrativeUnitProvisioningFlow": _administrative_unit,
    "classGroupProvisioningFlow": _class_group,
    "securityGroupProvisioningFlow": _security_group,
    "userProvisioningFlow": _user,
}
