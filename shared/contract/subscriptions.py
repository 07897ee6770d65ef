"""Subscriptions on the wire, and the notifications that are sent for them.

Members, limits and texts are those of Graph's pages on subscriptions and change notifications.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from marshmallow import ValidationError, fields, pre_load, validates_schema

from shared.contract.field_types import (
    FIELD_MESSAGES,
    AnyValue,
    Bool,
    EnumMember,
    Message,
    Text,
    cannot_convert,
    literal,
)
from shared.contract.loading import faults_of
from shared.contract.names import NAMESPACE, TYPE_MEMBER
from shared.contract.wire import Wire, instance
from shared.domain.errors import InvalidRequest
from shared.domain.flows import Stored
from shared.domain.ids import printed_time
from shared.domain.subscriptions import (
    ALL_FLOWS,
    CHANGE_TYPES,
    MAX_MINUTES,
    News,
    Resource,
    resource_of_set,
)

TYPE: Final = "#microsoft.graph.subscription"
SUBSCRIPTIONS: Final = "subscriptions"
MAX_CLIENT_STATE: Final = 255
MAX_URL: Final = 2048
_MAX_TIME: Final = 40


class Moment(fields.Field[datetime]):
    """Edm.DateTimeOffset, in the future and at most MAX_MINUTES ahead."""

    default_error_messages = FIELD_MESSAGES

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        moment = None
        if isinstance(value, str) and len(value) <= _MAX_TIME and "T" in value:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                moment = None
        if moment is None or moment.tzinfo is None:
            raise cannot_convert(value, "Edm.DateTimeOffset")
        now = datetime.now(UTC)
        if moment <= now:
            raise ValidationError(
                Message("InvalidValue", "expirationDateTime must be in the future.")
            )
        if moment > now + timedelta(minutes=MAX_MINUTES):
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"Subscription expiration can only be {MAX_MINUTES} minutes in the future.",
                )
            )
        return moment.astimezone(UTC)


class ChangeTypes(fields.Field[list[str]]):
    """Some of created, updated and deleted, joined by commas."""

    default_error_messages = FIELD_MESSAGES

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[str]:
        if not isinstance(value, str):
            raise cannot_convert(value, "Edm.String")
        given = [each.strip().lower() for each in value[:_MAX_TIME].split(",")]
        if len(value) > _MAX_TIME or not set(given) <= set(CHANGE_TYPES):
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"'{literal(value)}' is not made of {', '.join(CHANGE_TYPES)}, joined by "
                    "commas.",
                )
            )
        return [each for each in CHANGE_TYPES if each in given]


class ResourcePath(fields.Field[Resource]):
    """The path of the flows of one set, or of all sets."""

    default_error_messages = FIELD_MESSAGES

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Resource:
        if not isinstance(value, str):
            raise cannot_convert(value, "Edm.String")
        found = Resource.read(value) if len(value) <= MAX_URL else None
        if found is None:
            raise ValidationError(
                Message(
                    "InvalidValue",
                    f"Changes of '{literal(value)}' cannot be subscribed to; give "
                    f"{resource_of_set('{id}')}, or {ALL_FLOWS} for all flow sets.",
                )
            )
        return found


class _Subscription(Wire):
    odata_name = "subscription"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        unknown = self.error_messages["unknown"].replace(NAMESPACE, "microsoft.graph.")
        self.error_messages["unknown"] = Message("UnknownProperty", unknown)

    @pre_load
    def use_declared_names(self, data: Any, **kwargs: Any) -> Any:
        """Read the names in their declared case, without the one type that this can be."""
        named = super().use_declared_names(data, **kwargs)
        if isinstance(named, dict) and _is_own_type(named.get(TYPE_MEMBER)):
            named.pop(TYPE_MEMBER, None)
        return named

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def type_is_the_declared_one(self, data: Any, original: Any, **kwargs: Any) -> None:
        """Refuse an @odata.type that names something else."""
        if "odata_type" in data:
            raise ValidationError(
                Message("InvalidType", f"Expected '{TYPE}' here."),
                TYPE_MEMBER,
            )


class NewSubscription(_Subscription):
    """What a client gives to subscribe."""

    change_type = ChangeTypes(required=True, data_key="changeType")
    notification_url = Text(longest=MAX_URL, required=True, data_key="notificationUrl")
    lifecycle_notification_url = Text(
        longest=MAX_URL, allow_none=True, load_default=None, data_key="lifecycleNotificationUrl"
    )
    resource = ResourcePath(required=True)
    expiration = Moment(required=True, data_key="expirationDateTime")
    client_state = Text(
        longest=MAX_CLIENT_STATE, allow_none=True, load_default=None, data_key="clientState"
    )
    include_resource_data = Bool(allow_none=True, load_default=None, data_key="includeResourceData")
    latest_tls = EnumMember(
        "latestSupportedTlsVersion",
        ["v1_2", "v1_3"],
        allow_none=True,
        load_default="v1_2",
        data_key="latestSupportedTlsVersion",
    )
    application_id = AnyValue(data_key="applicationId", allow_none=True, load_only=True)
    creator_id = AnyValue(data_key="creatorId", allow_none=True, load_only=True)

    @validates_schema(skip_on_field_errors=False)
    def without_resource_data(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Resource data would have to be encrypted, which this service does not do."""
        if data.get("include_resource_data"):
            raise ValidationError(
                Message(
                    "InvalidValue",
                    "Notifications do not include resource data here: omit includeResourceData, "
                    "and read the flow when a notification names it.",
                ),
                "includeResourceData",
            )


