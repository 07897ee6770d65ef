"""The requests by which dead letters are listed, read and discarded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
_DAY = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}")
_OPTIONS: Final = ("after", "all", "day")
_MEMBERS: Final = ("all", "names", "reason")


def is_letter_name(text: str) -> bool:
    """Tell whether a text can be the name of a dead letter."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True)
class Discard:
    """Which dead letters are discarded, and why; `names` is None for all that wait."""

    names: tuple[str, ...] | None
    reason: str


@dataclass(frozen=True)
class Page:
    """Which dead letters are listed: those of a day, behind a name, with those that are done."""

    day: str
    after: str
    done_too: bool


def read_page(params: Mapping[str, str]) -> Page:
    """Read the options of a list; raises InvalidRequest with every fault."""
    faults = _unknown(params, _OPTIONS)
    if "day" in params and not _DAY.fullmatch(params["day"]):
        faults.append(Fault("InvalidValue", "Give a day as 2026/11/24.", "day"))
    if "after" in params and not _NAME.fullmatch(params["after"]):
        faults.append(Fault("InvalidValue", "Give a name, as the list has it.", "after"))
    if params.get("all") not in (None, "true"):
        faults.append(Fault("InvalidValue", "Give true, or omit it.", "all"))
    if faults:
        raise InvalidRequest(*faults)
    return Page(params.get("day", ""), params.get("after", ""), "all" in params)


def read_name(params: Mapping[str, str]) -> str:
    """Read the option that names a dead letter; raises InvalidRequest."""
    faults = _unknown(params, ("name",))
    if not _NAME.fullmatch(params.get("name", "")):
        faults.append(Fault("InvalidValue", "Give a name, as the list has it.", "name"))
    if faults:
        raise InvalidRequest(*faults)
    return params["name"]


def _unknown(params: Mapping[str, str], known: Sequence[str]) -> list[Fault]:
    return [
        Fault("UnknownOption", f"Use {', '.join(known)}.", name[:64])
        for name in params
        if name not in known
    ][:5]


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
