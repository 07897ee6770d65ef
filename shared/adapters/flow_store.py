"""Flow sets in Cosmos DB: one document a set, one conditional request an operation.

Nothing that a client chose ever enters a predicate: only GUIDs, kinds and integers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from shared.adapters.partition import Partition
from shared.domain.errors import Conflict, NotFound, StoreUnavailable
from shared.domain.flows import VERSION, new_stamp
from shared.domain.versions import brought_up, version_of
from shared.odata.cosmos import Query

MAX_PAGE_BYTES: Final = 2 * 1024 * 1024  # the last set aside; some have a MiB, most a few KiB

OF_BEFORE = f"(NOT IS_DEFINED(c.version) OR c.version < {VERSION})"
"""Says, as a predicate, that a document is of the version before."""

# An instance of the release before may change a document each time that it is brought up.
_TRIES: Final = 5
_USER = "userProvisioningFlow"
_USER_ENTRIES = f"c.flows.{_USER}.configuration.creationOptions.configurations"


class FlowStore:
    """The flow sets of a tenant, and the flows inside them."""

    def __init__(self, items: Partition) -> None:
        self._items = items

    async def create_set(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """Store a new flow set; return it, or the one that an earlier try of its request stored.

        None where that one was deleted just now.
        """
        try:
            await self._items.create(document)
        except CosmosResourceExistsError:
            # Other requests have other ids: the client or the SDK repeated this one.
            try:
                return await self.read_set(document["id"])
            except NotFound:
                return None
        return document

    async def read_set(self, set_id: str, *, to_write: bool = False) -> dict[str, Any]:
        """Return a flow set's document as one of today's version; raises NotFound.

        With `to_write` it is stored as such, if it was not. Then StoreUnavailable is raised for one
        of a later version, which only an instance of the app that knows it may write.
        """
        for _ in range(_TRIES):
            document = await self._read(set_id)
            if not to_write or version_of(document) == VERSION:
                return brought_up(document)
            if version_of(document) > VERSION:
                break
            await self.bring_up(document)
        raise StoreUnavailable

    async def _read(self, set_id: str) -> dict[str, Any]:
        try:
            return await self._items.read(set_id)
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc

    async def bring_up(self, document: Mapping[str, Any]) -> None:
        """Store a document of the version before as one of today's, unless it has changed."""
        try:
            await self._items.replace(brought_up(document), document["_etag"])
        except (CosmosAccessConditionFailedError, CosmosResourceNotFoundError):
            return

    async def sets_of_before(self, most: int) -> list[dict[str, Any]]:
        """Return documents of the version before as they are stored, at most `most` of them."""
        text = f"SELECT TOP @most * FROM c WHERE {OF_BEFORE}"  # noqa: S608 - our own words
        return await self.rows(Query(text, [{"name": "@most", "value": most}]), most)

    async def query_sets(self, query: Query, most: int) -> list[dict[str, Any]]:
        """Return the documents that a query asks for, `most` of them in one request."""
        return [brought_up(document) for document in await self.rows(query, most)]

    async def rows(self, query: Query, most: int) -> list[dict[str, Any]]:
        """Return what a query asks for as it is stored, `most` of them in one request."""
        return await self._items.query(query, most)

    async def page_of_sets(self, query: Query, most: int) -> tuple[list[dict[str, Any]], bool]:
        """Return `most` documents, or MAX_PAGE_BYTES of them, and whether there are more."""
        documents, more = await self._items.page(query, most, MAX_PAGE_BYTES)
        return [brought_up(document) for document in documents], more

    async def count_sets(self, query: Query) -> int:
        """Return the number that a query for a count gives."""
        counts: list[int] = await self._items.query(query)
        return sum(counts)

    async def add_flow(self, set_id: str, kind: str, flow: dict[str, Any]) -> dict[str, Any] | None:
        """Put a new flow into its set; return it, or the one an earlier try of its request stored.

        None where that one was deleted just now. Raises NotFound for the set and Conflict for the
        second of a kind.
        """
        operation = {"op": "add", "path": f"/flows/{kind}", "value": flow}
        condition = f"NOT IS_DEFINED(c.flows.{kind})"
        if await self.patch(set_id, [operation], condition) is not None:
            return flow
        stored: dict[str, Any] | None
        stored = (await self.read_set(set_id, to_write=True))["flows"].get(kind)
        if stored is None and await self.patch(set_id, [operation], condition) is not None:
            return flow  # the document was one of the version before
        if stored is None or stored["id"] == flow["id"]:
            return stored  # the SDK repeated a request whose answer was lost
        if "request" in flow and stored.get("request") == flow["request"]:
            return stored
        raise Conflict(
            f"Flow set '{set_id}' has a {kind} already, '{stored['id']}'; a set holds one of each "
            "kind. Update that one, or use another set."
        )

    async def write_set(self, stored: Mapping[str, Any], members: Mapping[str, Any]) -> bool:
        """Write members of a flow set over those of the stored one.

        False where another write came between. Raises NotFound.
        """
        operations = [{"op": "set", "path": f"/{name}", "value": v} for name, v in members.items()]
        condition = f"c.lastModifiedDateTime = '{stored['lastModifiedDateTime']}'"
        return await self.patch(stored["id"], operations, condition) is not None

    async def delete_set(self, set_id: str, etag: str | None = None) -> bool:
        """Delete a flow set and the flows in it; False where `etag` is not the stored one's.

        Raises NotFound.
        """
        try:
            await self._items.delete(set_id, etag)
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc
        except CosmosAccessConditionFailedError:
            return False
        return True

    async def replace_flow(
        self, set_id: str, kind: str, stored: Mapping[str, Any], flow: Mapping[str, Any]
    ) -> bool:
        """Write a flow over the stored one; False where another write came between.

        Raises NotFound for the set.
        """
        operation = {"op": "set", "path": f"/flows/{kind}", "value": flow}
        return await self.patch(set_id, [operation], unchanged(kind, stored)) is not None

    async def remove_flow(self, set_id: str, kind: str, stored: Mapping[str, Any]) -> bool:
        """Remove a flow from its set; False where another write came between.

        Raises NotFound for the set.
        """
        operation = {"op": "remove", "path": f"/flows/{kind}"}
        return await self.patch(set_id, [operation], unchanged(kind, stored)) is not None

    async def read_flow(
        self, set_id: str, flow_id: str, *, to_write: bool = False
    ) -> tuple[str, dict[str, Any]]:
        """Return a flow's kind and its stored form; raises NotFound for the set or the flow.

        `to_write` as for `read_set`.
        """
        document = await self.read_set(set_id, to_write=to_write)
        for kind, flow in document["flows"].items():
            if flow["id"] == flow_id:
                return kind, flow
        raise NotFound(flow_id)

    async def patch(
        self,
        set_id: str,
        operations: list[dict[str, Any]],
        condition: str,
        *,
        returned: bool = False,
    ) -> dict[str, Any] | None:
        """Change a set where the condition holds and return it, empty unless `returned` is set.

        None where the condition does not hold, or the document is not of today's version. Raises
        NotFound.
        """
        try:
            of_today = f"c.version = {VERSION} AND {condition}"
            return await self._items.patch(set_id, operations, of_today, returned=returned)
        except CosmosResourceNotFoundError as exc:
            raise NotFound(set_id) from exc
        except CosmosAccessConditionFailedError:
            return None

    async def flows_sealed_otherwise(
        self, key_id: str, bound: str, after: str, most: int
    ) -> tuple[list[tuple[str, dict[str, Any]]], str | None]:
        """Return user flows (set id, flow) with a password that today would be sealed otherwise.

        That is by another key than `key_id`, or bound to less than `bound` says. At most `most`
        sets after the id `after` are given; the second value is the id to continue
        after, None at the end.
        """
        password = "e.defaultPasswordSettings.password"  # noqa: S105 - a path
        outdated = _some(
            _USER_ENTRIES,
            f"IS_DEFINED({password}.keyId) "
            f"AND ({password}.keyId != @key OR NOT IS_DEFINED({password}.bound) "
            f"OR {password}.bound != @bound)",
        )
        query = Query(
            f"SELECT TOP @most * FROM c WHERE c.id > @after AND {outdated} ORDER BY c.id",  # noqa: S608 - all words are our own
            [
                {"name": "@most", "value": most},
                {"name": "@after", "value": after},
                {"name": "@key", "value": key_id},
                {"name": "@bound", "value": bound},
            ],
        )
        documents = await self.query_sets(query, most)
        found = [(document["id"], document["flows"][_USER]) for document in documents]
        return found, documents[-1]["id"] if len(documents) == most else None

    async def put_resealed(
        self, set_id: str, flow: Mapping[str, Any], configuration: Mapping[str, Any]
    ) -> bool:
        """Store a user flow's configuration with other seals; False: it is gone or was changed.

        Nothing else of the flow is written: for its readers and its engine it stays as it is.
        """
        operations: list[dict[str, Any]] = [
            {"op": "set", "path": f"/flows/{_USER}/configuration", "value": configuration},
            {"op": "set", "path": f"/flows/{_USER}/stamp", "value": new_stamp()},
        ]
        # Each change of a configuration raises the revision; readiness may change meanwhile.
        condition = (
            f"c.flows.{_USER}.id = '{flow['id']}' AND c.flows.{_USER}.revision = {flow['revision']}"
        )
        try:
            if await self.patch(set_id, operations, condition) is not None:
                return True
            await self.read_set(set_id, to_write=True)  # one of the version before
            return await self.patch(set_id, operations, condition) is not None
        except NotFound:
            return False


def _some(entries: str, condition: str) -> str:
    """Say, as a predicate, that a condition holds for some entry `e` of a collection."""
    return f"EXISTS(SELECT VALUE e FROM e IN {entries} WHERE {condition})"  # noqa: S608 - as above


def unchanged(kind: str, flow: Mapping[str, Any]) -> str:
    """Say, as a predicate, that nothing was written to a flow since it was read."""
    return f"c.flows.{kind}.id = '{flow['id']}' AND c.flows.{kind}.stamp = '{flow['stamp']}'"
