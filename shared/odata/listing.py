"""Answers a whole list request over printed entities that are all at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.contract.names import TYPE_MEMBER
from shared.odata.options import QueryOptions, Sort
from shared.odata.paging import Page
from shared.odata.values import Value, value_at

if TYPE_CHECKING:
    from shared.odata.memory import Matcher


@dataclass(frozen=True)
class Listing:
    """One page of entities, whole; `total` counts all that pass $filter and $search."""

    entities: list[Mapping[str, Any]]
    total: int
    more: bool


def list_page(
    options: QueryOptions,
    page: Page,
    printed: Iterable[Mapping[str, Any]],
    matcher: Matcher | None = None,
) -> Listing:
    """Filter, search, sort and cut. $select is left to the caller: it may drop a sort key.

    `matcher` is that of the filter, for lists that share one budget of steps.
    """
    found = passing(options, printed, matcher)
    total = len(found)
    for sort in reversed(options.order):
        found.sort(key=lambda entity: _rank(value_at(sort.path, entity)), reverse=sort.descending)
    if page.after is not None:
        found = [entity for entity in found if _is_behind(entity, options.order, page.after)]
    end = page.skip + page.limit
    return Listing(found[page.skip : end], total, len(found) > end)


def passing(
    options: QueryOptions,
    printed: Iterable[Mapping[str, Any]],
    matcher: Matcher | None = None,
) -> list[Mapping[str, Any]]:
    """Keep the printed entities that are of the type asked for and pass $filter and $search.

    Raises InvalidRequest where the filter takes more steps than a request is worth.
    """
    if options.cast is not None:
        declared = f"#{options.cast}"
        printed = [entity for entity in printed if entity.get(TYPE_MEMBER) == declared]
    found = list(printed)
    if options.search is not None:
        from shared.domain.context import Steps
        from shared.odata.memory import MAX_SEARCH_STEPS, Matcher

        search = Matcher(options.search, Steps(MAX_SEARCH_STEPS), "$search")
        found = [entity for entity in found if search.matches(entity)]
    matcher = matcher or matcher_of(options)
    if matcher is None:
        return found
    return [entity for entity in found if matcher.matches(entity)]


def matcher_of(options: QueryOptions) -> Matcher | None:
    """Return what tests entities against $filter, within one budget of steps; None without one."""
    if options.filter is None:
        return None
    from shared.odata.memory import Matcher

    return Matcher(options.filter)


def _rank(value: Value) -> tuple[bool, Any]:
    # Null comes before every value; the second part is only compared among values.
    return (False, 0) if value is None else (True, value)


def _is_behind(entity: Mapping[str, Any], order: Iterable[Sort], place: Iterable[Value]) -> bool:
    for sort, value in zip(order, place, strict=True):
        here, there = _rank(value_at(sort.path, entity)), _rank(value)
        if here != there:
            return (here < there) if sort.descending else (here > there)
    return False
