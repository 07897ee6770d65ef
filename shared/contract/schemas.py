"""The schemas of flow sets and of the four kinds of flow: one class a type.

`load` (loading.py) reads what a client sent (names in any case, members in any order) into
snake_case values; `dump` gives the declared names in the server's order. Every fault is reported at
once. Types, nullability and order follow the beta metadata of microsoft.graph.industryData.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, post_load, pre_load, validates_schema

from shared.contract.binds import (
    InlineRoleGroup,
    RoleGroupBind,
    bound_role_group,
    inline_role_group,
    role_group_url,
)
from shared.contract.catalog_schemas import SectionRoleReferenceValue
from shared.contract.field_types import (
    AnyValue,
    Bool,
    EnumMember,
    Items,
    Message,
    OptionalItems,
    Password,
    Text,
)
from shared.contract.wire import OneOf, Wire, one

MAX_VALUES = 1000
MAX_SKUS = 50
MAX_CONFIGURATIONS = 50
MAX_MAPPINGS = 100
# All values of a filter, or all licences of a flow, together. With them a set has room for the
# history of its four flows in a document of Cosmos DB, which takes 2 MiB.
MAX_CHARACTERS = 100_000


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

    @validates_schema
    def not_too_much_text(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """A set's document has to stay within what the store takes."""
        _refuse_too_much_text(sum(map(len, data["in_"])), "in")


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
        if isinstance(data, Mapping) and data.get("provisioning_flows") not in (None, []):
            raise ValidationError(
                Message(
                    "InvalidValue",
                    "Flows are not written with their set: omit provisioningFlows here, and POST "
                    "or PATCH each flow in the set's collection of that name.",
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


class SimplePasswordSettings(Wire):
    """One initial password for every created user."""

    odata_name = "simplePasswordSettings"
    declared_abstract = True

    password = Password(required=True)


PASSWORD_SCHEMAS: dict[str, type[Wire]] = {"simplePasswordSettings": SimplePasswordSettings}


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
    inline_role_group = InlineRoleGroup(data_key="roleGroup", load_only=True)

    @pre_load
    def use_declared_names(self, data: Any, **kwargs: Any) -> Any:
        """Read an inline roleGroup, as answers print it, as a reference to that group."""
        named = super().use_declared_names(data, **kwargs)
        if not isinstance(named, Mapping) or "roleGroup" not in named:
            return named
        group = inline_role_group(named["roleGroup"])
        if group is None:
            return named
        bind = named.get("roleGroup@odata.bind", role_group_url(group))
        if group != bound_role_group(bind):
            return named
        rest = {name: value for name, value in named.items() if name != "roleGroup"}
        return {**rest, "roleGroup@odata.bind": bind}


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

    @validates_schema
    def not_too_much_text(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """A set's document has to stay within what the store takes."""
        skus = (each.get("license_skus", ()) for each in data.get("configurations", []))
        _refuse_too_much_text(sum(len(sku) for some in skus for sku in some), "configurations")


def _refuse_too_much_text(characters: int, member: str) -> None:
    if characters > MAX_CHARACTERS:
        raise ValidationError(
            Message(
                "InvalidValue",
                f"The values have {characters} characters in all; "
                f"give at most {MAX_CHARACTERS} of them.",
            ),
            member,
        )


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
