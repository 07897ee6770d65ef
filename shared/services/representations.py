"""What use cases return for answers: entities with their context and ETag, pages, counts.

Requests for them come as `Asked`: the query options and preferences of a request, not yet read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.contract.printing import Printer, digest, version
from shared.domain.conditions import Version
from shared.odata.listing import list_page, passing
from shared.odata.model import EntityType
from shared.odata.options import COLLECTION, COUNT, ITEM, QueryOptions
from shared.odata.paging import Page, check_room, next_link, next_token, open_page
from shared.odata.prefer import Preferences, parse_prefer


@dataclass(frozen=True)
class Asked:
    """What a request for entities asks for: its query options, Prefer header and URL."""

    params: Mapping[str, str] = field(default_factory=dict)
    prefer: str | None = None
    url: str = ""


@dataclass(frozen=True)
class Representation:
    """One entity as its answer has it; `version` computes its own version."""

    body: Mapping[str, Any]
    version: Version

    def tag(self) -> str:
        """Return the ETag (shared/domain/conditions.py)."""
        return f'W/"{self.version()}.{digest(self.body)}"'


@dataclass(frozen=True)
class Collection:
    """A page of a collection as its answer has it, and the preference that it follows."""

    body: Mapping[str, Any]
    preference_applied: str | None = None


@dataclass(frozen=True)
class ListRequest:
    """A request for a page of the collection at `path`, read and checked."""

    path: str
    url: str
    options: QueryOptions
    page: Page
    preferences: Preferences


@dataclass(frozen=True)
class Representations:
    """Reads requests for entities and makes their answers."""

    printer: Printer
    token_key: bytes
    """Signs the tokens that lead from page to page."""

    def item_options(self, asked: Asked, entity_type: EntityType) -> QueryOptions:
        """Read the options of a request for one entity; raises InvalidRequest."""
        return QueryOptions.parse(asked.params, ITEM, entity_type)

    def count_options(self, asked: Asked, entity_type: EntityType) -> QueryOptions:
        """Read the options of a request for a plain count; raises InvalidRequest."""
        return QueryOptions.parse(asked.params, COUNT, entity_type)

    def list_request(self, asked: Asked, entity_type: EntityType, path: str) -> ListRequest:
        """Read options, page size and token; raises InvalidRequest with every fault.

        `path` is the collection in context URLs; it also keeps tokens of one set from use in
        another.
        """
        options = QueryOptions.parse(asked.params, COLLECTION, entity_type)
        check_room(asked.url, options)
        preferences = parse_prefer(asked.prefer)
        page = open_page(
            options, self.token_key, max_page_size=preferences.max_page_size, scope=path
        )
        return ListRequest(path, asked.url, options, page, preferences)

    def whole(
        self, path: str, printed: Mapping[str, Any], own: Version | None = None
    ) -> Representation:
        """Return a printed entity with its context, for the answers to writes.

        `own` computes its version where it is printed with others inside.
        """
        context = self.printer.context(path, entity=True)
        body = {"@odata.context": context, **printed}
        return Representation(body, own or (lambda: version(printed)))

    def item(
        self,
        path: str,
        options: QueryOptions,
        printed: Mapping[str, Any],
        own: Version | None = None,
    ) -> Representation:
        """Return one entity of a collection, or what $select keeps of it; `own` as above."""
        context = self.printer.context(path, selected=options.context_suffix(), entity=True)
        body = {"@odata.context": context, **options.project(printed)}
        return Representation(body, own or (lambda: version(printed)))

    def list_of(self, request: ListRequest, printed: Iterable[Mapping[str, Any]]) -> Collection:
        """Return a page of printed entities that are all at hand."""
        listing = list_page(request.options, request.page, printed)
        return self.page_of(request, listing.entities, more=listing.more, total=listing.total)

    def page_of(
        self,
        request: ListRequest,
        printed: Sequence[Mapping[str, Any]],
        *,
        more: bool,
        total: int | None,
    ) -> Collection:
        """Return one page of printed entities; `total` is needed with $count only."""
        options = request.options
        context = self.printer.context(request.path, selected=options.context_suffix())
        body: dict[str, Any] = {"@odata.context": context}
        if options.count:
            body["@odata.count"] = total
        if more and printed:
            token = next_token(
                options, request.page, printed[-1], self.token_key, scope=request.path
            )
            body["@odata.nextLink"] = next_link(request.url, token)
        body["value"] = [options.project(each) for each in printed]
        return Collection(body, request.preferences.page_size_applied)


def counted(options: QueryOptions, printed: Iterable[Mapping[str, Any]]) -> int:
    """Count the printed entities that pass $filter and $search."""
    return len(passing(options, printed))
