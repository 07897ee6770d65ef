"""The package in cli/: what it holds and needs, and how fast it starts."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from local.config import ROOT
from tests.cli.conftest import COMMAND
from tests.support.sources import parsed

CLI = ROOT / "cli"
PROJECT = tomllib.loads((CLI / "pyproject.toml").read_text("utf-8"))["project"]
HELP_SECONDS = 0.4


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install ./cli` installs, made by the real build."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--quiet", "-w", folder, CLI], check=True, timeout=120)
    [found] = folder.glob("*.whl")
    return found


def test_what_is_installed_runs_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv.pop(1))\n"
        "from industrydata import __main__ as command\n"
        "assert '.whl' in command.__file__\n"
        "command.main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(wheel), "flows", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "watch" in ran.stdout
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
        [entries] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "industrydata = industrydata.__main__:main" in archive.read(entries).decode()
    modules = {path.relative_to(CLI).as_posix() for path in (CLI / "industrydata").rglob("*.py")}
    assert packed == modules


def test_each_library_that_is_imported_is_declared() -> None:
    needed = (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["report"])
    declared = {re.split(r"[<>=]", each)[0].replace("azure-", "azure.") for each in needed}
    imported = set()
    for path in (CLI / "industrydata").rglob("*.py"):
        for node in ast.walk(parsed(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for parts in (name.split(".") for name in names):
                imported.add(".".join(parts[: 2 if parts[0] == "azure" else 1]))
    # azure.core comes with both of the others.
    own = {*sys.stdlib_module_names, "industrydata", "azure.core"}
    assert imported - own == declared


def test_help_is_there_at_once() -> None:
    seconds = []
    for _ in range(5):
        began = cpu_of_children()
        subprocess.run([COMMAND, "--help"], capture_output=True, check=True, timeout=60)
        seconds.append(cpu_of_children() - began)
    assert min(seconds) < HELP_SECONDS


def cpu_of_children() -> float:
    """Seconds of CPU of all processes that ended: a busy machine does not change them much."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "arguments", [["--help"], ["sets", "list", "--help"], ["sets", "show", "7"]]
)
def test_what_answers_from_memory_loads_no_library_for_the_wire(arguments: list[str]) -> None:
    code = (
        "import sys, industrydata.__main__ as m\n"
        "m._code(sys.argv[1:])\n"
        "print(sorted({'httpx', 'rich', 'azure', 'ssl'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    ran = subprocess.run(
        [COMMAND, "completion", shell], capture_output=True, text=True, check=True, timeout=60
    )
    assert f"_INDUSTRYDATA_COMPLETE={shell}_complete" in ran.stdout


def test_words_are_completed() -> None:
    environ = {"_INDUSTRYDATA_COMPLETE": "bash_complete", "COMP_WORDS": "industrydata flows w"}
    ran = subprocess.run(
        [COMMAND],
        env={**environ, "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout == "plain,watch\n"
