"""The wire contract as marshmallow schemas: one class a type, one table for each polymorphic place.

`load` takes what a client sent (names in any case, members in any order) and gives snake_case
values; `dump` gives the declared names in the server's order. Every fault is reported at once.
Types, nullability and order follow the beta metadata of microsoft.graph.industryData.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import unquote

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from shared.contract.json_body import RepeatedMembers, repeated_names
from shared.domain.catalog import (
    BUILT_IN_ROLE_GROUPS,
    DECLARED_ROLE_CODES,
    EXTENSIBLE_TYPES,
    ROLE_REFERENCE_TYPE,
    declared_role_code,
)
from shared.domain.errors import Fault, InvalidRequest

NAMESPACE = "microsoft.graph.industryData."
TYPE_MEMBER = "@odata.type"
_TYPE_PREFIX = "#" + NAMESPACE
MASKED_PASSWORD = "*" * 15

MAX_NAME = 256
MAX_VALUES = 1000
MAX_SKUS = 50
MAX_CONFIGURATIONS = 50
MAX_MAPPINGS = 100
MAX_FAULTS = 100

_READ_ONLY = frozenset({"id", "createddatetime", "lastmodifieddatetime", "readinessstatus"})
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BIND_URL = re.compile(
    r"(?:https?://[^/?#]+)?/?(?:beta/)?external/industryData/"
    r"(?P<collection>\w+)(?:/(?P<segment>[^/?#()']+)|\('(?P<key>[^/?#()']+)'\))/?",
    re.IGNORECASE,
)


class Message(str):
    """A fault's sentence that keeps the code a client may branch on.

    marshmallow formats and collects messages as text; a subclass of str passes through unharmed.
    """

    code: str

    def __new__(cls, code: str, text: str) -> Message:
        message = super().__new__(cls, text)
        message.code = code
        return message

    def format(self, *args: object, **kwargs: object) -> Message:
        return Message(self.code, super().format(*args, **kwargs))


class Secret:
    """A password on its way to encryption: neither printed, logged nor encoded by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the clear text."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASKED_PASSWORD})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class StoredPassword:
    """A password that is stored already, encrypted: what an update keeps instead of a new one.

    It never comes from JSON; `merge_flow` puts it where a client left a password out or sent the
    mask back.
    """

    def __init__(self, sealed: Mapping[str, str]) -> None:
        self.sealed = dict(sealed)


def _literal(value: object) -> str:
    """Show a bad value in an error as JSON would, short enough to read."""
    if isinstance(value, Mapping):
        return "{…}"
    if isinstance(value, list):
        return "[…]"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else text[:120] + "…"


def _cannot_convert(value: object, edm_type: str) -> ValidationError:
    return ValidationError(
        Message(
            "InvalidValue",
            f"Cannot convert the literal '{_literal(value)}' to the expected type '{edm_type}'.",
        )
    )


_FIELD_MESSAGES: dict[str, str | list[Any] | dict[Any, Any]] = {
    "required": Message("MissingProperty", "This member is required; add it."),
    "null": Message("NullValue", "This member cannot be null; leave it out or give it a value."),
}


class AnyValue(fields.Raw):
    """What is taken as it is; null only where it is allowed."""

    default_error_messages = _FIELD_MESSAGES


class Bool(fields.Field[bool]):
    """Edm.Boolean: only true and false, no words and no numbers."""

    default_error_messages = _FIELD_MESSAGES

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise _cannot_convert(value, "Edm.Boolean")


class Text(fields.Field[str]):
    """Edm.String of 1 to `longest` characters, none of them a control character."""

    default_error_messages = _FIELD_MESSAGES

    def __init__(self, *, longest: int = MAX_NAME, **kwargs: Any) -> None:
        self.longest = longest
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise _cannot_convert(value, "Edm.String")
        if not value.strip():
            raise ValidationError(Message("InvalidValue", "Give text that is not blank."))
        if len(value) > self.longest:
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"This text has {len(value)} characters; at most {self.longest} are kept.",
                )
            )
        if not value.isprintable() and _CONTROL.search(value):
            raise ValidationError(
                Message("InvalidValue", "Take the control characters out of this text.")
            )
        return value