class Renewal(_Subscription):
    """What a client gives to keep a subscription for longer."""

    expiration = Moment(required=True, data_key="expirationDateTime")


def _is_own_type(given: Any) -> bool:
    return given is None or (isinstance(given, str) and given.lower() == TYPE)


def load_subscription(body: Any, schema: type[Wire] = NewSubscription) -> dict[str, Any]:
    """Validate a body; return its values by snake_case name. Raises InvalidRequest."""
    try:
        loaded: dict[str, Any] = instance(schema).load(body)
    except ValidationError as exc:
        raise InvalidRequest(*faults_of(exc)) from exc
    return loaded


def stored_time(moment: datetime) -> str:
    """Return a moment in UTC as it is stored: with seven fractional digits, so that text sorts."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0Z"


def is_expired(stored: Stored) -> bool:
    """Tell whether a subscription is over."""
    return bool(stored["expirationDateTime"] <= stored_time(datetime.now(UTC)))


def subscription(stored: Stored, client_state: str | None = None) -> dict[str, Any]:
    """Print a subscription; its clientState only where it was just given."""
    return {
        "id": stored["id"],
        "resource": stored["resource"],
        "applicationId": stored["applicationId"],
        "changeType": stored["changeType"],
        "clientState": client_state,
        "notificationUrl": stored["notificationUrl"],
        "lifecycleNotificationUrl": stored["lifecycleNotificationUrl"],
        "expirationDateTime": printed_time(stored["expirationDateTime"]),
        "creatorId": stored["creatorId"],
        "includeResourceData": None,
        "latestSupportedTlsVersion": stored["latestSupportedTlsVersion"],
        "encryptionCertificate": None,
        "encryptionCertificateId": None,
        "notificationQueryOptions": None,
    }


def change_notification(
    stored: Stored, client_state: str | None, set_id: str, news: News
) -> dict[str, Any]:
    """Return what is sent for one change; a repeat of it has the same id."""
    path = f"{resource_of_set(set_id)}/{news.flow_id}"
    identity = f"{stored['id']} {news.flow_id} {news.key}"
    data = {"@odata.type": f"#{NAMESPACE}{news.kind}", "@odata.id": path, "id": news.flow_id}
    if news.status is not None:
        data["readinessStatus"] = news.status
    return {
        "id": hashlib.sha256(identity.encode()).hexdigest()[:32],
        **_about(stored, client_state),
        "changeType": news.change,
        "resource": path,
        "resourceData": data,
    }


def missed_notification(stored: Stored, client_state: str | None) -> dict[str, Any]:
    """Return what is sent where notifications of changes were given up."""
    return {**_about(stored, client_state), "lifecycleEvent": "missed"}


def _about(stored: Stored, client_state: str | None) -> dict[str, Any]:
    return {
        "subscriptionId": stored["id"],
        "subscriptionExpirationDateTime": printed_time(stored["expirationDateTime"]),
        "clientState": client_state,
        "tenantId": stored["tenantId"],
    }
