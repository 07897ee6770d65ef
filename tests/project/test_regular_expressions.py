"""No regular expression of the app takes more than linear time, whatever it is given.

recheck, a checker for JavaScript, examines each: Python's own parser reads the expression, and what
it understood is written in JavaScript's form.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.sources import parsed

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for path in (
        ROOT / "function_app.py",
        *ROOT.glob("shared/**/*.py"),
        *ROOT.glob("functions/**/*.py"),
    )
)
CHECKER = Path(__file__).with_name("check_regular_expressions.cjs")
FROM_THE_START = {"match", "fullmatch"}
USES = {*FROM_THE_START, "search", "sub", "subn", "split", "findall", "finditer"}
_parser: Any = importlib.import_module("re._parser")


# --- finding them --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expression:
    """A regular expression, where it stands and the methods it is used with."""

    place: str
    source: str
    flags: int
    uses: frozenset[str]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def text_of(source: str | bytes) -> str:
    return source if isinstance(source, str) else source.decode("latin-1")


def uses_of(name: str, trees: dict[Path, ast.Module]) -> frozenset[str]:
    """Return the methods that anything of this name is called with, in any module."""
    found = {
        node.attr
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in USES
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) == name
    }
    return frozenset(found)


def compiled(trees: dict[Path, ast.Module]) -> Iterator[Expression]:
    """Yield the compiled expressions that modules and their classes hold."""
    for path in trees:
        module = importlib.import_module(module_name(path))
        classes = [each for each in vars(module).values() if isinstance(each, type)]
        owners = [module, *(each for each in classes if each.__module__ == module.__name__)]
        for owner in owners:
            for name, value in vars(owner).items():
                if isinstance(value, re.Pattern):
                    yield Expression(
                        f"{module.__name__}.{name}",
                        text_of(value.pattern),
                        value.flags,
                        uses_of(name, trees),
                    )


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls of functions of `re`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
        ):
            yield node


def written_in_place(trees: dict[Path, ast.Module]) -> Iterator[Expression]:
    """Yield the expressions that a call of re.sub and its like has as text."""
    for path, tree in trees.items():
        for call in calls(tree):
            assert isinstance(call.func, ast.Attribute)
            pattern = call.args[0] if call.args else None
            if call.func.attr in USES and isinstance(pattern, ast.Constant):
                assert isinstance(pattern.value, str | bytes)
                yield Expression(
                    f"{module_name(path)}:{call.lineno}",
                    text_of(pattern.value),
                    sum(flags_of(call)),
                    frozenset({call.func.attr}),
                )


def flags_of(call: ast.Call) -> Iterator[int]:
    for keyword in call.keywords:
        if keyword.arg == "flags":
            for node in ast.walk(keyword.value):
                if isinstance(node, ast.Attribute):
                    yield getattr(re, node.attr)


TREES = {path: parsed(path) for path in SOURCES}
EXPRESSIONS = [*compiled(TREES), *written_in_place(TREES)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_regular_expression_is_one_that_this_test_finds(path: Path) -> None:
    """It is compiled to a name of its module or class, or is text in the call that uses it."""
    tree = TREES[path]
    bodies = [tree.body, *(each.body for each in tree.body if isinstance(each, ast.ClassDef))]
    named = {
        id(node.value)
        for body in bodies
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    }
    for call in calls(tree):
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr == "compile":
            assert id(call) in named, f"line {call.lineno}"
        elif call.func.attr in USES:
            assert isinstance(call.args[0], ast.Constant), f"line {call.lineno}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module != "re", f"line {node.lineno}: import re as a whole"
        if isinstance(node, ast.Import):
            assert all(each.asname is None for each in node.names if each.name == "re")


# --- in JavaScript's form ------------------------------------------------------------------------

CLASSES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
PLACES = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": "^",
    "AT_END": "$",
    "AT_END_STRING": "$",
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
}


def javascript(items: Any) -> str:
    return "".join(item(str(operator), argument) for operator, argument in items)


def item(operator: str, argument: Any) -> str:
    match operator:
        case "LITERAL":
            return rf"\u{{{argument:x}}}"
        case "NOT_LITERAL":
            return rf"[^\u{{{argument:x}}}]"
        case "ANY":
            return "."
        case "AT":
            return PLACES[str(argument)]
        case "IN":
            return "[" + "".join(in_class(str(each), value) for each, value in argument) + "]"
        case "BRANCH":
            return "(?:" + "|".join(javascript(branch) for branch in argument[1]) + ")"
        case "SUBPATTERN":
            group, added, removed, inner = argument
            assert not added
            assert not removed
            return ("(?:" if group is None else "(") + javascript(inner) + ")"
        case "MAX_REPEAT" | "MIN_REPEAT":
            least, most, inner = argument
            most = "" if str(most) == "MAXREPEAT" else most
            lazy = "?" if operator == "MIN_REPEAT" else ""
            return f"(?:{javascript(inner)}){{{least},{most}}}{lazy}"
        case "ASSERT" | "ASSERT_NOT":
            direction, inner = argument
            behind = "<" if direction < 0 else ""
            return f"(?{behind}{'=' if operator == 'ASSERT' else '!'}{javascript(inner)})"
        case "GROUPREF":
            return rf"(?:\{argument})"
    raise ValueError(f"{operator} has no counterpart in JavaScript")


def in_class(operator: str, argument: Any) -> str:
    match operator:
        case "NEGATE":
            return "^"
        case "LITERAL":
            return rf"\u{{{argument:x}}}"
        case "RANGE":
            return rf"\u{{{argument[0]:x}}}-\u{{{argument[1]:x}}}"
        case "CATEGORY":
            return CLASSES[str(argument)]
    raise ValueError(f"{operator} has no counterpart in JavaScript")


def translated(expression: Expression) -> tuple[str, str]:
    source = javascript(_parser.parse(expression.source, expression.flags))
    if expression.uses and expression.uses <= FROM_THE_START:
        # Only what always goes on to the end may be checked with the end required.
        end = "$" if expression.uses == {"fullmatch"} else ""
        source = f"^(?:{source}){end}"
    flags = {re.IGNORECASE: "i", re.DOTALL: "s", re.MULTILINE: "m"}
    return source, "u" + "".join(js for flag, js in flags.items() if expression.flags & flag)


# --- checking them -------------------------------------------------------------------------------


def examined(*expressions: Expression) -> list[dict[str, str]]:
    checked = subprocess.run(
        ["node", str(CHECKER)],
        input=json.dumps([translated(each) for each in expressions]),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        # The part in JavaScript only: it is the same on every machine.
        env={**os.environ, "NODE_PATH": str(ROOT / "tests" / "node_modules")},
    )
    found: list[dict[str, str]] = json.loads(checked.stdout)
    return found


@functools.cache
def findings() -> dict[Expression, dict[str, str]]:
    return dict(zip(EXPRESSIONS, examined(*EXPRESSIONS), strict=True))


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.place)
def test_no_regular_expression_takes_more_than_linear_time(expression: Expression) -> None:
    found = findings()[expression]
    assert found["status"] == "safe", f"{found['summary']}, for example {found['attack']}"


@pytest.mark.parametrize(
    ("source", "flags", "use"),
    [
        (r"(a+)+$", 0, "match"),
        (r"(?:[^,\"]+|\"[^\"]*\"|\\.|[^,])*,", 0, "match"),
        (r"\s*\n\s*", 0, "sub"),
        ("x \\w* # any\n \\w* y", re.VERBOSE, "fullmatch"),
        (r"eyJ[\w-]+\.[\w-]+", re.IGNORECASE, "search"),
    ],
)
def test_the_checker_knows_a_slow_expression(source: str, flags: int, use: str) -> None:
    [found] = examined(Expression("here", source, flags, frozenset({use})))
    assert found["status"] == "vulnerable"
