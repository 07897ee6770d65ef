"""Text that people see as it is: what shows nothing or turns its surroundings round is refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.loading import load as load_body
from shared.contract.schemas import FlowSet
from shared.domain.errors import InvalidRequest


def load(name: str) -> object:
    return load_body(FlowSet, {"displayName": name})["display_name"]


def refused(name: str) -> str:
    with pytest.raises(InvalidRequest) as error:
        load(name)
    (fault,) = error.value.faults
    assert (fault.code, fault.target) == ("InvalidValue", "$.displayName")
    return fault.message


@pytest.mark.parametrize(
    "name",
    [
        "Grundschule Süd (Außenstelle) - «Ærø» № 7",
        unicodedata.normalize("NFD", "École Žižkov"),
        "東京\u3000小学校",
        "École\u00a07",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian
        "ශ්\u200dරී",  # Sinhala
        "അവന്\u200d",  # Malayalam, at the end
        "👩🏽\u200d🚀 🧑\u200d🤝\u200d🧑 ❤️\u200d🔥 🏳️\u200d🌈 1️⃣ 🇩🇪",
        "ⵣ",
        "\u1112\u1161\u11ab",  # Hangul in letters of its own
        "x" * 256,
    ],
    ids=ascii,
)
def test_takes_what_scripts_and_emoji_need(name: str) -> None:
    assert load(name) == name


HIDDEN = [
    *("\x00", "\n", "\x1f", "\x7f", "\x80", "\x85", "\x9f"),
    *(chr(code) for code in (0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029)),
    *(chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x2070), 0x2060, 0xFEFF)),
    *(chr(code) for code in (0xE000, 0xFDD0, 0xFFFE, 0xE0001, 0xE0041, 0x10FFFF)),
]


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_refuses_characters_that_cannot_be_shown(character: str) -> None:
    assert "character 3 " in refused(f"No{character}rth")
    refused(character)


@pytest.mark.parametrize(
    "name",
    [
        "\u200d",
        "\u200ca",
        "a\u200d",
        "a \u200d b",
        "1\u200d2",
        "1\u200da",
        "a\u200d\u200db",
        "a\u200c\u200db",
    ],
    ids=ascii,
)
def test_refuses_joiners_that_join_nothing(name: str) -> None:
    assert "cannot be shown" in refused(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", "\u3000\u00a0", "\u0301", "\ufe0f\u034f", "\u3164", "\u115f\u1160", "\u2800 \uffa0"],
    ids=ascii,
)
def test_refuses_text_that_shows_nothing(name: str) -> None:
    assert "not blank" in refused(name)


OTHER = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@given(st.text(st.characters(max_codepoint=0x3000) | st.characters(), max_size=20))
def test_nothing_hidden_is_taken_but_joiners(name: str) -> None:
    hidden = [each for each in name if unicodedata.category(each) in OTHER]
    try:
        load(name)
    except InvalidRequest:
        return
    assert set(hidden) <= {"\u200c", "\u200d"}
