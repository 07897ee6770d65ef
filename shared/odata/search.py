"""Reads $search: words and phrases that a displayName must have, all of them, in any case."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from shared.contract.field_types import MAX_NAME
from shared.domain.text import hidden_character, is_visible
from shared.odata.faults import refusal, shown
from shared.odata.model import EntityType

OPTION = "$search"
MAX_TERMS: Final = 10

_TERM = re.compile(r'\s*(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>[^\s"()]+))(?=\s|$)', re.DOTALL)


def parse_search(text: str, entity: EntityType) -> tuple[str, ...]:
    """Return the terms of a search; raises InvalidRequest."""
    if not entity.searchable:
        raise refusal(OPTION, f"{entity.name} has no displayName to search in; use $filter.")
    text = text.strip()
    hidden = hidden_character(text)
    if hidden is not None:
        raise refusal(OPTION, f"Remove character {hidden + 1} of the search: it cannot be shown.")
    found: list[str] = []
    index, joined = 0, True
    while index < len(text):
        match = _TERM.match(text, index)
        word = match and match["word"]
        if match is None or word in ("OR", "NOT"):
            raise refusal(
                OPTION,
                f"The search cannot be read from '{shown(text[index:].strip())}' on. Give words, "
                'or phrases in double quotes, all of which must occur; use $filter for "or" and '
                '"not".',
            )
        index = match.end()
        if word == "AND" and not joined:
            joined = True
            continue
        joined = False
        found.append(_checked(word or re.sub(r"\\(.)", r"\1", match["phrase"] or "")))
    if joined or len(found) > MAX_TERMS:
        raise refusal(OPTION, f"Give 1 to {MAX_TERMS} words or phrases.")
    return tuple(found)


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
