"""Writes queries over stored flow sets as Cosmos DB SQL.

Paths come from our own tables and every value of the client's is a parameter. In Cosmos DB a
missing member is undefined, which neither a comparison nor NOT turns into true or false; so each
condition is written for the outcome that is wanted, and asks first whether there is a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.odata.expressions import (
    Call,
    Comparison,
    Is,
    Junction,
    Literal,
    Match,
    Member,
    Membership,
    Not,
    Operand,
    Predicate,
    Quantifier,
    Truth,
    Value,
)
from shared.odata.model import Complex, Edm, Type
from shared.odata.options import QueryOptions, Sort
from shared.odata.paging import Page
from shared.odata.paths import Path

_COMPARISONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_CALLS = {"tolower": "LOWER", "toupper": "UPPER", "trim": "TRIM", "length": "LENGTH"}
_MATCHES = {"contains": "CONTAINS", "startswith": "STARTSWITH", "endswith": "ENDSWITH"}


@dataclass
class Sql:
    """Collects the parameters of one query while its conditions are written."""

    parameters: list[dict[str, Any]] = field(default_factory=list)

    def parameter(self, value: object) -> str:
        """Add a value and return the name to use for it."""
        name = f"@p{len(self.parameters)}"
        self.parameters.append({"name": name, "value": value})
        return name

    def condition(self, predicate: Predicate, wanted: bool = True) -> str:
        """Return a condition that holds exactly where the predicate is `wanted`."""
        match predicate:
            case Not():
                return self.condition(predicate.operand, not wanted)
            case Is():
                return _unless(self.condition(predicate.operand, predicate.value), wanted)
            case Junction():
                parts = [self.condition(part, wanted) for part in predicate.parts]
                return f"({(' AND ' if predicate.every == wanted else ' OR ').join(parts)})"
            case Comparison(operator="eq" | "ne"):
                equal = self._equal(predicate.left, predicate.right)
                return _unless(equal, wanted == (predicate.operator == "eq"))
            case Comparison():
                return _unless(self._ordered(predicate), wanted)
            case Membership():
                return _unless(self._among(predicate), wanted)
            case Match():
                text, with_text = self._operand(predicate.text)
                pattern, with_pattern = self._operand(predicate.pattern)
                found = f"{_MATCHES[predicate.function]}({text}, {pattern})"
                return _all((*with_text, *with_pattern, _unless(found, wanted)))
            case Truth(operand=Literal(value=value)):
                return _constant(value is wanted)
            case Truth():
                truth, with_truth = self._operand(predicate.operand)
                return _all((*with_truth, f"{truth} = {_constant(wanted)}"))
            case Quantifier():
                return _unless(self._quantified(predicate), wanted)

    # Operands come with what must hold for them to have a value.

    def _operand(self, operand: Operand) -> tuple[str, tuple[str, ...]]:
        match operand:
            case Literal():
                return self.parameter(operand.value), ()
            case Call():
                argument, with_argument = self._operand(operand.argument)
                return f"{_CALLS[operand.function]}({argument})", with_argument
            case Member():
                place = sql_path(operand.path)
                present = (_present(place, operand.path.type),) if operand.path.nullable else ()
                return place, (*self._casts(operand.path), *present)

    def _casts(self, path: Path) -> tuple[str, ...]:
        return tuple(
            f"({_present(place, Edm.STRING)} AND {place} = {self.parameter(f'#{step.cast}')})"
            for index, step in enumerate(path.steps)
            if step.cast is not None
            for place in (f'{_places(path, index)}["@odata.type"]',)
        )

    def _equal(self, left: Operand, right: Operand) -> str:
        one, with_one = self._operand(left)
        if right == Literal(None):
            return f"NOT {_all(with_one)}" if with_one else "false"
        other, with_other = self._operand(right)
        equal = _all((*with_one, *with_other, f"{one} = {other}"))
        if with_one and with_other:
            return f"({equal} OR (NOT {_all(with_one)} AND NOT {_all(with_other)}))"
        return equal

    def _ordered(self, comparison: Comparison) -> str:
        if comparison.right == Literal(None):
            return "false"
        one, with_one = self._operand(comparison.left)
        other, with_other = self._operand(comparison.right)
        ordered = f"{one} {_COMPARISONS[comparison.operator]} {other}"
        return _all((*with_one, *with_other, ordered))

    def _among(self, membership: Membership) -> str:
        one, with_one = self._operand(membership.operand)
        values = [self.parameter(value) for value in membership.values if value is not None]
        among = _all((*with_one, f"{one} IN ({', '.join(values)})")) if values else "false"
        if None in membership.values and with_one:
            return f"({among} OR NOT {_all(with_one)})"
        return among

    def _quantified(self, quantifier: Quantifier) -> str:
        place = sql_path(quantifier.collection)
        present = _all((*self._casts(quantifier.collection), f"IS_ARRAY({place})"))
        holds = self.condition(quantifier.predicate)
        counted = f"NOT ({holds})" if quantifier.every else holds
        # `? :`, and not AND: the local emulator looks into a missing collection otherwise.
        name = quantifier.variable
        entries = f"SELECT VALUE {name} FROM {name} IN {place} WHERE {counted}"  # noqa: S608 - see the module
        some = f"({present} ? EXISTS({entries}) : false)"
        return _unless(some, not quantifier.every)


@dataclass(frozen=True)
class Query:
    """A whole query and its parameters, as `query_items` takes them."""

    text: str
    parameters: list[dict[str, Any]]


def page_query(options: QueryOptions, page: Page) -> Query:
    """Ask for the documents of a page, in order, and for one more, which tells whether to go on.

    The first `page.skip` of what comes back are to be left out: the local emulator has no OFFSET,
    and in Azure it costs as much as reading them.
    """
    sql = Sql()
    count = sql.parameter(page.skip + page.limit + 1)
    where = _where(options, page, sql)
    order = ", ".join(
        f"{sql_path(sort.path)} {'DESC' if sort.descending else 'ASC'}" for sort in options.order
    )
    text = f"SELECT TOP {count} * FROM c{where} ORDER BY {order}"  # noqa: S608 - see the module
    return Query(text, sql.parameters)


def count_query(options: QueryOptions) -> Query:
    """Ask how many documents pass $filter and $search, whatever the page.

    The sum of what comes back is the count: the service may count each of its partitions alone.
    """
    sql = Sql()
    text = f"SELECT VALUE COUNT(1) FROM c{_where(options, None, sql)}"  # noqa: S608 - see the module
    return Query(text, sql.parameters)


def _where(options: QueryOptions, page: Page | None, sql: Sql) -> str:
    conditions: list[str] = []
    if options.filter is not None:
        conditions.append(sql.condition(options.filter))
    # LOWER on both sides: the local emulator's CONTAINS has no argument for ignoring case.
    conditions += [
        f'CONTAINS(LOWER(c["displayName"]), LOWER({sql.parameter(term)}))'
        for term in options.search
    ]
    if page is not None and page.after is not None:
        conditions.append(_behind(options.order, page.after, sql))
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _behind(order: Sequence[Sort], place: Sequence[Value], sql: Sql) -> str:
    """Compare key by key. No key of a flow set's order can be null."""
    (first, *others), (value, *rest) = order, place
    path, name = sql_path(first.path), sql.parameter(value)
    beyond = f"{path} {'<' if first.descending else '>'} {name}"
    if not others:
        return beyond
    return f"({beyond} OR ({path} = {name} AND {_behind(others, rest, sql)}))"


def sql_path(path: Path) -> str:
    """Return a path in a stored document, or from a subquery's variable."""
    return _places(path, len(path.steps))


def _places(path: Path, steps: int) -> str:
    root = path.variable or "c"
    return root + "".join(f"[{json.dumps(step.name)}]" for step in path.steps[:steps])


def _present(place: str, of_type: Type) -> str:
    match of_type:
        case Complex():
            check = "IS_OBJECT"
        case Edm.BOOLEAN:
            check = "IS_BOOL"
        case Edm.INT32:
            check = "IS_NUMBER"
        case _:
            check = "IS_STRING"
    return f"{check}({place})"


def _all(conditions: Iterable[str]) -> str:
    conditions = tuple(conditions)
    return conditions[0] if len(conditions) == 1 else f"({' AND '.join(conditions)})"


def _unless(condition: str, wanted: bool) -> str:
    return condition if wanted else f"NOT ({condition})"


def _constant(value: bool) -> str:
    return "true" if value else "false"
