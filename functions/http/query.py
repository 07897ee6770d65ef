"""What the doors of collections share: query options, pages and the answers to both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from functions.http.operations import Tag, entity, ok
from shared import bootstrap, odata


def item_options(req: func.HttpRequest, entity_type: odata.EntityType) -> odata.QueryOptions:
    """Read the options of a request for one entity; raises InvalidRequest."""
    return odata.QueryOptions.parse(req.params, odata.ITEM, entity_type)


def count_options(req: func.HttpRequest, entity_type: odata.EntityType) -> odata.QueryOptions:
    """Read the options of a request for a plain count; raises InvalidRequest."""
    return odata.QueryOptions.parse(req.params, odata.COUNT, entity_type)


@dataclass(frozen=True)
class ListRequest:
    """A request for a page of a collection, read and checked.

    `path` is the collection in context URLs; it also keeps tokens of one set from use in another.
    """

    req: func.HttpRequest
    path: str
    options: odata.QueryOptions
    page: odata.Page
    preferences: odata.Preferences

    @classmethod
    def read(cls, req: func.HttpRequest, entity_type: odata.EntityType, path: str) -> ListRequest:
        """Read options, page size and token; raises InvalidRequest with every fault."""
        options = odata.QueryOptions.parse(req.params, odata.COLLECTION, entity_type)
        preferences = odata.parse_prefer(req.headers.get("prefer"))
        page = odata.open_page(
            options, _token_key(), max_page_size=preferences.max_page_size, scope=path
        )
        return cls(req, path, options, page, preferences)

    def from_all(self, printed: Iterable[Mapping[str, Any]]) -> func.HttpResponse:
        """Answer from printed entities that are all at hand."""
        listing = odata.list_page(self.options, self.page, printed)
        return self.answer(listing.entities, more=listing.more, total=listing.total)

    def answer(
        self, printed: Sequence[Mapping[str, Any]], *, more: bool, total: int | None
    ) -> func.HttpResponse:
        """Answer with one page of printed entities; `total` is needed with $count only."""
        context = bootstrap.printer().context(self.path, selected=self.options.context_suffix())
        body: dict[str, Any] = {"@odata.context": context}
        if self.options.count:
            body["@odata.count"] = total
        token = None
        if more and printed:
            token = odata.next_token(
                self.options, self.page, len(printed), printed[-1], _token_key(), scope=self.path
            )
        if token is not None:
            body["@odata.nextLink"] = odata.next_link(self.req.url, token)
        body["value"] = [self.options.project(each) for each in printed]
        response = ok(self.req, body)
        if self.preferences.page_size_applied is not None:
            response.headers["Preference-Applied"] = self.preferences.page_size_applied
        return response


def item(
    req: func.HttpRequest,
    path: str,
    options: odata.QueryOptions,
    printed: Mapping[str, Any],
    tag: Tag | None = None,
) -> func.HttpResponse:
    """Answer with one entity of a collection, or what $select keeps of it."""
    context = bootstrap.printer().context(path, selected=options.context_suffix(), entity=True)
    return entity(req, {"@odata.context": context, **options.project(printed)}, tag)


def whole(path: str, printed: Mapping[str, Any]) -> dict[str, Any]:
    """Put the context before a printed entity, for the answers to writes."""
    return {"@odata.context": bootstrap.printer().context(path, entity=True), **printed}


def plain_count(number: int) -> func.HttpResponse:
    """Answer a bare number as text."""
    return func.HttpResponse(str(number), mimetype="text/plain")


def counted(options: odata.QueryOptions, printed: Iterable[Mapping[str, Any]]) -> int:
    """Count the printed entities that pass $filter and $search."""
    return len(odata.passing(options, printed))


def _token_key() -> bytes:
    return bootstrap.settings().keyring.signing_key("skiptoken")
