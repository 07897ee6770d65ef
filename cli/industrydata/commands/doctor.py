"""`industrydata doctor`: is everything reached, is the token accepted, and what does that mean."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, NamedTuple

import click

from industrydata import __version__
from industrydata.errors import DONE, FAILED, CommandError, SignInError, UnreachableError
from industrydata.output import status_text
from industrydata.session import Session, with_session
from industrydata.text import clean, counted, short

OK: Final = "ok"
WRONG: Final = "wrong"
UNKNOWN: Final = "unknown"
_LATER: Final = "not looked at: see the row above"


class Finding(NamedTuple):
    """One thing that was looked at: how it is, what that means, and the exit code where wrong."""

    what: str
    result: str
    meaning: str
    code: int = DONE


@click.command()
@with_session
def doctor(session: Session) -> None:
    """Say whether all parts are reached and the token accepted.

    It changes nothing. It ends with 0 where all is well, and with the exit code of the first row
    that is not.
    """
    findings: list[Finding] = []

    def each() -> Iterator[Finding]:
        for finding in _examine(session):
            findings.append(finding)
            yield finding

    if session.output.as_json:
        for finding in each():
            session.output.value(
                {
                    "check": finding.what,
                    "result": finding.result,
                    "meaning": finding.meaning,
                }
            )
    else:
        session.output.table(
            ["CHECK", "RESULT", "MEANING"],
            each(),
            lambda finding: [finding.what, status_text(finding.result), finding.meaning],
        )
    code = next((finding.code for finding in findings if finding.code != DONE), DONE)
    if code != DONE:
        raise click.exceptions.Exit(code)


def _examine(session: Session) -> Iterator[Finding]:
    where = "the stack on this machine" if session.target.is_local else "a service elsewhere"
    yield Finding("address", OK, f"{session.target.root}, {where}")
    try:
        token = session.token
    except SignInError as error:
        yield Finding("token", WRONG, str(error), error.exit_code)
        return
    yield Finding("token", OK, f"from {token.source}{_claims(token.value)}")
    service = yield from _service(session)
    if service.result != OK:
        yield Finding("access", UNKNOWN, _LATER)
        return
    yield from _parts(session)


def _service(session: Session) -> Generator[Finding, None, Finding]:
    """Look at what the service says of itself; the last finding is returned, too."""
    try:
        answer = session.service.health()
    except UnreachableError as error:
        finding = Finding("service", WRONG, str(error), error.exit_code)
    else:
        said = _object(answer.content)
        release = clean(said.get("version") or "unknown")
        if answer.status == 200 and said.get("status") == "healthy":
            differs = "" if release == __version__ else f"; this command is of {__version__}"
            finding = Finding("service", OK, f"it runs, release {release}{differs}")
        elif away := _away(said):
            finding = Finding("service", WRONG, f"it runs, but {away}", FAILED)
        elif answer.status == 404:
            finding = Finding(
                "service", WRONG, "something else answers there: is that the API?", FAILED
            )
        else:
            finding = Finding(
                "service",
                WRONG,
                f"it answers {answer.status}: often a setting is missing, and its log names it",
                FAILED,
            )
    yield finding
    return finding


def _away(said: dict[str, Any]) -> str:
    """Say which of the services behind the service it cannot use, by what it says of them."""
    found = said.get("dependencies")
    if not isinstance(found, dict):
        return ""
    states = {name: _object_of(each).get("status") for name, each in found.items()}
    return ", ".join(
        f"{clean(name)} is {clean(str(state))}"
        for name, state in states.items()
        if state != "available"
    )


def _object_of(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parts(session: Session) -> Iterator[Finding]:
    """Look at the parts behind the service, by the figures of its status page."""
    try:
        found = session.service.overview()
    except SignInError as error:
        yield Finding("access", WRONG, short(error, 500), error.exit_code)
        return
    except UnreachableError:
        yield Finding("access", OK, "the token is accepted, and may read flows")
        yield Finding(
            "store",
            WRONG,
            "Cosmos DB does not answer the service: nothing can be read or written until it does",
            FAILED,
        )
        return
    except CommandError as error:
        yield Finding("access", UNKNOWN, short(error, 500), error.exit_code)
        return
    yield Finding("access", OK, "the token is accepted, and may read flows")
    sets = counted(_number(found, "flowSets"), "flow set")
    yield Finding("store", OK, f"Cosmos DB answers: {sets}")
    yield _queue(found.get("queue"))
    yield _archive(found.get("deadLetters"))


def _queue(queue: object) -> Finding:
    if not isinstance(queue, Mapping):
        return Finding(
            "queue",
            WRONG,
            "Service Bus does not answer the service: flows are stored, and stay notReady until "
            "it does",
            FAILED,
        )
    waiting, dead = _number(queue, "waiting"), _number(queue, "deadLettered")
    least = "" if queue.get("complete") else "at least "
    return Finding(
        "queue",
        OK,
        f"Service Bus answers: {least}{counted(waiting, 'message')} waiting, {dead} given up",
    )


def _archive(letters: object) -> Finding:
    if not isinstance(letters, Mapping):
        return Finding(
            "archive",
            WRONG,
            "Blob Storage does not answer the service: dead letters stay in their queue, and no "
            "password is given out",
            FAILED,
        )
    waiting = _number(letters, "notReplayed")
    advice = "; `industrydata dead-letters list` shows them" if waiting else ""
    return Finding(
        "archive", OK, f"Blob Storage answers: {counted(waiting, 'dead letter')} waiting{advice}"
    )


def _number(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _claims(token: str) -> str:
    """Say what a token grants and for how long, as it says itself: the service decides."""
    try:
        part = token.split(".")[1]
        claims = _object(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return ", which is not a JWT"
    said = []
    expires = claims.get("exp")
    if isinstance(expires, int | float):
        minutes = (expires - time.time()) / 60
        said.append(f"valid for {minutes:.0f} min" if minutes > 0 else "expired")
    roles = claims.get("roles")
    names = roles if isinstance(roles, list) else []
    scopes = claims.get("scp")
    names = [*names, *(scopes.split() if isinstance(scopes, str) else [])]
    if names:
        said.append("with " + ", ".join(short(name) for name in names[:20]))
    return "".join(f", {each}" for each in said)
