"""Use cases of outbound provisioning flow sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from shared.contract.printing import SETS, flows_path, version
from shared.contract.stored import changed_flow_set_members, flow_set_members
from shared.domain.conditions import Conditions
from shared.domain.context import steps
from shared.domain.errors import NotFound
from shared.domain.flows import Stored, new_flow_set
from shared.odata.cosmos import (
    MAX_SORTED,
    count_query,
    documents_query,
    keys_query,
    page_query,
    skip_query,
)
from shared.odata.faults import refusal
from shared.odata.listing import list_page
from shared.odata.model import FLOW_SET
from shared.odata.options import QueryOptions
from shared.odata.paging import Page
from shared.services.repeats import Repeats
from shared.services.representations import (
    Asked,
    Collection,
    Expansion,
    ListRequest,
    Representation,
    Representations,
)
from shared.services.role_groups import inline_role_groups
from shared.services.writing import until_written

if TYPE_CHECKING:
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.flow_store import FlowStore
    from shared.services.notifying import Notifier


STEPS_OF_A_SKIPPED: Final = 5
"""What skipping a set takes of a request's budget; the SDK puts each in its place."""


@dataclass(frozen=True)
class FlowSets:
    """Creates, reads, changes and deletes flow sets."""

    store: FlowStore
    catalog: CatalogStore
    answers: Representations
    repeats: Repeats
    notifier: Notifier

    async def create(self, body: Any, client_request_id: str | None = None) -> Representation:
        """Store an empty flow set, unless a repeat of the request did. Raises InvalidRequest."""
        members = flow_set_members(body)
        document = new_flow_set(members, self.repeats.digest(SETS, client_request_id, body))
        return self._whole(await until_written(lambda: self.store.create_set(document)))

    async def page(self, asked: Asked) -> Collection:
        """Return a page of flow sets, with their flows where they are to be expanded."""
        request = self.answers.list_request(asked, FLOW_SET, SETS)
        options, page = request.options, request.page
        if not options.indexed:
            return await self._sorted_page(request)
        found, more = await self._found(options, page) if page.limit else ([], False)
        total = await self.store.count_sets(count_query(options)) if options.count else None
        printed = await self._printed(found, options)
        return self.answers.page_of(request, printed, more=more, total=total)

    async def _found(self, options: QueryOptions, page: Page) -> tuple[list[dict[str, Any]], bool]:
        """Return the documents of a page, and whether there are more."""
        if page.skip:
            if not steps().take(STEPS_OF_A_SKIPPED * page.skip):
                raise refusal("$skip", "This skips more than one request may; follow the links.")
            skipped = await self.store.rows(skip_query(options, page), page.skip)
            if len(skipped) < page.skip:
                return [], False
            page = page.behind(skipped[-1], options)
        return await self.store.page_of_sets(page_query(options, page), page.limit)

    async def _sorted_page(self, request: ListRequest) -> Collection:
        """Return a page in an order that no index has: all sets that pass are sorted here."""
        options, page = request.options, request.page
        keys = await self.store.rows(keys_query(options), MAX_SORTED + 1)
        if len(keys) > MAX_SORTED:
            raise refusal(
                "$orderby",
                f"More than {MAX_SORTED} flow sets pass, too many to sort by several properties: "
                "order by one of them, or filter.",
            )
        # The store has filtered them.
        listing = list_page(replace(options, filter=None, search=None), page, keys)
        ids = [each["id"] for each in listing.entities]
        found = await self.store.query_sets(documents_query(ids), len(ids)) if ids else []
        documents = {each["id"]: each for each in found}
        printed = await self._printed([documents[i] for i in ids if i in documents], options)
        # Some may have been deleted since; the next page goes on behind the last one's place.
        last = listing.entities[-1] if listing.entities else None
        return self.answers.page_of(
            request, printed, more=listing.more, total=listing.total, last=last
        )

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

        tried = False

        async def attempt() -> bool | None:
            nonlocal tried
            try:
                stored = await self.store.read_set(set_id)
                conditions.require(lambda: self._version(stored))
                tried = True
                watched = await self.notifier.removing(set_id, stored["flows"].items())
                etag = stored["_etag"] if conditions or watched else None
                return await self.store.delete_set(set_id, etag) or None
            except NotFound:
                if tried:
                    return True  # the SDK repeated a request whose answer was lost
                raise

        await until_written(attempt)
        self.notifier.changed(set_id)

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
