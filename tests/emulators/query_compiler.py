"""Compares the Cosmos DB emulator with Microsoft's own query compiler, where that is at hand.

    python -m tests.emulators.query_compiler FOLDER     puts to it what an emulator recorded there
    python -m tests.emulators.query_compiler --verdicts stores its verdicts on generated queries

An emulator records every distinct query and patch predicate that it accepted where the variable
COSMOS_EMULATOR_RECORD names a folder. The compiler is `cosmos_query_check.py` in ../shared/tools,
beside the project; without it, the first says so and does nothing. Exit status 1 when a query is
refused, or when a stored verdict is not the compiler's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from local.config import ROOT
from tests.emulators.generated_queries import Asked, generated

COMPILER = ROOT.parent / "shared" / "tools" / "cosmos_query_check.py"
VERDICTS = Path(__file__).with_name("query_verdicts.jsonl")
SECONDS = 300
# What of a plan the emulator's must equal; the compiler writes the rest in words of its own.
PLAN = ("distinctType", "top", "offset", "limit", "orderBy", "orderByExpressions", "aggregates")

# Runs beside the compiler, in a process of its own: the library writes to standard error by itself.
_ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import cosmos_query_check as compiler
for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = compiler.plan(asked["query"], asked["parameters"], asked["pk"])
    except compiler.InvalidQuery as refusal:
        answer = {"refusal": str(refusal)}
    print(json.dumps(answer), flush=True)
"""


def compiled(asked: Iterable[Asked]) -> list[dict[str, Any]]:
    """The compiler's plan of each query, or {"refusal": its words}."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(COMPILER.parent)],
        input="".join(f"{json.dumps(each)}\n" for each in asked),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def verdict(plan: dict[str, Any]) -> dict[str, Any] | None:
    """What must be equal of two plans; None for a refusal."""
    if "refusal" in plan:
        return None
    info = plan["queryInfo"]
    return {name: info[name] for name in PLAN if name in info} | {
        "hasSelectValue": bool(info["hasSelectValue"]),
        "rewritten": bool(info["rewrittenQuery"]),
        "partitions": [each["min"] == each["max"] for each in plan["queryRanges"]],
    }


def recorded(folder: Path) -> list[Asked]:
    """What emulators recorded in a folder, each text once."""
    lines = [
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text("utf-8").splitlines()
    ]
    return list({line["query"]: line for line in lines}.values())


def check(folder: Path) -> int:
    """Print what the compiler refuses of a record, and which stored verdict is not its own."""
    asked = recorded(folder)
    refused = [
        f"refused: {each['query']}\n  {answer['refusal']}"
        for each, answer in zip(asked, compiled(asked), strict=True)
        if "refusal" in answer
    ]
    stored = [json.loads(line) for line in VERDICTS.read_text("utf-8").splitlines()]
    changed = [
        f"its verdict is another now: {each['query']}"
        for each, answer in zip(stored, compiled(stored), strict=True)
        if verdict(answer) != each["verdict"]
    ]
    print("\n".join([*refused, *changed]), end="\n" * bool(refused or changed))
    print(f"Cosmos DB's query compiler: {len(asked)} recorded queries, {len(refused)} refused;")
    print(f"  {len(stored)} stored verdicts, {len(changed)} changed.")
    return 1 if refused or changed or not asked else 0


def write() -> int:
    """Store the compiler's verdict on each generated query."""
    asked = generated()
    lines = [
        json.dumps({**each, "verdict": verdict(answer)}, ensure_ascii=False)
        for each, answer in zip(asked, compiled(asked), strict=True)
    ]
    VERDICTS.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    print(f"{len(lines)} verdicts in {VERDICTS.name}")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run as a command."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    if not COMPILER.exists():
        print("Cosmos DB's query compiler is not at hand: nothing was compared.")
        return 0
    return write() if arguments[0] == "--verdicts" else check(Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
