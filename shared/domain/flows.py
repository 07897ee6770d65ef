"""Turns validated values into what is stored, and what is stored into what a client reads.

A stored flow set is one document, with its flows under `flows` by kind; design reasons are in the
README. A stored flow keeps, beside what is on the wire, `revision` (1 at creation, one more at each
change of its configuration) and what readiness events have done to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from shared.contract import schemas
from shared.contract.json_body import write_json
from shared.domain.catalog import BUILT_IN_ROLE_GROUPS, RoleGroup
from shared.domain.errors import UnreadablePassword
from shared.domain.ids import microseconds, new_id, printed_time, utc_now

HISTORY_ENTRIES = 20
"""How many readiness changes a flow remembers. The list always has that length, with nulls behind
the entries, so that one PATCH can put an entry in front and drop the last."""

FIRST_ASK_AGAIN = 60 * 1_000_000
"""Microseconds after which a flow that is still notReady is asked for again."""
MAX_DOUBLINGS = 8
"""How often that wait doubles: it ends at a good four hours."""

SETS = "external/industryData/outboundProvisioningFlowSets"
_ROLE_GROUP_PATH = (
    "microsoft.graph.industryData.userProvisioningFlow/creationOptions/configurations/roleGroup"
)

Stored = Mapping[str, Any]
"""A stored flow set or flow, as it is in the document."""

RoleGroups = Mapping[str, RoleGroup]
"""The role groups that exist among those that matter, by id."""


class Seals(Protocol):
    """What encrypts a password for one flow."""

    def seal(self, password: schemas.Secret, flow_id: str) -> dict[str, str]:
        """Return the encrypted form."""
        ...


class Opens(Protocol):
    """What decrypts the password of one flow."""

    def open(self, sealed: Mapping[str, str], flow_id: str) -> schemas.Secret:
        """Return the clear text; raises UnreadablePassword."""
        ...


class Ring(Seals, Opens, Protocol):
    """What does both, with several keys."""

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        ...


# --- storing -----------------------------------------------------------------------------------


def new_flow_set(values: Mapping[str, Any]) -> dict[str, Any]:
    """Make the document of a new, empty flow set."""
    now = utc_now()
    return {
        "id": new_id(),
        "createdDateTime": now,
        "lastModifiedDateTime": now,
        **schemas.dump(schemas.FlowSet, values),
        "flows": {},
    }


def updated_flow_set(stored: Stored, body: Any) -> dict[str, Any]:
    """Return the members of a flow set that an update changes; raises InvalidRequest."""
    current = {"displayName": stored["displayName"], "filter": stored["filter"]}
    values = schemas.load(schemas.FlowSet, schemas.laid_over(schemas.FlowSet, current, body))
    return {**schemas.dump(schemas.FlowSet, values), "lastModifiedDateTime": utc_now()}


def new_flow(kind: str, values: Mapping[str, Any], keyring: Seals) -> dict[str, Any]:
    """Make the stored form of a new flow: revision 1, not ready, its passwords encrypted."""
    flow_id, now = new_id(), utc_now()
    return {
        "id": flow_id,
        "createdDateTime": now,
        "lastModifiedDateTime": now,
        **_unchecked(1, "created", [None] * HISTORY_ENTRIES),
        "configuration": _stored_configuration(kind, values, keyring, flow_id),
    }


def updated_flow(
    kind: str,
    stored: Stored,
    body: Any,
    keyring: Seals,
    role_groups: Collection[str] = BUILT_IN_ROLE_GROUPS,
) -> dict[str, Any]:
    """Lay an update over a stored flow: one revision more, and to be checked again.

    Raises InvalidRequest with every fault of the flow as it would be.
    """
    current = {
        schemas.TYPE_MEMBER: f"#{schemas.NAMESPACE}{kind}",
        **_as_input(stored["configuration"]),
    }
    _, values = schemas.load_flow(schemas.merge_flow(kind, current, body), role_groups)
    return {
        **stored,
        "lastModifiedDateTime": utc_now(),
        **_unchecked(stored["revision"] + 1, "updated", stored["history"]),
        "configuration": _stored_configuration(kind, values, keyring, stored["id"]),
    }


def reset_flow(stored: Stored) -> dict[str, Any]:
    """Start a flow anew as it is: one revision more, its errors cleared, to be checked again."""
    return {**stored, **_unchecked(stored["revision"] + 1, "reset", stored["history"])}


def new_role_group(values: Mapping[str, Any]) -> dict[str, Any]:
    """Make the document of a role group."""
    return {"id": new_id(), **schemas.dump(schemas.RoleGroup, values)}


def updated_role_group(stored: Stored, body: Any) -> dict[str, Any]:
    """Lay an update over a role group; raises InvalidRequest."""
    current = {"displayName": stored["displayName"], "roles": stored["roles"]}
    values = schemas.load(schemas.RoleGroup, schemas.laid_over(schemas.RoleGroup, current, body))
    return {"id": stored["id"], **schemas.dump(schemas.RoleGroup, values)}


def _unchecked(revision: int, why: str, history: Sequence[Any]) -> dict[str, Any]:
    """Return the members of a flow that nobody has checked yet, with the first ask on its way."""
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
        "appliedAt": 0,
        "appliedKey": "",
        "asks": 1,
        "askAgainAt": now + FIRST_ASK_AGAIN,
        "history": [entry, *history[:-1]],
    }


def ask_again_at(asks: int) -> int:
    """Return when a flow that was asked for so often is due again: the wait doubles each time."""
    return microseconds() + (FIRST_ASK_AGAIN << min(asks, MAX_DOUBLINGS))


def _stored_configuration(
    kind: str, values: Mapping[str, Any], keyring: Seals, flow_id: str
) -> dict[str, Any]:
    configuration = schemas.dump(schemas.FLOW_SCHEMAS[kind], values)
    del configuration[schemas.TYPE_MEMBER]
    for entry in _user_configurations(configuration):
        entry["roleGroup"] = entry.pop("roleGroup@odata.bind")
        settings = entry["defaultPasswordSettings"]
        if settings is not None:
            password = settings["password"]
            settings["password"] = (
                password.sealed
                if isinstance(password, schemas.StoredPassword)
                else keyring.seal(password, flow_id)
            )
    stored: dict[str, Any] = configuration
    return stored


def _as_input(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a stored configuration back into what a client would send to get it."""
    entries = [
        {
            "licenseSkus": entry["licenseSkus"],
            "defaultPasswordSettings": entry["defaultPasswordSettings"]
            and {
                **entry["defaultPasswordSettings"],
                "password": schemas.StoredPassword(entry["defaultPasswordSettings"]["password"]),
            },
            "roleGroup@odata.bind": f"external/industryData/roleGroups/{entry['roleGroup']}",
        }
        for entry in _user_configurations(configuration)
    ]
    return _with_user_configurations(configuration, entries)


