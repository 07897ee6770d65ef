"""Stored provisioning flows, as functions of values: revisions, what they refer to, passwords.

A flow set is one document, with its flows under `flows` by kind. A stored flow keeps, beside what
is on the wire, `revision` (1 at creation, one more at each change of its configuration) and what
readiness events have done to it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.domain.catalog import RoleGroup
from shared.domain.errors import UnreadablePassword
from shared.domain.ids import microseconds, new_id, utc_now
from shared.domain.secrets import MASKED_PASSWORD, Opens, Ring, Secret

VERSION = 2
"""The version of the documents that this module makes; shared/domain/versions.py has the others."""

HISTORY_ENTRIES = 20
"""How many readiness changes a flow remembers. The list always has that length, with nulls behind
the entries, so that one PATCH can put an entry in front and drop the last."""

FIRST_RECHECK = 60 * 1_000_000
"""Microseconds after which a check that has not been made is requested again."""
MAX_DOUBLINGS = 8
"""How often that wait doubles: it ends at a good four hours."""

Stored = Mapping[str, Any]
"""A stored flow set or flow, as it is in the document."""

RoleGroups = Mapping[str, RoleGroup]
"""The role groups that exist among those that matter, by id."""

PasswordSettings = Mapping[str, Any] | None


# --- revisions ---------------------------------------------------------------------------------


def new_flow_set(members: Mapping[str, Any], request: str | None = None) -> dict[str, Any]:
    """Make the document of a new, empty flow set from its stored members.

    `request` is the digest of the request that creates it, whose repeats get the same id.
    """
    now = utc_now()
    return {
        "id": new_id(request),
        "version": VERSION,
        "createdDateTime": now,
        "lastModifiedDateTime": now,
        **members,
        "flows": {},
    }


def first_revision(flow_id: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Make the stored form of a new flow: revision 1, not ready."""
    now = utc_now()
    return {
        "id": flow_id,
        "createdDateTime": now,
        "lastModifiedDateTime": now,
        **_unchecked(1, "created", [None] * HISTORY_ENTRIES),
        "uses": uses_of(configuration),
        "configuration": configuration,
    }


def next_revision(stored: Stored, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Give a flow another configuration: one revision more, to be checked again."""
    return {
        **stored,
        "lastModifiedDateTime": utc_now(),
        **_unchecked(stored["revision"] + 1, "updated", stored["history"]),
        "uses": uses_of(configuration),
        "configuration": configuration,
    }


def reset_flow(stored: Stored) -> dict[str, Any]:
    """Restart a flow as it is: one revision more, its errors cleared, to be checked again."""
    return {**stored, **_unchecked(stored["revision"] + 1, "reset", stored["history"])}


def same_revision(one: Stored, other: Stored) -> bool:
    """Tell whether two stored forms of a flow are of one revision, by number and by time."""
    return (one["revision"], one["revisedAt"]) == (other["revision"], other["revisedAt"])


def _unchecked(revision: int, why: str, history: Sequence[Any]) -> dict[str, Any]:
    """Return the members of a flow before its first check, which is requested right away."""
    now = microseconds()
    entry = {
        "readinessStatus": "notReady",
        "reason": why,
        "revision": revision,
        "eventId": None,
        "eventAt": now,
        "appliedAt": now,
    }
    return {
        "readinessStatus": "notReady",
        "reason": None,
        "revision": revision,
        "revisedAt": now,
        "check": None,
        "report": None,
        "stamp": new_stamp(),
        "asks": 1,
        "checkDueAt": now + FIRST_RECHECK,
        "history": [entry, *history[:-1]],
    }


def new_stamp() -> str:
    """Make what each write to a flow leaves in it: a later one sees that it came between."""
    return secrets.token_hex(8)


def recheck_at(asks: int) -> int:
    """Return when a check that was requested `asks` times is due again: the wait doubles."""
    return microseconds() + (FIRST_RECHECK << min(asks, MAX_DOUBLINGS))


# --- what a flow refers to ---------------------------------------------------------------------


def uses_of(configuration: Mapping[str, Any]) -> list[str]:
    """Return what a stored configuration refers to: ids of role groups, codes of mapped roles.

    It is stored with the flow and indexed: a change in the catalog finds the flows it touches.
    """
    return sorted(role_groups_of(configuration) | role_codes_of(configuration))


def role_groups_of(configuration: Mapping[str, Any]) -> set[str]:
    """Return the ids of the role groups that a stored configuration refers to."""
    return {entry["roleGroup"] for entry in user_configurations(configuration)}


def role_codes_of(configuration: Mapping[str, Any]) -> set[str]:
    """Return the codes of the section roles that a stored configuration maps."""
    settings = configuration.get("configuration")
    mappings = settings["enrollmentMappings"].values() if settings else ()
    return {entry["code"] for entries in mappings for entry in entries}


def user_configurations(configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a user flow, one a role group; none for any other flow."""
    # Only user flows have them, and only where creationOptions is not null.
    options = configuration.get("creationOptions") or {}
    entries: list[dict[str, Any]] = options.get("configurations", [])
    return entries


def with_user_configurations(
    configuration: Mapping[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Copy a configuration, with what `change` makes of each entry of a user flow."""
    options = configuration.get("creationOptions")
    if not options or "configurations" not in options:
        return dict(configuration)
    entries = [change(entry) for entry in options["configurations"]]
    return {**configuration, "creationOptions": {**options, "configurations": entries}}


# --- passwords ---------------------------------------------------------------------------------


def masked(settings: PasswordSettings) -> dict[str, Any] | None:
    """Copy password settings with the mask that readers see."""
    return None if settings is None else {**settings, "password": MASKED_PASSWORD}


def without_passwords(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a stored configuration for a message: passwords are masked."""
    return with_user_configurations(
        configuration,
        lambda entry: {
            **entry,
            "defaultPasswordSettings": masked(entry["defaultPasswordSettings"]),
        },
    )


def passwords(stored: Stored, keyring: Opens) -> list[tuple[str, Secret]]:
    """Decrypt the passwords of a stored flow: a role group and its users' password each.

    A flow of another kind has none. Raises UnreadablePassword for the first that does not open.
    """
    return [
        (entry["roleGroup"], keyring.open(settings["password"], stored["id"], entry["roleGroup"]))
        for entry in user_configurations(stored["configuration"])
        if (settings := entry["defaultPasswordSettings"]) is not None
    ]


def resealed(stored: Stored, keyring: Ring) -> tuple[dict[str, Any], int, list[str]]:
    """Seal a stored flow's passwords as is done today, where they were sealed otherwise.

    Return the new configuration, how many were sealed, and why others stay as they are.
    """
    count, faults = 0, []

    def change(entry: dict[str, Any]) -> dict[str, Any]:
        nonlocal count
        settings = entry["defaultPasswordSettings"]
        if settings is None or not keyring.is_outdated(settings["password"]):
            return entry
        try:
            clear = keyring.open(settings["password"], stored["id"], entry["roleGroup"])
        except UnreadablePassword as exc:
            faults.append(str(exc))
            return entry
        count += 1
        sealed = keyring.seal(clear, stored["id"], entry["roleGroup"])
        return {**entry, "defaultPasswordSettings": {**settings, "password": sealed}}

    return with_user_configurations(stored["configuration"], change), count, faults
