"""Which service a command works on: the one on this machine, or one in Azure.

Everything is named as `azd env get-values` prints it. Without SERVICE_ROOT it is the local stack,
whose ports have the variables that `make run` takes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from industrydata.errors import UsageError
from industrydata.text import short

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_AZD_SECONDS: Final = 60
_AZD_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
# Published constants of the emulator; they open nothing outside this machine.
_EMULATOR_BUS: Final = (
    "Endpoint=sb://127.0.0.1:{};SharedAccessKeyName=RootManageSharedAccessKey;"
    "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true"
)


@dataclass(frozen=True)
class Target:
    """A service and what belongs to it.

    `audience` is whom tokens of Entra ID are made for. `service_bus` is a namespace's host name;
    where `is_local`, it is the connection string of the emulator. Each is None where it was not
    given.
    """

    root: str
    is_local: bool
    audience: str | None
    service_bus: str | None
    queue: str

    @property
    def start_hint(self) -> str:
        """What to do when nothing answers."""
        return " Start the local stack: `make run`." if self.is_local else ""

    @classmethod
    def read(cls, environ: Mapping[str, str], url: str | None = None) -> Target:
        """Find the service by variables, or by its URL; raises UsageError."""
        # Azure may print the names of outputs in another case.
        values = {name.upper(): text.strip() for name, text in environ.items() if text.strip()}
        root = url or values.get("SERVICE_ROOT")
        if root is None:
            root = f"http://127.0.0.1:{_port(values, 'FUNCTIONS_PORT', 7071)}/beta"
        is_local = _is_local(root)
        queue = values.get("READINESS_QUEUE", "readiness")
        if is_local:
            bus = _EMULATOR_BUS.format(_port(values, "SERVICE_BUS_PORT", 5672))
            return cls(root.rstrip("/"), True, None, values.get("SERVICEBUS", bus), queue)
        client = values.get("API_CLIENT_ID")
        return cls(
            root.rstrip("/"),
            False,
            values.get("API_AUDIENCE", client and f"api://{client}"),
            values.get("SERVICEBUS__FULLYQUALIFIEDNAMESPACE"),
            queue,
        )


def azd_values() -> dict[str, str]:
    """Return what `azd env get-values` prints in this folder; raises UsageError."""
    azd = shutil.which("azd")
    if azd is None:
        raise UsageError("There is no `azd` on PATH: install the Azure Developer CLI.")
    try:
        done = subprocess.run(  # noqa: S603 - no shell, our own words
            [azd, "env", "get-values"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_AZD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"`azd env get-values` did not end: {short(error)}") from error
    if done.returncode != 0:
        raise UsageError(f"`azd env get-values` failed: {short(done.stderr or done.stdout, 300)}")
    matches = map(_AZD_LINE.fullmatch, done.stdout.splitlines())
    return {match[1]: _unquoted(match[2]) for match in matches if match}


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip('"')


def _is_local(root: str) -> bool:
    """Whether a service root is on this machine; raises UsageError where no token may go there."""
    try:
        parts = urlsplit(root)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or host is None:
        raise UsageError(f"'{short(root)}' is not a URL: give one such as https://HOST/beta.")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError("Give the service root without a user, a query and a fragment.")
    if not parts.path.rstrip("/").endswith("/beta"):
        raise UsageError(f"'{short(root)}' is not a service root: it ends with /beta.")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise UsageError(f"{short(root)} must use https: others could read the token on its way.")
    return host in LOOPBACK


def _port(values: Mapping[str, str], name: str, usual: int) -> int:
    text = values.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise UsageError(f"{name}='{short(text)}' is not a port: give a number from 1 to 65535.")
    return int(text)
