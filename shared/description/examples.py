"""The bodies that the description shows as examples."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.schemas import FLOW_SCHEMAS
from shared.contract.updates import merge
from shared.contract.wire import chosen_schema, instance

PUBLISHED: Final = Path(__file__).parents[1] / "contract" / "examples"


@functools.cache
def _published() -> Mapping[str, Any]:
    """Return the published bodies by the name of their file, such as user.request.

    Names have their declared case here: some of the published ones do not.
    """
    read = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(PUBLISHED.glob("*"))}
    return {
        name: merge(instance(chosen_schema(body, FLOW_SCHEMAS, "")), {}, body)
        for name, body in read.items()
    }


def examples(schema: str, side: str) -> dict[str, Any]:
    """Return the examples of a schema by name; `side` is request or response."""
    if schema.removesuffix("Create") == "provisioningFlow":
        return {
            name.removesuffix(f".{side}"): body
            for name, body in _published().items()
            if name.endswith(f".{side}")
        }
    return dict(_SMALL.get(schema, {}))


_SMALL: Final[dict[str, dict[str, Any]]] = {
    "outboundProvisioningFlowSetCreate": {
        "all organisations": {"displayName": "Contoso schools"},
        "some organisations": {
            "displayName": "Two schools",
            "filter": {
                TYPE_MEMBER: f"#{NAMESPACE}basicFilter",
                "attribute": "orgExternalId",
                "in": ["7001", "7002"],
            },
        },
    },
    "outboundProvisioningFlowSetUpdate": {"another name": {"displayName": "Contoso and Fabrikam"}},
    "provisioningFlowUpdate": {
        "user": {"createUnmatchedUsers": False},
        "class_group": {"configuration": {"additionalOptions": {"createTeam": False}}},
    },
    "roleGroupCreate": {
        "tutors": {"displayName": "Tutors", "roles": [{"code": "aide"}, {"code": "coach"}]}
    },
    "roleGroupUpdate": {"another name": {"displayName": "Tutors and aides"}},
    "referenceDefinitionCreate": {
        "a kind of school": {
            "referenceType": "RefOrgType",
            "code": "forestSchool",
            "displayName": "Forest school",
            "isDisabled": False,
            "sortIndex": 1000,
        }
    },
    "referenceDefinitionUpdate": {"disabled": {"isDisabled": True}},
    "batch": {
        "two reads": {
            "requests": [
                {"id": "1", "method": "GET", "url": "/external/industryData/roleGroups"},
                {"id": "2", "method": "GET", "url": "/external/industryData"},
            ]
        }
    },
}
