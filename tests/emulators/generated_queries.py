"""Queries of the shapes that the service sends, and of shapes that come close to them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypedDict

from shared.odata.cosmos import Query, count_query, documents_query, keys_query, page_query
from shared.odata.model import FLOW_SET
from shared.odata.options import COLLECTION, COUNT, QueryOptions
from shared.odata.paging import Page


class Asked(TypedDict):
    """A query, its parameters, and the path of its container's partition key."""

    query: str
    parameters: list[dict[str, Any]]
    pk: str


NAME = "c.displayName"
FLOW = "c.flows.userProvisioningFlow"
PARAMETERS = [
    {"name": name, "value": value}
    for name, value in (("@a", "a"), ("@b", 2), ("@id", "i"), ("@n", 5))
]
USER = "microsoft.graph.industryData.userProvisioningFlow"
FILTERS = [
    "displayName eq 'North'",
    "displayName ne null and not startswith(displayName,'N')",
    "contains(tolower(displayName),'no') or endswith(displayName,'th')",
    "id in ('a','b')",
    "displayName in ('a','b') and createdDateTime ge 2024-03-02",
    "createdDateTime lt 2024-03-02T00:00:00Z or (displayName gt 'M' and id ne '4')",
    "filter/microsoft.graph.industryData.basicFilter/in/any()",
    "not filter/microsoft.graph.industryData.basicFilter/in/any(x:x eq '10' or x eq '20')",
    "filter/microsoft.graph.industryData.basicFilter/in/all(x:x in ('10','20'))",
    "filter/microsoft.graph.industryData.basicFilter/attribute in ('orgExternalId', null)",
    "filter/microsoft.graph.industryData.basicFilter/in/$count mod 2 eq 1",
    "isof(filter,microsoft.graph.industryData.basicFilter) eq false",
    "concat(displayName,'x') eq substring(displayName,1) or indexof(displayName,'a') gt 1",
    "substring(displayName,1,2) eq 'or' and length(displayName) sub 2 div 3 ge 1",
    "year(createdDateTime) eq 2024 and minute(createdDateTime) lt 30",
    "date(createdDateTime) eq 2024-03-02",
    "provisioningFlows/any(f:f/readinessStatus eq 'ready')",
    f"provisioningFlows/{USER}/all(f:f/createUnmatchedUsers or isof(f,{USER}))",
    f"provisioningFlows/$count mul 2 gt provisioningFlows/{USER}/$count",
    f"provisioningFlows/{USER}/any(f:f/creationOptions/configurations"
    "/any(c:c/roleGroup/id eq 'a'))",
    f"not provisioningFlows/all(f:f/{USER}/createUnmatchedUsers ne null)",
]
SEARCHES = ["north AND NOT annex OR wing", "\u00e9t\u00e9"]
ORDERS = ["", "id desc", "displayName", "createdDateTime desc", "lastModifiedDateTime,id"]
CONDITIONS = [
    f"{NAME} = @a",
    "NOT IS_DEFINED(c.flows.classGroupProvisioningFlow)",
    'CONTAINS(c["displayName"], @a, true)',
    f"{FLOW}.revision <= @b",
    "c.id IN (@a, @id)",
    "c.id = @id",
    "c[@id] = @a",
    f"({NAME} BETWEEN @a AND @id)",
    f"({NAME} IN (@a) ? true : false)",
    "EXISTS(SELECT VALUE e FROM e IN c.entries WHERE e.code = @a)",
    "DateTimePart('yyyy', c.createdDateTime) = @b",
    "TRUNC(LENGTH(c.id) / @b) = 1",
    # Not so in Cosmos DB:
    "DateTimePart(c.createdDateTime) = @b",
    "TRUNC(c.id, @b) = 1",
    f"{NAME} BETWEEN @a AND @id",
    "c.id IN ()",
    f"{NAME} = NULL",
    f"{NAME} == @a",
    "c.value = @a",
    "COUNT(c.id) = 1",
    "LENGTH(c.id, 1) = @b",
    "NOSUCH(c.id)",
    "d.id = @a",
    "c[null] = @a",
    "c[c.id] = @a",
    "c[@missing] = @a",
    "EXISTS(SELECT VALUE c FROM c IN c.entries)",
    "(SELECT VALUE e FROM e IN c.entries) = @a",
]
SELECTIONS = [
    "*",
    "VALUE c.id",
    "c.id, c.displayName AS name",
    "DISTINCT VALUE c.displayName",
    "TOP @n *",
    "TOP 3 VALUE c.id",
    "VALUE COUNT(1)",
    "VALUE MAX(c.revision)",
    "VALUE AVG(c.revision)",
    # Not so:
    "c.id, c.other.id",
    "c.displayName AS id, c.id",
    "VALUE COUNT(1) + 1",
    "VALUE {'n': COUNT(1)}",
    "COUNT(1) AS n, c.id",
    "VALUE {'a': 1, 'a': 2}",
    "TOP -1 *",
    "TOP 4294967296 *",
    "TOP 1 DISTINCT c.id",
]
ENDINGS = [
    "",
    "ORDER BY c.id",
    "ORDER BY c.displayName DESC, c.id ASC",
    "OFFSET 1 LIMIT @n",
    "ORDER BY c.id OFFSET 0 LIMIT 2",
    # Not so:
    "LIMIT 2",
    "ORDER BY LOWER(c.id)",
    "ORDER BY c.id ASC DESC",
    "OFFSET 1.5 LIMIT 2",
    "OFFSET 4294967296 LIMIT 2",
    "OFFSET 1 LIMIT 4294967296",
]


def _sent() -> Iterator[Query]:
    for filter_, order in itertools.product(["", *FILTERS], ORDERS):
        given = {"filter": filter_, "orderby": order}
        options = QueryOptions.parse(
            {name: text for name, text in given.items() if text}, COLLECTION, FLOW_SET
        )
        yield page_query(options, Page(20))
        yield count_query(options)
        yield keys_query(options)
    yield documents_query(["1", "2"])
    for search in SEARCHES:
        yield count_query(QueryOptions.parse({"search": search}, COUNT, FLOW_SET))


def _near() -> Iterator[str]:
    for selection, ending in itertools.product(SELECTIONS, ENDINGS):
        # Cosmos DB plans an order of aggregates, which has no use; the emulator serves none.
        if not ("ORDER" in ending and "(" in selection):
            yield f"SELECT {selection} FROM c {ending}"  # noqa: S608 - ours
    for condition in CONDITIONS:
        yield f"SELECT * FROM c WHERE {condition}"  # noqa: S608 - ours
        yield f"SELECT TOP 2 * FROM c WHERE NOT ({condition}) ORDER BY c.id"  # noqa: S608 - ours
    for (one, other), operator in itertools.product(
        itertools.permutations(CONDITIONS[:13], 2), ("AND", "OR")
    ):
        yield f"SELECT * FROM c WHERE {one} {operator} {other}"  # noqa: S608 - ours


def generated() -> list[Asked]:
    """All of them, each once."""
    found: list[Asked] = [
        {"query": query.text, "parameters": query.parameters, "pk": "/id"} for query in _sent()
    ]
    found += [{"query": text, "parameters": PARAMETERS, "pk": "/id"} for text in _near()]
    return list({each["query"]: each for each in found}.values())
