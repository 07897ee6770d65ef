"""Use cases of role groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.contract.printing import (
    DEFINITIONS,
    ROLE_GROUPS,
    reference_definition,
    role_group,
    version,
)
from shared.contract.stored import changed_role_group, new_role_group
from shared.domain import flows
from shared.domain.catalog import BUILT_IN_ROLE_GROUPS, ROLE_REFERENCE_TYPE
from shared.domain.conditions import Conditions
from shared.domain.errors import Conflict, NotFound
from shared.odata.listing import list_page
from shared.odata.model import ROLE_GROUP
from shared.odata.options import QueryOptions
from shared.services.repeats import Repeats
from shared.services.representations import (
    Asked,
    Collection,
    Representation,
    Representations,
    counted,
    projected,
)
from shared.services.writing import until_written

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore, Unannounced, Written
    from shared.services.announcing import Announcer


async def inline_role_groups(catalog: CatalogStore, *stored: flows.Stored) -> flows.RoleGroups:
    """Return the role groups that stored flows refer to, for printing them inline."""
    named = set().union(*(flows.role_groups_of(flow["configuration"]) for flow in stored))
    return await catalog.known_role_groups(named) if named else {}


@dataclass(frozen=True)
class RoleGroups:
    """Creates, reads, changes and deletes role groups."""

    catalog: CatalogStore
    announcer: Announcer
    answers: Representations
    repeats: Repeats

    async def page(self, asked: Asked) -> Collection:
        """Return a page of the role groups, built in and created."""
        request = self.answers.list_request(asked, ROLE_GROUP, ROLE_GROUPS)
        listing = list_page(request.options, request.page, await self._all())
        printed = await self._expanded(request.options, listing.entities)
        return self.answers.page_of(request, printed, more=listing.more, total=listing.total)

    async def count(self, asked: Asked) -> int:
        """Return the number of role groups that pass $filter and $search."""
        options = self.answers.count_options(asked, ROLE_GROUP)
        return counted(options, await self._all())

    async def get(self, group_id: str, asked: Asked) -> Representation:
        """Return one role group. Raises NotFound."""
        options = self.answers.item_options(asked, ROLE_GROUP)
        group = await self.catalog.role_group(group_id)
        (printed,) = await self._expanded(options, [role_group(group)])
        return self.answers.item(ROLE_GROUPS, options, printed)

    async def create(self, body: Any, client_request_id: str | None = None) -> Representation:
        """Store a role group beside the built-in ones, unless a repeat of the request did.

        Raises InvalidRequest.
        """
        request = self.repeats.digest(ROLE_GROUPS, client_request_id, body)
        document = new_role_group(body, request)
        stored = await until_written(lambda: self.catalog.create_role_group(document))
        return self.answers.whole(ROLE_GROUPS, role_group(stored))

    async def update(self, group_id: str, body: Any, conditions: Conditions) -> Representation:
        """Change the name or the roles of a role group.

        Raises InvalidRequest, NotFound, PreconditionFailed, or Conflict for a built-in group.
        """
        _refuse_built_in(group_id)
        tried: dict[str, Any] | None = None

        async def attempt() -> tuple[dict[str, Any], Written] | None:
            nonlocal tried
            stored = await self.catalog.read_role_group(group_id)
            if tried is None or not tried.items() <= stored.items():
                # Otherwise the SDK repeated a request whose answer was lost, and it counted.
                conditions.require(lambda: _version(stored))
            tried = changed_role_group(stored, body)
            other_roles = tried["roles"] != stored["roles"]
            written = await self.catalog.replace_role_group(stored, tried, announce=other_roles)
            return None if written is None else (tried, written)

        document, written = await until_written(attempt)
        await self.announcer.catalog_changed(written.unannounced)
        return self.answers.whole(ROLE_GROUPS, document)

    async def delete(self, group_id: str, conditions: Conditions) -> None:
        """Delete a role group.

        Raises NotFound, PreconditionFailed, or Conflict for a built-in group.
        """
        _refuse_built_in(group_id)

        tried = False

        async def attempt() -> tuple[Unannounced | None] | None:
            nonlocal tried
            try:
                stored = await self.catalog.read_role_group(group_id)
            except NotFound:
                if tried:
                    # The SDK repeated a request whose answer was lost. The timer announces it.
                    return (None,)
                raise
            conditions.require(lambda: _version(stored))
            tried = True
            written = await self.catalog.mark_role_group_deleted(stored)
            return None if written is None else (written.unannounced,)

        (unannounced,) = await until_written(attempt)
        await self.announcer.catalog_changed(unannounced)

    async def _expanded(
        self, options: QueryOptions, printed: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """Print the definition of each role inside it, where it is to be expanded."""
        expand = options.expands("roles/value")
        if expand is None:
            return list(printed)
        definitions = {
            each["code"]: projected(expand.options, reference_definition(each), DEFINITIONS)
            for each in await self.catalog.definitions()
            if each["referenceType"] == ROLE_REFERENCE_TYPE
        }
        return [
            {
                **group,
                "roles": [{**role, "value": definitions[role["code"]]} for role in group["roles"]],
            }
            for group in printed
        ]

    async def _all(self) -> list[dict[str, Any]]:
        return [role_group(group) for group in await self.catalog.role_groups()]


def _version(stored: flows.Stored) -> str:
    """Return the version of a stored role group, which is that of its printed form."""
    return version({name: stored[name] for name in ("id", "displayName", "roles")})


def _refuse_built_in(group_id: str) -> None:
    if group_id in BUILT_IN_ROLE_GROUPS:
        raise Conflict(
            f"The role group '{group_id}' is built in and cannot change; create one of your own "
            "with the roles you need."
        )
