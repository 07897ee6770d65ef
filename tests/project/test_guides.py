"""The guides in docs/: the commands in them do what they say, on the running service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from local.config import ROOT, LocalConfig
from local.stack import Stack
from shared.adapters import entra
from shared.domain import errors
from shared.domain.context import LOCAL_TENANT, Caller
from tests.support.commands import environment
from tests.support.documents import blocks

DOCS = ROOT / "docs"
SDKS = DOCS / "graph-sdks.md"
TESTING = DOCS / "testing-a-client.md"
FIRST = DOCS / "first-five-minutes.md"
TROUBLE = DOCS / "troubleshooting.md"
# `true` in the place of Python skips the installation.
MAKE = f'make() {{ command make -s PYTHON=true VENV_PYTHON={sys.executable} "$@"; }}'
READY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} ready")


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


async def paste(script: str, stack: Stack, cwd: Path = ROOT) -> str:
    """Run a script as a person with this stack pastes it; return what it wrote."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = environment(stack.config, PATH=path, npm_config_offline="true")
    return await run("bash", "-euc", f"{MAKE}\n{script}", cwd=cwd, **environ)


async def test_the_commands_of_the_first_five_minutes_do_what_the_guide_says(stack: Stack) -> None:
    demo, _run, _install = blocks(FIRST, "")
    create, see, fail = blocks(FIRST, "sh")
    said = await paste(f"{demo}\n{create}\n{see}\n{fail}", stack)
    assert "All 4 flows are ready." in said
    assert said.count("Created ") == 4
    assert re.search(r"^eyJ[\w-]+[.][\w-]+[.][\w-]+$", said, re.MULTILINE)
    assert "user is failed: createUnmatchedUsers needs creationOptions" in said
    history = [line.split()[1] for line in said.splitlines()[-6:]]
    assert history == ["ready", "notReady", "failed", "notReady", "ready", "notReady"]


async def test_the_commands_for_faults_put_list_and_remove_rules(
    stack: Stack, project: Path
) -> None:
    commands, _time = blocks(TESTING, "sh")
    [rules] = blocks(TESTING, "json")
    (project / "faults.json").write_text(rules, "utf-8")
    said = await paste(f"{commands}\nmake faults ARGS=list", stack, project)
    decoder, answers = json.JSONDecoder(), []
    while said := said.lstrip():
        answer, end = decoder.raw_decode(said)
        answers.append([rule.get("path") for rule in answer["rules"]])
        said = said[end:]
    loaded = [rule.get("path") for rule in json.loads(rules)["rules"]]
    assert answers == [[None], loaded, loaded, []]


async def test_the_commands_for_generated_clients_make_them(
    stack: Stack, api: str, tmp_path: Path
) -> None:
    [commands] = blocks(SDKS, "sh")
    (tmp_path / "node_modules").symlink_to(ROOT / "tests" / "node_modules")
    said = await paste(f"{here(commands, api)}\nls */*/models", stack, tmp_path)
    assert "provisioningFlow" in (tmp_path / "api.d.ts").read_text("utf-8")
    assert "user_provisioning_flow.py" in said.split()


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
        str(errors.Forbidden(Caller("unchecked", LOCAL_TENANT))),
        str(errors.UnknownPath("…")).replace("'", ""),
        str(errors.NotFound("…"))[:27],
    ],
)
def test_messages_that_the_trouble_guide_explains_are_the_real_ones(message: str) -> None:
    assert message.rstrip(".") in TROUBLE.read_text("utf-8")