class EnumMember(fields.Field[str]):
    """A member of an evolvable enum by its exact name; the sentinel for readers is refused."""

    default_error_messages = _FIELD_MESSAGES

    def __init__(self, enum_type: str, members: Sequence[str], **kwargs: Any) -> None:
        self.enum_type = enum_type
        self.members = tuple(members)
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise _cannot_convert(value, NAMESPACE + self.enum_type)
        if value not in self.members:
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"'{_literal(value)}' is not a member of {self.enum_type}; "
                    f"use one of {', '.join(self.members)}.",
                )
            )
        return value


class Items(fields.List[Any]):
    """A collection. OData has no null collection: null and absent are stored as empty."""

    default_error_messages: dict[str, str | list[Any] | dict[Any, Any]] = {
        **_FIELD_MESSAGES,
        "invalid": Message("InvalidValue", "Give a JSON array."),
    }

    def __init__(self, inner: fields.Field[Any], *, most: int, **kwargs: Any) -> None:
        self.most = most
        super().__init__(inner, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > self.most:
            # Told before any entry is looked at: a hostile list costs nothing.
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"There are {len(value)} entries here; give at most {self.most}.",
                )
            )
        return super()._deserialize(value, attr, data, **kwargs)


class OptionalItems(Items):
    """A collection that its declaration calls nullable."""

    def __init__(self, inner: fields.Field[Any], *, most: int, **kwargs: Any) -> None:
        super().__init__(inner, most=most, allow_none=True, load_default=list, **kwargs)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return [] if value is None else super().deserialize(value, *args, **kwargs)


