"""A received message in the form in which extension 5.x hands it to the Python worker."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

_EPOCH = datetime(1970, 1, 1)
#: the largest .NET time, which means "never"
_NEVER = "9999-12-31T23:59:59.9999999"
#: sent as text, the others as JSON
_STRINGS = frozenset(
    {
        "MessageId",
        "ContentType",
        "CorrelationId",
        "Subject",
        "Label",
        "ReplyTo",
        "ReplyToSessionId",
        "To",
        "SessionId",
        "PartitionKey",
        "TransactionPartitionKey",
        "DeadLetterSource",
        "LockToken",
    }
)
#: json.dumps with options makes an encoder at each call
_json = json.JSONEncoder(ensure_ascii=False).encode
#: a time as `_times` writes it, without a zone
_PLAIN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?")
_LONGEST_TIME = len("2000-01-01T00:00:00.000000")


class Timestamp(int):
    """An AMQP timestamp, milliseconds since 1970."""


class Converter(ServiceBusMessageInConverter, binding=None):
    """The library's own converter, but for times without a zone, which it is slow to read.

    It tries thirteen formats on each until one fits: 0.4 ms of CPU a message.
    """

    @classmethod
    def _parse_datetime(cls, datetime_str: str | None) -> datetime | None:
        if datetime_str and _PLAIN_TIME.fullmatch(datetime_str):
            return datetime.fromisoformat(datetime_str[:_LONGEST_TIME])
        return super()._parse_datetime(datetime_str)


class UnreadableBody(Exception):
    """The body is an AMQP value or sequence that the extension does not hand over either."""


def read_body(message: ServiceBusReceivedMessage) -> bytes:
    """The bytes of a message; raises UnreadableBody."""
    # Not above: the worker process uses this module too, and starts without the SDK.
    from azure.servicebus.amqp import AmqpMessageBodyType

    if message.body_type == AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    value = message.body if message.body_type == AmqpMessageBodyType.VALUE else None
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise UnreadableBody("its body is neither binary data nor an AMQP string")


def _plain(value: Any) -> Any:
    """One application property as JSON: the SDK gives strings and names as bytes.

    A timestamp is text, as .NET writes a DateTime.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, Timestamp):
        with suppress(OverflowError):
            moment = _EPOCH + timedelta(milliseconds=value)
            return moment.isoformat(timespec="milliseconds").rstrip("0").rstrip(".") + "Z"
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def application_properties(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    """The application properties with text names and JSON values."""
    given = message.application_properties or {}
    return {str(_plain(name)): _plain(value) for name, value in given.items()}


def _times(name: str, moment: datetime | None) -> dict[str, str]:
    """Both forms the extension sends: name+"Utc" without a zone, and the name with one."""
    if moment is None:
        return {f"{name}Utc": _NEVER, name: f"{_NEVER}+00:00"}
    moment = moment.astimezone(UTC)
    return {
        f"{name}Utc": moment.replace(tzinfo=None).isoformat(),
        name: moment.isoformat(),
    }


def _row(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    """The metadata of one message; entries without a value are None."""
    properties = application_properties(message)
    text = {
        "DeadLetterSource": message.dead_letter_source,
        "LockToken": message.lock_token,
        "MessageId": message.message_id,
        "ContentType": message.content_type,
        "ReplyTo": message.reply_to,
        "To": message.to,
        "Subject": message.subject,
        "Label": message.subject,
        "CorrelationId": message.correlation_id,
        "SessionId": message.session_id,
        "ReplyToSessionId": message.reply_to_session_id,
        "PartitionKey": message.partition_key,
    }
    return {
        # .NET counts deliveries from 1, AMQP counts the failed ones before this.
        "DeliveryCount": (message.delivery_count or 0) + 1,
        "SequenceNumber": message.sequence_number,
        **_times("ExpiresAt", message.expires_at_utc),
        **_times("EnqueuedTime", message.enqueued_time_utc),
        "ApplicationProperties": properties,
        "UserProperties": properties,
        **{name: None if value is None else str(_plain(value)) for name, value in text.items()},
    }


def one(message: ServiceBusReceivedMessage, binary: bool) -> tuple[Datum, dict[str, Datum]]:
    """Value and metadata for a function; raises UnreadableBody."""
    body = read_body(message)
    metadata = {
        name: Datum(value, "string") if name in _STRINGS else Datum(_json(value), "json")
        for name, value in _row(message).items()
        if value is not None
    }
    if binary:
        return Datum(body, "bytes"), metadata
    # Without dataType=binary the host hands over text: bytes that are no UTF-8 are damaged.
    return Datum(body.decode("utf-8", "replace"), "string"), metadata
