"""What a $filter or a $search means: a tree whose names are resolved and whose types are checked.

Two readers give it a result, and a test holds them to the same one: cosmos.py as a WHERE clause,
memory.py over printed entities. The rules are OData 4.01's: comparisons are case-sensitive, a
missing value is null, a comparison with null by an order is false, a function of null is null, and
`and`, `or` and `not` know true, false and null.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.odata.model import Type
from shared.odata.paths import Path
from shared.odata.values import Value


@dataclass(frozen=True)
class Literal:
    """A constant; of a DateTimeOffset, the text that `shared.domain.ids.utc_now` would store."""

    value: Value


@dataclass(frozen=True)
class Member:
    """The value of a property, or of a lambda's variable."""

    path: Path


@dataclass(frozen=True)
class Call:
    """A function of values: of text (tolower, toupper, trim, length, concat, indexof, substring) or
    of a time (year to second, date). Null where one of its arguments is.
    """

    function: str
    arguments: tuple[Operand, ...]


@dataclass(frozen=True)
class Arithmetic:
    """add, sub, mul, div or mod of whole numbers; what is divided by is a literal, never zero."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Count:
    """How many entries a collection has; 0 where it is missing.

    With `cast`, only those entries count that are of this type.
    """

    collection: Path
    cast: str | None = None


Operand = Literal | Member | Call | Arithmetic | Count


@dataclass(frozen=True)
class Not:
    """The opposite; null stays null."""

    operand: Predicate


@dataclass(frozen=True)
class Junction:
    """`and` of all parts, or `or` of them."""

    every: bool
    parts: tuple[Predicate, ...]


@dataclass(frozen=True)
class Comparison:
    """eq, ne, gt, ge, lt or le. Never null."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Membership:
    """`in`: equal to one of the values. Never null."""

    operand: Operand
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Match:
    """contains, startswith or endswith."""

    function: str
    text: Operand
    pattern: Operand


@dataclass(frozen=True)
class Truth:
    """A boolean value that stands alone."""

    operand: Operand


@dataclass(frozen=True)
class Quantifier:
    """any (or all) of a collection's entries; a missing collection is an empty one. Never null.

    With `cast`, only those entries are looked at that are of this type.
    """

    every: bool
    collection: Path
    variable: str
    predicate: Predicate
    cast: str | None = None


@dataclass(frozen=True)
class IsOf:
    """Whether an object is of a type; `cast` is None for the type that it is declared as.

    `path` leads to the object: no steps mean the entity, or the lambda's variable. Never null.
    """

    path: Path
    cast: str | None


@dataclass(frozen=True)
class Search:
    """Whether the displayName has a text, in any case, in one of its written forms. Never null."""

    forms: tuple[str, ...]


@dataclass(frozen=True)
class Is:
    """A condition compared with true or false. Never null."""

    operand: Predicate
    value: bool


Predicate = (
    Not | Junction | Comparison | Membership | Match | Truth | Quantifier | IsOf | Search | Is
)


@dataclass(frozen=True)
class Typed:
    """An operand on its way into the tree, with its type (None: null) and how it was written."""

    operand: Operand
    type: Type | None
    text: str
