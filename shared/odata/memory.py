"""Tests filters against printed entities: for collections that are small enough to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any, Final

from shared.contract.names import TYPE_MEMBER
from shared.domain.context import Steps, steps
from shared.odata.expressions import (
    Arithmetic,
    Call,
    Comparison,
    Count,
    Is,
    IsOf,
    Junction,
    Literal,
    Match,
    Member,
    Membership,
    Not,
    Operand,
    Predicate,
    Quantifier,
    Search,
    Truth,
)
from shared.odata.faults import refusal
from shared.odata.functions import ARITHMETIC, FUNCTIONS
from shared.odata.syntax import OPTION
from shared.odata.values import value_at

# A search has ten terms at most, and looks at one member.
MAX_SEARCH_STEPS: Final = 1_000_000

_Scope = Mapping[str | None, Any]

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "ge": ge, "lt": lt, "le": le}
_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, pattern: pattern in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
}


class Matcher:
    """Tests entities against one filter, within the request's budget of steps.

    A step is one part of the filter looked at for one entity, or for one entry of a collection in
    it: what a request costs is bounded, however the filter and the entities are made.
    """

    def __init__(
        self, predicate: Predicate, most: Steps | None = None, option: str = OPTION
    ) -> None:
        self._predicate = predicate
        self._steps = steps() if most is None else most
        self._option = option

    def matches(self, entity: Mapping[str, Any]) -> bool:
        """Tell whether a printed entity passes; raises InvalidRequest when out of steps."""
        return self._test(self._predicate, {None: entity}) is True

    def _step(self) -> None:
        if not self._steps.take():
            raise refusal(
                self._option,
                "The filter takes too many steps over this collection; write a simpler one.",
                "InvalidFilter",
            )

    def _test(self, predicate: Predicate, scope: _Scope) -> bool | None:
        self._step()
        match predicate:
            case Not():
                result = self._test(predicate.operand, scope)
                return None if result is None else not result
            case Is():
                return self._test(predicate.operand, scope) is predicate.value
            case Junction():
                return self._joined(predicate, scope)
            case Comparison():
                return self._compare(predicate, scope)
            case Membership():
                return self._value(predicate.operand, scope) in predicate.values
            case Match():
                text = self._value(predicate.text, scope)
                pattern = self._value(predicate.pattern, scope)
                if text is None or pattern is None:
                    return None
                return _MATCHES[predicate.function](text, pattern)
            case Truth():
                truth: bool | None = self._value(predicate.operand, scope)
                return truth
            case Quantifier():
                return self._quantified(predicate, scope)
            case IsOf():
                found = value_at(predicate.path, scope[predicate.path.variable])
                return found is not None and _is_a(found, predicate.cast)
            case Search():
                name = (scope[None].get("displayName") or "").lower()
                return any(form.lower() in name for form in predicate.forms)

    def _joined(self, junction: Junction, scope: _Scope) -> bool | None:
        # One part of this value decides alone; without it, null outweighs the rest.
        decisive, unknown = not junction.every, False
        for part in junction.parts:
            result = self._test(part, scope)
            if result is decisive:
                return decisive
            unknown = unknown or result is None
        return None if unknown else not decisive

    def _quantified(self, quantifier: Quantifier, scope: _Scope) -> bool:
        collection = quantifier.collection
        for entry in value_at(collection, scope[collection.variable]) or ():
            if not _is_a(entry, quantifier.cast):
                self._step()
                continue
            inner = {**scope, quantifier.variable: entry}
            if (self._test(quantifier.predicate, inner) is True) is not quantifier.every:
                return not quantifier.every
        return quantifier.every

    def _compare(self, comparison: Comparison, scope: _Scope) -> bool:
        left, right = self._value(comparison.left, scope), self._value(comparison.right, scope)
        if comparison.operator == "eq":
            return bool(left == right)
        if comparison.operator == "ne":
            return bool(left != right)
        return left is not None and right is not None and _ORDERS[comparison.operator](left, right)

    def _value(self, operand: Operand, scope: _Scope) -> Any:
        self._step()
        match operand:
            case Literal():
                return operand.value
            case Member():
                return value_at(operand.path, scope[operand.path.variable])
            case Call():
                values = [self._value(each, scope) for each in operand.arguments]
                return None if None in values else FUNCTIONS[operand.function].apply(*values)
            case Arithmetic():
                one, other = self._value(operand.left, scope), self._value(operand.right, scope)
                if one is None or other is None:
                    return None
                return ARITHMETIC[operand.operator](one, other)
            case Count():
                collection = operand.collection
                entries = value_at(collection, scope[collection.variable]) or ()
                if operand.cast is None:
                    return len(entries)
                for _ in entries:
                    self._step()
                return sum(_is_a(entry, operand.cast) for entry in entries)


def _is_a(entry: Any, cast: str | None) -> bool:
    return cast is None or (isinstance(entry, Mapping) and entry.get(TYPE_MEMBER) == f"#{cast}")
