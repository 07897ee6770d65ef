"""Plain English: words that readers stumbled over stay out of code and guides."""

from __future__ import annotations

import re

import pytest

from local.config import ROOT

FOLDERS = ("bench", "cli", "docs", "functions", "infra", "local", "shared")
TEXTS = {".bicep", ".cjs", ".html", ".js", ".md", ".py", ".sh"}
NOT_OURS = {"node_modules", "swagger-ui-5.35.0"}
AVOIDED = re.compile(
    r"\b(asked for again|goes on refusing|lays? over|left away|nobody|somebody|told|whoever"
    r"|strangers?)\b|(?<!front )\bdoors?\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_avoided_word_is_used(folder: str) -> None:
    paths = [
        path
        for path in (*ROOT.glob("*.md"), *(ROOT / folder).rglob("*"))
        if path.suffix in TEXTS and not NOT_OURS & set(path.parts)
    ]
    assert paths
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for match in AVOIDED.finditer(line)
    ]
    assert found == []
