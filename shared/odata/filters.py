"""Checks a $filter against an entity type and gives its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.ids import utc_now
from shared.odata import syntax
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
    Truth,
    Typed,
)
from shared.odata.faults import refusal, shown
from shared.odata.functions import FUNCTIONS
from shared.odata.model import Complex, Edm, EntityType, Enum, Type
from shared.odata.paths import Path, resolve
from shared.odata.values import Value, stored_time

MAX_NODES = 100
MAX_DEPTH = 20

_MATCHES = ("contains", "startswith", "endswith")
_MIRRORED = {"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "has": "has"}
# Products of literals stay numbers that Cosmos DB counts with exactly.
_MOST_INT = 2**31 - 1
_EXAMPLES: dict[Edm, str] = {
    Edm.STRING: "text in single quotes",
    Edm.BOOLEAN: "true or false",
    Edm.INT32: "a number",
    Edm.DATE_TIME_OFFSET: "a time without quotes, for example 2024-03-22T21:28:02Z",
    Edm.DATE: "a date without quotes, for example 2024-03-22",
}


def parse_filter(
    text: str, entity: EntityType, aliases: Mapping[str, str] | None = None
) -> Predicate:
    """Return the meaning of a filter over an entity type; raises InvalidRequest.

    `aliases` has the text of each parameter alias by its name, which begins with `@`.
    """
    return _Binder(entity).predicate(syntax.parse(text, aliases), 1)


def _refuse(message: str, code: str = "InvalidFilter") -> Exception:
    return refusal(syntax.OPTION, message, code)


class _Binder:
    """Walks odata-query's tree once, counting its nodes."""

    def __init__(self, entity: EntityType) -> None:
        self._entity = entity
        self._nodes = 0
        self._variables: dict[str, Path] = {}

    def predicate(self, node: Any, depth: int) -> Predicate:
        """Bind a node that must be true or false."""
        from odata_query import ast

        self._count(depth)
        match node:
            case ast.BoolOp():
                return self._junction(node, depth)
            case ast.UnaryOp():
                return Not(self.predicate(node.operand, depth + 1))
            case ast.Compare(comparator="in"):
                return self._membership(node, depth)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.CollectionLambda():
                return self._quantifier(node, depth)
            case ast.Call() if node.func.name in _MATCHES:
                text, pattern = (self._argument(each, Edm.STRING, depth) for each in node.args)
                return Match(node.func.name, text, pattern)
            case ast.Call() if node.func.name == "isof":
                return self._isof(node)
        bound = self._operand(node, depth)
        if bound.type is not Edm.BOOLEAN:
            raise _refuse(f"'{shown(bound.text)}' is neither true nor false; compare it.")
        return Truth(bound.operand)

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _refuse(f"The filter has more than {MAX_NODES} parts; ask for less at once.")
        if depth > MAX_DEPTH:
            raise _refuse(f"The filter is nested more than {MAX_DEPTH} levels deep; flatten it.")

    def _junction(self, node: Any, depth: int) -> Predicate:
        # A chain of one operator is one level deep, however the grammar nests it.
        from odata_query import ast

        parts: list[Predicate] = []
        waiting = [node]
        while waiting:
            each = waiting.pop()
            if isinstance(each, ast.BoolOp) and each.op == node.op:
                waiting += (each.right, each.left)
            else:
                parts.append(self.predicate(each, depth + 1))
        return Junction(node.op == "and", tuple(parts))

    # --- comparing ---------------------------------------------------------------------------

    def _comparison(self, node: Any, depth: int) -> Predicate:
        operator = str(node.comparator)
        if operator == "has" and isinstance(node.left, syntax.Raw):
            raise _refuse("Put an enum's property before has, and its member behind it.")
        if isinstance(node.left, syntax.Raw):
            node = type(node)(_MIRRORED[operator], node.right, node.left)
            operator = node.comparator
        if isinstance(node.left, syntax.Raw):
            raise _refuse(f"Compare {shown(node.left.text)} with a property, not with a literal.")
        if (
            _is_condition(node.left)
            and isinstance(node.right, syntax.Raw)
            and isinstance(node.right.value, bool)
            and operator in ("eq", "ne")
        ):
            result = Is(self.predicate(node.left, depth + 1), node.right.value)
            return result if operator == "eq" else Not(result)
        left = self._operand(node.left, depth + 1)
        right = (
            self._literal(node.right, left, depth + 1)
            if isinstance(node.right, syntax.Raw)
            else self._operand(node.right, depth + 1)
        )
        if right.type is not None and right.type != left.type:
            raise _refuse(
                f"'{shown(left.text)}' is {left.type} and '{shown(right.text)}' is {right.type}; "
                "they cannot be compared."
            )
        if operator == "has":
            # No enum here has flags: a value has the member that it is.
            if not isinstance(left.type, Enum) or right.type is None:
                raise _refuse(
                    f"'{shown(left.text)}' is no enum with a member behind has; use eq or in."
                )
            operator = "eq"
        if operator not in ("eq", "ne"):
            if isinstance(left.type, Enum):
                raise _refuse(
                    f"'{shown(left.text)}' is an enum without an order; use eq, ne or in."
                )
            if left.type is Edm.BOOLEAN:
                raise _refuse(f"'{shown(left.text)}' is true or false; use eq or ne.")
        if isinstance(left.type, Complex) and (
            operator not in ("eq", "ne") or right.type is not None
        ):
            raise _refuse(
                f"'{shown(left.text)}' is an object: compare one of its members "
                f"({left.type.names}), or use eq null or ne null."
            )
        return Comparison(operator, left.operand, right.operand)

    def _membership(self, node: Any, depth: int) -> Predicate:
        if isinstance(node.left, syntax.Raw):
            raise _refuse(f"Put a property before in, not {shown(node.left.text)}.")
        left = self._operand(node.left, depth + 1)
        if isinstance(left.type, Complex):
            raise _refuse(f"'{shown(left.text)}' is an object; use one of its members before in.")
        values: list[Value] = []
        for each in node.right.val:
            if not isinstance(each, syntax.Raw):
                raise _refuse("List literals only after in, as in ('a', 'b').")
            literal = self._literal(each, left, depth + 1).operand
            assert isinstance(literal, Literal)  # noqa: S101 - narrows the type
            values.append(literal.value)
        return Membership(left.operand, tuple(values))

    def _literal(self, raw: syntax.Raw, other: Typed, depth: int) -> Typed:
        """Read a literal as the type of what it is compared with."""
        self._count(depth)
        if raw.kind == "word" and raw.value is None:
            return Typed(Literal(None), None, raw.text)
        value = _value(raw, other.type)
        if value is None:
            if isinstance(other.type, Enum):
                wanted = f"one of {', '.join(other.type.members)}, in single quotes"
            elif isinstance(other.type, Edm):
                wanted = _EXAMPLES[other.type]
            else:
                wanted = "null"
            raise _refuse(
                f"Cannot compare '{shown(other.text)}' ({other.type}) with {shown(raw.text)}; "
                f"give {wanted}.",
                "InvalidValue",
            )
        return Typed(Literal(value), other.type, raw.text)

    # --- operands ------------------------------------------------------------------------------

    def _operand(self, node: Any, depth: int) -> Typed:
        from odata_query import ast

        self._count(depth)
        match node:
            case ast.Identifier() if node.name.endswith("/$count"):
                collection, cast, _ = self._collection(node.name.removesuffix("/$count"), "$count")
                return Typed(Count(collection, cast), Edm.INT32, node.name)
            case ast.Identifier():
                path = self._path(node.name)
                if not path.steps and path.variable is None:
                    raise _refuse("'$it' is the entity itself: compare one of its properties.")
                if path.collection:
                    raise _refuse(
                        f"'{shown(node.name)}' is a collection; ask about its entries with any or "
                        f"all, as in {shown(node.name)}/any(x:x eq 'value').",
                        "InvalidPath",
                    )
                return Typed(Member(path), path.type, node.name)
            case ast.Call() if node.func.name in FUNCTIONS:
                return self._call(node, depth)
            case ast.Call() if node.func.name == "now":
                return Typed(Literal(utc_now()), Edm.DATE_TIME_OFFSET, "now()")
            case ast.BinOp():
                return self._arithmetic(node, depth)
            case ast.Call() if node.func.name in syntax.FUNCTIONS:
                raise _refuse(
                    f"The result of {node.func.name} is true or false; do not compare it."
                )
            case ast.Call():
                raise syntax.unknown_function(node.func.name)
            case syntax.Raw(kind="word", value=bool()):
                return Typed(Literal(node.value), Edm.BOOLEAN, node.text)
            case syntax.Raw():
                raise _refuse(f"{shown(node.text)} is not a condition; compare a property with it.")
        raise _refuse(
            "A condition can only be compared with true or false. After not, put what it is about "
            "in parentheses: not (…)."
        )

    def _call(self, node: Any, depth: int) -> Typed:
        function = FUNCTIONS[node.func.name]
        # The grammar has counted them.
        arguments = tuple(
            self._argument(each, wanted, depth + 1)
            for each, wanted in zip(node.args, function.takes, strict=False)
        )
        if node.func.name == "substring" and not all(
            isinstance(each, Literal) and isinstance(each.value, int) and each.value >= 0
            for each in arguments[1:]
        ):
            raise _refuse("Behind the text, substring takes numbers that are not negative.")
        return Typed(Call(node.func.name, arguments), function.gives, f"{node.func.name}(…)")

    def _argument(self, node: Any, wanted: Edm, depth: int) -> Operand:
        """Bind what a function or an operator takes: a literal or an operand of one type."""
        if isinstance(node, syntax.Raw):
            self._count(depth)
            value = _value(node, wanted)
            whole = isinstance(value, int) and abs(value) <= _MOST_INT
            if value is None or (wanted is Edm.INT32 and not whole):
                raise _refuse(
                    f"{_EXAMPLES[wanted].capitalize()} is wanted, not {shown(node.text)}.",
                    "InvalidValue",
                )
            return Literal(value)
        bound = self._operand(node, depth)
        if bound.type is not wanted:
            raise _refuse(
                f"{wanted} is wanted; '{shown(bound.text)}' is {bound.type}.", "InvalidValue"
            )
        return bound.operand

    def _arithmetic(self, node: Any, depth: int) -> Typed:
        operator = str(node.op)
        left = self._argument(node.left, Edm.INT32, depth + 1)
        right = self._argument(node.right, Edm.INT32, depth + 1)
        if operator in ("div", "mod") and not (isinstance(right, Literal) and right.value):
            raise _refuse(f"Put a number other than 0 behind {operator}.")
        return Typed(Arithmetic(operator, left, right), Edm.INT32, f"… {operator} …")

    def _isof(self, node: Any) -> Predicate:
        *objects, name = node.args
        type_name = name.value if isinstance(name, syntax.Raw) else getattr(name, "name", "")
        if len(objects) > 1 or not all(hasattr(each, "name") for each in objects):
            raise _refuse("isof takes a type, or a property and a type.")
        path = self._path(objects[0].name if objects else "$it")
        if not isinstance(path.type, Complex) or path.collection:
            raise _refuse(f"'{shown(str(path))}' is no object; isof tells the types of objects.")
        target = path.type.cast(str(type_name))
        if target is None:
            raise _unknown_type(path.type, str(type_name))
        return IsOf(path, None if target is path.type else str(target))

    def _path(self, text: str) -> Path:
        first, *rest = text.split("/")
        if first.lower() == "$it":
            if not rest:
                return Path((), self._entity, nullable=False, collection=False)
            return resolve(self._entity, rest, _refuse)
        variable = self._variables.get(first)
        if variable is None:
            return resolve(self._entity, [first, *rest], _refuse)
        if not rest:
            return variable
        if not isinstance(variable.type, Complex):
            raise _refuse(f"'{shown(first)}' is {variable.type} and has no members.", "InvalidPath")
        found = resolve(variable.type, rest, _refuse)
        return Path(found.steps, found.type, found.nullable, found.collection, variable.variable)

    def _collection(self, text: str, use: str) -> tuple[Path, str | None, Type]:
        """Return a collection, the type that its entries are cast to, and the type they are of."""
        owner, _, last = text.rpartition("/")
        if owner and "." in last:
            collection, target, cast = self._path(owner), None, None
            if collection.collection and isinstance(collection.type, Complex):
                target = collection.type.cast(last)
                if target is None:
                    raise _unknown_type(collection.type, last)
                cast = None if target is collection.type else str(target)
                return collection, cast, target
        collection = self._path(text)
        if not collection.collection:
            raise _refuse(
                f"'{shown(text)}' is not a collection; {use} cannot look into it.", "InvalidPath"
            )
        return collection, None, collection.type

    def _quantifier(self, node: Any, depth: int) -> Predicate:
        collection, cast, entry_type = self._collection(node.owner.name, node.operator)
        if self._variables and collection.variable != f"x{len(self._variables) - 1}":
            # Each entry of an entity is looked at once: a filter costs what the entity is long.
            entry = list(self._variables)[-1]
            raise _refuse(
                f"'{shown(node.owner.name)}' cannot be looked through for each entry of another "
                f"collection; inside {node.operator}, look into the entry itself: {entry}/….",
                "InvalidPath",
            )
        every = node.operator == "all"
        variable = f"x{len(self._variables)}"
        if node.lambda_ is None:
            return Quantifier(False, collection, variable, Truth(Literal(True)), cast)
        name = node.lambda_.identifier.name
        if name in self._variables or "/" in name or "." in name or "$" in name:
            raise _refuse(f"Give the variable '{shown(name)}' a name of its own.")
        outer = self._variables
        self._variables = {**outer, name: Path((), entry_type, False, False, variable)}
        predicate = self.predicate(node.lambda_.expression, depth + 1)
        self._variables = outer
        return Quantifier(every, collection, variable, predicate, cast)


