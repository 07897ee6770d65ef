"""What is kept of a message that could not be processed. Nothing that may be a secret is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.contract.cloudevents import as_structured, with_plain_data
from shared.contract.events import read_event
from shared.contract.redaction import HIDDEN, redacted
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
    is what is nested very deep. `body` is the event, in whichever mode it came. A body that is no
    JSON object is kept as its size and its SHA-256 only, since it cannot be searched for secrets.
    """
    properties = dict(letter.properties)
    body, fault = _read(letter)
    return {
        "archivedDateTime": archived.isoformat(),
        "messageId": redacted(letter.message_id),
        "sequenceNumber": letter.sequence_number,
        "enqueuedDateTime": letter.enqueued.isoformat(),
        "deliveryCount": letter.delivery_count,
        "contentType": letter.content_type,
        "deadLetterReason": redacted(properties.pop("DeadLetterReason", None)),
        "deadLetterDescription": redacted(properties.pop("DeadLetterErrorDescription", None)),
        "fault": fault,
        "properties": redacted(properties),
        "body": None if body is None else redacted(body),
        "bodySize": len(letter.body),
        "bodySha256": hashlib.sha256(letter.body).hexdigest(),
    }


def _read(letter: DeadLetter) -> tuple[dict[str, Any] | None, str | None]:
    """Return the JSON object of a message, if it has one, and what is wrong, if anything is."""
    body = letter.body
    try:
        body = as_structured(body, letter.properties, letter.content_type)
        read_event(body)
    except InvalidEvent as exc:
        return _searchable(_json_object(body)), str(exc)
    return _searchable(_json_object(body)), None


def _searchable(event: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an event with its data in plain JSON, where secrets are found, or else hidden."""
    if event is None or "data_base64" not in event:
        return event
    try:
        return with_plain_data(event)
    except InvalidEvent:
        return {**event, "data_base64": HIDDEN}


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
