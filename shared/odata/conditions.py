"""Writes filters over stored documents as conditions of Cosmos DB SQL.

In Cosmos DB a missing member is undefined, which neither a comparison nor NOT turns into true or
false; so each condition is written for the outcome that is wanted, and asks first whether there is
a value.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.contract.names import NAMESPACE
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
from shared.odata.model import PROVISIONING_FLOW, Complex, Edm, Type
from shared.odata.paths import Path
from shared.odata.sql import Parameters, flow_path, sql_path

_COMPARISONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_CALLS = {
    "tolower": "LOWER({})",
    "toupper": "UPPER({})",
    "trim": "TRIM({})",
    "length": "LENGTH({})",
    "concat": "CONCAT({}, {})",
    "indexof": "INDEX_OF({}, {})",
    "substring": "SUBSTRING({}, {}, {})",
    "year": "DateTimePart('yyyy', {})",
    "month": "DateTimePart('mm', {})",
    "day": "DateTimePart('dd', {})",
    "hour": "DateTimePart('hh', {})",
    "minute": "DateTimePart('mi', {})",
    "second": "DateTimePart('ss', {})",
    "date": "LEFT({}, 10)",
}
_LONGER_THAN_ANY_TEXT = 1_000_000
_ARITHMETIC = {
    "add": "({} + {})",
    "sub": "({} - {})",
    "mul": "({} * {})",
    "div": "TRUNC({} / {})",
    "mod": "({} % {})",
}
_KINDS = [each.name for each in PROVISIONING_FLOW.derived.values()]
_MATCHES = {"contains": "CONTAINS", "startswith": "STARTSWITH", "endswith": "ENDSWITH"}


class Conditions:
    """Writes the conditions of one query, adding to its parameters."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._kinds: dict[str | None, str] = {}
        """The kind of flow that each variable for a flow of the set stands for."""

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
            case Quantifier() if _are_flows(predicate.collection):
                return _unless(self._any_or_all_flows(predicate), wanted)
            case Quantifier():
                return _unless(self._quantified(predicate), wanted)
            case IsOf():
                return _unless(self._is_of(predicate), wanted)
            case Search():
                found = " OR ".join(
                    f'CONTAINS(c["displayName"], {self._parameters.add(form)}, true)'
                    for form in predicate.forms
                )
                return _unless(f"({found})", wanted)

    # Operands come with what must hold for them to have a value.

    def _operand(self, operand: Operand) -> tuple[str, tuple[str, ...]]:
        match operand:
            case Literal():
                return self._parameters.add(operand.value), ()
            case Call():
                arguments, present = self._operands(operand.arguments)
                if operand.function == "substring" and len(arguments) == 2:
                    # Cosmos DB wants a length. LENGTH of the text would write it twice, and double
                    # the query with each nesting.
                    arguments.append(str(_LONGER_THAN_ANY_TEXT))
                return _CALLS[operand.function].format(*arguments), present
            case Arithmetic():
                sides, present = self._operands((operand.left, operand.right))
                return _ARITHMETIC[operand.operator].format(*sides), present
            case Count():
                return self._counted(operand), ()
            case Member():
                place = self._place(operand.path)
                there = (_present(place, operand.path.type),) if operand.path.nullable else ()
                return place, (*self._casts(operand.path), *there)

    def _operands(self, operands: Iterable[Operand]) -> tuple[list[str], tuple[str, ...]]:
        written = [self._operand(each) for each in operands]
        return [text for text, _ in written], tuple(each for _, with_ in written for each in with_)

    def _counted(self, count: Count) -> str:
        if _are_flows(count.collection):
            each = [f"({self._there(kind)} ? 1 : 0)" for kind in _kinds_of(count.cast)]
            return f"({' + '.join(each)})"
        place = self._place(count.collection)
        there = _all((*self._casts(count.collection), f"IS_ARRAY({place})"))
        return f"({there} ? ARRAY_LENGTH({place}) : 0)"

    # Places in documents.

    def _place(self, path: Path, steps: int | None = None) -> str:
        kind = self._kinds.get(path.variable)
        return sql_path(path, steps) if kind is None else flow_path(kind, path.steps[:steps])

    def _casts(self, path: Path) -> tuple[str, ...]:
        conditions = []
        for index, step in enumerate(path.steps):
            if step.cast is None:
                continue
            kind = self._kinds.get(path.variable) if index == 0 else None
            if kind is None:
                conditions.append(self._has_type(self._place(path, index), step.cast))
            elif step.cast != NAMESPACE + kind:
                conditions.append("false")
        return tuple(conditions)

    def _has_type(self, place: str, cast: str) -> str:
        member = f'{place}["@odata.type"]'
        return f"({_present(member, Edm.STRING)} AND {member} = {self._parameters.add(f'#{cast}')})"

    def _there(self, kind: str) -> str:
        return f"IS_OBJECT({flow_path(kind)})"

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
        name, place = quantifier.variable, self._place(quantifier.collection)
        holds = self.condition(quantifier.predicate)
        counted = f"NOT ({holds})" if quantifier.every else holds
        if quantifier.cast is not None:
            counted = f"{self._has_type(name, quantifier.cast)} AND {counted}"
        entries = f"SELECT VALUE {name} FROM {name} IN {place} WHERE {counted}"  # noqa: S608 - see the module
        some = _all((*self._casts(quantifier.collection), f"EXISTS({entries})"))
        return _unless(some, not quantifier.every)

    def _any_or_all_flows(self, quantifier: Quantifier) -> str:
        """Say it of each kind in turn: a set holds its flows by their kinds, one of each."""
        parts = []
        for kind in _kinds_of(quantifier.cast):
            self._kinds[quantifier.variable] = kind
            holds, there = self.condition(quantifier.predicate), self._there(kind)
            parts.append(
                f"(NOT {there} OR {holds})" if quantifier.every else f"({there} AND {holds})"
            )
        del self._kinds[quantifier.variable]
        return f"({(' AND ' if quantifier.every else ' OR ').join(parts)})"

    def _is_of(self, test: IsOf) -> str:
        path, kind = test.path, self._kinds.get(test.path.variable)
        if not path.steps and (kind is not None or path.variable is None):
            # A flow of a kind that is known, or the entity, whose type has none derived from it.
            return _constant(test.cast is None or test.cast == NAMESPACE + str(kind))
        place = self._place(path)
        of_type = () if test.cast is None else (self._has_type(place, test.cast),)
        return _all((*self._casts(path), f"IS_OBJECT({place})", *of_type))


def _are_flows(collection: Path) -> bool:
    return collection.variable is None and collection.type is PROVISIONING_FLOW


def _kinds_of(cast: str | None) -> list[str]:
    return [kind for kind in _KINDS if cast in (None, NAMESPACE + kind)]


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
