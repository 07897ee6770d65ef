"""`industrydata dead-letters`: messages that could not be processed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from industrydata.errors import RefusedError, UsageError
from industrydata.session import Session, one_of_each, with_session
from industrydata.text import clean, counted, short

MAX_REASON: Final = 1024
NAMES_AT_ONCE: Final = 50
_DAY = re.compile(r"\d{4}/\d{2}/\d{2}")
_NAME = re.compile(r"\d{4}/\d{2}/\d{2}/\d{6}-\d{1,19}\.json")
_PATH: Final = "/status/dead-letters"


def _a_name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise click.BadParameter(
            f"'{short(text)}' is not of the form 2026/11/24/091500-17.json, as the list has it"
        )
    return text


def _a_day(text: str) -> str:
    if _DAY.fullmatch(text) is None:
        raise click.BadParameter(f"'{short(text)}' is not of the form 2026/11/24")
    return text


def _a_reason(text: str) -> str:
    if not 1 <= len(text.strip()) <= MAX_REASON:
        raise click.BadParameter(f"give 1 to {MAX_REASON} characters")
    return text.strip()


names_argument = click.argument("names", metavar="[NAME]...", nargs=-1, type=_a_name)
day_option = click.option("--day", type=_a_day, metavar="YYYY/MM/DD", help="Only those of a day.")
all_option = click.option("--all", "every", is_flag=True, help="All that wait.")


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show, replay and discard dead letters.

    These are messages that could not be processed. The service archives them, without what may be a
    secret. NAME is as the list has it.
    """


@dead_letters.command("list")
@day_option
@click.option("--all", "every", is_flag=True, help="Also those that were replayed or discarded.")
@with_session
def list_letters(session: Session, day: str | None, every: bool) -> None:
    """List the dead letters that wait, the oldest first."""

    def row(letter: dict[str, Any]) -> list[str]:
        fault = letter.get("fault")
        why = str(fault) if fault else f"well-formed; {letter.get('reason')}"
        return [str(letter.get("name")), str(letter.get("state")), short(why)]

    found = _listed(session, day, every)
    if not session.output.table(["NAME", "STATE", "WHY"], found, row):
        session.output.say("No dead letter was found." if every else "No dead letter waits.")


@dead_letters.command("show")
@click.argument("name", type=_a_name)
@with_session
def show_letter(session: Session, name: str) -> None:
    """Show what is kept of a dead letter."""
    session.output.whole(session.service.call("GET", f"{_PATH}/letter?name={quote(name)}"))


@dead_letters.command("replay")
@names_argument
@all_option
@day_option
@click.option("--again", is_flag=True, help="Also those that were replayed or discarded.")
@with_session
def replay(
    session: Session, names: tuple[str, ...], every: bool, day: str | None, again: bool
) -> None:
    """Put dead letters back on the queue, each once.

    One that would only be refused again stays: its sender has to send it anew. With --all that is
    no failure.
    """
    wanted = _wanted(session, names, every, day, done_too=again)
    _each(session, "replay", {"again": again}, wanted, "replayed", every)


@dead_letters.command("discard")
@names_argument
@all_option
@day_option
@click.option("--reason", required=True, type=_a_reason, metavar="TEXT", help="Why.")
@with_session
def discard(
    session: Session, names: tuple[str, ...], every: bool, day: str | None, reason: str
) -> None:
    """Discard dead letters, with a reason.

    They wait no more; what is kept of them stays in the archive.
    """
    wanted = _wanted(session, names, every, day)
    _each(session, "discard", {"reason": reason}, wanted, "discarded", every)


def _listed(session: Session, day: str | None, every: bool) -> Iterator[dict[str, Any]]:
    """Yield dead letters, the oldest first, page after page."""
    after: str | None = None
    while True:
        options = {"day": day, "after": after, "all": "true" if every else None}
        query = urlencode({name: text for name, text in options.items() if text is not None})
        page = session.service.call("GET", f"{_PATH}?{query}" if query else _PATH)
        letters = page.get("value")
        if not isinstance(letters, list) or not all(isinstance(each, dict) for each in letters):
            raise RefusedError("The answer is not a list of dead letters: is that the service?")
        yield from letters
        if not page.get("more"):
            return
        last = str(letters[-1].get("name")) if letters else None
        if last is None or (after is not None and last <= after):
            raise RefusedError("The list of dead letters has no end: is that the service?")
        after = last


def _wanted(
    session: Session, names: tuple[str, ...], every: bool, day: str | None, done_too: bool = False
) -> list[str]:
    if bool(names) == every:
        raise UsageError("Name the dead letters, or give --all.")
    if names and day is not None:
        raise UsageError("Give --day together with --all.")
    if names:
        return one_of_each(names)
    return [str(each.get("name")) for each in _listed(session, day, done_too)]


def _each(
    session: Session,
    action: str,
    body: dict[str, Any],
    names: list[str],
    done: str,
    every: bool,
) -> None:
    """Do the same to all, and say with which it could not be done, and why."""
    output = session.output
    left = 0
    for start in range(0, len(names), NAMES_AT_ONCE):
        some = names[start : start + NAMES_AT_ONCE]
        answer = session.service.post(f"{_PATH}/{action}", {**body, "names": some})
        refused = {
            str(each.get("name")): clean(each.get("why")) for each in answer.get("refused") or []
        }
        for name in some:
            why = refused.get(name)
            output.value({"name": name, done: why is None, "why": why}, f"{name}  {why or done}")
        left += len(refused)
    output.say(f"{counted(len(names) - left, 'dead letter')} {done}, {left} not.")
    if left and not every:
        raise RefusedError(f"{counted(left, 'dead letter')} not {done}.")