class Wire(Schema):
    """What every type shares: names in any case, annotations, redundant types, exact errors."""

    odata_name: ClassVar[str]
    declared_abstract: ClassVar[bool] = False
    """Whether the place that holds this type is declared abstract, so that the type is printed."""

    enough: ClassVar[tuple[str, Mapping[str, str]] | None] = None
    """A member that is all that a type keeps, and what its texts are kept as, by lower case.

    The fast way looks no further where such a text is given alone; hooks must agree with that.
    """

    odata_type = AnyValue(data_key=TYPE_MEMBER, allow_none=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error_messages = {
            "unknown": Message(
                "UnknownProperty",
                f"The property '{{name}}' does not exist on type '{NAMESPACE}{self.odata_name}'. "
                "Make sure to only use property names that are defined by the type.",
            ),
            "type": Message("InvalidValue", f"Give a JSON object ({self.odata_name})."),
        }
        names = (field.data_key or key for key, field in self.declared_fields.items())
        self._names = {name.lower(): name for name in names}

    def declared_name(self, name: str) -> str:
        """Return a member's name in its declared case, or as it is where no member has it."""
        return self._names.get(name.lower(), name)

    def schema_of(self, name: str, value: Any) -> Wire | None:
        """Return the schema of a complex member; None for plain ones, collections and unknowns."""
        for key, field in self.declared_fields.items():
            if (field.data_key or key) == name:
                if isinstance(field, fields.Nested):
                    inner = field.schema
                    return inner if isinstance(inner, Wire) else None
                if isinstance(field, OneOf) and isinstance(value, Mapping):
                    return instance(chosen_schema(value, field.schemas, field.abstract))
        return None

    @pre_load
    def use_declared_names(self, data: Any, **kwargs: Any) -> Any:
        """Turn names into their declared case; leave out what clients may not set."""
        if not isinstance(data, Mapping):
            return data
        named = {}
        for key, value in data.items():
            lowered = key.lower()
            declared = self._names.get(lowered)
            if declared is not None:
                named[declared] = value
            elif lowered in _READ_ONLY or _is_ignored_annotation(lowered):
                continue
            else:
                named[key] = value
        return named

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def names_come_once(self, data: Any, original: Any, **kwargs: Any) -> None:
        """Refuse a member that is given twice, by the same name or in two casings."""
        repeated = repeated_names(original) if isinstance(original, Mapping) else ()
        if repeated:
            raise ValidationError(
                {
                    name: [
                        Message(
                            "DuplicateProperty",
                            f"'{name}' is given more than once (case does not count); keep one.",
                        )
                    ]
                    for name in repeated
                }
            )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def type_is_the_declared_one(self, data: Any, original: Any, **kwargs: Any) -> None:
        """Accept a redundant @odata.type, refuse one that names something else."""
        given = _given_type(original)
        if given is not None and type_name(given) != self.odata_name.lower():
            raise ValidationError(
                Message(
                    "InvalidType",
                    f"Expected '#{NAMESPACE}{self.odata_name}' here, not '{_literal(given)}'.",
                ),
                TYPE_MEMBER,
            )

    @post_load
    def keep_type_only_where_printed(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Print @odata.type exactly where the declared type is abstract."""
        data.pop("odata_type", None)
        if self.declared_abstract:
            data["odata_type"] = f"#{NAMESPACE}{self.odata_name}"
        return data


def _is_ignored_annotation(lowered: str) -> bool:
    # Control information that clients echo (context, etag, id, collection types) says nothing
    # about the value; a bind does, and is a member of its own where it is allowed.
    return "@" in lowered and not lowered.endswith("@odata.bind")


def _given_type(original: Any) -> Any:
    # JSON objects are dicts, which is told ten times as fast as that something is a Mapping.
    if not isinstance(original, dict):
        return None
    for key, value in original.items():
        if key == TYPE_MEMBER or key.lower() == TYPE_MEMBER:
            return value
    return None


def type_name(given: object) -> str:
    """Reduce an @odata.type to its bare name in lower case; "" for one of another namespace."""
    if not isinstance(given, str):
        return ""
    lowered = given.rpartition("#")[2].lower()
    prefix = NAMESPACE.lower()
    return lowered.removeprefix(prefix) if lowered.startswith(prefix) else ""


def chosen_schema(value: Any, schemas: Mapping[str, type[Wire]], abstract: str) -> type[Wire]:
    """Return the schema that an object's @odata.type names, or raise a fault that lists them."""
    given = _given_type(value)
    if isinstance(given, str) and given.startswith(_TYPE_PREFIX):
        exact = schemas.get(given[len(_TYPE_PREFIX) :])
        if exact is not None:
            return exact
    name = type_name(given)
    for declared, schema in schemas.items():
        if name == declared.lower():
            return schema
    expected = ", ".join(f"'#{NAMESPACE}{name}'" for name in schemas)
    if given is None:
        fault = Message("MissingType", f"Say which type this is; expected {expected}.")
    elif name == abstract.lower():
        fault = Message(
            "AbstractType",
            f"'{NAMESPACE}{abstract}' is abstract and cannot be created; use {expected}.",
        )
    else:
        fault = Message(
            "InvalidType", f"'{_literal(given)}' is not a type to use here; use {expected}."
        )
    raise ValidationError({TYPE_MEMBER: [fault]})


@functools.cache
def instance(schema: type[Wire]) -> Wire:
    """Return the one shared instance of a schema: making one costs far more than using it."""
    return schema()


class OneOf(fields.Field[dict[str, Any]]):
    """A complex value whose declared type is abstract: @odata.type says which schema reads it."""

    default_error_messages = _FIELD_MESSAGES

    def __init__(self, abstract: str, schemas: Mapping[str, type[Wire]], **kwargs: Any) -> None:
        self.abstract = abstract
        self.schemas = schemas
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValidationError(Message("InvalidValue", f"Give a JSON object ({self.abstract})."))
        schema = chosen_schema(value, self.schemas, self.abstract)
        loaded: dict[str, Any] = instance(schema).load(value)
        return loaded

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        if value is None:
            return None
        name = type_name(value["odata_type"])
        schema = next(cls for declared, cls in self.schemas.items() if declared.lower() == name)
        return instance(schema).dump(value)


def one(schema: type[Wire], **kwargs: Any) -> fields.Nested:
    """A complex value of a declared concrete type."""
    return fields.Nested(schema, error_messages=_FIELD_MESSAGES, **kwargs)


# --- flow sets ---------------------------------------------------------------------------------


class BasicFilter(Wire):
    """Organisations whose attribute equals one of the listed values."""

    odata_name = "basicFilter"
    declared_abstract = True

    attribute = EnumMember("filterOptions", ["orgExternalId"], required=True)
    in_ = Items(
        Text(),
        most=MAX_VALUES,
        required=True,
        data_key="in",
        attribute="in_",
    )


FILTER_SCHEMAS: dict[str, type[Wire]] = {"basicFilter": BasicFilter}


class FlowSet(Wire):
    """One provisioning configuration, optionally for some organisations only."""

    odata_name = "outboundProvisioningFlowSet"

    display_name = Text(required=True, data_key="displayName")
    filter = OneOf("filter", FILTER_SCHEMAS, allow_none=True, load_default=None)
    provisioning_flows = AnyValue(data_key="provisioningFlows", allow_none=True, load_only=True)

    @validates_schema(skip_on_field_errors=False)
    def flows_come_later(self, data: Any, **kwargs: Any) -> None:
        """A set is created alone; flows have a collection of their own."""
        if isinstance(data, Mapping) and data.get("provisioning_flows"):
            raise ValidationError(
                Message(
                    "InvalidValue",
                    "Create the set first, then POST each flow to its provisioningFlows.",
                ),
                "provisioningFlows",
            )

    @post_load
    def drop_flows(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """An empty or null collection says nothing."""
        data.pop("provisioning_flows", None)
        return data


# --- parts of flows ----------------------------------------------------------------------------


class AdminUnitCreationOptions(Wire):
    """Whether administrative units are made per organisation, and per organisation + role group."""

    odata_name = "adminUnitCreationOptions"

    create_based_on_org = Bool(required=True, data_key="createBasedOnOrg")
    create_based_on_org_plus_role_group = Bool(
        required=True, data_key="createBasedOnOrgPlusRoleGroup"
    )


class SecurityGroupCreationOptions(Wire):
    """Whether security groups are made per role group, and per organisation + role group."""

    odata_name = "securityGroupCreationOptions"

    create_based_on_role_group = Bool(required=True, data_key="createBasedOnRoleGroup")
    create_based_on_org_plus_role_group = Bool(
        required=True, data_key="createBasedOnOrgPlusRoleGroup"
    )


class AdditionalClassGroupOptions(Wire):
    """Whether a class gets a team, and whether its display name is written only once."""

    odata_name = "additionalClassGroupOptions"

    create_team = Bool(required=True, data_key="createTeam")
    write_display_name_on_create_only = Bool(required=True, data_key="writeDisplayNameOnCreateOnly")


class RoleReference(Wire):
    """A pointer to a role: by `code`, or by binding `value` to its reference definition."""

    enough = ("code", DECLARED_ROLE_CODES)

    code = Text(allow_none=True)
    value_bind = AnyValue(data_key="value@odata.bind", load_only=True)

    @post_load
    def use_declared_code(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Keep the code alone, in the definition's own case."""
        given = data.get("code")
        bound = _bound_role_code(data["value_bind"]) if "value_bind" in data else None
        if given is None and bound is None:
            raise ValidationError(
                Message("MissingProperty", "Give the role's code (or value@odata.bind)."), "code"
            )
        code = declared_role_code(given) if given is not None else bound
        if code is None:
            raise ValidationError(
                Message("UnknownReference", f"No role has the code '{_literal(given)}'."), "code"
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


def _bound_role_code(url: Any) -> str:
    collection, key = _bound_key(url, "value@odata.bind")
    prefix = f"{ROLE_REFERENCE_TYPE}-".lower()
    code = None
    if collection == "referencedefinitions" and key.lower().startswith(prefix):
        code = declared_role_code(key[len(prefix) :])
    if code is None:
        raise ValidationError(
            Message(
                "UnknownReference",
                f"'{_literal(url)}' names no role; bind to "
                f"external/industryData/referenceDefinitions/{ROLE_REFERENCE_TYPE}-<code>.",
            ),
            "value@odata.bind",
        )
    return code


def _bound_key(url: Any, member: str) -> tuple[str, str]:
    """Split a bind URL, absolute or relative, its key in either form, into collection and key."""
    match = _BIND_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise ValidationError(
            Message(
                "InvalidValue",
                f"'{_literal(url)}' is not the URL of an entity; give for example "
                "https://graph.microsoft.com/beta/external/industryData/roleGroups/staff.",
            ),
            member,
        )
    return match["collection"].lower(), unquote(match["segment"] or match["key"])


def bound_role_group(url: Any) -> str | None:
    """Return the id of the role group that a bind URL names; None for any other value."""
    match = _BIND_URL.fullmatch(url) if isinstance(url, str) else None
    if match is None or match["collection"].lower() != "rolegroups":
        return None
    return unquote(match["segment"] or match["key"]).lower()


class EnrollmentMappings(Wire):
    """Which section roles become owners of a class group and which become members."""

    odata_name = "enrollmentMappings"

    owner_enrollment_mappings = OptionalItems(
        one(SectionRoleReferenceValue), most=MAX_MAPPINGS, data_key="ownerEnrollmentMappings"
    )
    member_enrollment_mappings = OptionalItems(
        one(SectionRoleReferenceValue), most=MAX_MAPPINGS, data_key="memberEnrollmentMappings"
    )


CLASS_GROUP_ATTRIBUTES = (
    "courseTitle",
    "courseCode",
    "courseSubject",
    "courseGradeLevel",
    "courseExternalId",
    "academicSessionTitle",
    "academicSessionExternalId",
    "classCode",
)


class ClassGroupConfiguration(Wire):
    """What a class group is made of."""

    odata_name = "classGroupConfiguration"

    additional_attributes = OptionalItems(
        EnumMember("additionalClassGroupAttributes", CLASS_GROUP_ATTRIBUTES),
        most=MAX_MAPPINGS,
        data_key="additionalAttributes",
    )
    additional_options = one(
        AdditionalClassGroupOptions, required=True, data_key="additionalOptions"
    )
    enrollment_mappings = one(EnrollmentMappings, required=True, data_key="enrollmentMappings")


class AdditionalUserOptions(Wire):
    """How students are marked. studentAgeGroup (2025) supersedes the older flag for minors."""

    odata_name = "additionalUserOptions"

    mark_all_students_as_minors = Bool(
        allow_none=True, load_default=None, data_key="markAllStudentsAsMinors"
    )
    allow_student_contact_association = Bool(
        allow_none=True, load_default=None, data_key="allowStudentContactAssociation"
    )
    # Printed only once it was given: bodies from before 2025 do not have it.
    student_age_group = EnumMember(
        "studentAgeGroup",
        ["minor", "notAdult", "adult"],
        allow_none=True,
        data_key="studentAgeGroup",
    )

    @post_load
    def age_group_decides(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Derive the older flag wherever the age group is given; null turns enforcement off."""
        if "student_age_group" in data:
            data["mark_all_students_as_minors"] = data["student_age_group"] == "minor"
        return data


class UserManagementOptions(Wire):
    """Settings for all users that a flow considers."""

    odata_name = "userManagementOptions"

    additional_attributes = OptionalItems(
        EnumMember("additionalUserAttributes", ["userGradeLevel", "userNumber"]),
        most=MAX_MAPPINGS,
        data_key="additionalAttributes",
    )
    additional_options = one(AdditionalUserOptions, required=True, data_key="additionalOptions")


class Password(Text):
    """A password: loaded as Secret, never the mask that readers are shown."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            if isinstance(value, StoredPassword):
                return value
            # The value itself is not repeated, even where it is of the wrong type.
            raise ValidationError(Message("InvalidValue", "Give the password as a JSON string."))
        if value == MASKED_PASSWORD:
            raise ValidationError(
                Message("InvalidValue", "This is the mask of a stored password; send the real one.")
            )
        return Secret(super()._deserialize(value, attr, data, **kwargs))


class SimplePasswordSettings(Wire):
    """One initial password for every created user."""

    odata_name = "simplePasswordSettings"
    declared_abstract = True

    password = Password(required=True)


PASSWORD_SCHEMAS: dict[str, type[Wire]] = {"simplePasswordSettings": SimplePasswordSettings}


class RoleGroupBind(fields.Field[str]):
    """`roleGroup@odata.bind`: the URL of a role group, kept as the group's id."""

    default_error_messages: dict[str, str | list[Any] | dict[Any, Any]] = {
        **_FIELD_MESSAGES,
        "required": Message(
            "MissingProperty",
            "Bind a role group, for example to "
            "https://graph.microsoft.com/beta/external/industryData/roleGroups/staff.",
        ),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        known = _known_role_groups.get()
        usual = _USUAL_BINDS.get(value) if isinstance(value, str) else None
        if usual is not None and usual in known:
            return usual
        try:
            collection, key = _bound_key(value, "")
        except ValidationError as exc:
            raise ValidationError(exc.normalized_messages()[""]) from exc
        group = key.lower()
        if collection != "rolegroups" or group not in known:
            raise ValidationError(
                Message("UnknownReference", f"'{_literal(value)}' names no role group.")
            )
        return group


_known_role_groups: ContextVar[Collection[str]] = ContextVar(
    "known_role_groups", default=BUILT_IN_ROLE_GROUPS
)

_USUAL_BINDS = {
    f"https://graph.microsoft.com/beta/external/industryData/roleGroups/{group}": group
    for group in BUILT_IN_ROLE_GROUPS
}
"""How the documentation binds to the built-in groups: a look-up in place of taking a URL apart."""


class UserConfiguration(Wire):
    """Licences and first password of the users created for one role group."""

    odata_name = "userConfiguration"

    license_skus = OptionalItems(Text(longest=128), most=MAX_SKUS, data_key="licenseSkus")
    default_password_settings = OneOf(
        "passwordSettings",
        PASSWORD_SCHEMAS,
        allow_none=True,
        load_default=None,
        data_key="defaultPasswordSettings",
    )
    role_group = RoleGroupBind(required=True, data_key="roleGroup@odata.bind")
    inline_role_group = AnyValue(data_key="roleGroup", load_only=True)

    @pre_load
    def use_declared_names(self, data: Any, **kwargs: Any) -> Any:
        """Read an inline roleGroup, as answers print it, as a reference to the group of its id."""
        named = super().use_declared_names(data, **kwargs)
        if not isinstance(named, Mapping) or "roleGroup" not in named:
            return named
        inline = named["roleGroup"]
        group = inline.get("id") if isinstance(inline, Mapping) else None
        if not isinstance(group, str) or not group:
            return named
        bind = named.get("roleGroup@odata.bind", f"external/industryData/roleGroups/{group}")
        if group.lower() != bound_role_group(bind):
            return named
        rest = {name: value for name, value in named.items() if name != "roleGroup"}
        return {**rest, "roleGroup@odata.bind": bind}

    @validates_schema(skip_on_field_errors=False)
    def role_group_is_bound(self, data: Any, **kwargs: Any) -> None:
        """Say how to refer to a role group where an inline one cannot be understood."""
        if "inline_role_group" in data:
            raise ValidationError(
                Message("InvalidValue", "Refer to one group, by roleGroup@odata.bind."),
                "roleGroup",
            )


class UserCreationOptions(Wire):
    """Settings for newly created users, one configuration a role group."""

    odata_name = "userCreationOptions"

    configurations = OptionalItems(one(UserConfiguration), most=MAX_CONFIGURATIONS)

    @validates_schema
    def one_configuration_a_group(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Two configurations for one role group would contradict each other."""
        seen: set[str] = set()
        faults: dict[int, dict[str, list[str]]] = {}
        for index, configuration in enumerate(data.get("configurations", [])):
            group = configuration["role_group"]
            if group in seen:
                faults[index] = {
                    "roleGroup@odata.bind": [
                        Message(
                            "InvalidValue",
                            f"The role group '{group}' has a configuration already; give one.",
                        )
                    ]
                }
            seen.add(group)
        if faults:
            raise ValidationError({"configurations": faults})


# --- flows -------------------------------------------------------------------------------------


class ProvisioningFlow(Wire):
    """What the four kinds share; declared abstract, so each prints its type."""

    declared_abstract = True


class AdministrativeUnitFlow(ProvisioningFlow):
    """Creates administrative units."""

    odata_name = "administrativeUnitProvisioningFlow"

    creation_options = one(AdminUnitCreationOptions, required=True, data_key="creationOptions")


class ClassGroupFlow(ProvisioningFlow):
    """Creates class groups, and teams where asked."""

    odata_name = "classGroupProvisioningFlow"

    configuration = one(ClassGroupConfiguration, required=True)


class SecurityGroupFlow(ProvisioningFlow):
    """Creates security groups."""

    odata_name = "securityGroupProvisioningFlow"

    creation_options = one(SecurityGroupCreationOptions, required=True, data_key="creationOptions")


class UserFlow(ProvisioningFlow):
    """Creates and manages users."""

    odata_name = "userProvisioningFlow"

    create_unmatched_users = Bool(
        allow_none=True, load_default=None, data_key="createUnmatchedUsers"
    )
    management_options = one(UserManagementOptions, required=True, data_key="managementOptions")
    creation_options = one(
        UserCreationOptions, allow_none=True, load_default=None, data_key="creationOptions"
    )


FLOW_SCHEMAS: dict[str, type[Wire]] = {
    schema.odata_name: schema
    for schema in (AdministrativeUnitFlow, ClassGroupFlow, SecurityGroupFlow, UserFlow)
}
"""Kind of flow to its schema; the kind is also the member of the stored set that holds the flow."""


# --- reference data ----------------------------------------------------------------------------


class Int32(fields.Field[int]):
    """Edm.Int32: a whole number written as one, no text and no fraction."""

    default_error_messages = _FIELD_MESSAGES

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
            raise _cannot_convert(value, "Edm.Int32")
        return value


class RoleGroup(Wire):
    """A named bundle of roles."""

    odata_name = "roleGroup"

    display_name = Text(required=True, data_key="displayName")
    roles = Items(one(RoleReferenceValue), most=MAX_MAPPINGS, required=True)

    @post_load
    def sort_roles(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Keep each role once, in alphabetical order, as Graph prints them."""
        codes = sorted({role["code"] for role in data["roles"]})
        return {**data, "roles": [{"code": code} for code in codes]}


class Code(Text):
    """A code of a list: it becomes part of an id and so of a URL."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        code = super()._deserialize(value, attr, data, **kwargs)
        if not _CODE.fullmatch(code):
            raise ValidationError(
                Message("InvalidValue", "A code has letters, digits, '.', '_' and '-' only.")
            )
        return code


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


# --- loading -----------------------------------------------------------------------------------


def load(schema: type[Wire], body: Any) -> dict[str, Any]:
    """Validate a body and return its values by snake_case name.

    Raises InvalidRequest with every fault, each with the JSONPath (RFC 9535) of its place.
    """
    plain: dict[str, Any] | None = _fast().load(schema, body)
    if plain is not None:
        return plain
    try:
        values: dict[str, Any] = instance(schema).load(body)
    except ValidationError as exc:
        raise InvalidRequest(*_faults(exc)) from exc
    return values


def dump(schema: type[Wire], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return loaded values under their declared names, in the server's order."""
    dumped: dict[str, Any] = _fast().dump(schema, values)
    return dumped


@functools.cache
def _fast() -> ModuleType:
    from shared.contract import compiled

    return compiled


def load_flow(
    body: Any, role_groups: Collection[str] = BUILT_IN_ROLE_GROUPS
) -> tuple[str, dict[str, Any]]:
    """Validate the body of a new flow; return its kind (a key of FLOW_SCHEMAS) and its values.

    `role_groups` are the ids that a user flow may bind to.
    """
    if not isinstance(body, dict):
        raise InvalidRequest(Fault("InvalidValue", "Give a JSON object (provisioningFlow).", "$"))
    try:
        schema = chosen_schema(body, FLOW_SCHEMAS, "provisioningFlow")
    except ValidationError as exc:
        raise InvalidRequest(*_faults(exc)) from exc
    if role_groups is _known_role_groups.get():
        return schema.odata_name, load(schema, body)
    token = _known_role_groups.set(role_groups)
    try:
        return schema.odata_name, load(schema, body)
    finally:
        _known_role_groups.reset(token)


def bound_role_groups(body: Any) -> set[str]:
    """Return the ids of all role groups that the JSON body of a flow may refer to, valid or not."""
    found: set[str] = set()
    for entries in _members(_members([body], "creationoptions"), "configurations"):
        if not isinstance(entries, list):
            continue
        for bind in _members(entries, "rolegroup@odata.bind"):
            if group := bound_role_group(bind):
                found.add(group)
        for inline in _members(entries, "rolegroup"):
            if isinstance(inline, dict):
                found.add(str(inline.get("id", "")).lower())
    return found


def _members(objects: Iterable[Any], lowered: str) -> Iterator[Any]:
    """Yield what those of the values that are objects hold by a name, in whatever case."""
    for value in objects:
        if isinstance(value, dict):
            for name, member in value.items():
                if name.lower() == lowered:
                    yield member


# --- updating ----------------------------------------------------------------------------------


def merge(schema: Wire, current: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a partial body over a complete one, as OData updates do.

    Members of complex values are merged; collections, null and plain values replace. The result
    has declared names and is still to be loaded: a wrong member of the patch is in it.
    """
    merged: dict[str, Any] = dict(current)
    if repeated := repeated_names(patch):
        merged = RepeatedMembers(current)
        merged.repeated = repeated
    for name, value in patch.items():
        declared = schema.declared_name(name)
        before = current.get(declared)
        inner = schema.schema_of(declared, before)
        if inner is not None and isinstance(value, Mapping):
            value = merge(inner, before if isinstance(before, Mapping) else {}, value)
        merged[declared] = value
    return merged


def laid_over(schema: type[Wire], current: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Lay an update's body over an entity, for `load`; raises InvalidRequest for no object."""
    if not isinstance(body, Mapping):
        raise InvalidRequest(
            Fault("InvalidValue", f"Give a JSON object ({schema.odata_name}).", "$")
        )
    return merge(instance(schema), current, body)


def merge_flow(kind: str, current: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Lay an update over a flow's configuration in wire form, whose passwords are StoredPassword.

    An entry of `configurations` whose password is left out or masked keeps the stored one of its
    role group. Raises InvalidRequest for a body that is not an object or names another kind.
    """
    given = _given_type(body)
    if given is not None and type_name(given) != kind.lower():
        raise InvalidRequest(
            Fault(
                "InvalidType",
                f"This flow is a '#{NAMESPACE}{kind}' and stays one; delete it and create another.",
                f"$['{TYPE_MEMBER}']",
            )
        )
    merged = laid_over(FLOW_SCHEMAS[kind], current, body)
    if kind == UserFlow.odata_name:
        _keep_passwords(merged, current)
    return merged


def _keep_passwords(merged: dict[str, Any], current: Mapping[str, Any]) -> None:
    options = merged.get("creationOptions")
    entries = options.get("configurations") if isinstance(options, Mapping) else None
    if not isinstance(options, dict) or not isinstance(entries, list):
        return
    stored = {
        bound_role_group(entry["roleGroup@odata.bind"]): entry["defaultPasswordSettings"]
        for entry in (current["creationOptions"] or {}).get("configurations", [])
        if entry["defaultPasswordSettings"] is not None
    }
    options["configurations"] = [_with_kept_password(entry, stored) for entry in entries]


def _with_kept_password(entry: Any, stored: Mapping[str | None, Mapping[str, Any]]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    named = merge(instance(UserConfiguration), {}, entry)
    inline = named.get("roleGroup")
    group = bound_role_group(named.get("roleGroup@odata.bind"))
    if group is None and isinstance(inline, Mapping):
        group = str(inline.get("id", "")).lower()
    kept = stored.get(group)
    if kept is None:
        return named
    settings = named.setdefault("defaultPasswordSettings", kept)
    if isinstance(settings, Mapping) and settings is not kept:
        settings = merge(instance(SimplePasswordSettings), kept, settings)
        if settings["password"] == MASKED_PASSWORD:
            settings["password"] = kept["password"]
        named["defaultPasswordSettings"] = settings
    return named


def _faults(error: ValidationError) -> list[Fault]:
    found: list[Fault] = []
    _collect(error.normalized_messages(), "$", "", found)
    return found[:MAX_FAULTS]


def _collect(messages: Any, path: str, name: str, found: list[Fault]) -> None:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            if key == "_schema":
                _collect(inner, path, name, found)
            else:
                _collect(inner, path + _step(key), str(key), found)
        return
    for message in messages:
        found.append(Fault(message.code, message.replace("{name}", _literal(name)), path))


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        return f".{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