def without_passwords(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a stored flow's configuration for a message: a password is only said to be there."""
    entries = [
        {**entry, "defaultPasswordSettings": _without_password(entry["defaultPasswordSettings"])}
        for entry in _user_configurations(configuration)
    ]
    return _with_user_configurations(configuration, entries)


def passwords(stored: Stored, keyring: Opens) -> list[tuple[str, schemas.Secret]]:
    """Decrypt the passwords of a stored flow: a role group and its users' password each.

    A flow of another kind has none. Raises UnreadablePassword for the first that does not open.
    """
    return [
        (entry["roleGroup"], keyring.open(settings["password"], stored["id"]))
        for entry in _user_configurations(stored["configuration"])
        if (settings := entry["defaultPasswordSettings"]) is not None
    ]


def resealed(stored: Stored, keyring: Ring) -> tuple[dict[str, Any], int, list[str]]:
    """Seal a stored flow's passwords with the current key where another one has sealed them.

    Return the new configuration, how many were sealed, and why others stay as they are.
    """
    count, faults = 0, []
    entries = []
    for entry in _user_configurations(stored["configuration"]):
        settings = entry["defaultPasswordSettings"]
        if settings is not None and settings["password"]["keyId"] != keyring.current:
            try:
                clear = keyring.open(settings["password"], stored["id"])
            except UnreadablePassword as exc:
                faults.append(str(exc))
            else:
                count += 1
                settings = {**settings, "password": keyring.seal(clear, stored["id"])}
        entries.append({**entry, "defaultPasswordSettings": settings})
    return _with_user_configurations(stored["configuration"], entries), count, faults


def _with_user_configurations(
    configuration: Mapping[str, Any], entries: list[dict[str, Any]]
) -> dict[str, Any]:
    if not entries:
        return dict(configuration)
    return {
        **configuration,
        "creationOptions": {**configuration["creationOptions"], "configurations": entries},
    }


def _without_password(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if settings is None else {**settings, "password": schemas.MASKED_PASSWORD}


def _user_configurations(configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
    # Only user flows have them, and only where creationOptions is not null.
    options = configuration.get("creationOptions") or {}
    entries: list[dict[str, Any]] = options.get("configurations", [])
    return entries


def entity_tag(stored: Stored) -> str:
    """Return the weak ETag of a stored flow set or flow: another one whenever what is read changes.

    A set's flows are entities of their own and do not count for the set's tag. Neither do sealed
    passwords: a new one raises the revision, the same one under another key is no change.
    """
    hidden = (
        "flows",
        "reason",
        "revisedAt",
        "appliedAt",
        "appliedKey",
        "asks",
        "askAgainAt",
        "history",
    )
    visible = {k: v for k, v in stored.items() if k not in hidden and not k.startswith("_")}
    if "configuration" in visible:
        visible["configuration"] = without_passwords(visible["configuration"])
    digest = hashlib.sha256(write_json(visible, sort_keys=True))
    return f'W/"{digest.hexdigest()[:32]}"'


# --- printing ----------------------------------------------------------------------------------


def flows_path(set_id: str) -> str:
    """Return the path of a set's flows, as context URLs have it."""
    return f"{SETS}('{set_id}')/provisioningFlows"


class Printer:
    """Prints stored entities as Graph does; `root` is the service root of the context URLs."""

    def __init__(self, root: str) -> None:
        self._metadata = f"{root}/$metadata"

    def context(self, path: str, *, selected: str = "", entity: bool = False) -> str:
        """Return the context URL of a collection or, with `entity`, of one of its members.

        `selected` is what $select and $expand put behind the collection's name.
        """
        return f"{self._metadata}#{path}{selected}{'/$entity' if entity else ''}"

    def service_context(self) -> str:
        """Return the context URL of the service document."""
        return self._metadata

    def flow_set(self, stored: Stored) -> dict[str, Any]:
        """Print a flow set without its flows."""
        return {
            "id": stored["id"],
            "createdDateTime": printed_time(stored["createdDateTime"]),
            "lastModifiedDateTime": printed_time(stored["lastModifiedDateTime"]),
            "displayName": stored["displayName"],
            "filter": stored["filter"],
        }

    def flows(self, flow_set: Stored, role_groups: RoleGroups) -> list[dict[str, Any]]:
        """Print the flows of a set in ascending id order."""
        ordered = sorted(flow_set["flows"].items(), key=lambda item: item[1]["id"])
        return [self.flow(flow_set["id"], kind, stored, role_groups) for kind, stored in ordered]

    def created_flow(self, set_id: str, kind: str, stored: Stored) -> dict[str, Any]:
        """Print a new flow: its role groups are left out, as documented."""
        return self._flow(set_id, kind, stored, None)

    def flow(
        self, set_id: str, kind: str, stored: Stored, role_groups: RoleGroups
    ) -> dict[str, Any]:
        """Print a flow: its role groups are inline, without being asked for."""
        return self._flow(set_id, kind, stored, role_groups)

    def _flow(
        self, set_id: str, kind: str, stored: Stored, role_groups: RoleGroups | None
    ) -> dict[str, Any]:
        printed = {
            schemas.TYPE_MEMBER: f"#{schemas.NAMESPACE}{kind}",
            "id": stored["id"],
            "createdDateTime": printed_time(stored["createdDateTime"]),
            "lastModifiedDateTime": printed_time(stored["lastModifiedDateTime"]),
            "readinessStatus": stored["readinessStatus"],
            **stored["configuration"],
        }
        entries = _user_configurations(printed)
        if entries:
            context = (
                f"{self._metadata}#{flows_path(set_id)}('{stored['id']}')/"
                f"{_ROLE_GROUP_PATH}/$entity"
            )
            return _with_user_configurations(
                printed,
                [_user_configuration(entry, context, role_groups) for entry in entries],
            )
        return printed


def readiness_history(flow: Stored) -> list[dict[str, Any]]:
    """Print what has happened to a flow's readiness, newest first."""
    return [
        {
            "readinessStatus": entry["readinessStatus"],
            "reason": entry["reason"],
            "revision": entry["revision"],
            "eventId": entry["eventId"],
            "eventDateTime": _time_of(entry["eventAt"]),
            "appliedDateTime": _time_of(entry["appliedAt"]),
        }
        for entry in flow["history"]
        if entry is not None
    ]


def _time_of(microseconds_since_1970: int) -> str:
    moment = datetime.fromtimestamp(microseconds_since_1970 // 1_000_000, UTC)
    fraction = microseconds_since_1970 % 1_000_000
    return printed_time(f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:06d}0Z")


def _user_configuration(
    stored: Stored, context: str, role_groups: RoleGroups | None
) -> dict[str, Any]:
    printed: dict[str, Any] = {
        "licenseSkus": stored["licenseSkus"],
        "defaultPasswordSettings": _without_password(stored["defaultPasswordSettings"]),
    }
    if role_groups is not None:
        group = role_groups.get(stored["roleGroup"])
        printed["roleGroup@odata.context"] = context
        # A group that was deleted since is printed as null; the next check tells it as a failure.
        printed["roleGroup"] = None if group is None else role_group(group)
    return printed


def role_group(group: RoleGroup) -> dict[str, Any]:
    """Print a role group without its context."""
    return {
        "id": group.id,
        "displayName": group.display_name,
        "roles": [{"code": code} for code in group.roles],
    }


def role_groups_of(flow: Stored) -> set[str]:
    """Return the ids of the role groups that a stored flow refers to."""
    return {entry["roleGroup"] for entry in _user_configurations(flow["configuration"])}


def role_codes_of(flow: Stored) -> set[str]:
    """Return the codes of the section roles that a stored flow maps."""
    settings = flow["configuration"].get("configuration")
    mappings = settings["enrollmentMappings"].values() if settings else ()
    return {entry["code"] for entries in mappings for entry in entries}
