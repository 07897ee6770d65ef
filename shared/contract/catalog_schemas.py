"""The schemas of role groups and reference definitions, and of references to roles."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, post_load

from shared.contract.binds import bound_role_code
from shared.contract.field_types import (
    AnyValue,
    Bool,
    Code,
    EnumMember,
    Int32,
    Items,
    Message,
    Text,
    literal,
)
from shared.contract.wire import Wire, one
from shared.domain.catalog import DECLARED_ROLE_CODES, EXTENSIBLE_TYPES, declared_role_code

MAX_ROLES = 100
_BIND = "value@odata.bind"


class RoleReference(Wire):
    """A pointer to a role: by `code`, or by binding `value` to its reference definition."""

    enough = ("code", DECLARED_ROLE_CODES)

    code = Text(allow_none=True)
    value_bind = AnyValue(data_key=_BIND, load_only=True)

    @post_load
    def use_declared_code(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Keep the code alone, in the definition's own case."""
        given = data.get("code")
        bound = None
        if "value_bind" in data:
            try:
                bound = bound_role_code(data["value_bind"])
            except ValidationError as exc:
                raise ValidationError(exc.messages, _BIND) from exc
        if given is None and bound is None:
            raise ValidationError(
                Message("MissingProperty", "Give the role's code (or value@odata.bind)."), "code"
            )
        code = declared_role_code(given) if given is not None else bound
        if code is None:
            raise ValidationError(
                Message("UnknownReference", f"No role has the code '{literal(given)}'."), "code"
            )
        if bound is not None and bound != code:
            raise ValidationError(
                Message("InvalidValue", f"code says '{code}' and the bind says '{bound}'."), "code"
            )
        return {"code": code}


class SectionRoleReferenceValue(RoleReference):
    """A role in a class section."""

    odata_name = "sectionRoleReferenceValue"


class RoleReferenceValue(RoleReference):
    """A role in an organisation."""

    odata_name = "roleReferenceValue"


class RoleGroup(Wire):
    """A named bundle of roles."""

    odata_name = "roleGroup"

    display_name = Text(required=True, data_key="displayName")
    roles = Items(one(RoleReferenceValue), most=MAX_ROLES, required=True)

    @post_load
    def sort_roles(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Keep each role once, in alphabetical order, as Graph prints them."""
        codes = sorted({role["code"] for role in data["roles"]})
        return {**data, "roles": [{"code": code} for code in codes]}


REFERENCE_TYPE = "extensible reference types"
"""How errors call the values of referenceType; on the wire it is a plain string."""


class DefinitionState(Wire):
    """What can change of an entry of a code list."""

    odata_name = "referenceDefinition"

    display_name = Text(allow_none=True, load_default=None, data_key="displayName")
    source = AnyValue(load_only=True)
    is_disabled = Bool(required=True, data_key="isDisabled")
    sort_index = Int32(required=True, data_key="sortIndex")


class ReferenceDefinition(DefinitionState):
    """An entry of a code list that tenants can extend."""

    reference_type = EnumMember(
        REFERENCE_TYPE, EXTENSIBLE_TYPES, required=True, data_key="referenceType"
    )
    code = Code(longest=64, required=True)


class ReferenceDefinitionUpdate(DefinitionState):
    """An update of an entry; what cannot change may be repeated."""

    reference_type = AnyValue(data_key="referenceType", load_only=True)
    code = AnyValue(load_only=True)
