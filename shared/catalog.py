"""The reference data that exists before anyone creates any: role codes and built-in role groups.

Microsoft's School Data Sync publishes the role list with its sort order and default groups; the
section roles of class groups are a subset of it. `aide` is in the Staff group but not in that
list, and `student` has no order there: both are placed behind it, in that order.
"""

from __future__ import annotations

from dataclasses import dataclass

ROLE_REFERENCE_TYPE = "RefRole"


@dataclass(frozen=True)
class RoleGroup:
    """A named bundle of role codes; `roles` is sorted, as Graph prints it."""

    id: str
    display_name: str
    roles: tuple[str, ...]


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

_DECLARED = {code.lower(): code for code in ROLE_CODES}


def declared_role_code(code: str) -> str | None:
    """Return the code in the definition's own case, or None where no role has that code."""
    return _DECLARED.get(code.lower())
