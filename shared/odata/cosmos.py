"""Asks Cosmos DB for flow sets: pages, and counts.

Paths come from our own tables and every value of the client's is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

    The first `page.skip` of what comes back are to be left out: OFFSET would cost as much as
    reading them.
    """
    parameters = Parameters()
    count = parameters.add(page.skip + page.limit + 1)
    where = _where(options, page, parameters)
    order = ", ".join(
        f"{sql_path(sort.path)} {'DESC' if sort.descending else 'ASC'}" for sort in options.order
    )
    text = f"SELECT TOP {count} * FROM c{where} ORDER BY {order}"  # noqa: S608 - see the module
    return Query(text, parameters.values)


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
