"""The events on the readiness queue: CloudEvents 1.0 in JSON, written and read here alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import (
    EXCLUDE,
    Schema,
    ValidationError,
    fields,
    validate,
    validates_schema,
)

from shared import trace
from shared.contract.json_body import write_json
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.catalog import ROLE_CODES
from shared.domain.errors import InvalidEvent
from shared.domain.flows import without_passwords
from shared.domain.ids import as_guid, microseconds, new_id
from shared.domain.readiness import CATALOG_CHANGED, MAY_SET, EventType, Position, Status

ATTEMPTS_PROPERTY = "attempts"
"""The application property that counts how often a message was put back."""
CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "/industryData/provisioningService"
# A Standard queue takes 256 KiB a message. An event is put back with properties of ours, and has to
# fit again.
MAX_EVENT_BYTES = 255 * 1024
# A longer configuration is read from the store instead.
MAX_CONFIGURATION_BYTES = 128 * 1024
MAX_REASON = 1024
MAX_CLOCK_SKEW = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ReadinessEvent:
    """One event about a flow. A request for a check has no `status`, a report no `configuration`.

    `fresh` says that what the flow refers to has changed: a check must not trust what it knows.
    """

    id: str
    type: EventType
    position: Position
    flow_set_id: str
    flow_id: str
    kind: str
    revision: int | None
    configuration: Mapping[str, Any] | None
    status: Status | None
    reason: str | None
    fresh: bool
    traceparent: str | None


@dataclass(frozen=True)
class CatalogChanged:
    """A role group or the definition of a role is not what it was: flows that use it are due.

    Those in sets up to the id `after` have been asked for already.
    """

    id: str
    role_group: str | None
    role_code: str | None
    after: str
    traceparent: str | None


@dataclass(frozen=True)
class Message:
    """An event ready to be sent: its id (also the queue's key for duplicates) and its bytes.

    `delay` is in seconds. `attempts` counts how often it was put back because the store was away.
    """

    id: str
    body: bytes
    traceparent: str | None = None
    delay: float = 0.0
    attempts: int = 0


def check_request(
    set_id: str,
    kind: str,
    flow: Mapping[str, Any],
    *,
    fresh: bool = False,
    traceparent: str | None = None,
) -> Message:
    """Ask for a readiness check of a stored flow as it is now.

    The configuration travels along without its passwords, so that the check needs no read; the
    revision makes sure that nothing is decided from a configuration that has changed since. The
    event's time is that of the revision, however often it is asked: whatever an engine has
    reported about the revision counts more. Only a `fresh` check, which a change of the
    surroundings asks for, is an event of its own time.
    """
    data: dict[str, Any] = {
        "flowSetId": set_id,
        "flowId": flow["id"],
        "kind": kind,
        "revision": flow["revision"],
    }
    if fresh:
        data["fresh"] = True
    configuration = without_passwords(flow["configuration"])
    if len(write_json(configuration)) <= MAX_CONFIGURATION_BYTES:
        data["configuration"] = configuration
    at = microseconds() if fresh else flow["revisedAt"]
    return _message(EventType.CHECK_REQUESTED, _subject(data), data, at, traceparent)


def report(
    set_id: str,
    kind: str,
    flow_id: str,
    status: str,
    *,
    revision: int | None = None,
    reason: str | None = None,
) -> Message:
    """Make the event by which a provisioning engine reports a flow's status."""
    data: dict[str, Any] = {
        "flowSetId": set_id,
        "flowId": flow_id,
        "kind": kind,
        "readinessStatus": status,
    }
    if revision is not None:
        data["revision"] = revision
    if reason is not None:
        data["reason"] = reason
    return _message(EventType.REPORTED, _subject(data), data, microseconds())


def catalog_changed(
    *,
    role_group: str | None = None,
    role_code: str | None = None,
    after: str = "",
    delay: float = 0.0,
    traceparent: str | None = None,
) -> Message:
    """Say that a role group or the definition of a role changed; `delay` is in seconds."""
    data = {"roleGroupId": role_group} if role_group is not None else {"roleCode": role_code}
    (subject,) = data.values()
    if after:
        data["after"] = after
    message = _message(CATALOG_CHANGED, str(subject), data, microseconds(), traceparent)
    return replace(message, delay=delay)


def _subject(data: Mapping[str, Any]) -> str:
    return f"outboundProvisioningFlowSets/{data['flowSetId']}/provisioningFlows/{data['flowId']}"


def _message(
    event_type: str,
    subject: str,
    data: Mapping[str, Any],
    at: int,
    traceparent: str | None = None,
) -> Message:
    event_id = new_id()
    moment = _EPOCH + timedelta(microseconds=at)
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": event_type,
        "subject": subject,
        "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        **({"traceparent": traceparent} if traceparent is not None else {}),
        "data": data,
    }
    body = write_json(event)
    return Message(event_id, body, traceparent)


# --- reading -----------------------------------------------------------------------------------


