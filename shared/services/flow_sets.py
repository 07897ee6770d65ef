"""Use cases of outbound provisioning flow sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.contract.printing import SETS, flows_path, version
from shared.contract.stored import changed_flow_set_members, flow_set_members
from shared.domain.conditions import Conditions
from shared.domain.flows import Stored, new_flow_set
from shared.odata.cosmos import count_query, page_query
from shared.odata.model import FLOW_SET
from shared.odata.options import QueryOptions
from shared.services.repeats import Repeats
from shared.services.representations import (
    Asked,
    Collection,
    Expansion,
    Representation,
    Representations,
)
from shared.services.role_groups import inline_role_groups
from shared.services.writing import until_written

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.flow_store import FlowStore


@dataclass(frozen=True)
class FlowSets:
    """Creates, reads, changes and deletes flow sets."""

    store: FlowStore
    catalog: CatalogStore
    answers: Representations
    repeats: Repeats

    async def create(self, body: Any, client_request_id: str | None = None) -> Representation:
        """Store an empty flow set, unless a repeat of the request did. Raises InvalidRequest."""
        members = flow_set_members(body)
        document = new_flow_set(members, self.repeats.digest(SETS, client_request_id, body))
        return self._whole(await until_written(lambda: self.store.create_set(document)))

    async def page(self, asked: Asked) -> Collection:
        """Return a page of flow sets, with their flows where they are to be expanded."""
        request = self.answers.list_request(asked, FLOW_SET, SETS)
        options, page = request.options, request.page
        end = page.skip + page.limit
        found: list[dict[str, Any]] = []
        if page.limit:
            found = await self.store.query_sets(page_query(options, page), end + 1)
        total = await self.store.count_sets(count_query(options)) if options.count else None
        printed = await self._printed(found[page.skip : end], options)
        return self.answers.page_of(request, printed, more=len(found) > end, total=total)

    async def count(self, asked: Asked) -> int:
        """Return the number of flow sets that pass $filter and $search."""
        options = self.answers.count_options(asked, FLOW_SET)
        return await self.store.count_sets(count_query(options))

    async def get(self, set_id: str, asked: Asked) -> Representation:
        """Return one flow set. Raises NotFound."""
        options = self.answers.item_options(asked, FLOW_SET)
        document = await self.store.read_set(set_id)
        (printed,) = await self._printed([document], options)
        return self.answers.item(SETS, options, printed, lambda: self._version(document))

    async def update(self, set_id: str, body: Any, conditions: Conditions) -> Representation:
        """Change the name or the filter of a flow set.

        Raises InvalidRequest, NotFound or PreconditionFailed.
        """
        members: dict[str, Any] | None = None

        async def attempt() -> dict[str, Any] | None:
            nonlocal members
            stored = await self.store.read_set(set_id, to_write=True)
            if members is not None and members.items() <= stored.items():
                # The SDK repeated a request whose answer was lost: it was this one that counted.
                return stored
            conditions.require(lambda: self._version(stored))
            members = changed_flow_set_members(stored, body)
            written = await self.store.write_set(stored, members)
            return {**stored, **members} if written else None

        return self._whole(await until_written(attempt))

    async def delete(self, set_id: str, conditions: Conditions) -> None:
        """Delete a flow set and the flows in it. Raises NotFound or PreconditionFailed."""

        async def attempt() -> bool | None:
            etag = None
            if conditions:
                stored = await self.store.read_set(set_id)
                conditions.require(lambda: self._version(stored))
                etag = stored["_etag"]
            return await self.store.delete_set(set_id, etag) or None

        await until_written(attempt)

    def _whole(self, document: Stored) -> Representation:
        printed = self.answers.printer.flow_set(document)
        return self.answers.whole(SETS, printed)

    def _version(self, document: Stored) -> str:
        """Return the version of a set; its flows are entities with versions of their own."""
        return version(self.answers.printer.flow_set(document))

    async def _printed(
        self, documents: Sequence[Stored], options: QueryOptions
    ) -> list[dict[str, Any]]:
        printer = self.answers.printer
        expand = options.expands("provisioningFlows")
        if expand is None:
            return [printer.flow_set(document) for document in documents]
        groups = await inline_role_groups(
            self.catalog, *(flow for doc in documents for flow in doc["flows"].values())
        )
        flows = Expansion(printer, expand)
        return [
            {
                **printer.flow_set(document),
                **flows.inside(flows_path(document["id"]), printer.flows(document, groups)),
            }
            for document in documents
        ]
