"""The events on the readiness queue: CloudEvents 1.0 in JSON, written and read here alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from shared.errors import InvalidEvent
from shared.flows import without_passwords
from shared.ids import as_guid
from shared.readiness import MAY_SET, EventType, Position, Status
from shared.schemas import FLOW_SCHEMAS

CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "/industryData/provisioningService"
# A Standard queue takes 256 KiB a message; a longer configuration is read from the store instead.
MAX_CONFIGURATION_BYTES = 128 * 1024
MAX_REASON = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ReadinessEvent:
    """One readable event. A request for a check has no `status`, a report no `configuration`."""

    id: str
    type: EventType
    position: Position
    flow_set_id: str
    flow_id: str
    kind: str
    revision: int
    configuration: Mapping[str, Any] | None
    status: Status | None
    reason: str | None


@dataclass(frozen=True)
class Message:
    """An event ready to be sent: its id (also the queue's key for duplicates) and its bytes."""

    id: str
    body: bytes


def check_request(set_id: str, kind: str, flow: Mapping[str, Any]) -> Message:
    """Ask for a readiness check of a stored flow as it is now.

    The configuration travels along without its passwords, so that the check needs no read; the
    revision makes sure that nothing is decided from a configuration that has changed since.
    """
    data: dict[str, Any] = {
        "flowSetId": set_id,
        "flowId": flow["id"],
        "kind": kind,
        "revision": flow["revision"],
    }
    configuration = without_passwords(flow["configuration"])
    if len(json.dumps(configuration, ensure_ascii=False).encode()) <= MAX_CONFIGURATION_BYTES:
        data["configuration"] = configuration
    return _message(EventType.CHECK_REQUESTED, data)


def report(
    set_id: str, kind: str, flow_id: str, revision: int, status: str, reason: str | None = None
) -> Message:
    """Make the event by which a provisioning engine reports a flow's status."""
    data: dict[str, Any] = {
        "flowSetId": set_id,
        "flowId": flow_id,
        "kind": kind,
        "revision": revision,
        "readinessStatus": status,
    }
    if reason is not None:
        data["reason"] = reason
    return _message(EventType.REPORTED, data)


def _message(event_type: EventType, data: Mapping[str, Any]) -> Message:
    event_id = str(uuid.uuid4())
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": event_type,
        "subject": f"outboundProvisioningFlowSets/{data['flowSetId']}"
        f"/provisioningFlows/{data['flowId']}",
        "time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
    return Message(event_id, json.dumps(event, ensure_ascii=False).encode())


# --- reading -----------------------------------------------------------------------------------


class _Guid(fields.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        guid = as_guid(super()._deserialize(value, attr, data, **kwargs))
        if guid is None:
            raise ValidationError("Must be a GUID.")
        return guid


class _About(Schema):
    flow_set_id = _Guid(required=True, data_key="flowSetId")
    flow_id = _Guid(required=True, data_key="flowId")
    kind = fields.String(required=True, validate=validate.OneOf(list(FLOW_SCHEMAS)))
    revision = fields.Integer(required=True, strict=True, validate=validate.Range(1, 2**53))
    configuration = fields.Dict(load_default=None)
    status = fields.Enum(Status, by_value=True, load_default=None, data_key="readinessStatus")
    reason = fields.String(
        allow_none=True, load_default=None, validate=validate.Length(max=MAX_REASON)
    )


class _Event(Schema):
    class Meta:
        unknown = EXCLUDE  # extension attributes, such as traceparent

    specversion = fields.String(required=True, validate=validate.Equal("1.0"))
    id = fields.String(required=True, validate=validate.Length(1, 128))
    source = fields.String(required=True, validate=validate.Length(1, 1024))
    type = fields.Enum(EventType, by_value=True, required=True)
    time = fields.AwareDateTime(format="iso", required=True)
    data = fields.Nested(_About, required=True)

    @validates_schema
    def status_fits_type(self, event: Mapping[str, Any], **kwargs: Any) -> None:
        status = event["data"]["status"]
        reported = event["type"] is EventType.REPORTED
        if not reported and status is not None:
            raise ValidationError("A request for a check sets no status.", "data.readinessStatus")
        if reported and status not in MAY_SET[EventType.REPORTED]:
            allowed = ", ".join(sorted(MAY_SET[EventType.REPORTED]))
            raise ValidationError(f"A report says one of {allowed}.", "data.readinessStatus")


_EVENT = _Event()


def read_event(body: bytes) -> ReadinessEvent:
    """Parse a queue message; raises InvalidEvent with every fault, for whoever sent it."""
    try:
        value = json.loads(body.decode())
        if b"\\u" in body:
            # Half of a surrogate pair can be escaped in JSON, but neither stored nor hashed.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise InvalidEvent("The message is not JSON in UTF-8.") from exc
    try:
        event = _EVENT.load(value)
    except ValidationError as exc:
        faults = json.dumps(exc.normalized_messages())
        raise InvalidEvent(f"The message is not a readiness event: {faults}") from exc
    about = event["data"]
    return ReadinessEvent(
        id=event["id"],
        type=event["type"],
        position=Position(
            (event["time"] - _EPOCH) // timedelta(microseconds=1),
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['source']} {event['id']}")),
        ),
        flow_set_id=about["flow_set_id"],
        flow_id=about["flow_id"],
        kind=about["kind"],
        revision=about["revision"],
        configuration=about["configuration"],
        status=about["status"],
        reason=about["reason"],
    )
