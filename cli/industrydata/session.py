"""What every command shares: the service it works on, its output, its kinds of arguments."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from industrydata.errors import UsageError
from industrydata.output import Output
from industrydata.target import Target, azd_values
from industrydata.text import short

if TYPE_CHECKING:
    from industrydata.service import Service
    from industrydata.tokens import Token

KINDS: Final = ("user", "classGroup", "securityGroup", "administrativeUnit")
STATUSES: Final = ("notReady", "ready", "failed", "disabled", "expired")
MAX_SECONDS: Final = 24 * 3600
WATCH_SECONDS: Final = 300.0

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Session:
    """The service that one run of the command works on; it is found when it is first needed."""

    def __init__(self, url: str | None, use_azd: bool) -> None:
        self._url = url
        self._use_azd = use_azd
        self.output = Output(as_json=False)

    @functools.cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment, with what azd knows where that is asked for."""
        return {**os.environ, **(azd_values() if self._use_azd else {})}

    @functools.cached_property
    def target(self) -> Target:
        """Where the service is; raises UsageError."""
        return Target.read(self.environ, self._url)

    @functools.cached_property
    def token(self) -> Token:
        """The access token; raises SignInError."""
        from industrydata.tokens import access_token

        return access_token(self.target, self.environ)

    @functools.cached_property
    def service(self) -> Service:
        """The API; raises UsageError and SignInError."""
        from industrydata.service import Service

        service = Service(self.target, self.token, self.output.note)
        click.get_current_context().find_root().call_on_close(service.close)
        return service


pass_session = click.make_pass_decorator(Session)


def with_session(command: Callable[..., None]) -> Callable[..., Any]:
    """Give a command the session as its first argument, and the option --json."""

    @functools.wraps(command)
    def run(session: Session, /, as_json: bool, **options: Any) -> None:
        session.output.as_json = as_json
        command(session, **options)

    option = click.option("--json", "as_json", is_flag=True, help="Print a JSON value a line.")
    return option(pass_session(run))


def an_id(text: str) -> str:
    """Read an id; raises BadParameter."""
    if _GUID.fullmatch(text) is None:
        raise click.BadParameter(
            f"'{short(text)}' is not an id, which looks like 9ab41255-5364-4c53-…"
        )
    return text.lower()


def a_flow(text: str) -> str:
    """Read the id or the kind of a flow; raises BadParameter."""
    for kind in KINDS:
        if text.lower() in (kind.lower(), f"{kind}ProvisioningFlow".lower()):
            return kind
    if _GUID.fullmatch(text) is None:
        raise click.BadParameter(
            f"'{short(text)}' is neither a flow's id nor one of {', '.join(KINDS)}"
        )
    return text.lower()


SECONDS: Final = click.FloatRange(0, MAX_SECONDS, min_open=True)

timeout_option = click.option(
    "--timeout",
    type=SECONDS,
    default=WATCH_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait at most.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def confirmed(what: str, yes: bool) -> None:
    """Have a person confirm what cannot be undone; raises UsageError where there is none."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{what}? It cannot be undone: give --yes to do it without a question.")
    if not click.confirm(f"{what}?", err=True):
        raise click.Abort


def one_of_each(values: Iterable[str]) -> list[str]:
    """Return values without repeats, in order."""
    return list(dict.fromkeys(values))
