"""The request by which dead letters are discarded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from shared.contract.json_body import repeated_members
from shared.domain.errors import Fault, InvalidRequest
from shared.domain.text import hidden_character

MAX_NAMES: Final = 100
MAX_REASON: Final = 1024
NAME: Final = r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{6}-[0-9]{1,19}\.json"
"""How a dead letter is named, as a regular expression."""

_NAME = re.compile(NAME)
_MEMBERS: Final = ("all", "names", "reason")


@dataclass(frozen=True)
class Discard:
    """Which dead letters are discarded, and why; `names` is None for all that wait."""

    names: tuple[str, ...] | None
    reason: str


def read_discard(body: Any) -> Discard:
    """Read the body of the request; raises InvalidRequest with every fault."""
    if not isinstance(body, dict):
        raise InvalidRequest(Fault("InvalidValue", "Give a JSON object.", "$"))
    names, reason = body.get("names"), body.get("reason")
    faults = [
        *(
            Fault("UnknownProperty", f"Give {', '.join(_MEMBERS)}, not '{name[:64]}'.", "$")
            for name in [name for name in body if name not in _MEMBERS][:5]
        ),
        *(
            Fault("DuplicateProperty", f"Give '{name[:64]}' once.", "$")
            for name in repeated_members(body)[:5]
        ),
    ]
    if (body.get("all") is True) == ("names" in body) or body.get("all") not in (None, True):
        faults.append(Fault("InvalidValue", "Give names, or all as true.", "$"))
    elif "names" in body and not _are_names(names):
        message = f"Give an array of 1 to {MAX_NAMES} names, as the list has them."
        faults.append(Fault("InvalidValue", message, "$.names"))
    if not isinstance(reason, str) or not 1 <= len(reason.strip()) <= MAX_REASON:
        message = f"Say why, in 1 to {MAX_REASON} characters."
        faults.append(Fault("InvalidValue", message, "$.reason"))
    elif hidden_character(reason) is not None:
        faults.append(Fault("InvalidValue", "It has a character that cannot be shown.", "$.reason"))
    if faults:
        raise InvalidRequest(*faults)
    return Discard(None if names is None else tuple(dict.fromkeys(names)), str(reason).strip())


def _are_names(names: Any) -> bool:
    return (
        isinstance(names, list)
        and 1 <= len(names) <= MAX_NAMES
        and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    )
