"""The one key that opens the emulator: the one that the official emulator has."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import unquote_plus

from local.config import SERVICE_BUS_KEY, SERVICE_BUS_KEY_NAME

_SCHEME = "SharedAccessSignature "


def fault(token: Any, now: float) -> str | None:
    """What is wrong with a token in a put-token request at `now` (Unix time); None if it is good.

    The signature is over what `sr` and `se` say as they stand in the token, still quoted.
    """
    if not isinstance(token, str) or not token.startswith(_SCHEME):
        return f"InvalidToken: The token must begin with {_SCHEME}; {_hint()}"
    pairs = (part.partition("=") for part in token.removeprefix(_SCHEME).split("&"))
    fields = {name: value for name, _, value in pairs}
    end = fields.get("se", "")
    signed = f"{fields.get('sr', '')}\n{end}".encode()
    expected = base64.b64encode(hmac.digest(SERVICE_BUS_KEY.encode(), signed, hashlib.sha256))
    given = unquote_plus(fields.get("sig", "")).encode()
    if unquote_plus(fields.get("skn", "")) != SERVICE_BUS_KEY_NAME or not hmac.compare_digest(
        expected, given
    ):
        return f"InvalidSignature: The token has an invalid signature; {_hint()}"
    if not (end.isascii() and end.isdigit() and len(end) < 16) or int(end) <= now:
        return "ExpiredToken: The token is expired; check the clock."
    return None


def _hint() -> str:
    return (
        f"the key of this emulator is SharedAccessKeyName={SERVICE_BUS_KEY_NAME};"
        f"SharedAccessKey={SERVICE_BUS_KEY}"
    )
