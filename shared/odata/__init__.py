"""OData query options over flow sets, flows, role groups and reference definitions.

`QueryOptions.parse` reads a request's options, `open_page` its place in the collection. Then
`cosmos.page_query` asks the store, or `list_page` looks through entities at hand, and `next_token`
with `next_link` leads to the page behind. What only filters need is imported with the first filter.
"""

from __future__ import annotations

from shared.odata.cosmos import Query, count_query, page_query
from shared.odata.listing import Listing, list_page, passing
from shared.odata.model import (
    FLOW_SET,
    PROVISIONING_FLOW,
    REFERENCE_DEFINITION,
    ROLE_GROUP,
    EntityType,
)
from shared.odata.options import COLLECTION, COUNT, ITEM, Expand, QueryOptions
from shared.odata.paging import PAGE_SIZE, Page, next_link, next_token, open_page
from shared.odata.prefer import Preferences, parse_prefer
from shared.odata.select import Selection

__all__ = [
    "COLLECTION",
    "COUNT",
    "FLOW_SET",
    "ITEM",
    "PAGE_SIZE",
    "PROVISIONING_FLOW",
    "REFERENCE_DEFINITION",
    "ROLE_GROUP",
    "EntityType",
    "Expand",
    "Listing",
    "Page",
    "Preferences",
    "Query",
    "QueryOptions",
    "Selection",
    "count_query",
    "list_page",
    "next_link",
    "next_token",
    "open_page",
    "page_query",
    "parse_prefer",
    "passing",
]
