"""What is kept of a message that could not be processed. Nothing that may be a secret is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from shared.contract.cloudevents import as_structured, with_plain_data
from shared.contract.events import MAX_EVENT_BYTES, read_event
from shared.contract.json_body import MAX_EVENT_VALUES, opened
from shared.contract.redaction import HIDDEN, redacted, redacted_text
from shared.domain.errors import InvalidEvent, NewerEvent


class BodyForm(StrEnum):
    """The section of AMQP in which a message carries its body."""

    DATA = "data"
    VALUE = "value"
    SEQUENCE = "sequence"


@dataclass(frozen=True)
class QueueMessage:
    """A message as the queue or its dead-letter queue hands it over.

    Of a body that is no bytes (`form` says so) `body` is the JSON text of its value.
    """

    message_id: str | None
    sequence_number: int
    enqueued: datetime
    delivery_count: int
    content_type: str | None
    properties: Mapping[str, Any]
    body: bytes
    form: BodyForm = BodyForm.DATA


# A string inside a string inside a string ...: each level at least doubles the escapes.
_MAX_LEVELS: Final = 4
_MAX_FAULT: Final = 4096
# Four times the longest event; a Premium namespace may take messages of 100 MiB.
_MAX_SEARCHED: Final = 4 * MAX_EVENT_BYTES
_BEGINNINGS: Final = {
    b"\xff\xfe": "It begins as UTF-16 does.",
    b"\xfe\xff": "It begins as UTF-16 does.",
    b"\x1f\x8b": "It begins as gzip does.",
    b"<": "It begins as XML does.",
}
# The binding hands over text, in which this stands for bytes that are no UTF-8.
_DAMAGED: Final = "\ufffd".encode()
# What tells which event a broken text was. None of it is a secret.
_TELLING = re.compile(
    r'"(id|source|type|time|flowSetId|flowId|kind|revision|readinessStatus|roleGroupId|roleCode)"'
    r'[ \t\r\n]{0,8}:[ \t\r\n]{0,8}("[^"\\\x00-\x1f]{0,256}"|[0-9]{1,17})'
)


def letter_name(letter: QueueMessage) -> str:
    """Return where a dead letter is kept: by date, the same however often it is delivered."""
    return f"{_enqueued(letter):%Y/%m/%d/%H%M%S}-{letter.sequence_number}.json"


def _enqueued(letter: QueueMessage) -> datetime:
    """Return when it came to the queue; Functions gives that time without its zone, UTC."""
    return letter.enqueued.replace(tzinfo=letter.enqueued.tzinfo or UTC)


def record(letter: QueueMessage, archived: datetime, fault: str | None = None) -> dict[str, Any]:
    """Return what is kept of a dead letter. Nothing that may be a secret is.

    `fault` says what is wrong with it where that does not show by itself.

    Values of members with a telling name and texts that look like keys or tokens are hidden, and so
    is what is nested very deep. `body` is the JSON object or the array of objects that the message
    has, inside a JSON string and in binary mode, too. A body that is neither cannot be searched for
    secrets: `readable` has the few members of an event that are recognised in it, and else its size
    and its SHA-256 are kept.
    """
    properties = dict(letter.properties)
    body = _structure(letter)
    return {
        "archivedDateTime": archived.isoformat(),
        "messageId": redacted(letter.message_id),
        "sequenceNumber": letter.sequence_number,
        "enqueuedDateTime": _enqueued(letter).isoformat(),
        "deliveryCount": letter.delivery_count,
        "contentType": redacted(letter.content_type),
        "deadLetterReason": redacted(properties.pop("DeadLetterReason", None)),
        "deadLetterDescription": redacted(properties.pop("DeadLetterErrorDescription", None)),
        "fault": fault or fault_of(letter),
        "properties": redacted(properties),
        "bodyForm": letter.form,
        "body": None if body is None else redacted(body),
        "readable": redacted(_readable(letter.body)) if body is None else None,
        "bodySize": len(letter.body),
        "bodySha256": hashlib.sha256(letter.body).hexdigest(),
    }


def fault_of(letter: QueueMessage) -> str | None:
    """Say in a sentence or two what is wrong with a message; None where it is well-formed."""
    if letter.form is not BodyForm.DATA:
        return (
            f"The message has an AMQP {letter.form} body, which Azure Functions does not hand "
            "over; send the event as bytes, in an AMQP data body."
        )
    try:
        read_event(as_structured(letter.body, letter.properties, letter.content_type))
    except (InvalidEvent, NewerEvent) as exc:
        # It names members as their sender wrote them.
        return redacted_text(f"{exc} {_hint(letter.body)}".strip())[:_MAX_FAULT]
    return None


def _hint(body: bytes) -> str:
    """Say what a body looks like that is no JSON object."""
    value = _json(body)
    if isinstance(value, dict):
        return ""
    if isinstance(value, list):
        return "It is a JSON array; send one event a message."
    if not body.strip():
        return "It is empty."
    for beginning, hint in _BEGINNINGS.items():
        if body.startswith(beginning):
            return hint
    if _DAMAGED in body:
        return "It had bytes that are no UTF-8; size and hash are of the text that was left."
    return ""


def _structure(letter: QueueMessage) -> dict[str, Any] | list[Any] | None:
    """Return the objects in a body, as plain JSON that a search for secrets can go through."""
    body = letter.body
    if len(body) > _MAX_SEARCHED:
        return None
    # In binary mode the data alone is searched where it is no JSON.
    with contextlib.suppress(InvalidEvent):
        body = as_structured(body, letter.properties, letter.content_type)
    value = _json(body)
    for _ in range(_MAX_LEVELS):
        if isinstance(value, str):
            value = _json(value.encode(errors="backslashreplace"))
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return [_plain(each) for each in value]
    return _plain(value) if isinstance(value, dict) else None


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    """Return an object with what is in base64 as plain JSON, or without it."""
    if "data_base64" not in event:
        return event
    try:
        return with_plain_data(event)
    except InvalidEvent:
        return {**event, "data_base64": HIDDEN}


def _readable(body: bytes) -> dict[str, str]:
    """Return members of an event that can be recognised in a broken text, each as it was last."""
    found = _TELLING.finditer(body[:_MAX_SEARCHED].decode("utf-8", errors="replace"))
    return {match[1]: match[2].strip('"') for match in found}


def _json(body: bytes) -> Any:
    if opened(body) > MAX_EVENT_VALUES:
        return None
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
