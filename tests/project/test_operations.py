"""The tables of operations and permissions in the documents are those that the code declares."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import function_app
from functions.http.operations import ROUTES, Route
from local.config import ROOT
from shared.domain import permissions
from shared.domain.permissions import SIGNED_IN, Permission

assert function_app.app  # the handlers are imported, and so in ROUTES
BASE = "/beta/external/industryData"
FLOW = f"{BASE}/outboundProvisioningFlowSets/{{}}/provisioningFlows/{{}}"
README = (ROOT / "README.md").read_text("utf-8")
API = (ROOT / "docs" / "api.md").read_text("utf-8")
DEPLOY = (ROOT / "docs" / "deploy.md").read_text("utf-8")
NAMES = {name for name in vars(permissions).values() if isinstance(name, str) and "Data" in name}


def rows(page: str, section: str) -> Iterator[list[str]]:
    """The cells of each row of the tables in a section, their heads included."""
    text = page.partition(f"\n## {section}\n")[2]
    assert text
    for line in re.split(r"^##+ ", text, maxsplit=1, flags=re.MULTILINE)[0].splitlines():
        if line.lstrip().startswith("| "):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def code(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def any_key(path: str) -> str:
    """A path whose keys have no names."""
    return re.sub(r"\{\w+\}", "{}", path)


def path_of(route: Route) -> str:
    return any_key("/" + "/".join(route.segments))


def needed_names(words: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """The permissions of a cell: their names, or those of the column that they are the same as."""
    if words.startswith("the same name"):
        return before
    return tuple(name.replace("…", "IndustryData-") for name in code(words))


def documented_permissions() -> dict[str, Permission | None]:
    """What each line of the table in docs/deploy.md takes, by what it is for."""
    found: dict[str, Permission | None] = {"nothing": None, "any token": SIGNED_IN}
    for row in rows(DEPLOY, "Who may call: Entra ID"):
        if len(row) == 4 and row[0] != "To":
            delegated = needed_names(row[1], ())
            assigned = needed_names(row[2], delegated)
            found[row[0]] = Permission(delegated, needed_names(row[3], delegated), assigned)
    return found


def test_the_table_of_operations_is_the_declared_one() -> None:
    needs = documented_permissions()
    listed: list[tuple[str, str, str, Permission | None]] = []
    base = BASE  # of the section's first table
    for name, request, words in rows(API, "Operations"):
        if name == "Operation":
            base = BASE if not listed else ""
        else:
            method, _, path = request.partition(" ")
            listed.append((code(name)[0], method, base + any_key(code(path)[0]), needs[words]))
    declared = [(each.name, each.method, path_of(each), each.needs) for each in ROUTES]
    assert sorted(listed, key=repr) == sorted(declared, key=repr)


def test_every_permission_of_the_table_opens_an_operation() -> None:
    assert set(documented_permissions().values()) == {each.needs for each in ROUTES}


def test_the_readme_lists_every_path_with_its_methods() -> None:
    whole = {"…/{}": FLOW, "…/provisioningFlows": FLOW.removesuffix("/{}")}
    listed = []
    base = ""
    for paths, text in rows(README, "API notes"):
        if text == "Methods":
            base = "".join(code(paths))
            continue
        for path in map(any_key, code(paths)):
            start = next((each for each in whole if path.startswith(each)), None)
            full = base + path if start is None else whole[start] + path.removeprefix(start)
            listed += [(full, method) for method in text.partition(":")[0].split(", ")]
    assert sorted(listed) == sorted((path_of(each), each.method) for each in ROUTES)


@pytest.mark.parametrize("page", ["docs/operations.md", "docs/provisioning-engine.md"])
def test_a_permission_that_a_guide_names_exists(page: str) -> None:
    named = re.findall(r"IndustryData[-.\w]+\.All", (ROOT / page).read_text("utf-8"))
    assert named
    assert set(named) <= NAMES
