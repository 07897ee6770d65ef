"""The rules of readiness, as functions of values: what a check finds, and which event counts.

Statuses are the members of Graph's readinessStatus enum. A flow is notReady when it is created or
its configuration changes (its `revision` then grows by one). After that, for one revision, the
newest event decides, whatever order the queue delivers in; so which status an event may set depends
on its type alone, never on what arrived before it.
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
"""Which statuses each type of event may set. Only a change of the flow sets notReady."""


CATALOG_CHANGED = "industryData.catalogChanged"
"""The CloudEvents type that says a role group or a reference definition is not what it was."""


class Outcome(StrEnum):
    """What became of an event. Only APPLIED changed anything; none of the others is an error."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    STALE = "stale"
    GONE = "gone"


@dataclass(frozen=True)
class Verdict:
    """A status and, where it is not ready, what a person can do about it."""

    status: Status
    reason: str | None = None


@dataclass(frozen=True, order=True)
class Position:
    """Where an event stands among those about one revision: by time, then by id.

    `at` is in microseconds since 1970 UTC; `key` is a GUID made from the event's source and id.
    """

    at: int
    key: str


@dataclass(frozen=True)
class Change:
    """A status to write, for one revision of one flow, and the event that asks for it.

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


def explain(flow: Mapping[str, Any] | None, change: Change) -> Outcome:
    """Say what a change does to the stored flow of its kind (None: there is no such flow).

    The store's conditional write applies a change in exactly the cases where this says APPLIED.
    """
    if flow is None or flow["id"] != change.flow_id:
        return Outcome.GONE
    if change.revision is None:
        if flow["revisedAt"] > change.position.at:
            return Outcome.STALE
    elif flow["revision"] != change.revision:
        return Outcome.STALE
    applied = Position(flow["appliedAt"], flow["appliedKey"])
    if applied == change.position:
        return Outcome.DUPLICATE
    return Outcome.APPLIED if applied < change.position else Outcome.STALE


# --- checks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surroundings:
    """What a check must know beside the flow: the state of what it refers to.

    `role_groups` has the role codes of each group that exists; `disabled_roles` the codes of
    disabled role definitions.
    """

    role_groups: Mapping[str, Collection[str]]
    disabled_roles: Collection[str] = ()


_READY = Verdict(Status.READY)


def check(kind: str, configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    """Decide from a stored flow's configuration and its surroundings whether the flow can run."""
    return _CHECKS[kind](configuration, around)


def _administrative_unit(configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    if any(configuration["creationOptions"].values()):
        return _READY
    return Verdict(
        Status.DISABLED,
        "Nothing would be created: set createBasedOnOrg or createBasedOnOrgPlusRoleGroup.",
    )


def _security_group(configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    if any(configuration["creationOptions"].values()):
        return _READY
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
    return _READY


def _user(configuration: Mapping[str, Any], around: Surroundings) -> Verdict:
    management = configuration["managementOptions"]
    if not configuration["createUnmatchedUsers"]:
        options = management["additionalOptions"]
        if management["additionalAttributes"] or any(options.values()):
            return _READY
        return Verdict(
            Status.DISABLED,
            "Nothing would be created or changed: set createUnmatchedUsers, or choose attributes "
            "or options in managementOptions.",
        )
    entries = (configuration["creationOptions"] or {}).get("configurations", [])
    if not entries:
        return Verdict(
            Status.FAILED,
            "createUnmatchedUsers needs creationOptions with a configuration a role group.",
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
    return _READY


_CHECKS: dict[str, Callable[[Mapping[str, Any], Surroundings], Verdict]] = {
    "administrativeUnitProvisioningFlow": _administrative_unit,
    "classGroupProvisioningFlow": _class_group,
    "securityGroupProvisioningFlow": _security_group,
    "userProvisioningFlow": _user,
}
