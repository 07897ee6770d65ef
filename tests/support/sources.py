"""The syntax trees of Python files."""

from __future__ import annotations

import ast
import functools
import gc
from pathlib import Path


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file, without garbage collection in the middle of parsing.

    A parse of Python 3.11 fails with "AST constructor recursion depth mismatch" when a finalizer
    that runs meanwhile parses too (https://github.com/pytest-dev/pytest/issues/10763). Here that is
    the warning about a socket of an earlier test, whose traceback parses the lines that it shows.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(path.read_text("utf-8"))
    finally:
        if collecting:
            gc.enable()
