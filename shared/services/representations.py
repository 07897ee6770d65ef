"""What use cases return for answers: entities with their context and ETag, pages, counts.

Requests for them come as `Asked`: the query options and preferences of a request, not yet read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from shared.contract.names import TYPE_MEMBER
from shared.contract.printing import Printer, digest, version
from shared.domain.conditions import Version
from shared.domain.errors import NotFound
from shared.odata.listing import list_page, matcher_of, passing
from shared.odata.model import EntityType
from shared.odata.options import COLLECTION, COUNT, ITEM, Expand, QueryOptions
from shared.odata.paging import PAGE_SIZE, Page, check_room, next_link, next_token, open_page
from shared.odata.prefer import Preferences, parse_prefer


@dataclass(frozen=True)
class Asked:
    """What a request for entities asks for: its query options, Prefer header and URL.

    `cast` is the derived type that its path casts the entities to.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    prefer: str | None = None
    url: str = ""
    cast: str | None = None

    def options(self, allowed: Set[str], entity_type: EntityType) -> QueryOptions:
        """Read the query options, about the type that the path casts to. Raises InvalidRequest."""
        if self.cast is None:
            return QueryOptions.parse(self.params, allowed, entity_type)
        target = entity_type.narrowed(self.cast)
        assert target is not None  # noqa: S101 - the path was read as one that casts to it
        return QueryOptions.parse(self.params, allowed, target, self.cast)


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
        return asked.options(ITEM, entity_type)

    def count_options(self, asked: Asked, entity_type: EntityType) -> QueryOptions:
        """Read the options of a request for a plain count; raises InvalidRequest."""
        return asked.options(COUNT, entity_type)

    def list_request(self, asked: Asked, entity_type: EntityType, path: str) -> ListRequest:
        """Read options, page size and token; raises InvalidRequest with every fault.

        `path` is the collection in context URLs; it also keeps tokens of one set from use in
        another.
        """
        options = asked.options(COLLECTION, entity_type)
        path = _cast(path, options)
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
        """Return one entity of a collection, or what $select keeps of it; `own` as above.

        Raises NotFound for one of another type than that which the request casts to.
        """
        if options.cast is not None and printed.get(TYPE_MEMBER) != f"#{options.cast}":
            raise NotFound(printed["id"])
        path = _cast(path, options)
        context = self.printer.context(path, selected=options.context_suffix(), entity=True)
        body = {"@odata.context": context, **projected(options, printed, path)}
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
        last: Mapping[str, Any] | None = None,
    ) -> Collection:
        """Return one page of printed entities; `total` is needed with $count only.

        The next page goes on behind `last`, by default the last one printed.
        """
        options = request.options
        context = self.printer.context(request.path, selected=options.context_suffix())
        body: dict[str, Any] = {"@odata.context": context}
        if options.count:
            body["@odata.count"] = total
        last = last or (printed[-1] if printed else None)
        if more and last is not None:
            token = next_token(options, request.page, last, self.token_key, scope=request.path)
            body["@odata.nextLink"] = next_link(request.url, token)
        body["value"] = [projected(options, each, request.path) for each in printed]
        return Collection(body, request.preferences.page_size_applied)


class Expansion:
    """Prints the entities of one $expand inside others; all share one budget of filter steps."""

    def __init__(self, printer: Printer, expand: Expand) -> None:
        self._printer = printer
        self._expand = expand
        self._matcher = matcher_of(expand.options)

    def inside(self, path: str, printed: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the members that one entity gets: those entities of it that are asked for.

        `path` is their collection, as context URLs have it. Raises InvalidRequest.
        """
        name, options = self._expand.navigation.path, self._expand.options
        page = Page(PAGE_SIZE if options.top is None else options.top, options.skip)
        listing = list_page(options, page, printed, self._matcher)
        context = self._printer.context(_cast(path, options), selected=options.context_suffix())
        members: dict[str, Any] = {f"{name}@odata.context": context}
        if options.count:
            members[f"{name}@odata.count"] = listing.total
        return {**members, name: [projected(options, each, path) for each in listing.entities]}


def projected(options: QueryOptions, printed: Mapping[str, Any], collection: str) -> dict[str, Any]:
    """Keep what $select asks for; an entity without its id gets its address instead.

    The address is relative to the service root; OData's readers know the entity by it.
    """
    kept = options.project(printed)
    if options.select is None or "id" in kept or "id" not in printed:
        return kept
    collection = collection.removesuffix(f"/{options.cast}")
    address = {"@odata.id": f"{collection}('{printed['id']}')"}
    of_type = {name: kept.pop(name) for name in (TYPE_MEMBER,) if name in kept}
    return {**of_type, **address, **kept}


def _cast(path: str, options: QueryOptions) -> str:
    return path if options.cast is None else f"{path}/{options.cast}"


def counted(options: QueryOptions, printed: Iterable[Mapping[str, Any]]) -> int:
    """Count the printed entities that pass $filter and $search."""
    return len(passing(options, printed))
