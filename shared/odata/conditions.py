"""Writes filters over stored documents as conditions of Cosmos DB SQL.

In Cosmos DB a missing member is undefined, which neither a comparison nor NOT turns into true or
false; so each condition is written for the outcome that is wanted, and asks first whether there is
a value.
"""

from __future__ import annotations

from collections.abc import Iterable

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
from shared.odata.model import Complex, Edm, Type
from shared.odata.paths import Path
from shared.odata.sql import Parameters, sql_path

_COMPARISONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_CALLS = {"tolower": "LOWER", "toupper": "UPPER", "trim": "TRIM", "length": "LENGTH"}
_MATCHES = {"contains": "CONTAINS", "startswith": "STARTSWITH", "endswith": "ENDSWITH"}


class Conditions:
    """Writes the conditions of one query, adding to its parameters."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

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
                return self._parameters.add(operand.value), ()
            case Call():
                argument, with_argument = self._operand(operand.argument)
                return f"{_CALLS[operand.function]}({argument})", with_argument
            case Member():
                place = sql_path(operand.path)
                present = (_present(place, operand.path.type),) if operand.path.nullable else ()
                return place, (*self._casts(operand.path), *present)

    def _casts(self, path: Path) -> tuple[str, ...]:
        return tuple(
            f"({_present(place, Edm.STRING)} AND {place} = {self._parameters.add(f'#{step.cast}')})"
            for index, step in enumerate(path.steps)
            if step.cast is not None
            for place in (f'{sql_path(path, index)}["@odata.type"]',)
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
        values = [self._parameters.add(value) for value in membership.values if value is not None]
        among = _all((*with_one, f"{one} IN ({', '.join(values)})")) if values else "false"
        if None in membership.values and with_one:
            return f"({among} OR NOT {_all(with_one)})"
        return among

    def _quantified(self, quantifier: Quantifier) -> str:
        # A missing collection has no entries.
        name, place = quantifier.variable, sql_path(quantifier.collection)
        holds = self.condition(quantifier.predicate)
        counted = f"NOT ({holds})" if quantifier.every else holds
        entries = f"SELECT VALUE {name} FROM {name} IN {place} WHERE {counted}"  # noqa: S608 - see the module
        some = _all((*self._casts(quantifier.collection), f"EXISTS({entries})"))
        return _unless(some, not quantifier.every)


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
