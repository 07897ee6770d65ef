"""The documents of the project, and the code blocks in them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from local.config import ROOT


@dataclass(frozen=True)
class Block:
    """A code block, fenced or indented; the language is "" where none is named."""

    language: str
    code: str

    @property
    def first_line(self) -> str:
        """What the block begins with."""
        return self.code.strip().partition("\n")[0]


def documents() -> list[str]:
    """The paths of all documents in the repository, and of new ones that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def all_blocks(page: Path) -> list[Block]:
    """The code blocks of a page, from top to bottom."""
    tokens = MarkdownIt().parse(page.read_text("utf-8"))
    code = [token for token in tokens if token.type in ("fence", "code_block")]
    return [Block(token.info.strip(), token.content) for token in code]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return [block.code for block in all_blocks(page) if block.language == language]
