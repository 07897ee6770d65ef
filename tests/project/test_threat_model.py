"""The threat model names tests for every row, and those tests exist."""

from __future__ import annotations

import re

import pytest

from local.config import ROOT

TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
TABLE = PAGE.partition("## What is refused, where")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
    for line in TABLE.splitlines()
    if line.startswith("| ") and not line.startswith("| Threat ")
]
NAMES = {
    path.relative_to(TESTS).as_posix(): re.findall(
        r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE
    )
    for path in TESTS.rglob("*.py")
}
NOT_WORDS = {"and", "or", "not"}


def faults(cell: str) -> list[str]:
    """What a cell of the last column names and tests/ does not have."""
    found, names = [], [name for each in NAMES.values() for name in each]
    spans = re.findall(r"`([^`]+)`", cell)
    if not spans and cell != "the same":
        found.append("no test is named")
    for span in spans:
        file, _, rest = span.partition(" ") if not span.startswith("-k") else ("", "", span)
        file, _, test = file.partition("::")
        if file:
            names = NAMES.get(file, [])
            if file not in NAMES:
                found.append(f"there is no tests/{file}")
        if test and test not in names:
            found.append(f"{file} has no {test}")
        words = set(re.findall(r"\w+", rest.removeprefix("-k"))) - NOT_WORDS
        found += [
            f"{word!r} chooses nothing" for word in words if not any(word in name for name in names)
        ]
    return found


def test_there_are_rows_of_three_cells() -> None:
    assert len(ROWS) >= 25
    assert {len(row) for row in ROWS} == {3}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_every_row_names_tests_that_exist(row: list[str]) -> None:
    assert faults(row[2]) == []


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "`test_none.py`",
        "`auth/test_auth.py::test_none`",
        "`auth/test_auth.py -k nothing_of_that_name`",
        "`-k nothing_of_that_name`",
    ],
)
def test_a_row_without_its_test_is_found(cell: str) -> None:
    assert len(faults(cell)) >= 1
