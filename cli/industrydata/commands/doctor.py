"""`industrydata doctor`: is everything reached, is the token accepted, and what does that mean."""

from __future__ import annotations

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
from industrydata.tokens import Token

OK: Final = "ok"
WRONG: Final = "wrong"
UNKNOWN: Final = "unknown"
PENDING: Final = "pending"
# How a row is called, what is behind it, and what does not work without it.
_PARTS: Final = {
    "cosmosDb": ("store", "Cosmos DB", "Nothing can be read or written until it does."),
    "serviceBus": ("queue", "Service Bus", "Flows are stored, and stay notReady until it does."),
    "blobStorage": (
        "archive",
        "Blob Storage",
        "Dead letters stay in their queue, and no password is given out.",
    ),
    "issuer": ("issuer", "the issuer of tokens", "No token of a new key can be checked."),
    "settings": ("settings", "The app settings", "No request is served."),
}
_TRIES: Final = 6
_PAUSE_SECONDS: Final = 0.5


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
    yield Finding("token", OK, f"from {token.source}{_claims(token)}")
    said = yield from _service(session)
    yield from map(_part, _dependencies(said).items())
    if said:
        yield _access(session)


def _service(session: Session) -> Generator[Finding, None, dict[str, Any]]:
    """Look at what the service says of itself, and return that; nothing where it does not run."""
    try:
        answer = session.service.health()
        for _ in range(_TRIES):
            if PENDING not in map(_state, _dependencies(_object(answer.content)).values()):
                break
            time.sleep(_PAUSE_SECONDS)
            answer = session.service.health()
    except UnreachableError as error:
        yield Finding("service", WRONG, str(error), error.exit_code)
        return {}
    said = _object(answer.content)
    if answer.status not in (200, 503) or "dependencies" not in said:
        meaning = f"something else answers there, with {answer.status}: is that the API?"
        yield Finding("service", WRONG, meaning, FAILED)
        return {}
    release = clean(said.get("version") or "unknown")
    differs = "" if release == __version__ else f"; this command is of {__version__}"
    if answer.status == 200:
        yield Finding("service", OK, f"it runs, release {release}{differs}")
    else:
        meaning = f"it runs, release {release}{differs}, and can serve no request: see below"
        yield Finding("service", WRONG, meaning, FAILED)
    return said


def _part(part: tuple[str, object]) -> Finding:
    """Say how one of the services behind the service is, by what it says of that."""
    name, value = part
    what, title, loss = _PARTS.get(name, (clean(name), clean(name), ""))
    state = _state(value)
    if state == "available":
        return Finding(what, OK, f"{title} answers the service")
    message = clean(value.get("message") or "") if isinstance(value, Mapping) else ""
    if state == PENDING:
        return Finding(what, UNKNOWN, f"{title}: {message}")
    return Finding(what, WRONG, f"{title}: {message} {loss}".rstrip(), FAILED)


def _access(session: Session) -> Finding:
    """Look whether the token is accepted, by reading the figures of the status page."""
    try:
        found = session.service.overview()
    except SignInError as error:
        return Finding("access", WRONG, short(error, 500), error.exit_code)
    except CommandError as error:
        return Finding("access", UNKNOWN, short(error, 500), error.exit_code)
    figures = [counted(_number(found, "flowSets"), "flow set")]
    queue, letters = found.get("queue"), found.get("deadLetters")
    if isinstance(queue, Mapping):
        figures.append(f"{counted(_number(queue, 'waiting'), 'message')} in the queue")
    if isinstance(letters, Mapping):
        figures.append(f"{counted(_number(letters, 'notReplayed'), 'dead letter')} waiting")
    tenant = found.get("tenantId")
    of = f" of tenant {clean(tenant)}" if isinstance(tenant, str) else ""
    meaning = f"the token is accepted, and may read flows{of}: {', '.join(figures)}"
    return Finding("access", OK, meaning)


def _dependencies(said: Mapping[str, Any]) -> dict[str, Any]:
    found = said.get("dependencies")
    return found if isinstance(found, dict) else {}


def _state(value: object) -> str:
    return clean(value.get("status")) if isinstance(value, Mapping) else ""


def _number(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _claims(token: Token) -> str:
    """Say what a token grants and for how long, as it says itself: the service decides."""
    claims = token.claims
    if claims is None:
        return ", which is not a JWT"
    said = [] if token.tenant is None else [f"of tenant {short(token.tenant)}"]
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
