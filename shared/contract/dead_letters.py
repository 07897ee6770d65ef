"""What is kept of a message that could not be processed. Nothing that may be a secret is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from shared.contract import events
from shared.domain.errors import InvalidEvent

_HIDDEN: Final = "[hidden]"
# Events have three levels. What is nested deeper than this is hidden: following it to the end may
# take more stack than there is, and a letter that cannot be archived comes back for ever.
_MAX_DEPTH: Final = 50
_SECRET_NAME = re.compile(
    r"password|passphrase|pwd|secret|token|credential|authorization|signature|connectionstring"
    r"|(?:api|access|account|private)[_-]?key",
    re.I,
)
# Parts of connection strings, shared access signatures and headers.
_SECRET_TEXT = re.compile(
    r"(?P<name>(?:(?:Account|SharedAccess)(?:Key|Signature)|Password|Pwd|\bsig)=|Bearer\s+)"
    r"[^;&\s\"]+",
    re.I,
)
# What may hold a JSON web token: looking for the token itself takes quadratic time.
_DOTTED = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class DeadLetter:
    """A message from the dead-letter queue, as the trigger hands it over."""

    message_id: str | None
    sequence_number: int
    enqueued: datetime
    delivery_count: int
    content_type: str | None
    properties: Mapping[str, Any]
    body: bytes


def letter_name(letter: DeadLetter) -> str:
    """Return where a dead letter is kept: by date, the same however often it is delivered."""
    moment = letter.enqueued.replace(tzinfo=letter.enqueued.tzinfo or UTC)
    return f"{moment:%Y/%m/%d/%H%M%S}-{letter.sequence_number}.json"


def record(letter: DeadLetter, archived: datetime) -> dict[str, Any]:
    """Return what is kept of a dead letter. Nothing that may be a secret is.

    Values of members with a telling name and texts that look like keys or tokens are hidden, and so
    is what is nested very deep. A body that is no JSON object is kept as its size and its SHA-256:
    nobody can tell what is in it.
    """
    properties = dict(letter.properties)
    body = _json_object(letter.body)
    return {
        "archivedDateTime": archived.isoformat(),
        "messageId": _hidden(letter.message_id),
        "sequenceNumber": letter.sequence_number,
        "enqueuedDateTime": letter.enqueued.isoformat(),
        "deliveryCount": letter.delivery_count,
        "contentType": letter.content_type,
        "deadLetterReason": _hidden(properties.pop("DeadLetterReason", None)),
        "deadLetterDescription": _hidden(properties.pop("DeadLetterErrorDescription", None)),
        "fault": _fault(letter.body),
        "properties": _hidden(properties),
        "body": None if body is None else _hidden(body),
        "bodySize": len(letter.body),
        "bodySha256": hashlib.sha256(letter.body).hexdigest(),
    }


def _fault(body: bytes) -> str | None:
    """Say what is wrong with a message; None where it is well-formed."""
    try:
        events.read_event(body)
    except InvalidEvent as exc:
        return str(exc)
    return None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _hidden(value: Any, depth: int = _MAX_DEPTH) -> Any:
    if isinstance(value, (Mapping, list)) and not depth:
        return _HIDDEN
    if isinstance(value, Mapping):
        return {
            name: _HIDDEN if _SECRET_NAME.search(name) and inner else _hidden(inner, depth - 1)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_hidden(inner, depth - 1) for inner in value]
    if isinstance(value, str):
        return _DOTTED.sub(_without_token, _SECRET_TEXT.sub(rf"\g<name>{_HIDDEN}", value))
    return value


def _without_token(match: re.Match[str]) -> str:
    """Hide what begins as the three parts of a JSON web token do."""
    before, begin, token = match[0].partition("eyJ")
    return f"{before}{_HIDDEN}" if begin and token.count(".") >= 2 else match[0]
