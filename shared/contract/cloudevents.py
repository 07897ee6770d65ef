"""Reads CloudEvents 1.0 in each form that a message may have, as one event in structured JSON.

Sources: the AMQP protocol binding 1.0.2 (binary mode) and the JSON format 1.0.2 (data_base64).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from marshmallow.exceptions import SCHEMA

from shared.contract.json_body import MAX_EVENT_VALUES, parse
from shared.domain.errors import InvalidEvent, UnreadableBody
from shared.domain.ids import as_guid

_BOM: Final = b"\xef\xbb\xbf"
_PREFIXES: Final = ("cloudEvents:", "cloudEvents_")
# The attributes that are read. Any number of extensions may stand beside them.
_ATTRIBUTES: Final = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "traceparent",
    "tenantid",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_structured(body: bytes, properties: Mapping[str, Any], content_type: str | None) -> bytes:
    """Return a message's event as structured JSON: unchanged, but for one in binary mode.

    In binary mode the attributes are application properties and the body is the data. Raises
    InvalidEvent where that is not JSON.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    attributes = {
        name: properties[prefix + name]
        for prefix in _PREFIXES
        for name in _ATTRIBUTES
        if prefix + name in properties
    }
    if "specversion" not in attributes or media_type.startswith("application/cloudevents"):
        return body
    if media_type not in ("", "application/json", "text/json") and not media_type.endswith("+json"):
        raise InvalidEvent(
            "The message is a CloudEvent in binary mode whose content type is not JSON; "
            "send the data as application/json."
        )
    try:
        parse(body, MAX_EVENT_VALUES)
    except UnreadableBody as exc:
        raise InvalidEvent(
            "The message is a CloudEvent in binary mode whose body is not JSON in UTF-8."
        ) from exc
    if "time" in attributes:
        attributes["time"] = _time(attributes["time"])
    # The data goes in as it came, so that a member that is repeated in it is still found.
    text = json.dumps(attributes, default=str).encode()
    return b'%s,"data":%s}' % (text[:-1], body.removeprefix(_BOM))


def in_words(faults: Mapping[Any, Any]) -> str:
    """Return what marshmallow found, nested by member, as one line for the event's sender."""
    return f"{'; '.join(_each_fault(faults, ''))}."


def _each_fault(faults: Mapping[Any, Any], place: str) -> Iterator[str]:
    for name, found in faults.items():
        path = place if name == SCHEMA else f"{place}.{name}".lstrip(".")
        if isinstance(found, Mapping):
            yield from _each_fault(found, path)
        else:
            yield f"{path}: {' '.join(found)}".removeprefix(": ").rstrip(".")


def with_plain_data(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with `data` in place of `data_base64`; raises InvalidEvent."""
    encoded = event["data_base64"]
    if "data" in event:
        raise InvalidEvent("The message has both data and data_base64; send one of the two.")
    try:
        if not isinstance(encoded, str):
            raise InvalidEvent("The message's data_base64 is not a string.")
        data = parse(base64.b64decode(encoded, validate=True), MAX_EVENT_VALUES)
    except (UnreadableBody, ValueError) as exc:
        raise InvalidEvent("The message's data_base64 is not JSON in base64.") from exc
    members = {name: value for name, value in event.items() if name != "data_base64"}
    return {**members, "data": data}


def tenant_named(body: bytes, most: int) -> str | None:
    """Return the tenant that a message names, even if it is no event; None where it names none.

    One of more than `most` bytes is not read.
    """
    try:
        value = parse(body, MAX_EVENT_VALUES) if len(body) <= most else None
    except UnreadableBody:
        return None
    named = value.get("tenantid") if isinstance(value, dict) else None
    return as_guid(named) if isinstance(named, str) else None


def tenant_of(named: str | None, tenants: Sequence[str]) -> str:
    """Return the tenant that an event is about, which may name none where one is served.

    Raises InvalidEvent.
    """
    if named in tenants:
        return str(named)
    if named is not None:
        raise InvalidEvent(
            f"The event names the tenant {named} in tenantid, which is not served here: "
            "AUTH_TENANTS holds those that are."
        )
    if len(tenants) > 1:
        raise InvalidEvent(
            "The event names no tenant, and several are served here: its sender has to set the "
            "attribute tenantid."
        )
    return tenants[0]


def _time(value: Any) -> Any:
    """Return an AMQP timestamp, which is in milliseconds, as text; all else as it is."""
    if type(value) is not int:
        return value
    try:
        return (_EPOCH + timedelta(milliseconds=value)).isoformat()
    except OverflowError:
        return value
