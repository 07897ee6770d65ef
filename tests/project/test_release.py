"""One version number, and the documents of a release."""

from __future__ import annotations

import re
import tomllib

import industrydata
import pytest

from functions.http.pages import description
from local.config import ROOT
from shared import VERSION
from tests.support.api import Api


def project(path: str) -> dict[str, object]:
    """The project table of a pyproject.toml."""
    found: dict[str, object] = tomllib.loads((ROOT / path).read_text("utf-8"))["project"]
    return found


def test_the_packages_and_the_changelog_have_the_version_of_the_service() -> None:
    newest = re.search(r"^## (\d\S*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert {newest[1], project("pyproject.toml")["version"], industrydata.__version__} == {VERSION}


async def test_health_and_the_description_name_the_version(service: Api) -> None:
    root = service.root.removesuffix("/beta")
    assert (await service.get(f"{root}/health")).json()["version"] == VERSION
    described = (await service.get(f"{root}/openapi.json")).json()
    assert described["info"]["version"] == VERSION
    assert f'"{VERSION}"'.encode() in description()[0]


def test_the_licence_is_that_of_both_packages() -> None:
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License\n")
    for path in ("pyproject.toml", "cli/pyproject.toml"):
        assert project(path)["license"] == "MIT"


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_its_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text("utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"])
def test_the_readme_names_it(name: str) -> None:
    assert f"]({name})" in (ROOT / "README.md").read_text("utf-8")
