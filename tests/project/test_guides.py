"""The guides in docs/: the commands in them do what they say, on the running service."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from local.config import ROOT, LocalConfig
from local.stack import Stack
from shared.adapters import entra
from shared.domain import errors
from shared.domain.context import Caller

DOCS = ROOT / "docs"
SDKS = DOCS / "graph-sdks.md"
TESTING = DOCS / "testing-a-client.md"
FIRST = DOCS / "first-five-minutes.md"
TROUBLE = DOCS / "troubleshooting.md"
READY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} ready")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    text = page.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


async def run(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command, which must end with 0 within a minute; return what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, out.decode()
    return out.decode()


def here(code: str, api: str) -> str:
    """Code for the stack of the tests: only its port is another."""
    usual, ours = (url.removesuffix("/beta") for url in (LocalConfig().api, api))
    assert usual in code
    return code.replace(usual, ours)


async def test_the_python_of_the_sdk_guide_creates_a_flow(api: str, token: str) -> None:
    [code] = blocks(SDKS, "python")
    said = await run(sys.executable, "-W", "ignore", "-c", here(code, api), TOKEN=token)
    assert READY.fullmatch(said.strip())


async def test_the_javascript_of_the_sdk_guide_creates_a_flow(
    api: str, token: str, tmp_path: Path
) -> None:
    [code] = blocks(SDKS, "js")
    (tmp_path / "guide.mjs").write_text(here(code, api), "utf-8")
    (tmp_path / "node_modules").symlink_to(ROOT / "tests" / "node_modules")
    said = await run("node", "guide.mjs", cwd=tmp_path, TOKEN=token)
    assert READY.fullmatch(said.strip())


async def test_the_pytest_example_sees_the_python_client_retry(
    api: str, token: str, tmp_path: Path
) -> None:
    fixtures, example = blocks(TESTING, "python")
    (tmp_path / "conftest.py").write_text(here(fixtures, api), "utf-8")
    (tmp_path / "test_retries.py").write_text(example, "utf-8")
    pytest_alone = ("-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    said = await run(sys.executable, *pytest_alone, cwd=tmp_path, TOKEN=token)
    assert re.search(r"^1 passed", said, re.MULTILINE), said


async def test_the_jest_example_sees_the_javascript_client_retry(
    api: str, token: str, tmp_path: Path
) -> None:
    [example] = blocks(TESTING, "js")
    (tmp_path / "retries.test.js").write_text(here(example, api), "utf-8")
    (tmp_path / "package.json").write_text("{}", "utf-8")
    (tmp_path / "node_modules").symlink_to(ROOT / "tests" / "node_modules")
    jest = ("npx", "--no-install", "jest", "--ci", "--runInBand", "--no-cache")
    said = await run(*jest, cwd=tmp_path, TOKEN=token)
    assert re.search(r"^Tests: +1 passed, 1 total", said, re.MULTILINE), said


async def test_the_commands_of_the_first_five_minutes_do_what_the_guide_says(stack: Stack) -> None:
    create, see, fail = blocks(FIRST, "sh")
    config = stack.config
    where: dict[str, Any] = {name: str(port) for name, port in config.ports().items()}
    where["LOCAL_STATE"] = str(config.local_state)
    where["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = f"{create}\n{see}\n{fail}"
    make = f"make() {{ {sys.executable} -m local.access_token; }}"
    said = await run("bash", "-euc", f"{make}\n{script}", **where)
    assert said.count("Created ") == 4
    assert "user is failed: createUnmatchedUsers needs creationOptions" in said
    history = [line.split()[1] for line in said.splitlines()[-6:]]
    assert history == ["ready", "notReady", "failed", "notReady", "ready", "notReady"]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "message",
    [
        entra.EMPTY,
        entra.NOT_IN_TIME,
        entra.WRONG_AUDIENCE,
        entra.REFUSED,
        str(errors.Forbidden(Caller("unchecked"))),
        str(errors.UnknownPath("…")).replace("'", ""),
        str(errors.NotFound("…"))[:27],
    ],
)
def test_messages_that_the_trouble_guide_explains_are_the_real_ones(message: str) -> None:
    assert message.rstrip(".") in TROUBLE.read_text("utf-8")
