"""Access tokens: given in a variable, made by the local stack, or of Entra ID. None is printed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from industrydata.errors import SignInError
from industrydata.target import Target
from industrydata.text import short

TOKEN: Final = "INDUSTRYDATA_TOKEN"  # noqa: S105 - the name of a variable
_SECONDS: Final = 60
MAX_TOKEN: Final = 16_384


class Token(NamedTuple):
    """An access token, and in words where it comes from."""

    value: str
    source: str

    @property
    def cure(self) -> str:
        """What to do when the service does not accept it."""
        return _CURES[self.source]

    @property
    def claims(self) -> dict[str, Any] | None:
        """What the token says of itself, unchecked; None where it is not a JWT."""
        try:
            part = self.value.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except (IndexError, ValueError, RecursionError):
            return None
        return claims if isinstance(claims, dict) else None

    @property
    def tenant(self) -> str | None:
        """The id of the tenant that the token is of; None where it does not say."""
        tenant = (self.claims or {}).get("tid")
        return tenant if isinstance(tenant, str) and tenant else None


_CLI: Final = "the Azure CLI"
_ISSUER: Final = "the local issuer"
_CURES: Final = {
    TOKEN: f"Set {TOKEN} to a fresh token for this service, or unset it.",
    _ISSUER: "Give this command the same ISSUER_PORT and LOCAL_STATE as `make run` has.",
    _CLI: "Check API_CLIENT_ID (or API_AUDIENCE), and the tenant you are signed in to: "
    "`az account show`.",
}


def access_token(target: Target, environ: Mapping[str, str]) -> Token:
    """Return a token for the service; raises SignInError."""
    given = environ.get(TOKEN, "").strip()
    if given:
        if not given.isascii() or len(given.split()) != 1 or len(given) > MAX_TOKEN:
            raise SignInError(f"{TOKEN} must hold one access token and nothing else.")
        return Token(given, TOKEN)
    if target.is_local:
        return Token(_local_token(environ), _ISSUER)
    if target.audience is None:
        raise SignInError(
            "Set API_CLIENT_ID to the client id of the API in Entra ID, as `azd env get-values` "
            f"prints it, or {TOKEN} to a token."
        )
    return Token(_cli_token(target.audience), _CLI)


def _cli_token(audience: str) -> str:
    az = shutil.which("az")
    if az is None:
        raise SignInError(
            f"There is no Azure CLI (`az`) on PATH: install it and run `az login`, or set {TOKEN} "
            "to a token."
        )
    command = [az, "account", "get-access-token", "--scope", f"{audience}/.default"]
    done = _run([*command, "--query", "accessToken", "--output", "tsv"], "The Azure CLI")
    if done.returncode != 0 or not done.stdout.strip():
        raise SignInError(
            f"The Azure CLI gives no token for {audience}: run `az login`. docs/deploy.md says who "
            f"gets one. {short(done.stderr, 300)}"
        )
    return done.stdout.strip()


def _local_token(environ: Mapping[str, str]) -> str:
    """Have the checkout around this folder make a token, as `make token` does."""
    checkout = _checkout(Path.cwd())
    python = checkout / ".venv" / "bin" / "python"
    command = [str(python if python.exists() else sys.executable), "-m", "local.access_token"]
    done = _run(command, "The local token", folder=checkout, environ=environ)
    if done.returncode != 0:
        raise SignInError(
            f"The local token could not be made; `make install` may help. {short(done.stderr, 300)}"
        )
    return done.stdout.strip()


def _run(
    command: list[str],
    what: str,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - no shell, and each word is one argument
            command,
            cwd=folder,
            env=None if environ is None else dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SignInError(f"{what} could not be had: {short(error)}") from error


def _checkout(folder: Path) -> Path:
    for each in (folder, *folder.parents):
        if (each / "local" / "access_token.py").is_file():
            # It is about to be run: as git does, only what the caller owns is trusted.
            if hasattr(os, "getuid") and each.stat().st_uid != os.getuid():
                raise SignInError(f"{each} belongs to another user, so nothing there is run.")
            return each
    raise SignInError(
        "This is the local service, whose tokens its own checkout makes: run the command in that "
        f"folder, or set {TOKEN} to what `make -s token` prints there. For a service in Azure, set "
        "SERVICE_ROOT, or give --azd."
    )
