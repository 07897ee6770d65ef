"""The operators' commands for dead letters: list, show, put back."""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import Any

from local.console import DONE, FAILED, AdminError, say, short
from shared import bootstrap
from shared.adapters.archive import Archive
from shared.contract.events import Message, read_event
from shared.domain.errors import (
    InvalidEvent,
    NotFound,
)
from shared.domain.readiness import EventType

READS_AT_ONCE = 16


async def list_letters(given: argparse.Namespace) -> int:
    """Show the archived dead letters, oldest first."""
    archive = bootstrap.archive()
    replayed = await archive.replayed()
    names = [name async for name in archive.names(given.day or "")]
    rows = [
        {
            "name": name,
            "messageId": letter["messageId"],
            "type": (letter["body"] or {}).get("type"),
            "reason": letter["deadLetterReason"],
            "fault": letter["fault"],
            "replayed": name in replayed,
        }
        async for name, letter in _read(archive, names)
    ]
    if given.json:
        print(json.dumps(rows, indent=2))
        return DONE
    for row in rows:
        why = row["fault"] or f"well-formed; {row['reason']}"
        say(f"{row['name']}  {'put back' if row['replayed'] else 'waiting '}  {short(why)}")
    say(f"{len(rows)} dead letter{'' if len(rows) == 1 else 's'}.")
    return DONE


async def show_letter(given: argparse.Namespace) -> int:
    """Print what is kept of one dead letter."""
    print(json.dumps(await _letter(bootstrap.archive(), given.name), indent=2, ensure_ascii=False))
    return DONE


async def replay_letters(given: argparse.Namespace) -> int:
    """Put dead letters back on the queue, each once."""
    if bool(given.name) == given.all:
        raise AdminError("Name the dead letters to put back, or give --all.")
    archive = bootstrap.archive()
    replayed = set() if given.again else await archive.replayed()
    if given.all:
        names = [name async for name in archive.names(given.day or "") if name not in replayed]
    else:
        names = list(dict.fromkeys(given.name))
    results: list[dict[str, Any]] = []
    for name in names:
        refusal = await _put_back(archive, name, again=given.again)
        results.append({"name": name, "putBack": refusal is None, "why": refusal})
        if not given.json:
            say(f"{name}  {'put back' if refusal is None else refusal}")
    left = sum(not result["putBack"] for result in results)
    if given.json:
        print(json.dumps(results, indent=2))
    else:
        say(f"{len(results) - left} put back, {left} not.")
    # What cannot be put back was not asked for by name with --all.
    return DONE if given.all or not left else FAILED


async def _put_back(archive: Archive, name: str, *, again: bool) -> str | None:
    """Send one dead letter; say why where it is not sent."""
    try:
        body = _body_to_send(await _letter(archive, name))
    except AdminError as exc:
        return str(exc)
    claimed = await archive.claim(name)
    if not claimed and not again:
        return "It was put back before, or that was interrupted; --again sends it once more."
    try:
        # By this id the queue drops a second one within its five minutes, if the first arrived.
        await bootstrap.publisher().publish(Message(replay_id(name), body))
    except BaseException:
        if claimed:
            await archive.release(name)
        raise
    return None


def replay_id(name: str) -> str:
    """Return the message id under which a dead letter is put back."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"replay {name}"))


def _body_to_send(letter: dict[str, Any]) -> bytes:
    """Return the event of a dead letter; raises AdminError where it would only come back."""
    event = letter["body"]
    if event is None:
        raise AdminError(
            "It is not a JSON object, so only its size and hash are kept; have its sender send it."
        )
    data = event.get("data")
    if isinstance(data, dict) and event.get("type") == EventType.CHECK_REQUESTED:
        # What looked like a secret in it was hidden. Without it, the check reads the store.
        data.pop("configuration", None)
    body = json.dumps(event, ensure_ascii=False).encode(errors="backslashreplace")
    try:
        read_event(body)
    except InvalidEvent as exc:
        raise AdminError(f"It would be refused again; have its sender mend it. {exc}") from exc
    return body


async def _letter(archive: Archive, name: str) -> dict[str, Any]:
    try:
        return await archive.read(name)
    except NotFound:
        raise AdminError(
            f"There is no dead letter '{name}'; `dead-letters list` names all."
        ) from None


async def _read(archive: Archive, names: Sequence[str]) -> Any:
    """Yield dead letters with their names, reading several at a time."""
    for start in range(0, len(names), READS_AT_ONCE):
        some = names[start : start + READS_AT_ONCE]
        for name, letter in zip(some, await asyncio.gather(*map(archive.read, some)), strict=True):
            yield name, letter
