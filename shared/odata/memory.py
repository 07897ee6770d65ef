"""Tests filters against printed entities: for collections that are small enough to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
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
)
from shared.odata.values import value_at

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "ge": ge, "lt": lt, "le": le}
_CALLS: dict[str, Callable[[str], str | int]] = {
    "tolower": str.lower,
    "toupper": str.upper,
    "trim": str.strip,
    # As Cosmos DB counts.
    "length": lambda text: len(text.encode("utf-16-le")) // 2,
}
_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, pattern: pattern in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
}


def matches(predicate: Predicate, entity: Mapping[str, Any]) -> bool:
    """Tell whether a printed entity is among what the filter asks for."""
    return _test(predicate, {None: entity}) is True


_Scope = Mapping[str | None, Any]


def _test(predicate: Predicate, scope: _Scope) -> bool | None:
    match predicate:
        case Not():
            result = _test(predicate.operand, scope)
            return None if result is None else not result
        case Is():
            return _test(predicate.operand, scope) is predicate.value
        case Junction():
            # One part of this value decides alone; without it, null outweighs the rest.
            decisive = not predicate.every
            results = [_test(part, scope) for part in predicate.parts]
            return decisive if decisive in results else None if None in results else not decisive
        case Comparison():
            return _compare(predicate, scope)
        case Membership():
            return _value(predicate.operand, scope) in predicate.values
        case Match():
            text, pattern = _value(predicate.text, scope), _value(predicate.pattern, scope)
            if text is None or pattern is None:
                return None
            return _MATCHES[predicate.function](text, pattern)
        case Truth():
            truth: bool | None = _value(predicate.operand, scope)
            return truth
        case Quantifier():
            entries = value_at(predicate.collection, scope[predicate.collection.variable]) or ()
            results = [
                _test(predicate.predicate, {**scope, predicate.variable: entry}) is True
                for entry in entries
            ]
            return all(results) if predicate.every else any(results)


def _compare(comparison: Comparison, scope: _Scope) -> bool:
    left, right = _value(comparison.left, scope), _value(comparison.right, scope)
    if comparison.operator == "eq":
        return bool(left == right)
    if comparison.operator == "ne":
        return bool(left != right)
    return left is not None and right is not None and _ORDERS[comparison.operator](left, right)


def _value(operand: Operand, scope: _Scope) -> Any:
    match operand:
        case Literal():
            return operand.value
        case Member():
            return value_at(operand.path, scope[operand.path.variable])
        case Call():
            argument = _value(operand.argument, scope)
            return None if argument is None else _CALLS[operand.function](argument)
