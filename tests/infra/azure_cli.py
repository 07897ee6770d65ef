"""A recorder named `az` in place of the Azure CLI, which has nothing to talk to in a test."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDER = """#!{python}
import json, sys
from pathlib import Path
here = Path(__file__).parent
arguments = sys.argv[1:]
files = {{}}
for argument in arguments:
    if argument.startswith("@"):
        path = Path(argument[1:])
        files[argument] = {{"text": path.read_text(), "mode": path.stat().st_mode & 0o777}}
with (here / "calls.jsonl").open("a") as log:
    print(json.dumps({{"arguments": arguments, "files": files}}), file=log)
for words, code, out in json.loads((here / "answers.json").read_text()):
    if all(word in " ".join(arguments) for word in words):
        print(out, file=sys.stderr if code else sys.stdout)
        sys.exit(code)
"""


@dataclass(frozen=True)
class AzureCli:
    """A recorder named `az`: its arguments, and its answers."""

    folder: Path

    def answer(self, *answers: tuple[list[str], int, str]) -> None:
        """Give, for commands that hold all of some words, an exit code and an output."""
        (self.folder / "answers.json").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[dict[str, Any]]:
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}


def install(folder: Path) -> AzureCli:
    """Put the recorder into a new folder, which `environment` puts before all others on PATH."""
    folder.mkdir()
    script = folder / "az"
    script.write_text(RECORDER.format(python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    cli = AzureCli(folder)
    cli.answer()
    return cli
