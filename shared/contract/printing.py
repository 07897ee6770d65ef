"""Prints what is stored as Graph does: entities, context URLs, ETags, readiness history."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.contract.json_body import write_json
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.domain.catalog import RoleGroup
from shared.domain.context import current_tenant
from shared.domain.flows import (
    RoleGroups,
    Stored,
    masked,
    with_user_configurations,
)
from shared.domain.ids import printed_time

SETS = "external/industryData/outboundProvisioningFlowSets"
ROLE_GROUPS = "external/industryData/roleGroups"
DEFINITIONS = "external/industryData/referenceDefinitions"
_ROLE_GROUP_PATH = (
    "microsoft.graph.industryData.userProvisioningFlow/creationOptions/configurations/roleGroup"
)
_DEFINITION_MEMBERS = (
    "id",
    "referenceType",
    "displayName",
    "code",
    "source",
    "isDisabled",
    "sortIndex",
)


def version(printed: Mapping[str, Any], revision: int = 0) -> str:
    """Return an entity's own version: another one whenever a member of its own changes.

    It is given without what it only shows of other entities. `revision` is a flow's: it also counts
    changes that are not printed, such as a new password.
    """
    return digest({"revision": revision, "printed": printed})


def digest(value: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits that stand for a JSON object in the tenant being served.

    In another tenant, what is built in has other digits: an ETag is of no use there.
    """
    whose = (current_tenant.get() or "").encode()
    return hashlib.sha256(whose + write_json(value, sort_keys=True)).hexdigest()[:32]


def flows_path(set_id: str) -> str:
    """Return the path of a set's flows, as context URLs have it."""
    return f"{SETS}('{set_id}')/provisioningFlows"


def collection_of(type_name: str) -> str:
    """Return how context URLs name the entries of a complex type that a call on a flow answers."""
    return f"Collection({NAMESPACE}{type_name})"


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

    def flow(
        self, set_id: str, kind: str, stored: Stored, role_groups: RoleGroups | None
    ) -> dict[str, Any]:
        """Print a flow with its role groups inline, as Graph does without $expand.

        With `role_groups` None they are omitted: the documented answer to a creation has none.
        """
        printed = {
            TYPE_MEMBER: f"#{NAMESPACE}{kind}",
            "id": stored["id"],
            "createdDateTime": printed_time(stored["createdDateTime"]),
            "lastModifiedDateTime": printed_time(stored["lastModifiedDateTime"]),
            "readinessStatus": stored["readinessStatus"],
            **stored["configuration"],
        }
        flow = f"{flows_path(set_id)}('{stored['id']}')"
        context = f"{self._metadata}#{flow}/{_ROLE_GROUP_PATH}/$entity"
        return with_user_configurations(
            printed, lambda entry: _user_configuration(entry, context, role_groups)
        )


def role_group(group: RoleGroup) -> dict[str, Any]:
    """Print a role group without its context."""
    return {
        "id": group.id,
        "displayName": group.display_name,
        "roles": [{"code": code} for code in group.roles],
    }


def reference_definition(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Print a reference definition without its context."""
    return {
        **{name: stored[name] for name in _DEFINITION_MEMBERS},
        "createdDateTime": printed_time(stored["createdDateTime"]),
        "lastModifiedDateTime": printed_time(stored["lastModifiedDateTime"]),
    }


def readiness_history(flow: Stored) -> list[dict[str, Any]]:
    """Print what has happened to a flow's readiness, newest first."""
    return [
        {
            "readinessStatus": entry["readinessStatus"],
            "reason": entry["reason"],
            "revision": entry["revision"],
            "eventId": entry["eventId"],
            "eventDateTime": time_of(entry["eventAt"]),
            "appliedDateTime": time_of(entry["appliedAt"]),
        }
        for entry in flow["history"]
        if entry is not None
    ]


def time_of(microseconds_since_1970: int) -> str:
    """Print a moment that is stored as a number."""
    moment = datetime.fromtimestamp(microseconds_since_1970 // 1_000_000, UTC)
    fraction = microseconds_since_1970 % 1_000_000
    return printed_time(f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:06d}0Z")


def _user_configuration(
    stored: Stored, context: str, role_groups: RoleGroups | None
) -> dict[str, Any]:
    printed: dict[str, Any] = {
        "licenseSkus": stored["licenseSkus"],
        "defaultPasswordSettings": masked(stored["defaultPasswordSettings"]),
    }
    if role_groups is not None:
        group = role_groups.get(stored["roleGroup"])
        printed["roleGroup@odata.context"] = context
        # A group that was deleted since is printed as null; the next check reports the failure.
        printed["roleGroup"] = None if group is None else role_group(group)
    return printed
