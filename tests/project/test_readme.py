"""README.md: its first request gives the answer that stands there, and its tables are complete."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from local.config import ROOT, LocalConfig
from local.stack import Stack
from tests.unit.test_settings import EXAMPLE, NOT_NEEDED_LOCALLY, OF_THE_HOST

README = (ROOT / "README.md").read_text("utf-8")
# Another value at each run; the form is compared.
CHANGING = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}": "ID",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z": "TIME",
}


def blocks(language: str) -> list[str]:
    """The code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def with_words(text: str) -> Any:
    """JSON as nested tuples in order, with a word for what changes."""
    for pattern, word in CHANGING.items():
        text = re.sub(pattern, word, text)
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", *pairs))


async def test_the_first_request_gets_the_answer_that_stands_below_it(
    stack: Stack, token: str
) -> None:
    request, answer = blocks("sh")[1], blocks("json")[0]
    script = request.replace(LocalConfig().api, stack.config.api)
    assert script != request
    script = script.replace("$(make -s token)", token)
    bash = await asyncio.create_subprocess_exec(
        "bash",
        "-euc",
        script,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, error = await asyncio.wait_for(bash.communicate(), 60)
    assert bash.returncode == 0, error.decode()
    assert with_words(out.decode()) == with_words(answer)


def test_the_first_screen_has_the_two_commands() -> None:
    first = blocks("sh")[0]
    assert re.findall(r"^make \w+", first, re.MULTILINE) == ["make demo", "make test"]
    assert README.index(first) < 1000


@pytest.mark.parametrize("name", sorted((set(EXAMPLE) - OF_THE_HOST) | NOT_NEEDED_LOCALLY))
def test_every_setting_is_explained(name: str) -> None:
    table = README.partition("\n## Settings\n")[2].partition("\n## ")[0]
    base, _, suffix = name.partition("__")
    assert f"`{name}`" in table or f"`{base}`" in table
    assert not suffix or suffix in table


@pytest.mark.parametrize("name", sorted(LocalConfig().ports()))
def test_every_port_is_listed_with_its_default(name: str) -> None:
    assert f"`{name}` {LocalConfig().ports()[name]}" in README.replace("\n", " ")


def test_links_lead_to_files_that_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
