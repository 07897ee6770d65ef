"""Asks Cosmos DB for flow sets: pages, and counts.

Paths come from our own tables and every value of the client's is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.odata.options import QueryOptions, Sort
from shared.odata.paging import Page
from shared.odata.sql import Parameters, sql_path
from shared.odata.values import Value


@dataclass(frozen=True)
class Query:
    """A whole query and its parameters, as `query_items` takes them."""

    text: str
    parameters: list[dict[str, Any]]


def page_query(options: QueryOptions, page: Page) -> Query:
    """Ask for the documents of a page, in order, and for one more, which tells whether to go on.

    `page.skip` does not count here: see `skip_query`.
    """
    return _ordered(options, page, "*", page.limit + 1)


def skip_query(options: QueryOptions, page: Page) -> Query:
    """Ask for the sort keys of what a page leaves out, which may be much longer than the page.

    The last of what comes back is the place to go on behind (`Page.behind`). OFFSET would cost as
    much, and then the SDK reads whole documents to drop them.
    """
    keys = ", ".join(sql_path(sort.path) for sort in options.order)
    return _ordered(options, page, keys, page.skip)


def _ordered(options: QueryOptions, page: Page, what: str, most: int) -> Query:
    parameters = Parameters()
    count = parameters.add(most)
    where = _where(options, page, parameters)
    order = ", ".join(
        f"{sql_path(sort.path)} {'DESC' if sort.descending else 'ASC'}" for sort in options.order
    )
    text = f"SELECT TOP {count} {what} FROM c{where} ORDER BY {order}"  # noqa: S608 - see the module
    return Query(text, parameters.values)


MAX_SORTED: Final = 1000
"""How many sets are sorted here, in an order that no index has."""


def keys_query(options: QueryOptions) -> Query:
    """Ask for what sets can be sorted by, of those that pass $filter and $search, in no order.

    One more than MAX_SORTED tells that there are too many.
    """
    parameters = Parameters()
    count = parameters.add(MAX_SORTED + 1)
    where = _where(options, None, parameters)
    keys = ", ".join(f"c.{name}" for name in options.entity.orderable or ())
    return Query(f"SELECT TOP {count} {keys} FROM c{where}", parameters.values)  # noqa: S608 - see the module


def documents_query(ids: Sequence[str]) -> Query:
    """Ask for the documents of one page's ids, in no order."""
    parameters = Parameters()
    names = ", ".join([parameters.add(each) for each in ids])
    return Query(f"SELECT * FROM c WHERE c.id IN ({names})", parameters.values)  # noqa: S608 - see the module


def count_query(options: QueryOptions) -> Query:
    """Ask how many documents pass $filter and $search, whatever the page.

    The sum of what comes back is the count: the service may count each of its partitions alone.
    """
    parameters = Parameters()
    text = f"SELECT VALUE COUNT(1) FROM c{_where(options, None, parameters)}"  # noqa: S608 - see the module
    return Query(text, parameters.values)


def _where(options: QueryOptions, page: Page | None, parameters: Parameters) -> str:
    conditions: list[str] = []
    for predicate in (options.filter, options.search):
        if predicate is not None:
            from shared.odata.conditions import Conditions

            conditions.append(Conditions(parameters).condition(predicate))
    if page is not None and page.after is not None:
        conditions.append(_behind(options.order, page.after, parameters))
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _behind(order: Sequence[Sort], place: Sequence[Value], parameters: Parameters) -> str:
    """Compare key by key. No key of a flow set's order can be null."""
    (first, *others), (value, *rest) = order, place
    path, name = sql_path(first.path), parameters.add(value)
    beyond = f"{path} {'<' if first.descending else '>'} {name}"
    if not others:
        return beyond
    return f"({beyond} OR ({path} = {name} AND {_behind(others, rest, parameters)}))"
