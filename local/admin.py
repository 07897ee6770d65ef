"""What operators do by hand: `python -m local.admin COMMAND`; docs/operations.md has the occasions.

It uses the service's own queue, archive and store, in Azure or on this machine. Which ones, the
environment says; without COSMOS_ENDPOINT there, it is the stack of local.settings.json. In Azure it
acts as whoever is signed in to the Azure CLI. Nothing here is deployed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.servicebus.exceptions import (
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
)

from local.config import ROOT, LocalConfig, LocalConfigError
from local.console import FAILED, WRONG, AdminError, short
from local.dead_letters import discard_letters, list_letters, replay_letters, show_letter
from local.host.errors import HostError
from local.host.settings import apply_local_settings
from local.settings import SETTINGS_FILE, new_password_key
from shared import bootstrap
from shared.contract.discards import MAX_REASON as MAX_WHY
from shared.domain.errors import (
    InvalidEvent,
    PublishFailed,
    ServiceError,
    SettingsError,
    StoreUnavailable,
)

INTERRUPTED = 130
_DAY = re.compile(r"\d{4}/\d{2}/\d{2}")
_NAME = re.compile(r"\d{4}/\d{2}/\d{2}/\d{6}-\d+\.json")
# The settings must be whole, but nothing here looks at tokens.
_NOT_USED = {
    "AUTH_TENANTS": "00000000-0000-0000-0000-000000000000",
    "AUTH_AUDIENCES": "api://not-used",
}


_REFUSALS = (
    ClientAuthenticationError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
)


# --- the command line ---------------------------------------------------------------------------


def _why(text: str) -> str:
    if not 1 <= len(text.strip()) <= MAX_WHY:
        raise argparse.ArgumentTypeError(f"give 1 to {MAX_WHY} characters")
    return text.strip()


def _matching(pattern: re.Pattern[str], example: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form {example}")
        return text

    return check


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.admin", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        within: Any, name: str, run: Callable[[argparse.Namespace], Awaitable[int]]
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = within.add_parser(
            name, help=run.__doc__, description=run.__doc__
        )
        made.add_argument("--json", action="store_true", help="print JSON, for scripts")
        made.set_defaults(run=run)
        return made

    day = _matching(_DAY, "2026/11/24")
    letters = commands.add_parser(
        "dead-letters", help="List, show, put back and discard dead letters."
    )
    of_letters = letters.add_subparsers(required=True, metavar="COMMAND")
    listing = command(of_letters, "list", list_letters)
    listing.add_argument("--day", type=day, metavar="YYYY/MM/DD")
    name = _matching(_NAME, "2026/11/24/091500-17.json, as `dead-letters list` prints it")
    command(of_letters, "show", show_letter).add_argument("name", type=name, metavar="NAME")
    replay = command(of_letters, "replay", replay_letters)
    replay.add_argument("--again", action="store_true", help="also those that were put back before")
    discard = command(of_letters, "discard", discard_letters)
    discard.add_argument("--reason", required=True, type=_why, metavar="TEXT")
    for of_several in (replay, discard):
        of_several.add_argument("name", nargs="*", type=name, metavar="NAME")
        of_several.add_argument("--all", action="store_true", help="all that wait")
        of_several.add_argument("--day", type=day, metavar="YYYY/MM/DD", help="with --all")

    return parser


def _load_settings() -> None:
    """Complete the environment, which is where shared/bootstrap.py reads settings."""
    if not os.environ.get("COSMOS_ENDPOINT"):
        if not SETTINGS_FILE.is_file():
            raise AdminError(
                f"Set COSMOS_ENDPOINT and the other settings of the service (docs/operations.md), "
                f"or make {SETTINGS_FILE.name} by `make run` for the stack on this machine."
            )
        for name, value in LocalConfig.read(os.environ).overrides().items():
            os.environ.setdefault(name, value)
        apply_local_settings(ROOT, os.environ)
    # Who puts a message on the queue needs no key of passwords.
    unused = {**_NOT_USED, "PASSWORD_KEYS": new_password_key()}
    for name, value in unused.items():
        if not os.environ.get(name):
            os.environ[name] = value
    bootstrap.settings()


def _explained(error: Exception) -> str:
    """Say what an operator can do about a service that refused or did not answer."""
    cause = error if isinstance(error, AzureError) else error.__cause__
    if isinstance(cause, _REFUSALS) or getattr(cause, "status_code", None) in (401, 403):
        return (
            "Azure does not let you: sign in by `az login`, with the roles that "
            f"docs/operations.md names. {short(str(cause))}"
        )
    if isinstance(error, AzureError):
        return f"Azure refused: {short(str(error))}"
    if bootstrap.settings().cosmos_key is not None:
        return f"{error} Is the stack running? `make run` starts it."
    return f"{error} {short(str(cause or ''))}"


async def _run(given: argparse.Namespace) -> int:
    try:
        return int(await given.run(given))
    finally:
        await bootstrap.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: 0 done, 1 not or not all done, 2 asked for wrongly; sentences on stderr."""
    given = _parser().parse_args(arguments)
    # What matters of what the SDKs log is raised, too.
    logging.disable(logging.CRITICAL)
    try:
        _load_settings()
        return asyncio.run(_run(given))
    except (HostError, InvalidEvent, LocalConfigError, SettingsError) as exc:
        print(exc, file=sys.stderr)
        return WRONG
    except (AzureError, PublishFailed, StoreUnavailable) as exc:
        print(_explained(exc), file=sys.stderr)
    except (AdminError, ServiceError) as exc:
        print(exc, file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
