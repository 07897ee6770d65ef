"""Role groups and reference definitions: what is built in, and what Cosmos DB holds beside it.

Built-in role groups are fixed. A built-in definition that somebody changed is stored under its own
id, and the stored one counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.adapters.cosmos import Cosmos
from shared.domain.catalog import (
    BUILT_IN_DEFINITIONS,
    BUILT_IN_ROLE_GROUPS,
    CACHE_SECONDS,
    ROLE_REFERENCE_TYPE,
    RoleGroup,
)
from shared.domain.errors import Conflict, NotFound, StoreUnavailable

ROLE_GROUPS = "roleGroups"
REFERENCE_DEFINITIONS = "referenceDefinitions"
ATTEMPTS = 5

Change = Callable[[Mapping[str, Any]], dict[str, Any]]


class CatalogStore:
    """The shared reference data of all flow sets."""

    def __init__(self, cosmos: Cosmos) -> None:
        self._cosmos = cosmos
        self._groups = cosmos.container(ROLE_GROUPS)
        self._definitions = cosmos.container(REFERENCE_DEFINITIONS)
        self._cached: dict[str, tuple[float, RoleGroup | None]] = {}
        self._disabled: tuple[float, frozenset[str]] = (0.0, frozenset())

    # --- role groups ---------------------------------------------------------------------------

    async def role_groups(self) -> list[RoleGroup]:
        """Return all role groups in ascending id order."""
        async with self._cosmos.request():
            stored = [_role_group(d) async for d in self._groups.read_all_items()]
        groups = {group.id: group for group in stored} | BUILT_IN_ROLE_GROUPS
        return [groups[group_id] for group_id in sorted(groups)]

    async def role_group(self, group_id: str) -> RoleGroup:
        """Return one role group; raises NotFound."""
        built_in = BUILT_IN_ROLE_GROUPS.get(group_id)
        return built_in or _role_group(await self._read_group(group_id))

    async def known_role_groups(
        self, group_ids: set[str], *, fresh: bool = False
    ) -> dict[str, RoleGroup]:
        """Return those of the given groups that exist, from a short-lived cache unless `fresh`."""
        if fresh:
            self._cached.clear()
        known = {i: BUILT_IN_ROLE_GROUPS[i] for i in group_ids & BUILT_IN_ROLE_GROUPS.keys()}
        others = sorted(group_ids - known.keys())
        if not others:
            return known  # most often; an empty gather would still take a turn of the loop
        found = await asyncio.gather(*(self._cached_group(group_id) for group_id in others))
        return known | {group.id: group for group in found if group is not None}

    async def create_role_group(self, document: Mapping[str, Any]) -> None:
        """Store a new role group."""
        try:
            async with self._cosmos.request():
                await self._groups.create_item(dict(document), no_response=True)
        except CosmosResourceExistsError:
            # Ids are never given twice: the SDK repeated a request whose answer was lost.
            return

    async def update_role_group(self, group_id: str, change: Change) -> dict[str, Any]:
        """Replace a role group by what `change` makes of it; raises NotFound or Conflict."""
        self.refuse_built_in(group_id)
        for _ in range(ATTEMPTS):
            stored = await self._read_group(group_id)
            changed = change(stored)
            if await self._replace(self._groups, stored, changed):
                self._cached.pop(group_id, None)
                return changed
        raise StoreUnavailable

    async def delete_role_group(self, group_id: str) -> None:
        """Delete a role group; raises NotFound or Conflict."""
        self.refuse_built_in(group_id)
        try:
            async with self._cosmos.request():
                await self._groups.delete_item(group_id, group_id)
        except CosmosResourceNotFoundError as exc:
            raise NotFound(group_id) from exc
        self._cached.pop(group_id, None)

    async def _cached_group(self, group_id: str) -> RoleGroup | None:
        until, group = self._cached.get(group_id, (0.0, None))
        if group is not None and time.monotonic() < until:
            return group
        try:
            group = _role_group(await self._read_group(group_id))
        except NotFound:
            self._cached.pop(group_id, None)
            return None
        self._cached[group_id] = (time.monotonic() + CACHE_SECONDS, group)
        return group

    async def _read_group(self, group_id: str) -> dict[str, Any]:
        try:
            async with self._cosmos.request():
                return dict(await self._groups.read_item(group_id, group_id))
        except CosmosResourceNotFoundError as exc:
            raise NotFound(group_id) from exc

    async def changeable_role_group(self, group_id: str) -> dict[str, Any]:
        """Return the stored form of a role group that may change; raises NotFound or Conflict."""
        self.refuse_built_in(group_id)
        return await self._read_group(group_id)

    @staticmethod
    def refuse_built_in(group_id: str) -> None:
        """Raise Conflict for a built-in role group."""
        if group_id in BUILT_IN_ROLE_GROUPS:
            raise Conflict(
                f"The role group '{group_id}' is built in and stays as it is; create one of your "
                "own with the roles you need."
            )

    # --- reference definitions -----------------------------------------------------------------

    async def definitions(self) -> list[dict[str, Any]]:
        """Return all reference definitions in ascending id order."""
        async with self._cosmos.request():
            stored = [d async for d in self._definitions.read_all_items()]
        return _with_built_in(stored)

    async def definition(self, definition_id: str) -> dict[str, Any]:
        """Return one reference definition; raises NotFound."""
        try:
            async with self._cosmos.request():
                return dict(
                    await self._definitions.read_item(definition_id, _type_of(definition_id))
                )
        except CosmosResourceNotFoundError as exc:
            built_in = BUILT_IN_DEFINITIONS.get(definition_id)
            if built_in is None:
                raise NotFound(definition_id) from exc
            return dict(built_in)

    async def disabled_roles(self, *, fresh: bool = False) -> frozenset[str]:
        """Return the codes of disabled roles, from a short-lived cache unless `fresh`."""
        until, codes = self._disabled
        if not fresh and time.monotonic() < until:
            return codes
        query = self._definitions.query_items(
            "SELECT * FROM c WHERE c.referenceType = @type AND c.isDisabled = true",
            parameters=[{"name": "@type", "value": ROLE_REFERENCE_TYPE}],
            partition_key=ROLE_REFERENCE_TYPE,
        )
        async with self._cosmos.request():
            codes = frozenset([document["code"] async for document in query])
        self._disabled = (time.monotonic() + CACHE_SECONDS, codes)
        return codes

    async def create_definition(self, document: Mapping[str, Any]) -> None:
        """Store a new definition; raises Conflict where its code or its sort index is taken."""
        document = _keyed(document)
        await self._refuse_taken(document, own_id=None)
        try:
            async with self._cosmos.request():
                await self._definitions.create_item(dict(document), no_response=True)
        except CosmosResourceExistsError as exc:
            if not await self._is_stored(document):
                raise _taken(document) from exc

    async def _is_stored(self, document: Mapping[str, Any]) -> bool:
        # As above: the SDK may have repeated a request whose answer was lost.
        try:
            stored = await self.definition(document["id"])
        except NotFound:
            return False
        return all(stored[name] == document[name] for name in document)

    async def update_definition(self, definition_id: str, change: Change) -> dict[str, Any]:
        """Replace a definition by what `change` makes of it; raises NotFound or Conflict."""
        for _ in range(ATTEMPTS):
            stored = await self.definition(definition_id)
            changed = _keyed(change(stored))
            if changed["sortIndex"] != stored["sortIndex"]:
                await self._refuse_taken(changed, own_id=definition_id)
            try:
                if await self._replace(self._definitions, stored, changed):
                    return changed
            except CosmosResourceExistsError as exc:
                # A built-in one may have been stored by another update meanwhile: tried again.
                if "_etag" in stored or "_etag" not in await self.definition(definition_id):
                    raise _taken(changed) from exc
        raise StoreUnavailable

    async def _refuse_taken(self, document: Mapping[str, Any], own_id: str | None) -> None:
        # The container's unique keys guard against races among stored definitions; only this sees
        # the built-in ones.
        reference_type = document["referenceType"]
        query = self._definitions.query_items(
            "SELECT * FROM c WHERE c.referenceType = @type",
            parameters=[{"name": "@type", "value": reference_type}],
            partition_key=reference_type,
        )
        async with self._cosmos.request():
            stored = [d async for d in query]
        for other in _with_built_in(stored):
            if (
                other["referenceType"] == reference_type
                and other["id"] != own_id
                and (
                    other["code"].lower() == document["code"].lower()
                    or other["sortIndex"] == document["sortIndex"]
                )
            ):
                raise _taken(document)

    async def _replace(
        self, container: ContainerProxy, stored: Mapping[str, Any], changed: Mapping[str, Any]
    ) -> bool:
        """Write a document over the one it was made from; False where that one has changed."""
        try:
            async with self._cosmos.request():
                if "_etag" not in stored:
                    # A built-in definition that is changed for the first time.
                    await container.create_item(dict(changed), no_response=True)
                    return True
                await container.replace_item(
                    stored["id"],
                    dict(changed),
                    etag=stored["_etag"],
                    match_condition=MatchConditions.IfNotModified,
                    no_response=True,
                )
        except (CosmosAccessConditionFailedError, CosmosResourceNotFoundError):
            return False
        return True


def _with_built_in(stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    definitions = BUILT_IN_DEFINITIONS | {d["id"]: d for d in stored}
    return [definitions[definition_id] for definition_id in sorted(definitions)]


def _keyed(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Add what one of the container's unique keys compares: the code without its case."""
    return {**definition, "codeKey": definition["code"].lower()}


def _type_of(definition_id: str) -> str:
    # No reference type has a hyphen; a code may have.
    return definition_id.partition("-")[0]


def _taken(document: Mapping[str, Any]) -> Conflict:
    return Conflict(
        f"{document['referenceType']} has the code '{document['code']}' or the sortIndex "
        f"{document['sortIndex']} already; both must be unique within a reference type."
    )


def _role_group(stored: Mapping[str, Any]) -> RoleGroup:
    return RoleGroup(
        stored["id"], stored["displayName"], tuple(role["code"] for role in stored["roles"])
    )
