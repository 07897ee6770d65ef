"""The types of subscriptions, which are not of industryData, in the description."""

from __future__ import annotations

from typing import Any, Final

from shared.contract.subscriptions import MAX_CLIENT_STATE, MAX_URL, TYPE
from shared.description.json_schema import (
    ANY,
    COLLECTION,
    CONTEXT,
    COUNT,
    GUID,
    NULLABLE_TEXT,
    TEXT,
    TIME,
    a_reference,
    a_text,
    an_array,
    an_object,
    nullable,
)

SUBSCRIPTION: Final = TYPE.removeprefix("#")
_NULLABLE_TIME: Final = nullable(TIME)
_URL: Final = a_text(MAX_URL)
# What clients may send along and the service does not look at.
_IGNORED: Final = {"patternProperties": {"^(id|applicationId|creatorId)$|@": ANY}}
_CHANGES: Final = {
    **TEXT,
    "description": "Some of created, updated and deleted, joined by commas.",
}
_RESOURCE: Final = {**TEXT, "description": "The path of the flows of one set, or of all sets."}

SUBSCRIPTION_TYPES: Final[dict[str, Any]] = {
    SUBSCRIPTION: an_object(
        {
            **CONTEXT,
            "id": GUID,
            "resource": _RESOURCE,
            "applicationId": NULLABLE_TEXT,
            "changeType": _CHANGES,
            "clientState": {**NULLABLE_TEXT, "description": "Given back to the create only."},
            "notificationUrl": TEXT,
            "lifecycleNotificationUrl": NULLABLE_TEXT,
            "expirationDateTime": TIME,
            "creatorId": NULLABLE_TEXT,
            "includeResourceData": {"type": ["boolean", "null"]},
            "latestSupportedTlsVersion": NULLABLE_TEXT,
            "encryptionCertificate": NULLABLE_TEXT,
            "encryptionCertificateId": NULLABLE_TEXT,
            "notificationQueryOptions": NULLABLE_TEXT,
        },
        ["id", "resource", "changeType", "notificationUrl", "expirationDateTime"],
        description="Where notifications of changes of flows are sent, and until when.",
    ),
    f"{SUBSCRIPTION}{COLLECTION}": an_object(
        {**CONTEXT, "value": an_array(a_reference(SUBSCRIPTION))}, ["value"]
    ),
    f"{SUBSCRIPTION}Create": an_object(
        {
            "changeType": _CHANGES,
            "notificationUrl": _URL,
            "lifecycleNotificationUrl": nullable(_URL),
            "resource": _RESOURCE,
            "expirationDateTime": TIME,
            "clientState": nullable(a_text(MAX_CLIENT_STATE)),
            # Not an enum: some generators know those of texts and integers alone.
            "includeResourceData": {"type": ["boolean", "null"], "not": {"const": True}},
            "latestSupportedTlsVersion": {
                "type": ["string", "null"],
                "enum": ["v1_2", "v1_3", None],
            },
        },
        ["changeType", "notificationUrl", "resource", "expirationDateTime"],
        additionalProperties=False,
        **_IGNORED,
    ),
    f"{SUBSCRIPTION}Update": an_object(
        {"expirationDateTime": TIME},
        ["expirationDateTime"],
        additionalProperties=False,
        **_IGNORED,
    ),
    "subscriptionsOverview": an_object(
        {
            "enabled": {
                "type": "boolean",
                "description": "False: NOTIFICATION_HOSTS names no host that may be called.",
            },
            "value": an_array(
                an_object(
                    {
                        "id": GUID,
                        "applicationId": NULLABLE_TEXT,
                        "resource": TEXT,
                        "changeType": TEXT,
                        "notificationUrl": {**TEXT, "description": "Without its query."},
                        "expirationDateTime": TIME,
                        "health": {**TEXT, "enum": ["healthy", "failing", "paused"]},
                        "fault": {**NULLABLE_TEXT, "description": "Of the last try, if it failed."},
                        "attempts": {**COUNT, "description": "Failures in a row."},
                        "deliveredDateTime": _NULLABLE_TIME,
                        "nextTryDateTime": _NULLABLE_TIME,
                    },
                    ["id", "resource", "changeType", "notificationUrl", "health", "fault"],
                )
            ),
        },
        ["enabled", "value"],
        description="How deliveries to subscriptions go.",
    ),
}
