"""Use cases of outbound provisioning flow sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.contract.printing import SETS, entity_tag, flows_path
from shared.contract.stored import changed_flow_set_members, flow_set_members
from shared.domain.conditions import IfMatch
from shared.domain.flows import Stored, new_flow_set
from shared.odata.cosmos import count_query, page_query
from shared.odata.model import FLOW_SET
from shared.odata.options import QueryOptions
from shared.services.representations import Asked, Collection, Representation, Representations
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

    async def create(self, body: Any) -> Representation:
        """Store an empty flow set. Raises InvalidRequest."""
        document = new_flow_set(flow_set_members(body))
        await self.store.create_set(document)
        return self._whole(document)

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
        return self.answers.item(SETS, options, printed, lambda: entity_tag(document))

    async def update(self, set_id: str, body: Any, if_match: IfMatch) -> Representation:
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
            if_match.require(lambda: entity_tag(stored))
            members = changed_flow_set_members(stored, body)
            written = await self.store.write_set(stored, members)
            return {**stored, **members} if written else None

        return self._whole(await until_written(attempt))

    async def delete(self, set_id: str, if_match: IfMatch) -> None:
        """Delete a flow set and the flows in it. Raises NotFound or PreconditionFailed."""

        async def attempt() -> bool | None:
            etag = None
            if if_match.header is not None:
                stored = await self.store.read_set(set_id)
                if_match.require(lambda: entity_tag(stored))
                etag = stored["_etag"]
            return await self.store.delete_set(set_id, etag) or None

        await until_written(attempt)

    def _whole(self, document: Stored) -> Representation:
        printed = self.answers.printer.flow_set(document)
        return self.answers.whole(SETS, printed, lambda: entity_tag(document))

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
        return [
            {
                **printer.flow_set(document),
                "provisioningFlows@odata.context": printer.context(
                    flows_path(document["id"]),
                    selected=f"({expand.select.context})" if expand.select else "",
                ),
                "provisioningFlows": [
                    expand.select.project(flow) if expand.select else flow
                    for flow in printer.flows(document, groups)
                ],
            }
            for document in documents
        ]
