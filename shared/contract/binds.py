"""References to other entities: binds (`...@odata.bind`) and inline entities, read as ids.

Nothing is looked up here. An id is a GUID or a built-in word, so that no
lookup is made for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from marshmallow import ValidationError, fields, missing

from shared.contract.field_types import FIELD_MESSAGES, Message, literal
from shared.domain.catalog import (
    BUILT_IN_ROLE_GROUPS,
    ROLE_REFERENCE_TYPE,
    declared_role_code,
    is_role_group_id,
)

MAX_URL = 1024
_BIND_URL = re.compile(
    r"(?:https?://[^/?#]+)?/?(?:beta/)?external/industryData/"
    r"(?P<collection>\w+)(?:/(?P<segment>[^/?#()']+)|\('(?P<key>[^/?#()']+)'\))/?",
    re.IGNORECASE,
)
_EXAMPLE = "https://graph.microsoft.com/beta/external/industryData/roleGroups/"

_USUAL_BINDS = {f"{_EXAMPLE}{group}": group for group in BUILT_IN_ROLE_GROUPS}
"""How the documentation binds to the built-in groups: a lookup in place of parsing a URL."""


class RoleGroupBind(fields.Field[str]):
    """`roleGroup@odata.bind`: the URL of a role group, kept as the group's id."""

    default_error_messages: dict[str, str | list[Any] | dict[Any, Any]] = {
        **FIELD_MESSAGES,
        "required": Message(
            "MissingProperty", f"Bind a role group, for example to {_EXAMPLE}staff."
        ),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        usual = _USUAL_BINDS.get(value) if isinstance(value, str) else None
        if usual is not None:
            return usual
        collection, key = _bound_key(value)
        group = key.lower()
        if collection != "rolegroups" or not is_role_group_id(group):
            raise ValidationError(unknown_role_group(value))
        return group


class InlineRoleGroup(fields.Raw):
    """An inline `roleGroup` that does not stand for one group: refused, whatever it is.

    One that does is read as a bind before this field sees it (UserConfiguration).
    """

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse any value; raises ValidationError."""
        if value is missing:
            return value
        raise ValidationError(
            Message("InvalidValue", "Refer to one group, by roleGroup@odata.bind.")
        )


def unknown_role_group(bind: object) -> Message:
    """Return the fault of a bind to a role group that does not exist."""
    return Message("UnknownReference", f"'{literal(bind)}' names no role group.")


def bound_role_group(url: Any) -> str | None:
    """Return the id of the role group that a bind URL names; None for any other value."""
    match = _matched(url)
    if match is None or match["collection"].lower() != "rolegroups":
        return None
    group = unquote(match["segment"] or match["key"]).lower()
    return group if is_role_group_id(group) else None


def inline_role_group(value: Any) -> str | None:
    """Return the id of the role group that an inline object stands for; None for any other value.

    An object refers to a group by `id` or by `@odata.id`, names in any case; where it has both,
    they must agree.
    """
    if not isinstance(value, Mapping):
        return None
    found: set[str | None] = set()
    for name, member in value.items():
        lowered = name.lower()
        if lowered == "id":
            valid = isinstance(member, str) and is_role_group_id(member.lower())
            found.add(member.lower() if valid else None)
        elif lowered == "@odata.id":
            found.add(bound_role_group(member))
    return found.pop() if len(found) == 1 else None


def role_group_url(group: str) -> str:
    """Return the bind URL of a role group."""
    return f"external/industryData/roleGroups/{group}"


def bound_role_code(url: Any) -> str:
    """Return the code of the role whose definition a bind URL names; raises ValidationError."""
    collection, key = _bound_key(url)
    prefix = f"{ROLE_REFERENCE_TYPE}-".lower()
    code = None
    if collection == "referencedefinitions" and key.lower().startswith(prefix):
        code = declared_role_code(key[len(prefix) :])
    if code is None:
        raise ValidationError(
            Message(
                "UnknownReference",
                f"'{literal(url)}' names no role; bind to "
                f"external/industryData/referenceDefinitions/{ROLE_REFERENCE_TYPE}-<code>.",
            )
        )
    return code


def _bound_key(url: Any) -> tuple[str, str]:
    """Split a bind URL, absolute or relative, its key in either form, into collection and key."""
    match = _matched(url)
    if match is None:
        raise ValidationError(
            Message(
                "InvalidValue",
                f"'{literal(url)}' is not the URL of an entity; give for example {_EXAMPLE}staff.",
            )
        )
    return match["collection"].lower(), unquote(match["segment"] or match["key"])


def _matched(url: Any) -> re.Match[str] | None:
    if not isinstance(url, str) or len(url) > MAX_URL:
        return None
    return _BIND_URL.fullmatch(url)
