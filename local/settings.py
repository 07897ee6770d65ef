"""Makes local.settings.json from its example: `python -m local.settings`."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from local.config import ROOT

EXAMPLE_FILE = ROOT / "local.settings.example.json"
SETTINGS_FILE = ROOT / "local.settings.json"
# The example has this where each machine needs a key of its own.
PLACEHOLDER = "<make writes a new random key here>"
KEY_BYTES = 32


class SettingsFileError(Exception):
    """local.settings.json cannot be used or made; the text says what to do next."""


def new_password_key() -> str:
    """A random key under the name of today: `local-20261124:<base64 of 32 bytes>`."""
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")
    return f"local-{datetime.now(UTC):%Y%m%d}:{key}"


def example_values() -> dict[str, str]:
    """The app settings of the example file with a new password key: enough to run the app."""
    return _values(_fill_in(EXAMPLE_FILE.read_text("utf-8")))


def make_settings_file(path: Path = SETTINGS_FILE) -> str:
    """Make the settings file if there is none; says what was done.

    The values of an existing file are kept. Only the example's placeholder, if it was copied, is
    replaced by a key. The file is readable by its owner alone, since it holds a key.
    """
    example = EXAMPLE_FILE.read_text("utf-8")
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        _write_new(path, _fill_in(example))
        return f"Made {path.name} with a new PASSWORD_KEYS; edit it as you like."
    missing = sorted(_values(example).keys() - _values(text, path).keys())
    lacks = f" It lacks {', '.join(missing)}, see {EXAMPLE_FILE.name}." if missing else ""
    if PLACEHOLDER not in text:
        return f"Using {path.name}.{lacks}"
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    _write_new(fresh, _fill_in(text))
    fresh.replace(path)
    return f"Put a new key for PASSWORD_KEYS into {path.name}.{lacks}"


def _fill_in(text: str) -> str:
    return text.replace(PLACEHOLDER, new_password_key())


def _values(text: str, path: Path = EXAMPLE_FILE) -> dict[str, str]:
    try:
        values = json.loads(text)["Values"]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsFileError(
            f'{path.name} is not JSON with an object "Values" ({error}): correct it or delete it '
            "to get a new one."
        ) from None
    if not isinstance(values, dict):
        raise SettingsFileError(f'"Values" in {path.name} must be an object.')
    return values


def _write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet, for its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def main() -> int:
    """Run as a command; 1 with a sentence on stderr when the file there cannot be used."""
    try:
        print(make_settings_file())
    except SettingsFileError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
