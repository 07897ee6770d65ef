"""Which Graph permissions let a caller do what; each operation names one of these beside its route.

The names and the table are those of Microsoft Graph's industryData pages. Two things those pages
leave open are decided here by one rule: the least permission that a page names stands, and every
permission that includes it suffices too (ReadBasic < Read < ReadWrite).

- Flow sets, applications: the pages of October 2024 no longer list ReadWrite for applications,
  those of April 2024 do, and all editions let an application write flows with it. It is accepted:
  an application that may write the flows of a set must be able to make and read the set.
- Role groups and reference definitions: the list pages ask for ReadBasic, the item pages for
  ReferenceDefinition.Read, and neither lists the other's. ReadBasic therefore opens the lists only;
  ReferenceDefinition.Read opens both.

Writing role groups is in the official clients but on no page. It asks for the permission that
writes the reference definitions which a role group consists of.

A user's client needs more than its scopes to write: an administrator must have assigned the user
the role of the same name. Consent is given to a client once, for every user who may sign in to it,
and says nothing about which of them should decide who gets accounts and passwords.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FLOW_READ: Final = "IndustryData-OutboundFlow.Read.All"
FLOW_WRITE: Final = "IndustryData-OutboundFlow.ReadWrite.All"
DEFINITION_READ: Final = "IndustryData-ReferenceDefinition.Read.All"
DEFINITION_WRITE: Final = "IndustryData-ReferenceDefinition.ReadWrite.All"
READ_BASIC: Final = "IndustryData.ReadBasic.All"
# Not one of Graph's: a password is never shown there. No delegated form, no user needs it.
PASSWORD_READ_ROLE: Final = "IndustryData-OutboundFlow.ReadPassword.All"  # noqa: S105 - a role name


@dataclass(frozen=True)
class Permission:
    """What a caller's token must hold; within each tuple one name suffices, least first.

    An application needs one of the `application` roles. A user's client needs one of the
    `delegated` scopes and, where `assigned` is not empty, a user who has one of those roles.
    """

    delegated: tuple[str, ...]
    application: tuple[str, ...]
    assigned: tuple[str, ...] = ()
    any_token: bool = False
    """Whether a valid token is enough, whatever it grants."""

    def allows_application(self, roles: frozenset[str]) -> bool:
        """Whether an application with these roles may call."""
        return self.any_token or not roles.isdisjoint(self.application)

    def allows_user(self, scopes: frozenset[str], roles: frozenset[str]) -> bool:
        """Whether a client with these scopes may call for a user with these roles."""
        if self.any_token:
            return True
        assigned = not self.assigned or not roles.isdisjoint(self.assigned)
        return assigned and not scopes.isdisjoint(self.delegated)


def _read(*names: str) -> Permission:
    return Permission(delegated=names, application=names)


def _write(name: str) -> Permission:
    return Permission(delegated=(name,), application=(name,), assigned=(name,))


SIGNED_IN: Final = Permission((), (), any_token=True)
"""Send a batch: each request in it is checked for the permission of its own."""
OUTBOUND_FLOW_READ: Final = _read(FLOW_READ, FLOW_WRITE)
"""Get, list and count flow sets and flows."""
OUTBOUND_FLOW_WRITE: Final = _write(FLOW_WRITE)
"""Create, update and delete flow sets and flows; reset a flow."""
REFERENCE_LIST: Final = _read(READ_BASIC, DEFINITION_READ, DEFINITION_WRITE)
"""List and count reference definitions."""
REFERENCE_GET: Final = _read(DEFINITION_READ, DEFINITION_WRITE)
"""Get one reference definition."""
REFERENCE_WRITE: Final = _write(DEFINITION_WRITE)
"""Create, update and delete reference definitions."""
ROLE_GROUP_LIST: Final = _read(READ_BASIC, DEFINITION_READ, DEFINITION_WRITE)
"""List and count role groups."""
ROLE_GROUP_GET: Final = _read(DEFINITION_READ, DEFINITION_WRITE)
"""Get one role group."""
ROLE_GROUP_WRITE: Final = _write(DEFINITION_WRITE)
"""Create, update and delete role groups."""
PASSWORD_READ: Final = Permission(delegated=(), application=(PASSWORD_READ_ROLE,))
"""Read the initial password of created users in clear; for the provisioning engine only."""