def _unknown_type(declared: Complex, name: str) -> Exception:
    types = ", ".join(str(each) for each in (declared, *declared.derived.values()))
    return _refuse(f"'{shown(name)}' is not a type to cast to; use {types}.", "UnknownType")


def _is_condition(node: Any) -> bool:
    from odata_query import ast

    if isinstance(node, ast.Call):
        return node.func.name in (*_MATCHES, "isof")
    return isinstance(node, ast.BoolOp | ast.UnaryOp | ast.Compare | ast.CollectionLambda)


def _value(raw: syntax.Raw, wanted: Type | None) -> Value:
    """Return a literal's value if it is one of the wanted type, else None."""
    match wanted:
        case Edm.STRING if raw.kind == syntax.TEXT:
            return raw.value
        case Edm.BOOLEAN if raw.kind == "word":
            return raw.value
        case Edm.INT32 if raw.kind in ("int", "float"):
            return raw.value
        case Edm.DATE_TIME_OFFSET if raw.kind == "date":
            return stored_time(raw.text)
        case Edm.DATE if raw.kind == "date" and "T" not in raw.text.upper():
            return raw.text if stored_time(raw.text) else None
        case Enum():
            own = ("", wanted.name.lower(), str(wanted).lower())
            named = raw.kind.endswith("'") and raw.kind[:-1].lower() in own
            return raw.value if named and raw.value in wanted.members else None
    return None
