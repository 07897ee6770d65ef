"""The events on the readiness queue: CloudEvents 1.0 in JSON, written and read only here."""

from __future__ import annotations

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

from shared.contract.cloudevents import in_words, with_plain_data
from shared.contract.json_body import MAX_EVENT_VALUES, parse, repeated_members, write_json
from shared.contract.redaction import redacted_text
from shared.contract.schemas import FLOW_SCHEMAS
from shared.domain.catalog import ROLE_CODES, CatalogChange, is_role_group_id
from shared.domain.context import current_tenant, is_traceparent
from shared.domain.errors import InvalidEvent, NewerEvent, UnreadableBody
from shared.domain.flows import without_passwords
from shared.domain.ids import as_guid, microseconds, microseconds_of, passing_id
from shared.domain.readiness import CATALOG_CHANGED, MAY_SET, EventType, Position, Status

EVENT_VERSION = 3
"""The version of the events that are written here, in the extension attribute `dataversion`.

An event without one is of version 1, as a provisioning engine's are. Version 2 has `revisedAfter`
in a change of the catalog, and no configuration in a fresh request for a check. Version 3 names the
tenant in `tenantid`.
"""
_BEFORE_TENANTS = 2
ATTEMPTS_PROPERTY = "attempts"
"""The application property that counts how often a message was put back."""
ENQUEUED_PROPERTY = "enqueuedAt"
"""The application property that keeps when a message that was put back first came to the queue, in
microseconds since 1970 UTC, as text."""
CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "/industryData/provisioningService"
# A Standard queue takes 256 KiB a message. An event is put back with properties of ours, and has to
# fit again.
MAX_EVENT_BYTES = 255 * 1024
# Of a longer request the configuration is read from the store instead.
MAX_CHECK_BYTES = 128 * 1024
MAX_REASON = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ReadinessEvent:
    """One event about a flow. A request for a check has no `status`, a report no `configuration`.

    A request without a configuration is for a fresh check, which reads the flow and what it refers
    to from the store.
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
    traceparent: str | None
    tenant: str | None
    """Whose flow it is; None where the event does not say."""
    before_tenants: bool
    """Whether a release before 1.1 wrote it, which knew no tenants."""


@dataclass(frozen=True)
class CatalogChanged:
    """A role group or the definition of a role has changed: flows that use it are to be checked.

    Those in sets up to the id `after` have been found already. Only those are meant whose revision
    is of a later time than `revised_after`, in microseconds since 1970 UTC.
    """

    id: str
    change: CatalogChange
    after: str = ""
    revised_after: int = 0
    traceparent: str | None = None
    tenant: str | None = None
    before_tenants: bool = False


@dataclass(frozen=True)
class Message:
    """An event ready to be sent: its id (also the queue's key for duplicates) and its bytes.

    `delay` is in seconds. `attempts` counts how often it was put back because the store was away;
    `enqueued_at` is then when it first came to the queue, in microseconds since 1970 UTC.
    """

    id: str
    body: bytes
    traceparent: str | None = None
    delay: float = 0.0
    attempts: int = 0
    enqueued_at: int | None = None


def check_request(
    set_id: str,
    kind: str,
    flow: Mapping[str, Any],
    *,
    fresh: bool = False,
    traceparent: str | None = None,
) -> Message:
    """Request a readiness check of a stored flow as it is now.

    The configuration is part of the event, without its passwords, so that the check needs no read;
    the revision makes sure that nothing is decided from a configuration that has changed since. The
    event's time is that of the revision, however often the check is requested. A `fresh` check,
    requested after a change of what the flow refers to, reads everything and is an event of its
    own time.
    """
    data: dict[str, Any] = {
        "flowSetId": set_id,
        "flowId": flow["id"],
        "kind": kind,
        "revision": flow["revision"],
    }
    if fresh:
        at = microseconds()
        return _message(EventType.CHECK_REQUESTED, _subject(data), data, at, traceparent)
    at = flow["revisedAt"]
    whole = {**data, "configuration": without_passwords(flow["configuration"])}
    message = _message(EventType.CHECK_REQUESTED, _subject(data), whole, at, traceparent)
    if len(message.body) <= MAX_CHECK_BYTES:
        return message
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
    change: CatalogChange,
    *,
    after: str = "",
    revised_after: int = 0,
    delay: float = 0.0,
    traceparent: str | None = None,
) -> Message:
    """Announce a change of the catalog; `delay` is in seconds, the rest as in CatalogChanged."""
    data = {
        "roleGroupId": change.role_group,
        "roleCode": change.role_code,
        "after": after,
        "revisedAfter": _printed(revised_after) if revised_after else None,
    }
    data = {name: value for name, value in data.items() if value}
    subject = change.role_group or change.role_code or ""
    message = _message(CATALOG_CHANGED, subject, data, microseconds(), traceparent)
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
    event_id = passing_id()
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": event_type,
        "subject": subject,
        "time": _printed(at),
        "datacontenttype": "application/json",
        "dataversion": EVENT_VERSION,
        **({"tenantid": tenant} if (tenant := current_tenant.get()) is not None else {}),
        **({"traceparent": traceparent} if traceparent is not None else {}),
        "data": data,
    }
    body = write_json(event)
    return Message(event_id, body, traceparent)


def _printed(at: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


# --- reading -----------------------------------------------------------------------------------


class _Guid(fields.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        guid = as_guid(super()._deserialize(value, attr, data, **kwargs))
        if guid is None:
            raise ValidationError("Must be a GUID.")
        return guid


class _Time(fields.AwareDateTime):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        # RFC 3339 allows "t" and "z".
        text = value.upper() if isinstance(value, str) else value
        return super()._deserialize(text, attr, data, **kwargs)


class _RoleGroupId(fields.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        group: str = super()._deserialize(value, attr, data, **kwargs).lower()
        if not is_role_group_id(group):
            raise ValidationError("Must be a GUID or a built-in role group.")
        return group


class _Data(Schema):
    class Meta:
        unknown = EXCLUDE  # members that a later version of a sender adds


class _AboutFlow(_Data):
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


class _CatalogChanged(_Data):
    role_group = _RoleGroupId(load_default=None, data_key="roleGroupId")
    role_code = fields.String(
        load_default=None, data_key="roleCode", validate=validate.OneOf(ROLE_CODES)
    )
    after = _Guid(load_default="")
    revised_after = _Time(load_default=None, data_key="revisedAfter", format="iso")

    @validates_schema
    def one_of_the_two(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        if (data["role_group"] is None) == (data["role_code"] is None):
            raise ValidationError("Give roleGroupId or roleCode, one of the two.")


class _Envelope(Schema):
    class Meta:
        unknown = EXCLUDE  # extension attributes, which CloudEvents allows any producer to add

    specversion = fields.String(required=True, validate=validate.Equal("1.0"))
    id = fields.String(required=True, validate=validate.Length(1, 128))
    source = fields.String(required=True, validate=validate.Length(1, 1024))
    type = fields.String(required=True, validate=validate.OneOf([*EventType, CATALOG_CHANGED]))
    time = _Time(format="iso", required=True)
    data = fields.Dict(required=True)
    traceparent = fields.String(load_default=None)
    tenantid = _Guid(load_default=None)


_ENVELOPE = _Envelope()
_DATA: dict[str, Schema] = {
    EventType.CHECK_REQUESTED: _CheckRequested(),
    EventType.REPORTED: _Reported(),
    CATALOG_CHANGED: _CatalogChanged(),
}


def read_event(body: bytes, enqueued_at: int | None = None) -> ReadinessEvent | CatalogChanged:
    """Parse a queue message; raises InvalidEvent with every fault, for its sender.

    A time after `enqueued_at` counts as that: the clock of its sender runs ahead. It is in
    microseconds since 1970 UTC; None means now. Raises NewerEvent for an event of a version after
    EVENT_VERSION, whatever else it has.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise InvalidEvent(f"The message has {len(body)} bytes; send at most {MAX_EVENT_BYTES}.")
    try:
        value = parse(body, MAX_EVENT_VALUES)
    except UnreadableBody as exc:
        raise InvalidEvent(
            "The message is not JSON in UTF-8, or it holds more than "
            f"{MAX_EVENT_VALUES} objects and arrays."
        ) from exc
    if isinstance(value, str):
        raise InvalidEvent("The message is JSON inside a JSON string; send the object itself.")
    if repeated := repeated_members(value):
        raise InvalidEvent(f"The message has a member more than once: {', '.join(repeated[:5])}.")
    if isinstance(value, dict) and "data_base64" in value:
        value = with_plain_data(value)
        if repeated := repeated_members(value["data"]):
            raise InvalidEvent(f"The data has a member more than once: {', '.join(repeated[:5])}.")
    faults: dict[Any, Any] = {}
    version = value.get("dataversion") if isinstance(value, dict) else None
    if type(version) is int and version > EVENT_VERSION:
        raise NewerEvent(version)
    event: dict[str, Any] = _loaded(_ENVELOPE, value, faults)
    schema = _DATA.get(str(value.get("type"))) if isinstance(value, dict) else None
    about: dict[str, Any] = {}
    if schema is not None and isinstance(value.get("data"), dict):
        inner: dict[Any, Any] = {}
        about = _loaded(schema, value["data"], inner)
        faults |= {"data": inner} if inner else {}
    if faults:
        raise InvalidEvent(f"The message is not a readiness event: {in_words(faults)}")
    traceparent = event["traceparent"]
    if traceparent is not None and not is_traceparent(traceparent):
        traceparent = None
    if event["type"] == CATALOG_CHANGED:
        change = CatalogChange(about["role_group"], about["role_code"])
        since = about["revised_after"]
        revised_after = 0 if since is None else microseconds_of(since)
        return CatalogChanged(
            event["id"],
            change,
            about["after"],
            revised_after,
            traceparent,
            event["tenantid"],
            version == _BEFORE_TENANTS,
        )
    status = about.get("status")
    latest = microseconds() if enqueued_at is None else enqueued_at
    return ReadinessEvent(
        id=event["id"],
        type=EventType(event["type"]),
        position=Position(
            min(microseconds_of(event["time"]), latest),
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['source']} {event['id']}")),
        ),
        flow_set_id=about["flow_set_id"],
        flow_id=about["flow_id"],
        kind=about["kind"],
        revision=about["revision"],
        # Version 1 marked the request for a fresh check, and sent the configuration with it.
        configuration=None if about.get("fresh") else about.get("configuration"),
        status=None if status is None else Status(status),
        reason=_cleaned(about.get("reason")),
        traceparent=traceparent,
        tenant=event["tenantid"],
        before_tenants=version == _BEFORE_TENANTS,
    )


def _cleaned(reason: str | None) -> str | None:
    """Make a reason fit to be shown: without control characters, and without keys and tokens."""
    if reason is None:
        return None
    return redacted_text("".join(c if c.isprintable() else " " for c in reason)).strip() or None


def _loaded(schema: Schema, value: Any, faults: dict[Any, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(value)
    except ValidationError as exc:
        faults.update(exc.normalized_messages())
        return {}
    return loaded
