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

from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.adapters.partition import Partition
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
from shared.odata.cosmos import Query

_ALL = Query("SELECT * FROM c", [])
_UNANNOUNCED = "unannounced"
_DELETED = "deleted"
# A query costs about what three reads do, and one more for all that it finds.
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
    """The reference data that all flow sets of a tenant share."""

    def __init__(self, groups: Partition, definitions: Partition) -> None:
        self._groups = groups
        self._definitions = definitions
        self._cached: dict[str, tuple[float, RoleGroup]] = {}
        self._disabled: tuple[float, frozenset[str]] = (0.0, frozenset())

    # --- role groups ---------------------------------------------------------------------------

    async def role_groups(self) -> list[RoleGroup]:
        """Return all role groups in ascending id order."""
        documents = await self._groups.query(_ALL)
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
            query = Query(
                "SELECT * FROM c WHERE ARRAY_CONTAINS(@ids, c.id)",
                [{"name": "@ids", "value": missing[first : first + _MOST_IN_QUERY]}],
            )
            stored = await self._groups.query(query)
            groups = [_role_group(document) for document in stored if _DELETED not in document]
            found |= {group.id: group for group in groups}
            self._cached |= {group.id: (now + CACHE_SECONDS, group) for group in groups}
        return found

    async def create_role_group(self, document: Mapping[str, Any]) -> RoleGroup | None:
        """Store a new role group; return it, or the one an earlier try of its request stored.

        None where that one was deleted just now.
        """
        try:
            await self._groups.create(document)
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
            document = await self._groups.read(group_id)
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
        return _with_built_in(await self._definitions.query(_ALL))

    async def definition(self, definition_id: str) -> dict[str, Any]:
        """Return one reference definition; raises NotFound."""
        try:
            return await self._definitions.read(definition_id)
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
        query = Query(
            "SELECT * FROM c WHERE c.referenceType = @type AND c.isDisabled = true",
            [{"name": "@type", "value": ROLE_REFERENCE_TYPE}],
        )
        codes = frozenset(document["code"] for document in await self._definitions.query(query))
        self._disabled = (time.monotonic() + CACHE_SECONDS, codes)
        return codes

    async def create_definition(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Store a new definition; return it, or the one an earlier try of its request stored.

        Raises Conflict where its code or its sort index is taken.
        """
        document = _keyed(document)
        try:
            await self._refuse_taken(document, own_id=None)
            await self._definitions.create(document)
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
        query = Query(
            "SELECT * FROM c WHERE c.referenceType = @type",
            [{"name": "@type", "value": reference_type}],
        )
        for other in _with_built_in(await self._definitions.query(query)):
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
        query = Query(text, [{"name": "@most", "value": most}])
        groups = await self._groups.query(query, most)
        roles = await self._definitions.query(query, most)
        found = [*map(_unannounced_role_group, groups), *map(_unannounced_role, roles)]
        return [each for each in found if each is not None]

    async def settle(self, announced: Unannounced) -> None:
        """Remove the mark of a change, now that it is announced; a newer mark stays."""
        condition = f"c.{_UNANNOUNCED} = '{announced.mark}'"
        is_group = announced.change.role_group is not None
        items = self._groups if is_group else self._definitions
        try:
            if announced.deleted:
                await self._delete_marked(announced)
                return
            operation = {"op": "remove", "path": f"/{_UNANNOUNCED}"}
            await items.patch(announced.document_id, [operation], condition)
        except (CosmosResourceNotFoundError, CosmosAccessConditionFailedError):
            return  # settled by another instance, or changed once more

    async def _delete_marked(self, announced: Unannounced) -> None:
        # A repeated create may have stored the group once more since: it has the same id.
        stored = await self._groups.read(announced.document_id)
        if stored.get(_UNANNOUNCED) == announced.mark:
            await self._groups.delete(announced.document_id, stored["_etag"])

    async def _replace(
        self, items: Partition, stored: Mapping[str, Any], changed: Mapping[str, Any]
    ) -> bool:
        """Write a document over the one it was made from; False where that one has changed."""
        try:
            if "_etag" not in stored:
                # A built-in definition that is changed for the first time.
                await items.create(changed)
                return True
            await items.replace(changed, stored["_etag"])
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


def _taken(document: Mapping[str, Any]) -> Conflict:
    return Conflict(
        f"{document['referenceType']} has the code '{document['code']}' or the sortIndex "
        f"{document['sortIndex']} already; both must be unique within a reference type."
    )


def _role_group(stored: Mapping[str, Any]) -> RoleGroup:
    return RoleGroup(
        stored["id"], stored["displayName"], tuple(role["code"] for role in stored["roles"])
    )
