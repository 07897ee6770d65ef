"""The functions of values that a filter may call: what they take, and what they give in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.odata.model import Edm


@dataclass(frozen=True)
class Function:
    """A function: the types of its arguments, those behind `least` optional, and of its result.

    `apply` is called with values none of which is null. Texts count in UTF-16, as in Cosmos DB.
    """

    takes: tuple[Edm, ...]
    gives: Edm
    apply: Callable[..., Any]
    least: int | None = None


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le", errors="surrogatepass")


def _length(text: str) -> int:
    return len(_wide(text)) // 2


def _indexof(text: str, part: str) -> int:
    at = text.find(part)
    return at if at < 0 else _length(text[:at])


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = None if length is None else 2 * (start + length)
    # Half of a surrogate pair is no text; Cosmos DB has it, and nothing is equal to it.
    return _wide(text)[2 * start : end].decode("utf-16-le", errors="replace")


def _part(start: int, end: int) -> Function:
    """A part of a time in its stored form, such as 2024-03-22T21:28:02.7164229Z."""
    return Function((Edm.DATE_TIME_OFFSET,), Edm.INT32, lambda text: int(text[start:end]))


_TEXT: Final = (Edm.STRING,)
FUNCTIONS: Final[Mapping[str, Function]] = {
    "tolower": Function(_TEXT, Edm.STRING, str.lower),
    "toupper": Function(_TEXT, Edm.STRING, str.upper),
    "trim": Function(_TEXT, Edm.STRING, str.strip),
    "length": Function(_TEXT, Edm.INT32, _length),
    "concat": Function(2 * _TEXT, Edm.STRING, lambda one, other: one + other),
    "indexof": Function(2 * _TEXT, Edm.INT32, _indexof),
    "substring": Function((Edm.STRING, Edm.INT32, Edm.INT32), Edm.STRING, _substring, least=2),
    "year": _part(0, 4),
    "month": _part(5, 7),
    "day": _part(8, 10),
    "hour": _part(11, 13),
    "minute": _part(14, 16),
    "second": _part(17, 19),
    "date": Function((Edm.DATE_TIME_OFFSET,), Edm.DATE, lambda text: text[:10]),
}

# Quotients are cut towards zero and remainders have the sign of the dividend, as OData wants.
ARITHMETIC: Final[Mapping[str, Callable[[int, int], int]]] = {
    "add": lambda one, other: one + other,
    "sub": lambda one, other: one - other,
    "mul": lambda one, other: one * other,
    "div": lambda one, other: int(math.copysign(abs(one) // abs(other), one * other)),
    "mod": lambda one, other: int(math.copysign(abs(one) % abs(other), one)),
}
