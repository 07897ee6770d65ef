"""The reference data that exists before anyone creates any: role groups and code lists.

Microsoft's School Data Sync publishes the role list with its sort order and default groups; the
section roles of class groups are a subset of it. `aide` is in the Staff group but not in that
list, and `student` has no order there: both are placed behind it, in that order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from shared.domain.ids import as_guid

CACHE_SECONDS = 30.0
"""For how long an instance may use what it has read of role groups and disabled roles."""

ROLE_REFERENCE_TYPE = "RefRole"


@dataclass(frozen=True)
class RoleGroup:
    """A named bundle of role codes; `roles` is sorted, as Graph prints it."""

    id: str
    display_name: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class CatalogChange:
    """What changed in the catalog: a role group by id, or a role's definition by its code."""

    role_group: str | None = None
    role_code: str | None = None


_STAFF_IN_SORT_ORDER = (
    "principal",
    "chair",
    "professor",
    "researcher",
    "adjunct",
    "affiliate",
    "occupationalTherapist",
    "physicalTherapist",
    "speechTherapist",
    "visionTherapist",
    "paraprofessional",
    "specialServices",
    "advisor",
    "proctor",
    "nurse",
    "officeStaff",
    "lecturer",
    "itAdmin",
    "administrator",
    "teacher",
    "faculty",
    "staff",
    "teacherAssistant",
    "assistant",
    "instructor",
    "substitute",
    "coach",
    "alumni",
    "aide",
)

ROLE_CODES: tuple[str, ...] = (*_STAFF_IN_SORT_ORDER, "student", "other")
"""Every role code in its declared case; position n has sort index 10 * (n + 1)."""

BUILT_IN_ROLE_GROUPS: dict[str, RoleGroup] = {
    "staff": RoleGroup("staff", "Staff", tuple(sorted(_STAFF_IN_SORT_ORDER))),
    "students": RoleGroup("students", "Students", ("student",)),
}


def is_role_group_id(text: str) -> bool:
    """Tell whether a role group can have this id: a GUID, or the word of a built-in group."""
    return text in BUILT_IN_ROLE_GROUPS or as_guid(text) is not None


DECLARED_ROLE_CODES = {code.lower(): code for code in ROLE_CODES}
"""Role codes in their declared case, by the same in lower case."""


def declared_role_code(code: str) -> str | None:
    """Return the code in the definition's own case, or None where no role has that code."""
    return DECLARED_ROLE_CODES.get(code.lower())


# --- reference definitions ---------------------------------------------------------------------

EXTENSIBLE_TYPES = (
    "RefAcademicSubject",
    "RefRace",
    "RefEthnicity",
    "RefGradeLevel",
    "RefOrgType",
    "RefPersonFlagType",
)
"""The reference types to which definitions can be added; all others are closed."""

TENANT_DEFINED = "Tenant Defined"
_BUILT_IN_TIME = "0001-01-01T00:00:00.0000000Z"

_ORGANISATION_TYPES = (
    "school",
    "department",
    "district",
    "local",
    "state",
    "national",
    "departmentOfEducation",
    "ministryOfEducation",
    "university",
    "college",
    "campus",
    "adultEducation",
    "municipality",
    "academicTrust",
    "localAuthority",
    "region",
    "division",
    "province",
    "researchCenter",
    "program",
)


def definition_id(reference_type: str, code: str) -> str:
    """Return the id that a definition always has."""
    return f"{reference_type}-{code}"


def _built_in(reference_type: str, code: str, sort_index: int, source: str) -> dict[str, Any]:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", code)
    return {
        "id": definition_id(reference_type, code),
        "referenceType": reference_type,
        "displayName": words[:1].upper() + words[1:],
        "code": code,
        "source": source,
        "isDisabled": False,
        "sortIndex": sort_index,
        "createdDateTime": _BUILT_IN_TIME,
        "lastModifiedDateTime": _BUILT_IN_TIME,
    }


def _in_steps_of_ten(
    reference_type: str, codes: tuple[str, ...], source: str
) -> list[dict[str, Any]]:
    return [
        _built_in(reference_type, code, 10 * place, source)
        for place, code in enumerate(codes, start=1)
    ]


BUILT_IN_DEFINITIONS: dict[str, dict[str, Any]] = {
    definition["id"]: definition
    for definition in (
        *_in_steps_of_ten(ROLE_REFERENCE_TYPE, ROLE_CODES, "CEDS"),
        *_in_steps_of_ten("RefOrgType", _ORGANISATION_TYPES, "Contoso"),
        _built_in("RefAcademicSubject", "01", 10, "microsoft.com"),
        _built_in("RefEmailAddressType", "home", 10, "CEDS"),
        _built_in("RefGradeLevel", "01", 60, "CEDS"),
        _built_in("RefGradeLevel", "02", 70, "CEDS"),
        _built_in("RefGradeLevel", "undergraduate", 270, "Contoso"),
        _built_in("RefIdentifierType", "username", 40, "IMS Global"),
    )
}
"""Built-in definitions by id, in stored form. Those outside the role and organisation lists are the
ones that the documentation shows; a display name is the code in words."""
