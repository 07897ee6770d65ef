"""Role groups and reference definitions: what is built in, and what Cosmos DB holds beside it.

Built-in role groups are fixed. A built-in definition that was changed is stored under its own id,
and the stored one counts.

A change that flows depend on is stored together with a mark, `unannounced`, and announced after
that; then the mark is removed. So a change is never announced before it is stored, and one whose
announcement failed is found again by its mark. A deleted role group stays, marked as deleted, until
then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    CatalogChange,
    RoleGroup,
)
from shared.domain.errors import Conflict, NotFound
from shared.domain.ids import passing_id

ROLE_GROUPS = "roleGroups"
REFERENCE_DEFINITIONS = "referenceDefinitions"
_UNANNOUNCED = "unannounced"
_DELETED = "deleted"
# A query across partitions costs about what four reads do.
_MOST_READS = 4
_MOST_IN_QUERY = 500


@dataclass(frozen=True)
class Unannounced:
    """A stored change that is still to be announced: what changed, and which document says so."""

    change: CatalogChange
    document_id: str
    mark: str
    deleted: bool = False


@dataclass(frozen=True)
class Written:
    """A change that was stored, with what is to be announced of it, if anything."""

    unannounced: Unannounced | None = None


class CatalogStore:
    """The shared reference data of all flow sets."""

    def __init__(self, cosmos: Cosmos) -> None:
        self._cosmos = cosmos
        self._groups = cosmos.container(ROLE_GROUPS)
        self._definitions = cosmos.container(REFERENCE_DEFINITIONS)
        self._cached: dict[str, tuple[float, RoleGroup]] = {}
        self._disabled: tuple[float, frozenset[str]] = (0.0, frozenset())

    # --- role groups ---------------------------------------------------------------------------

    async def role_groups(self) -> list[RoleGroup]:
        """Return all role groups in ascending id order."""
        async with self._cosmos.request():
            documents = [d async for d in self._groups.read_all_items()]
        stored = [_role_group(document) for document in documents if _DELETED not in document]
        groups = {group.id: group for group in stored} | BUILT_IN_ROLE_GROUPS
        return [groups[group_id] for group_id in sorted(groups)]

    async def role_group(self, group_id: str) -> RoleGroup:
        """Return one role group; raises NotFound."""
        built_in = BUILT_IN_ROLE_GROUPS.get(group_id)
        return built_in or _role_group(await self.read_role_group(group_id))

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
        if len(others) > _MOST_READS:
            return known | await self._found_groups(others)
        found = await asyncio.gather(*(self._cached_group(group_id) for group_id in others))
        return known | {group.id: group for group in found if group is not None}

    async def _found_groups(self, group_ids: Sequence[str]) -> dict[str, RoleGroup]:
        """Return those of many groups that exist: a query for those that are not in the cache."""
        now = time.monotonic()
        cached = {i: self._cached.get(i, (0.0, None)) for i in group_ids}
        found = {i: group for i, (until, group) in cached.items() if group and now < until}
        missing = [i for i in group_ids if i not in found]
        for first in range(0, len(missing), _MOST_IN_QUERY):
            query = self._groups.query_items(
                "SELECT * FROM c WHERE ARRAY_CONTAINS(@ids, c.id)",
                parameters=[{"name": "@ids", "value": missing[first : first + _MOST_IN_QUERY]}],
            )
            async with self._cosmos.request():
                groups = [_role_group(d) async for d in query if _DELETED not in d]
            found |= {group.id: group for group in groups}
            self._cached |= {group.id: (now + CACHE_SECONDS, group) for group in groups}
        return found

    async def create_role_group(self, document: Mapping[str, Any]) -> RoleGroup | None:
        """Store a new role group; return it, or the one an earlier try of its request stored.

        None where that one was deleted just now.
        """
        try:
            async with self._cosmos.request():
                await self._groups.create_item(dict(document), no_response=True)
        except CosmosResourceExistsError:
            # Other requests have other ids: the client or the SDK repeated this one.
            try:
                return await self.role_group(document["id"])
            except NotFound:
                return None
        return _role_group(document)

    async def read_role_group(self, group_id: str) -> dict[str, Any]:
        """Return the document of a role group that is not built in; raises NotFound."""
        try:
            async with self._cosmos.request():
                document = dict(await self._groups.read_item(group_id, group_id))
        except CosmosResourceNotFoundError as exc:
            raise NotFound(group_id) from exc
        if _DELETED in document:
            raise NotFound(group_id)
        return document

    async def replace_role_group(
        self, stored: Mapping[str, Any], document: Mapping[str, Any], *, announce: bool
    ) -> Written | None:
        """Write a role group over the stored one; None where another write came between.

        `announce` says that flows which use the group depend on the change.
        """
        document = _marked(stored, document, announce=announce)
        if not await self._replace(self._groups, stored, document):
            return None
        self._cached.pop(stored["id"], None)
        return Written(_unannounced_role_group(document))

    async def mark_role_group_deleted(self, stored: Mapping[str, Any]) -> Written | None:
        """Make a role group unreadable, until `settle` deletes it; None as above."""
        tombstone = {"id": stored["id"], _DELETED: True}
        return await self.replace_role_group(stored, tombstone, announce=True)

    async def _cached_group(self, group_id: str) -> RoleGroup | None:
        until, group = self._cached.get(group_id, (0.0, None))
        if group is not None and time.monotonic() < until:
            return group
        try:
            group = _role_group(await self.read_role_group(group_id))
        except NotFound:
            self._cached.pop(group_id, None)
            return None
        self._cached[group_id] = (time.monotonic() + CACHE_SECONDS, group)
        return group

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

    async def create_definition(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Store a new definition; return it, or the one an earlier try of its request stored.

        Raises Conflict where its code or its sort index is taken.
        """
        document = _keyed(document)
        try:
            await self._refuse_taken(document, own_id=None)
            async with self._cosmos.request():
                await self._definitions.create_item(dict(document), no_response=True)
        except (Conflict, CosmosResourceExistsError) as exc:
            stored = await self._stored_before(document)
            if stored is None:
                raise _taken(document) from exc
            return stored
        return document

    async def _stored_before(self, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the definition that is stored already, if a try of the same request stored it."""
        try:
            stored = await self.definition(document["id"])
        except NotFound:
            return None
        by_client = "request" in document and stored.get("request") == document["request"]
        by_sdk = all(stored.get(name) == document[name] for name in document)
        return stored if by_client or by_sdk else None

    async def replace_definition(
        self, stored: Mapping[str, Any], document: Mapping[str, Any], *, announce: bool
    ) -> Written | None:
        """Write a definition over the stored one; None where another write came between.

        `announce` as above. Raises Conflict where its sort index is taken.
        """
        document = _keyed(_marked(stored, document, announce=announce))
        if document["sortIndex"] != stored["sortIndex"]:
            await self._refuse_taken(document, own_id=stored["id"])
        try:
            written = await self._replace(self._definitions, stored, document)
        except CosmosResourceExistsError as exc:
            # A built-in one may have been stored by another update meanwhile.
            if "_etag" in stored or "_etag" not in await self.definition(stored["id"]):
                raise _taken(document) from exc
            return None
        if not written:
            return None
        self._disabled = (0.0, frozenset())
        return Written(_unannounced_role(document))

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

    # --- announcing changes --------------------------------------------------------------------

    async def unannounced(self, most: int) -> list[Unannounced]:
        """Return changes that are stored and still to be announced, at most `most` of each kind."""
        text = f"SELECT TOP @most * FROM c WHERE IS_DEFINED(c.{_UNANNOUNCED})"  # noqa: S608 - our own word
        parameters: list[dict[str, Any]] = [{"name": "@most", "value": most}]
        async with self._cosmos.request():
            groups = [d async for d in self._groups.query_items(text, parameters=parameters)]
            roles = [d async for d in self._definitions.query_items(text, parameters=parameters)]
        found = [*map(_unannounced_role_group, groups), *map(_unannounced_role, roles)]
        return [each for each in found if each is not None]

    async def settle(self, announced: Unannounced) -> None:
        """Remove the mark of a change, now that it is announced; a newer mark stays."""
        condition = f"FROM c WHERE c.{_UNANNOUNCED} = '{announced.mark}'"
        document_id = announced.document_id
        is_group = announced.change.role_group is not None
        container = self._groups if is_group else self._definitions
        key = document_id if is_group else _type_of(document_id)
        try:
            async with self._cosmos.request():
                if announced.deleted:
                    await self._delete_marked(announced)
                    return
                operation = {"op": "remove", "path": f"/{_UNANNOUNCED}"}
                await container.patch_item(
                    document_id, key, [operation], filter_predicate=condition, no_response=True
                )
        except (CosmosResourceNotFoundError, CosmosAccessConditionFailedError):
            return  # settled by another instance, or changed once more

    async def _delete_marked(self, announced: Unannounced) -> None:
        # A repeated create may have stored the group once more since: it has the same id.
        stored = await self._groups.read_item(announced.document_id, announced.document_id)
        if stored.get(_UNANNOUNCED) == announced.mark:
            await self._groups.delete_item(
                announced.document_id,
                announced.document_id,
                etag=stored["_etag"],
                match_condition=MatchConditions.IfNotModified,
            )

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


def _marked(
    stored: Mapping[str, Any], document: Mapping[str, Any], *, announce: bool
) -> dict[str, Any]:
    """Add the mark of a change to announce; an earlier change that still is to be keeps its own."""
    mark = passing_id() if announce else stored.get(_UNANNOUNCED)
    return dict(document) if mark is None else {**document, _UNANNOUNCED: mark}


def _unannounced_role_group(document: Mapping[str, Any]) -> Unannounced | None:
    if _UNANNOUNCED not in document:
        return None
    change = CatalogChange(role_group=document["id"])
    return Unannounced(change, document["id"], document[_UNANNOUNCED], _DELETED in document)


def _unannounced_role(document: Mapping[str, Any]) -> Unannounced | None:
    if _UNANNOUNCED not in document:
        return None
    change = CatalogChange(role_code=document["code"])
    return Unannounced(change, document["id"], document[_UNANNOUNCED])


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
