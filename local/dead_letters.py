"""The operators' commands for dead letters: list, show, put back, discard."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable
from typing import Any

from local.console import DONE, FAILED, AdminError, say, short
from shared import bootstrap
from shared.domain.errors import Conflict, InvalidEvent, NotFound
from shared.services.dead_letters import Listed, summary


async def list_letters(given: argparse.Namespace) -> int:
    """Show the archived dead letters, oldest first."""
    rows = [_row(entry) async for entry in bootstrap.dead_letters().entries(given.day or "")]
    if given.json:
        print(json.dumps(rows, indent=2))
        return DONE
    for row in rows:
        state = "discarded" if row["discarded"] else "put back" if row["replayed"] else "waiting"
        why = row["fault"] or f"well-formed; {row['reason']}"
        say(f"{row['name']}  {state:<9}  {short(why)}")
    say(f"{len(rows)} dead letter{'' if len(rows) == 1 else 's'}.")
    return DONE


def _row(entry: Listed) -> dict[str, Any]:
    return {
        **summary(entry.name, entry.letter),
        "replayed": entry.replayed,
        "discarded": entry.discarded,
    }


async def show_letter(given: argparse.Namespace) -> int:
    """Print what is kept of one dead letter."""
    try:
        letter = await bootstrap.dead_letters().read(given.name)
    except NotFound:
        raise AdminError(_unknown(given.name)) from None
    print(json.dumps(letter, indent=2, ensure_ascii=False))
    return DONE


async def replay_letters(given: argparse.Namespace) -> int:
    """Put dead letters back on the queue, each once."""
    letters = bootstrap.dead_letters()

    async def put_back(name: str) -> None:
        await letters.replay(name, again=given.again)

    # With --again, --all means those that were put back or discarded, too.
    names = await _names(given, done_too=given.again)
    return await _each(given, names, put_back, "putBack", "put back")


async def discard_letters(given: argparse.Namespace) -> int:
    """Note that dead letters need nothing more, and why; what is kept of them stays."""
    letters = bootstrap.dead_letters()

    async def discard(name: str) -> None:
        await letters.discard(name, given.reason)

    return await _each(given, await _names(given), discard, "discarded", "discarded")


async def _names(given: argparse.Namespace, *, done_too: bool = False) -> list[str]:
    if bool(given.name) == given.all:
        raise AdminError("Name the dead letters, or give --all.")
    if not given.all:
        return list(dict.fromkeys(given.name))
    letters = bootstrap.dead_letters()
    if done_too:
        return [name async for name in letters.archive.names(given.day or "")]
    return await letters.waiting(given.day or "")


async def _each(
    given: argparse.Namespace,
    names: list[str],
    act: Callable[[str], Awaitable[None]],
    member: str,
    done: str,
) -> int:
    """Do the same to each letter, and say which of them it could not be done to, and why."""
    results: list[dict[str, Any]] = []
    for name in names:
        refusal = None
        try:
            await act(name)
        except NotFound:
            refusal = _unknown(name)
        except (Conflict, InvalidEvent) as exc:
            refusal = str(exc)
        results.append({"name": name, member: refusal is None, "why": refusal})
        if not given.json:
            say(f"{name}  {refusal or done}")
    left = sum(not result[member] for result in results)
    if given.json:
        print(json.dumps(results, indent=2))
    else:
        say(f"{len(results) - left} {done}, {left} not.")
    # What it cannot be done to was not asked for by name with --all.
    return DONE if given.all or not left else FAILED


def _unknown(name: str) -> str:
    return f"There is no dead letter '{name}'; `dead-letters list` names all."
