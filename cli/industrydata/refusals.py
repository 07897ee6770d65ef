"""Explains in words why the service refused a request."""

from __future__ import annotations

import json
from typing import Final

from industrydata.errors import (
    CommandError,
    NotFoundError,
    RefusedError,
    SignInError,
    UnreachableError,
)
from industrydata.text import clean, short
from industrydata.tokens import Token

MAX_DETAILS: Final = 50
_FORBIDDEN: Final = (
    "The token from {} lacks the permission. To read takes IndustryData-OutboundFlow.Read.All, to "
    "change IndustryData-OutboundFlow.ReadWrite.All; a user needs the role of that name, too."
)
_HINTS: Final = {
    404: (
        "`industrydata sets list` shows the flow sets that there are, "
        "`industrydata dead-letters list --all` the dead letters. A service root ends with /beta."
    ),
    412: "It was changed since it was read: read it again, and repeat the command.",
    413: "It is larger than the service takes.",
    429: "Too many requests reach the service: wait a little, and repeat the command.",
}
_KINDS: Final[dict[int, type[CommandError]]] = {
    401: SignInError,
    403: SignInError,
    404: NotFoundError,
    429: UnreachableError,
    502: UnreachableError,
    503: UnreachableError,
    504: UnreachableError,
}


def refusal(status: int, content: bytes, token: Token) -> CommandError:
    """Say why the service refused, with every fault of a body and its place, and what to do."""
    make = _KINDS.get(status, RefusedError)
    lines = _reasons(status, content)
    if status == 401:
        lines.append(f"The service does not accept the token from {token.source}. {token.cure}")
    elif status == 403:
        lines.append(_FORBIDDEN.format(token.source))
    elif 300 <= status < 400:
        lines.append("Nothing is sent to another address: is the service root right?")
    elif status >= 500:
        lines.append("Run `industrydata doctor`; the service's log has more.")
    elif status in _HINTS:
        lines.append(_HINTS[status])
    return make("\n".join(lines))


def _reasons(status: int, content: bytes) -> list[str]:
    try:
        error = json.loads(content)["error"]
        lines = [f"{short(error['message'], 1000)} ({status} {clean(error['code'])})"]
        details = list(error.get("details") or [])
        lines += [
            f"  {clean(each.get('target') or '')}: {short(each['message'], 1000)}"
            for each in details[:MAX_DETAILS]
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return [f"The service answers {status} without saying why."]
    if len(details) > MAX_DETAILS:
        lines.append(f"  and {len(details) - MAX_DETAILS} more")
    return lines
