"""Reads the text of a $filter into a syntax tree, by odata-query's grammar.

Its lexer is not used: it cuts names that begin with "all" or "any" in two, knows no year before
1000, no enum literals and no `not(`, and its paths lose casts and fail with a lambda at depth
three. Here a path is one token, which leaves the grammar nothing to lose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.odata.faults import refusal, shown

OPTION = "$filter"
MAX_LENGTH = 2000
MAX_PARENTHESES = 60
"""How deep a filter may nest them: what means something is nested 20 deep at most (filters.py)."""

COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le", "has")
ARITHMETIC = ("add", "sub", "mul", "div", "mod")
_OPERATORS = (*COMPARISONS, "in", "and", "or", *ARITHMETIC)
_FOREIGN_OPERATORS = ("divby",)

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_TOKEN = re.compile(
    rf"""
      (?P<string>(?:{_NAME})?'(?:[^']|'')*')
    | (?P<guid>[\da-f]{{8}}(?:-[\da-f]{{4}}){{3}}-[\da-f]{{12}})(?![\w-])
    | (?P<date>\d{{4}}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?)(?!\w)
    | (?P<number>[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?!\w)
    | \s+(?P<operator>{"|".join((*_OPERATORS, *_FOREIGN_OPERATORS))})(?:\s+|(?=\())
    | (?P<not>not)(?:\s+|(?=\())
    | (?P<path>(?:\$it|{_NAME})(?:/{_NAME})*(?:/\$count(?!\w))?)
    | (?P<alias>@[^\W\d]\w*)
    | (?P<mark>[(),:])
    | (?P<space>\s+)
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
TEXT = "'"
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Raw:
    """A literal as written.

    `kind` is word, int, float, guid or date; of text in quotes, it is what comes up to the first
    quote: TEXT, or the name of an enum and a quote.
    """

    kind: str
    value: str | bool | int | float | None
    text: str


@dataclass(frozen=True)
class _Token:
    """What odata-query's parser reads: sly looks at these five members."""

    type: str
    value: object
    index: int
    end: int
    lineno: int = 0


def parse(text: str, aliases: Mapping[str, str] | None = None) -> Any:
    """Return odata-query's tree of a filter, its literals being Raw and each path one Identifier.

    `aliases` has the text of each parameter alias by its name, which begins with `@`: one literal.
    Raises InvalidRequest for text that is too long or not a filter.
    """
    # Building the parser's tables takes longer than a request, and few requests filter.
    from odata_query import exceptions
    from odata_query.grammar import ODataParser

    if len(text) > MAX_LENGTH:
        raise refusal(
            OPTION, f"The filter has {len(text)} characters; at most {MAX_LENGTH} are read."
        )
    text = text.strip()
    if not text:
        raise refusal(OPTION, "The filter is empty; leave the option out instead.")
    try:
        return ODataParser().parse(_lists_in_python_form(_tokens(text, aliases or {})))
    except exceptions.UnknownFunctionException as exc:
        raise unknown_function(exc.function_name) from exc
    except exceptions.ArgumentCountException as exc:
        raise refusal(
            OPTION,
            f"The function '{exc.function_name}' does not take {exc.n_args_given} arguments.",
        ) from exc
    except exceptions.ParsingException as exc:
        if exc.token is None:
            raise refusal(OPTION, "The filter stops before it is complete.") from exc
        raise _unreadable(text, exc.token.index) from exc


FUNCTIONS = (
    *("contains", "startswith", "endswith"),
    *("tolower", "toupper", "trim", "length", "concat", "indexof", "substring"),
    *("year", "month", "day", "hour", "minute", "second", "date", "now", "isof"),
)


def unknown_function(name: str) -> Exception:
    """Make the error for a function that filters here do not have."""
    return refusal(
        OPTION,
        f"The function '{shown(name)}' is not known here; use one of {', '.join(FUNCTIONS)}.",
        "UnknownFunction",
    )


def _unreadable(text: str, index: int) -> Exception:
    rest = text[index:].lstrip()
    place = len(text) - len(rest) + 1
    return refusal(OPTION, f"The filter cannot be read from character {place} on: '{shown(rest)}'.")


def _tokens(text: str, aliases: Mapping[str, str]) -> Iterator[_Token]:
    from odata_query import ast

    index = 0
    while index < len(text):
        match = _TOKEN.match(text, index)
        if match is None:
            raise _unreadable(text, index)
        kind, written, end = match.lastgroup, match[match.lastgroup or 0], match.end()
        match kind:
            case "string" | "guid" | "date" | "number":
                yield _Token("STRING", _literal(kind, written), index, end)
            case "alias":
                yield _Token("STRING", _aliased(written, aliases), index, end)
            case "operator":
                operator = written.lower()
                if operator in _FOREIGN_OPERATORS:
                    raise refusal(
                        OPTION,
                        f"The operator '{operator}' is not supported; use one of "
                        f"{', '.join(_OPERATORS)}, not.",
                        "UnknownOperator",
                    )
                # To the grammar, has is a comparison like any other.
                kind = "EQ" if operator == "has" else operator.upper()
                yield _Token(kind, operator, index, end)
            case "not":
                yield _Token("NOT", "not", index, end)
            case "path":
                yield from _path_tokens(text, written, index, end, ast)
            case "mark":
                yield _Token(written, written, index, end)
            case _:
                yield _Token("WS", written, index, end)
        index = end


def _literal(kind: str | None, written: str) -> Raw:
    if kind == "number":
        return _number(written)
    if kind == "string":
        prefix, _, rest = written.partition("'")
        return Raw(prefix + TEXT, rest[:-1].replace("''", "'"), written)
    return Raw(str(kind), written, written)


def _aliased(name: str, aliases: Mapping[str, str]) -> Raw:
    text = aliases.get(name)
    if text is None:
        raise refusal(
            OPTION, f"The parameter alias '{shown(name)}' has no value: add {shown(name)}=…"
        )
    text = text.strip()
    match = _TOKEN.fullmatch(text) if len(text) <= MAX_LENGTH else None
    kind = match and match.lastgroup
    if kind == "path" and text.lower() in _WORDS:
        return Raw("word", _WORDS[text.lower()], text)
    if kind not in ("string", "guid", "date", "number"):
        raise refusal(name, f"The parameter alias '{shown(name)}' stands for one literal only.")
    return _literal(kind, text)


def _number(written: str) -> Raw:
    if re.fullmatch("[+-]?[0-9]{1,19}", written):
        return Raw("int", int(written), written)
    value = float(written)
    if value in (float("inf"), float("-inf")):
        raise refusal(OPTION, f"The number {shown(written)} is too large.")
    return Raw("float", value, written)


def _path_tokens(text: str, written: str, index: int, end: int, ast: Any) -> Iterator[_Token]:
    if written.lower() in _WORDS:
        yield _Token("STRING", Raw("word", _WORDS[written.lower()], written), index, end)
        return
    called = text.startswith("(", end)
    owner, _, last = written.rpartition("/")
    if called and owner and last.lower() in ("any", "all"):
        yield _Token("ODATA_IDENTIFIER", ast.Identifier(owner), index, end - len(last) - 1)
        yield _Token("/", "/", end - len(last) - 1, end - len(last))
        yield _Token(last.upper(), last.lower(), end - len(last), end)
        return
    name = written.lower() if called else written
    # The grammar counts the arguments of functions that it knows, which isof is not.
    namespace = ("odata",) if name == "isof" and called else ()
    yield _Token("ODATA_IDENTIFIER", ast.Identifier(name, namespace), index, end)


def _lists_in_python_form(tokens: Iterator[_Token]) -> Iterator[_Token]:
    """Close a list of one after `in` with a comma: the grammar reads (x) as x alone."""
    depth = 0
    lists: list[tuple[int, bool]] = []
    after_in = False
    for token in tokens:
        if token.type == "(":
            depth += 1
            if depth > MAX_PARENTHESES:
                raise refusal(
                    OPTION,
                    f"Parentheses are nested more than {MAX_PARENTHESES} deep; leave some out.",
                )
            if after_in:
                lists.append((depth, False))
        elif token.type == "," and lists and lists[-1][0] == depth:
            lists[-1] = (depth, True)
        elif token.type == ")":
            if lists and lists[-1][0] == depth and not lists.pop()[1]:
                yield _Token(",", ",", token.index, token.index)
            depth -= 1
        after_in = token.type == "IN"
        yield token
