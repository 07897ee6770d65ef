"""Checks a $filter against an entity type and gives its meaning."""

from __future__ import annotations

from typing import Any

from shared.odata import syntax
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
    Typed,
)
from shared.odata.faults import refusal, shown
from shared.odata.model import Complex, Edm, EntityType, Enum, Type
from shared.odata.paths import Path, resolve
from shared.odata.values import Value, stored_time

MAX_NODES = 100
MAX_DEPTH = 20

_MATCHES = ("contains", "startswith", "endswith")
_CALLS = ("tolower", "toupper", "trim", "length")
_MIRRORED = {"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
_EXAMPLES: dict[Edm, str] = {
    Edm.STRING: "text in single quotes",
    Edm.BOOLEAN: "true or false",
    Edm.INT32: "a number",
    Edm.DATE_TIME_OFFSET: "a time without quotes, for example 2024-03-22T21:28:02Z",
}


def parse_filter(text: str, entity: EntityType) -> Predicate:
    """Return the meaning of a filter over an entity type; raises InvalidRequest."""
    return _Binder(entity).predicate(syntax.parse(text), 1)


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
                text, pattern = (self._text(each, depth) for each in node.args)
                return Match(node.func.name, text, pattern)
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
            case ast.Identifier():
                path = self._path(node.name)
                if path.collection:
                    raise _refuse(
                        f"'{shown(node.name)}' is a collection; ask about its entries with any or "
                        f"all, as in {shown(node.name)}/any(x:x eq 'value').",
                        "InvalidPath",
                    )
                return Typed(Member(path), path.type, node.name)
            case ast.Call() if node.func.name in _CALLS:
                argument = self._text(node.args[0], depth + 1)
                length = node.func.name == "length"
                return Typed(
                    Call(node.func.name, argument),
                    Edm.INT32 if length else Edm.STRING,
                    f"{node.func.name}(…)",
                )
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

    def _text(self, node: Any, depth: int) -> Operand:
        if isinstance(node, syntax.Raw):
            self._count(depth)
            if node.kind != syntax.TEXT:
                raise _refuse(
                    f"Text functions take text in single quotes, not {shown(node.text)}.",
                    "InvalidValue",
                )
            return Literal(node.value)
        bound = self._operand(node, depth)
        if bound.type is not Edm.STRING:
            raise _refuse(
                f"Text functions take Edm.String; '{shown(bound.text)}' is {bound.type}.",
                "InvalidValue",
            )
        return bound.operand

    def _path(self, text: str) -> Path:
        first, *rest = text.split("/")
        variable = self._variables.get(first)
        if variable is None:
            return resolve(self._entity, [first, *rest], _refuse)
        if not rest:
            return variable
        if not isinstance(variable.type, Complex):
            raise _refuse(f"'{shown(first)}' is {variable.type} and has no members.", "InvalidPath")
        found = resolve(variable.type, rest, _refuse)
        return Path(found.steps, found.type, found.nullable, found.collection, variable.variable)

    def _quantifier(self, node: Any, depth: int) -> Predicate:
        collection = self._path(node.owner.name)
        if not collection.collection:
            raise _refuse(
                f"'{shown(node.owner.name)}' is not a collection; {node.operator} cannot look into "
                "it.",
                "InvalidPath",
            )
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
            return Quantifier(False, collection, variable, Truth(Literal(True)))
        name = node.lambda_.identifier.name
        if name in self._variables or "/" in name or "." in name:
            raise _refuse(f"Give the variable '{shown(name)}' a name of its own.")
        outer = self._variables
        self._variables = {**outer, name: Path((), collection.type, False, False, variable)}
        predicate = self.predicate(node.lambda_.expression, depth + 1)
        self._variables = outer
        return Quantifier(every, collection, variable, predicate)


def _is_condition(node: Any) -> bool:
    from odata_query import ast

    if isinstance(node, ast.Call):
        return node.func.name in _MATCHES
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
        case Enum():
            own = ("", wanted.name.lower(), str(wanted).lower())
            named = raw.kind.endswith("'") and raw.kind[:-1].lower() in own
            return raw.value if named and raw.value in wanted.members else None
    return None
