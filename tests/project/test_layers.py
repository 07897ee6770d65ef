"""Who may import what: the layers of the app, read from its imports at any depth of the code."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.config import ROOT
from tests.support.sources import parsed

LONGEST_MODULE = 400
LONGEST_HANDLER = 12

# Each layer with those that it may import, besides itself.
LAYERS = {
    "function_app": {"functions"},
    "functions": {
        *("shared.bootstrap", "services", "contract", "description", "odata", "domain"),
        "telemetry",
    },
    "shared.bootstrap": {"services", "adapters", "contract", "settings", "domain"},
    "services": {"contract", "odata", "domain", "telemetry"},
    "adapters": {"contract", "odata", "domain", "telemetry"},
    "settings": {"adapters", "domain"},
    "description": {"services", "contract", "odata", "domain"},
    "odata": {"contract", "domain"},
    "contract": {"domain"},
    "telemetry": {"domain"},
    "domain": set(),
}
# Where each library that is not Python's own may be imported.
LIBRARIES = {
    "azure.functions": {"function_app", "functions"},
    "azure": {"adapters", "shared.bootstrap"},
    "aiohttp": {"adapters"},
    "cryptography": {"adapters"},
    "jwt": {"adapters"},
    "marshmallow": {"contract", "description", "odata"},
    "orjson": {"contract"},
    "odata_query": {"odata"},
    "sly": {"odata"},
}


@dataclass(frozen=True)
class Import:
    """One import: who imports what, and whether only type checkers see it."""

    importer: str
    imported: str
    for_types: bool

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported}"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for path in (
        ROOT / "function_app.py",
        *(ROOT / "functions").rglob("*.py"),
        *(ROOT / "shared").rglob("*.py"),
    )
}


def layer_of(module: str) -> str:
    """The layer of a module; telemetry and settings are layers of their own."""
    parts = module.split(".")
    if parts[0] != "shared":
        return parts[0]
    if parts[1:2] in (["bootstrap"], ["connections"]):
        return "shared.bootstrap"
    return parts[1] if len(parts) > 1 else "shared"


def imports_of(name: str) -> Iterator[Import]:
    """All imports of a module, those inside functions included."""
    tree = parsed(MODULES[name])
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            # `from package import module` imports the module.
            names = [
                whole if (whole := f"{node.module}.{alias.name}") in MODULES else str(node.module)
                for alias in node.names
            ]
        else:
            continue
        for imported in names:
            yield Import(name, imported, id(node) in for_types)


IMPORTS = [each for name in sorted(MODULES) for each in imports_of(name)]


def own(module: str) -> bool:
    return module.partition(".")[0] in ("function_app", "functions", "shared", "local", "tests")


def test_each_layer_imports_only_those_below_it() -> None:
    wrong = [
        str(each)
        for each in IMPORTS
        if own(each.imported)
        and not each.for_types
        and layer_of(each.imported)
        not in {layer_of(each.importer), "shared", *LAYERS[layer_of(each.importer)]}
    ]
    assert wrong == []


def test_use_cases_name_adapters_in_annotations_only() -> None:
    named = {
        layer_of(each.imported)
        for each in IMPORTS
        if layer_of(each.importer) == "services" and own(each.imported) and each.for_types
    }
    assert named <= {"adapters", "services", *LAYERS["services"]}


def test_each_library_is_imported_in_its_layer_only() -> None:
    wrong = []
    for each in IMPORTS:
        top = each.imported.partition(".")[0]
        if own(each.imported) or top in sys.stdlib_module_names or top == "__future__":
            continue
        longest = max(
            (name for name in LIBRARIES if f"{each.imported}.".startswith(f"{name}.")),
            key=len,
            default=None,
        )
        if longest is None or layer_of(each.importer) not in LIBRARIES[longest]:
            wrong.append(str(each))
    assert wrong == []


def test_the_domain_needs_only_the_standard_library() -> None:
    outside = {
        each.imported.partition(".")[0]
        for each in IMPORTS
        if layer_of(each.importer) == "domain" and not own(each.imported)
    }
    assert outside <= sys.stdlib_module_names


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {name: set() for name in MODULES}
    for each in IMPORTS:
        if each.imported in MODULES and not each.for_types:
            edges[each.importer].add(each.imported)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(MODULES):
        visit(name, ())


@pytest.mark.parametrize("folder", ["shared", "functions", "local", "bench", "infra", "cli"])
def test_no_module_is_too_long_to_read(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if "emulators" not in path.parts and "node_modules" not in path.parts
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_the_command_line_knows_the_service_by_its_contract_only() -> None:
    """cli/ is installed without this repository: it has its own package, Python and libraries."""
    allowed = {"azure", "click", "httpx", "industrydata", "rich", *sys.stdlib_module_names}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "cli").rglob("*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
        )
        if name.partition(".")[0] not in allowed
    ]
    assert wrong == []


def test_handlers_are_thin() -> None:
    long = {}
    for name, path in MODULES.items():
        if layer_of(name) != "functions":
            continue
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.AsyncFunctionDef) or not node.decorator_list:
                continue
            if not {argument.arg for argument in node.args.args} & {"req", "msg", "timer"}:
                continue
            body = [each for each in node.body if not isinstance(each, ast.Expr)] or node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1
            if lines > LONGEST_HANDLER:
                long[node.name] = lines
    assert long == {}
