"""A file is parsed also while objects are collected whose finalizers parse."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import parsed

FREQUENT = 50


class ParsesWhenCollected:
    """Garbage whose finalizer parses, as a traceback of Python 3.11 does."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("(a + b) * c")


@pytest.fixture
def frequent_collections() -> Iterator[None]:
    usual = gc.get_threshold()
    gc.set_threshold(FREQUENT)
    yield
    gc.set_threshold(*usual)
    gc.collect()


@pytest.mark.usefixtures("frequent_collections")
def test_parsing_bears_a_collection_that_parses(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("".join(f"a{number} = {{'b': [c(d) for d in e]}}\n" for number in range(500)))
    for _ in range(FREQUENT // 2):
        ParsesWhenCollected()
    assert len(parsed(path).body) == 500
    assert gc.isenabled()
