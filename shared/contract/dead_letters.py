"""What is kept of a message that could not be processed. Nothing that may be a secret is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.contract.events import read_event
from shared.contract.redaction import redacted
from shared.domain.errors import InvalidEvent


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
    is what is nested very deep. A body that is no JSON object is kept as its size and its SHA-256
    only, since it cannot be searched for secrets.
    """
    properties = dict(letter.properties)
    body = _json_object(letter.body)
    return {
        "archivedDateTime": archived.isoformat(),
        "messageId": redacted(letter.message_id),
        "sequenceNumber": letter.sequence_number,
        "enqueuedDateTime": letter.enqueued.isoformat(),
        "deliveryCount": letter.delivery_count,
        "contentType": letter.content_type,
        "deadLetterReason": redacted(properties.pop("DeadLetterReason", None)),
        "deadLetterDescription": redacted(properties.pop("DeadLetterErrorDescription", None)),
        "fault": _fault(letter.body),
        "properties": redacted(properties),
        "body": None if body is None else redacted(body),
        "bodySize": len(letter.body),
        "bodySha256": hashlib.sha256(letter.body).hexdigest(),
    }


def _fault(body: bytes) -> str | None:
    """Say what is wrong with a message; None where it is well-formed."""
    try:
        read_event(body)
    except InvalidEvent as exc:
        return str(exc)
    return None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