class _Guid(fields.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        guid = as_guid(super()._deserialize(value, attr, data, **kwargs))
        if guid is None:
            raise ValidationError("Must be a GUID.")
        return guid


class _AboutFlow(Schema):
    flow_set_id = _Guid(required=True, data_key="flowSetId")
    flow_id = _Guid(required=True, data_key="flowId")
    kind = fields.String(required=True, validate=validate.OneOf(list(FLOW_SCHEMAS)))


_REVISION = validate.Range(1, 2**53)


class _CheckRequested(_AboutFlow):
    revision = fields.Integer(required=True, strict=True, validate=_REVISION)
    configuration = fields.Dict(load_default=None)
    fresh = fields.Boolean(load_default=False, truthy={True}, falsy={False})


class _Reported(_AboutFlow):
    revision = fields.Integer(strict=True, allow_none=True, load_default=None, validate=_REVISION)
    status = fields.String(
        required=True,
        data_key="readinessStatus",
        validate=validate.OneOf(sorted(MAY_SET[EventType.REPORTED])),
    )
    reason = fields.String(
        allow_none=True, load_default=None, validate=validate.Length(max=MAX_REASON)
    )


class _CatalogChanged(Schema):
    role_group = fields.String(
        load_default=None, data_key="roleGroupId", validate=validate.Length(1, 64)
    )
    role_code = fields.String(
        load_default=None, data_key="roleCode", validate=validate.OneOf(ROLE_CODES)
    )

    after = _Guid(load_default="")

    @validates_schema
    def one_of_the_two(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        if (data["role_group"] is None) == (data["role_code"] is None):
            raise ValidationError("Give roleGroupId or roleCode, one of the two.")


class _Envelope(Schema):
    class Meta:
        unknown = EXCLUDE  # extension attributes, which CloudEvents lets anyone add

    specversion = fields.String(required=True, validate=validate.Equal("1.0"))
    id = fields.String(required=True, validate=validate.Length(1, 128))
    source = fields.String(required=True, validate=validate.Length(1, 1024))
    type = fields.String(required=True, validate=validate.OneOf([*EventType, CATALOG_CHANGED]))
    time = fields.AwareDateTime(format="iso", required=True)
    data = fields.Dict(required=True)
    traceparent = fields.String(load_default=None)


_ENVELOPE = _Envelope()
_DATA: dict[str, Schema] = {
    EventType.CHECK_REQUESTED: _CheckRequested(),
    EventType.REPORTED: _Reported(),
    CATALOG_CHANGED: _CatalogChanged(),
}


def read_event(body: bytes, now: datetime | None = None) -> ReadinessEvent | CatalogChanged:
    """Parse a queue message; raises InvalidEvent with every fault, for whoever sent it.

    `now` is the present time where it is not the clock's.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise InvalidEvent(f"The message is larger than {MAX_EVENT_BYTES} bytes.")
    try:
        value = json.loads(body.decode())
        if b"\\u" in body:
            # Half of a surrogate pair can be escaped in JSON, but neither stored nor hashed.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise InvalidEvent("The message is not JSON in UTF-8.") from exc
    faults: dict[Any, Any] = {}
    event: dict[str, Any] = _loaded(_ENVELOPE, value, faults)
    if "time" in event and event["time"] - (now or datetime.now(UTC)) > MAX_CLOCK_SKEW:
        # The newest event counts: one from a clock that runs ahead would silence all others.
        faults["time"] = ["The time lies in the future; set the sender's clock."]
    schema = _DATA.get(str(value.get("type"))) if isinstance(value, dict) else None
    about: dict[str, Any] = {}
    if schema is not None and isinstance(value.get("data"), dict):
        inner: dict[Any, Any] = {}
        about = _loaded(schema, value["data"], inner)
        faults |= {"data": inner} if inner else {}
    if faults:
        raise InvalidEvent(f"The message is not a readiness event: {json.dumps(faults)}")
    traceparent = event["traceparent"]
    if traceparent is not None and not trace.is_traceparent(traceparent):
        traceparent = None
    if event["type"] == CATALOG_CHANGED:
        return CatalogChanged(
            event["id"], about["role_group"], about["role_code"], about["after"], traceparent
        )
    status = about.get("status")
    return ReadinessEvent(
        id=event["id"],
        type=EventType(event["type"]),
        position=Position(
            (event["time"] - _EPOCH) // timedelta(microseconds=1),
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['source']} {event['id']}")),
        ),
        flow_set_id=about["flow_set_id"],
        flow_id=about["flow_id"],
        kind=about["kind"],
        revision=about["revision"],
        configuration=about.get("configuration"),
        status=None if status is None else Status(status),
        reason=about.get("reason"),
        fresh=about.get("fresh", False),
        traceparent=traceparent,
    )


def _loaded(schema: Schema, value: Any, faults: dict[Any, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(value)
    except ValidationError as exc:
        faults.update(exc.normalized_messages())
        return {}
    return loaded
