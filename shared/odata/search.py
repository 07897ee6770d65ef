"""Reads $search: words and phrases that a displayName has, in any case, with AND, OR and NOT."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from shared.contract.field_types import MAX_NAME
from shared.domain.text import hidden_character, is_visible
from shared.odata.expressions import Junction, Not, Predicate, Search
from shared.odata.faults import refusal, shown
from shared.odata.model import EntityType

OPTION = "$search"
MAX_TERMS: Final = 10
MAX_DEPTH: Final = 10

_TOKEN = re.compile(
    r'\s*(?:"(?P<phrase>(?:[^"\\]|\\.)*)"(?=[\s)]|$)|(?P<mark>[()])|(?P<word>[^\s"()]+)(?=[\s()]|$))',
    re.DOTALL,
)
_END: Final = ""


def parse_search(text: str, entity: EntityType) -> Predicate:
    """Return what a search means; raises InvalidRequest.

    NOT binds tighter than AND, which may be left out, and AND tighter than OR.
    """
    if not entity.searchable:
        raise refusal(OPTION, f"{entity.name} has no displayName to search in; use $filter.")
    text = text.strip()
    hidden = hidden_character(text)
    if hidden is not None:
        raise refusal(OPTION, f"Remove character {hidden + 1} of the search: it cannot be shown.")
    return _Parser(text).whole()


class _Parser:
    """Reads a search from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._index = 0
        self._terms = 0
        self._tokens = self._read()
        self._kind, self._value = next(self._tokens)

    def whole(self) -> Predicate:
        found = self._any(0)
        if self._kind != _END:
            raise self._unreadable()
        return found

    def _any(self, depth: int) -> Predicate:
        parts = [self._all(depth)]
        while self._takes("word", "OR"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Junction(False, tuple(parts))

    def _all(self, depth: int) -> Predicate:
        parts = [self._one(depth)]
        while self._takes("word", "AND") or not self._ends():
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Junction(True, tuple(parts))

    def _one(self, depth: int) -> Predicate:
        if depth > MAX_DEPTH:
            raise refusal(OPTION, f"The search is nested more than {MAX_DEPTH} levels deep.")
        if self._takes("word", "NOT"):
            return Not(self._one(depth + 1))
        if self._takes("mark", "("):
            inner = self._any(depth + 1)
            if not self._takes("mark", ")"):
                raise self._unreadable()
            return inner
        if self._ends() or (self._kind, self._value) == ("word", "AND"):
            raise self._unreadable()
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise refusal(OPTION, f"Give 1 to {MAX_TERMS} words or phrases.")
        term = _checked(self._value)
        self._next()
        return Search(written_forms(term))

    def _ends(self) -> bool:
        """Whether what AND joins is at its end."""
        return (self._kind, self._value) in ((_END, ""), ("mark", ")"), ("word", "OR"))

    def _takes(self, kind: str, value: str) -> bool:
        if (self._kind, self._value) != (kind, value):
            return False
        self._next()
        return True

    def _next(self) -> None:
        self._kind, self._value = next(self._tokens)

    def _read(self) -> Iterator[tuple[str, str]]:
        end = 0
        while end < len(self._text):
            self._index = end
            match = _TOKEN.match(self._text, end)
            if match is None:
                raise self._unreadable()
            end = match.end()
            kind = str(match.lastgroup)
            value = match[kind]
            yield kind, re.sub(r"\\(.)", r"\1", value) if kind == "phrase" else value
        self._index = end
        yield _END, ""

    def _unreadable(self) -> Exception:
        return refusal(
            OPTION,
            f"The search cannot be read from '{shown(self._text[self._index :].strip())}' on. Give "
            "words, or phrases in double quotes, and between them AND, OR, NOT and parentheses.",
        )


def written_forms(term: str) -> tuple[str, ...]:
    """Return the ways to write a term in Unicode: composed and decomposed, once where alike.

    Names are stored as they came, and macOS decomposes accents where others compose them.
    """
    return tuple(
        dict.fromkeys((unicodedata.normalize("NFC", term), unicodedata.normalize("NFD", term)))
    )


def _checked(term: str) -> str:
    # Graph's directory wants "displayName:term"; here there is only that property.
    if term.lower().startswith("displayname:"):
        term = term[len("displayname:") :]
    if not is_visible(term):
        raise refusal(OPTION, "A term of the search is empty.")
    if len(term) > MAX_NAME:
        # Before its forms are made: putting combining marks in order takes quadratic time.
        raise refusal(OPTION, f"A term has {len(term)} characters; names have at most {MAX_NAME}.")
    return term
