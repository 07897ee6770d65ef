"""Which text can be shown to people as it is.

Characters that cannot be seen make two names look alike, or turn the text around them: control
characters, bidirectional marks and overrides, line and paragraph separators, zero-width spaces.
Joiners (U+200C, U+200D) stay where scripts and emoji need them; the rule for them is close to
CONTEXTJ of RFC 5892, which domain names follow.
"""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
# Letters and symbols by category that show nothing: Hangul fillers and the blank Braille pattern.
_EMPTY = "\u115f\u1160\u3164\uffa0\u2800"
_VIRAMA = 9
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def hidden_character(text: str) -> int | None:
    """Return the place of the first character that cannot be shown; None where all can."""
    if text.isprintable():
        return None
    for index, character in enumerate(text):
        if character in _JOINERS:
            if not _joins(text, index):
                return index
        elif unicodedata.category(character) in _HIDDEN or _is_noncharacter(ord(character)):
            return index
    return None


def is_visible(text: str) -> bool:
    """Tell whether anything of a text shows: a letter, number, punctuation mark or symbol."""
    return any(
        unicodedata.category(character)[0] not in "CMZ" and character not in _EMPTY
        for character in text
    )


def _joins(text: str, index: int) -> bool:
    """Tell whether a joiner stands between letters or symbols, or after a virama."""
    before, after = text[index - 1 : index], text[index + 1 : index + 2]
    if not before or before in _JOINERS or not _can_join(before):
        return False
    return unicodedata.combining(before) == _VIRAMA or bool(after and _can_join(after))


def _can_join(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LM" or category in ("So", "Sk")


def _is_noncharacter(code: int) -> bool:
    # Unassigned otherwise is what a later version of Unicode may have assigned.
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
