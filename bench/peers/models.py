"""The four flow types as pydantic models: a discriminated union, as FastAPI's documentation has it.

The published bodies spell two names in a case of their own; the models accept both spellings. They
know nothing else about case, and stop at the same limits as the service.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
)
from pydantic.alias_generators import to_camel

PREFIX = "#microsoft.graph.industryData."
SECTION_ROLES = {
    code.lower(): code
    for code in (
        *("principal", "chair", "professor", "researcher", "adjunct", "affiliate"),
        *("occupationalTherapist", "physicalTherapist", "speechTherapist", "visionTherapist"),
        *("paraprofessional", "specialServices", "advisor", "proctor", "nurse", "officeStaff"),
        *("lecturer", "itAdmin", "administrator", "teacher", "faculty", "staff"),
        *("teacherAssistant", "assistant", "instructor", "substitute", "coach", "alumni", "aide"),
        *("student", "other"),
    )
}
ROLE_GROUPS = "https://graph.microsoft.com/beta/external/industryData/roleGroups/"

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Sku = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def known_role(code: str) -> str:
    """Return a role code in its declared case."""
    declared = SECTION_ROLES.get(code.lower())
    if declared is None:
        raise ValueError("unknown role")
    return declared


def known_group(url: str) -> str:
    """Return the id of the role group that a bind names."""
    group = url.removeprefix(ROLE_GROUPS).lower()
    if group not in ("staff", "students"):
        raise ValueError("unknown role group")
    return group


class Model(BaseModel):
    """Declared names in camel case, nothing unknown, no words for booleans."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True
    )


class AdminUnitCreationOptions(Model):
    """Whether administrative units are made."""

    create_based_on_org: bool
    create_based_on_org_plus_role_group: bool = Field(
        validation_alias=AliasChoices(
            "createBasedOnOrgPlusRoleGroup", "createBasedOnOrgPlusroleGroup"
        )
    )


class AdministrativeUnitFlow(Model):
    """Creates administrative units."""

    odata_type: Literal["#microsoft.graph.industryData.administrativeUnitProvisioningFlow"] = Field(
        alias="@odata.type"
    )
    creation_options: AdminUnitCreationOptions


class SecurityGroupCreationOptions(Model):
    """Whether security groups are made."""

    create_based_on_role_group: bool = Field(
        validation_alias=AliasChoices("createBasedOnRoleGroup", "createBasedOnroleGroup")
    )
    create_based_on_org_plus_role_group: bool = Field(
        validation_alias=AliasChoices(
            "createBasedOnOrgPlusRoleGroup", "createBasedOnOrgPlusroleGroup"
        )
    )


class SecurityGroupFlow(Model):
    """Creates security groups."""

    odata_type: Literal["#microsoft.graph.industryData.securityGroupProvisioningFlow"] = Field(
        alias="@odata.type"
    )
    creation_options: SecurityGroupCreationOptions


class AdditionalClassGroupOptions(Model):
    """Settings of the teams."""

    odata_type: Literal["#microsoft.graph.industryData.additionalClassGroupOptions"] | None = Field(
        None, alias="@odata.type", exclude=True
    )
    create_team: bool
    write_display_name_on_create_only: bool


class SectionRoleReferenceValue(Model):
    """A role in a class section."""

    odata_type: Literal["#microsoft.graph.industryData.sectionRoleReferenceValue"] | None = Field(
        None, alias="@odata.type", exclude=True
    )
    code: Annotated[Name, AfterValidator(known_role)]


Roles = Annotated[list[SectionRoleReferenceValue], Field(max_length=100)]


class EnrollmentMappings(Model):
    """Which roles become owners and members."""

    odata_type: Literal["#microsoft.graph.industryData.enrollmentMappings"] | None = Field(
        None, alias="@odata.type", exclude=True
    )
    owner_enrollment_mappings: Roles = []
    member_enrollment_mappings: Roles = []


ClassGroupAttribute = Literal[
    "courseTitle",
    "courseCode",
    "courseSubject",
    "courseGradeLevel",
    "courseExternalId",
    "academicSessionTitle",
    "academicSessionExternalId",
    "classCode",
]


class ClassGroupConfiguration(Model):
    """What a class group is made of."""

    odata_type: Literal["#microsoft.graph.industryData.classGroupConfiguration"] | None = Field(
        None, alias="@odata.type", exclude=True
    )
    additional_attributes: Annotated[list[ClassGroupAttribute], Field(max_length=100)] = []
    additional_options: AdditionalClassGroupOptions
    enrollment_mappings: EnrollmentMappings


class ClassGroupFlow(Model):
    """Creates class groups."""

    odata_type: Literal["#microsoft.graph.industryData.classGroupProvisioningFlow"] = Field(
        alias="@odata.type"
    )
    configuration: ClassGroupConfiguration


class AdditionalUserOptions(Model):
    """How students are marked."""

    mark_all_students_as_minors: bool | None = None
    allow_student_contact_association: bool | None = None


class UserManagementOptions(Model):
    """Settings for all users."""

    additional_attributes: Annotated[
        list[Literal["userGradeLevel", "userNumber"]], Field(max_length=100)
    ] = []
    additional_options: AdditionalUserOptions


class SimplePasswordSettings(Model):
    """One first password for all."""

    odata_type: Literal["#microsoft.graph.industryData.simplePasswordSettings"] = Field(
        alias="@odata.type"
    )
    password: SecretStr = Field(min_length=1, max_length=256)


class UserConfiguration(Model):
    """Licences and first password of one role group."""

    license_skus: Annotated[list[Sku], Field(max_length=50)] = []
    default_password_settings: SimplePasswordSettings | None = None
    role_group: Annotated[str, AfterValidator(known_group)] = Field(alias="roleGroup@odata.bind")


class UserCreationOptions(Model):
    """Settings for new users."""

    configurations: Annotated[list[UserConfiguration], Field(max_length=50)] = []


class UserFlow(Model):
    """Creates and manages users."""

    odata_type: Literal["#microsoft.graph.industryData.userProvisioningFlow"] = Field(
        alias="@odata.type"
    )
    create_unmatched_users: bool | None = None
    management_options: UserManagementOptions
    creation_options: UserCreationOptions | None = None


Flow = Annotated[
    AdministrativeUnitFlow | ClassGroupFlow | SecurityGroupFlow | UserFlow,
    Field(discriminator="odata_type"),
]

ADAPTER: TypeAdapter[Flow] = TypeAdapter(Flow)


def canonical(body: bytes) -> bytes:
    """Bytes to bytes: validate a body and print it as the server would."""
    return ADAPTER.dump_json(ADAPTER.validate_json(body), by_alias=True)


def canonical_as_in_fastapi(body: bytes) -> bytes:
    """The same by the steps that FastAPI takes with a body: Python's json reads it first."""
    return ADAPTER.dump_json(ADAPTER.validate_python(json.loads(body)), by_alias=True)
