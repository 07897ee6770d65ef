"""Between the bytes of AMQP messages and the queues, which look into none of them."""

from __future__ import annotations

import uuid
from typing import Any

from .codec import (
    PROPERTIES,
    AmqpDecodeError,
    Described,
    Int,
    Long,
    Sections,
    Symbol,
    Timestamp,
    ULong,
    build_message,
    decode,
    encode,
    map_items,
    map_merge,
    parse_message,
    rebuild_message,
)
from .queues import Edit, Lock, Message, Queue

# Azure keeps system and application properties of a message in one stream of this size.
MAX_PROPERTIES_SIZE = 64 * 1024

NO_SENDING = "Nothing can be sent to a dead-letter queue: send to its queue, or dead-letter there."

_EXPIRY = 8  # absolute-expiry-time among the fields of the properties section
_SCHEDULED = "x-opt-scheduled-enqueue-time"


class TooLargeError(Exception):
    """A message is over a limit of its queue; the text says which."""


def check_size(content: bytes, limit: int, envelope: int = 0) -> None:
    """Raise TooLargeError if a message or batch has more than `limit` bytes.

    In a request it may have an `envelope` of so many bytes more.
    """
    if len(content) > limit + envelope:
        raise TooLargeError(f"A message or batch may have {limit} bytes: send less.")


def read(content: bytes) -> Sections:
    """Cut an incoming message into sections; AmqpDecodeError if the queue could not hand it on.

    TooLargeError if its properties are too large.
    """
    sections = parse_message(content)
    properties = sections.annotations, sections.properties, sections.application
    if sum(map(len, properties)) > MAX_PROPERTIES_SIZE:
        raise TooLargeError(
            f"The properties of a message may have {MAX_PROPERTIES_SIZE} bytes: put it in the body."
        )
    message_key(sections)
    due_at(sections)
    return sections


def send(queue: Queue, content: bytes, sections: Sections) -> int:
    """Put a message that was read into the queue; its sequence number, 0 for a duplicate.

    One without an id gets one, as Azure gives it: JavaScript's SDK cannot settle without. The time
    at which it expires is no later than its queue allows.
    """
    key, ttl, due = message_key(sections), queue.clip(sections.ttl), due_at(sections)
    fields = sections.property_fields()
    if key is None:
        fields[0] = uuid.uuid4().hex
    if isinstance(fields[_EXPIRY], Timestamp) and ttl is not None:
        fields[_EXPIRY] = Timestamp(min(fields[_EXPIRY], queue.starts_at(due) + ttl))
    if fields != sections.property_fields():
        sections.properties = encode(Described(ULong(PROPERTIES), fields))
        content = rebuild_message(sections)
    return queue.send(content, message_id=key, ttl=ttl, due_at=due)


def message_key(sections: Sections) -> str | None:
    """The message id as text that differs for different ids: "1" and 1 are two ids."""
    message_id = sections.property_fields()[0]
    if message_id is None:
        return None
    if isinstance(message_id, bytes):
        return f"binary {message_id.hex()}"
    if isinstance(message_id, (str, int, uuid.UUID)):
        return f"{type(message_id).__name__} {message_id}"
    raise AmqpDecodeError("message-id must be a string, uuid, ulong or binary")


def due_at(sections: Sections) -> int | None:
    """When a scheduled message is to become active, in milliseconds since 1970."""
    for key, value in map_items(sections.annotations):
        if key == _SCHEDULED:
            when = decode(value)[0]
            if when is None or isinstance(when, Timestamp):
                return when
            raise AmqpDecodeError(f"{_SCHEDULED} must be a timestamp")
    return None


def deliver(message: Message, lock: Lock | None) -> bytes:
    """The bytes of a stored message for a receiver; `lock` is None for a peek or a removal."""
    sections = parse_message(message.content)
    sections.ttl = message.ttl
    annotations: dict[Any, bytes | None] = {
        Symbol("x-opt-sequence-number"): encode(Long(message.sequence)),
        Symbol("x-opt-enqueued-time"): encode(Timestamp(message.enqueued_at)),
        Symbol("x-opt-enqueue-sequence-number"): encode(Long(message.enqueued_sequence)),
        Symbol("x-opt-message-state"): encode(Int(message.state)),
        # None takes out what a message that is sent on brought with it.
        Symbol("x-opt-locked-until"): encode(Timestamp(lock.until)) if lock else None,
    }
    sections.annotations = map_merge(sections.annotations, annotations)
    reasons = {
        "DeadLetterReason": message.reason,
        "DeadLetterErrorDescription": message.description,
    }
    added: dict[Any, bytes | None] = {
        key: encode(text) for key, text in reasons.items() if text is not None
    }
    if added:
        sections.application = map_merge(sections.application, added)
    token = encode({Symbol("x-opt-lock-token"): lock.token}) if lock else b""
    return build_message(sections, message.delivery_count, token)


def property_edit(changes: dict[Any, Any]) -> Edit | None:
    """An edit that sets application properties of a message, or None if there are none to set."""
    if not changes:
        return None
    encoded: dict[Any, bytes | None] = {str(key): encode(item) for key, item in changes.items()}

    def edit(content: bytes) -> bytes:
        sections = parse_message(content)
        sections.application = map_merge(sections.application, encoded)
        return rebuild_message(sections)

    return edit
