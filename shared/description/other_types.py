"""The types of bodies that no schema declares: errors, batches, what pages ask for."""

from __future__ import annotations

from typing import Any, Final

from shared.contract.discards import MAX_NAMES, MAX_REASON, NAME
from shared.contract.names import NAMESPACE
from shared.contract.schemas import FLOW_SCHEMAS
from shared.description.json_schema import (
    ANY,
    COLLECTION,
    CONTEXT,
    COUNT,
    ERROR,
    GUID,
    NAVIGATION,
    NULLABLE_TEXT,
    NUMBER,
    PAGE,
    TEXT,
    TIME,
    a_closed_object,
    a_reference,
    a_text,
    an_array,
    an_enum,
    an_object,
    given,
    of_graph,
)
from shared.domain.readiness import Status

STATUS: Final = of_graph("readinessStatus")
_ERRORS: Final = ERROR.removesuffix("ODataError")
_FAULT: Final = {"code": TEXT, "message": TEXT}
_LETTER_NAME: Final = {"type": "string", "pattern": f"^{NAME}$"}
_HEADER_MAP: Final = {"type": "object", "additionalProperties": TEXT}

OTHER_TYPES: Final[dict[str, Any]] = {
    f"{NAMESPACE}readinessStatus": an_enum(Status),
    ERROR: an_object(
        {"error": a_reference(f"{_ERRORS}MainError")},
        ["error"],
        description="Graph's error envelope.",
    ),
    f"{_ERRORS}MainError": an_object(
        {
            "code": TEXT,
            # Kiota's clients show it as the text of the exception.
            "message": {**TEXT, "x-ms-primary-error-message": True},
            "details": an_array(a_reference(f"{_ERRORS}ErrorDetails")),
            "innerError": a_reference(f"{_ERRORS}InnerError"),
        },
        ["code", "message"],
    ),
    f"{_ERRORS}ErrorDetails": an_object(
        {
            **_FAULT,
            "target": {
                **NULLABLE_TEXT,
                "description": "A JSONPath into the body, or a query option.",
            },
        },
        ["code", "message"],
    ),
    f"{_ERRORS}InnerError": an_object(
        {"date": TEXT, "request-id": TEXT, "client-request-id": TEXT},
        ["date", "request-id", "client-request-id"],
    ),
    PAGE: an_object(
        {"@odata.count": COUNT, "@odata.nextLink": {"type": "string", "format": "uri"}},
        description="What all pages may have.",
    ),
    NUMBER: COUNT,
    f"{NAMESPACE}readinessChange": an_object(
        {
            "readinessStatus": STATUS,
            "reason": NULLABLE_TEXT,
            "revision": {"type": ["integer", "null"]},
            "eventId": NULLABLE_TEXT,
            "eventDateTime": TIME,
            "appliedDateTime": TIME,
        },
        ["readinessStatus", "reason", "appliedDateTime"],
    ),
    f"{NAMESPACE}readinessChange{COLLECTION}": an_object(
        {**CONTEXT, "value": an_array(of_graph("readinessChange"))},
        ["value"],
        description="What has happened to a flow's readiness, newest first.",
    ),
    "batch": an_object(
        {
            "requests": {
                "type": "array",
                "minItems": 1,
                "maxItems": 20,
                "items": {
                    "type": "object",
                    "properties": {
                        "id": a_text(128),
                        "method": {
                            "type": "string",
                            "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"],
                        },
                        "url": {"type": "string", "description": "Relative to the service root."},
                        "headers": _HEADER_MAP,
                        "body": ANY,
                        "dependsOn": an_array(TEXT),
                    },
                    "required": ["id", "method", "url"],
                },
            }
        },
        ["requests"],
        description="Up to 20 requests in one, each answered as if it came alone.",
    ),
    "batchAnswer": an_object(
        {
            **CONTEXT,
            "responses": an_array(
                an_object(
                    {
                        "id": TEXT,
                        "status": {"type": "integer"},
                        "headers": _HEADER_MAP,
                        "body": ANY,
                    },
                    ["id", "status", "headers"],
                )
            ),
        },
        ["responses"],
    ),
    "serviceDocument": an_object(
        {
            **CONTEXT,
            "value": an_array(an_object({"name": TEXT, "kind": TEXT, "url": TEXT})),
        },
        ["value"],
    ),
    "microsoft.graph.externalConnectors.external": an_object(
        {**CONTEXT, "industryData": {**of_graph("industryDataRoot"), **NAVIGATION}},
        description="What leads to industryData, which `$expand` puts inside.",
    ),
    f"{NAMESPACE}industryDataRoot": an_object(
        {
            **CONTEXT,
            "id": TEXT,
            **{
                name: {**an_array(of_graph(entity)), **NAVIGATION}
                for name, entity in (
                    ("outboundProvisioningFlowSets", "outboundProvisioningFlowSet"),
                    ("referenceDefinitions", "referenceDefinition"),
                    ("roleGroups", "roleGroup"),
                )
            },
        },
        description="What leads to the collections; `$expand` puts their first pages inside.",
    ),
    f"{NAMESPACE}initialPassword": an_object(
        {"roleGroup": TEXT, "password": TEXT}, ["roleGroup", "password"]
    ),
    f"{NAMESPACE}initialPassword{COLLECTION}": an_object(
        {**CONTEXT, "value": an_array(of_graph("initialPassword"))},
        ["value"],
        description="The initial password of each role group's new users, in clear.",
    ),
    "resealPasswords": a_closed_object(
        {
            "after": {**TEXT, "description": "The id that the last answer gave."},
            "top": {"type": "integer", "minimum": 1, "maximum": 100, "default": 100},
            "dryRun": {"type": "boolean", "description": "Count the passwords, write nothing."},
            "keyId": {**TEXT, "description": "The key that is expected to seal."},
        },
        description="Which stored passwords are to be sealed with the newest key.",
    ),
    "resealedPasswords": an_object(
        {
            **CONTEXT,
            "keyId": TEXT,
            "flows": COUNT,
            "passwords": COUNT,
            "unreadable": an_array(
                an_object(
                    {"flowSetId": GUID, "flowId": GUID, "why": TEXT},
                    ["flowSetId", "flowId", "why"],
                )
            ),
            "after": {**NULLABLE_TEXT, "description": "Where the next request goes on."},
        },
        ["keyId", "flows", "passwords", "unreadable", "after"],
        description="How many passwords were sealed anew, and which no key opens.",
    ),
    "assignedDocuments": an_object(
        {
            **CONTEXT,
            "tenantId": GUID,
            "assigned": COUNT,
            "staying": {
                **an_array(TEXT),
                "description": "Ids of reference definitions whose code or sort index another one "
                "has by now.",
            },
            "complete": {"type": "boolean", "description": "False: repeat the request."},
        },
        ["tenantId", "assigned", "staying", "complete"],
        description="How many documents of earlier releases were assigned to the tenant.",
    ),
    "overview": an_object(
        {
            "tenantId": {**GUID, "description": "Whose flow sets and dead letters these are."},
            "flowSets": COUNT,
            "counts": {
                "type": "object",
                "description": "By kind of flow, then by readiness.",
                "additionalProperties": {"type": "object", "additionalProperties": COUNT},
            },
            "complete": {
                "type": "boolean",
                "description": "False: there are more flow sets than were looked at.",
            },
            "sets": {
                "type": "object",
                "description": "How many flow sets each `status` of the request would find.",
                "additionalProperties": COUNT,
            },
            "stuck": {**COUNT, "description": "Flows that are notReady for minutes."},
            "found": {**COUNT, "description": "How many flow sets the request found."},
            "queue": {
                **an_object(
                    {
                        "waiting": COUNT,
                        "scheduled": COUNT,
                        "deadLettered": COUNT,
                        "complete": {"type": "boolean"},
                    },
                    ["waiting", "scheduled", "deadLettered", "complete"],
                ),
                "type": ["object", "null"],
                "description": "Messages now; without `complete` there are more. Null: unknown.",
            },
            "deadLetters": {
                **an_object(
                    {"days": COUNT, "kept": COUNT, "notReplayed": COUNT},
                    ["days", "kept", "notReplayed"],
                ),
                "type": ["object", "null"],
                "description": "In the archive, of the last days; notReplayed are those that wait. "
                "Null: unknown.",
            },
            "value": an_array(
                an_object(
                    {
                        "id": GUID,
                        "displayName": TEXT,
                        "createdDateTime": TIME,
                        "flows": an_array(
                            an_object(
                                {
                                    "id": GUID,
                                    "kind": {**TEXT, "enum": list(FLOW_SCHEMAS)},
                                    "readinessStatus": STATUS,
                                    "reason": NULLABLE_TEXT,
                                    "revision": COUNT,
                                    "changedDateTime": {**TIME, "type": ["string", "null"]},
                                    "stuck": {"type": "boolean"},
                                    "asks": COUNT,
                                },
                                ["id", "kind", "readinessStatus", "reason", "changedDateTime"],
                            )
                        ),
                    },
                    ["id", "displayName", "flows"],
                )
            ),
            "more": {"type": "boolean"},
        },
        [
            "tenantId",
            "flowSets",
            "counts",
            "sets",
            "stuck",
            "queue",
            "deadLetters",
            "found",
            "value",
            "more",
        ],
        description="What the status page shows.",
    ),
    "deadLetters": an_object(
        {
            "value": an_array(
                an_object(
                    {
                        "name": _LETTER_NAME,
                        "messageId": NULLABLE_TEXT,
                        "type": {**NULLABLE_TEXT, "description": "The event's, where it has one."},
                        "reason": {**NULLABLE_TEXT, "description": "Service Bus's own, if any."},
                        "fault": {**NULLABLE_TEXT, "description": "Null: it was well-formed."},
                        "state": {**TEXT, "enum": ["waiting", "replayed", "discarded"]},
                    },
                    ["name", "messageId", "type", "reason", "fault", "state"],
                )
            ),
            "more": {"type": "boolean"},
        },
        ["value", "more"],
        description="Dead letters, oldest first.",
    ),
    "deadLetter": {"type": "object", "description": "What is kept of a dead letter."},
    "deadLettersReplay": a_closed_object(
        {
            "names": {**an_array(_LETTER_NAME), "maxItems": MAX_NAMES},
            "again": {"type": "boolean", "description": "Also those that were put back before."},
        },
        ["names"],
        description="Which dead letters are put back on the queue.",
    ),
    "deadLettersReplayed": an_object(
        {
            "replayed": COUNT,
            "refused": an_array(an_object({"name": TEXT, "why": TEXT}, ["name", "why"])),
        },
        ["replayed", "refused"],
    ),
    "deadLettersDiscard": a_closed_object(
        {
            "names": {**an_array(_LETTER_NAME), "minItems": 1, "maxItems": MAX_NAMES},
            "all": {
                "type": "boolean",
                "const": True,
                "description": "All that wait, in place of names.",
            },
            "reason": a_text(MAX_REASON),
        },
        ["reason"],
        **{
            "if": given("names"),
            "then": {"not": given("all")},
            "else": given("all"),
        },
        description="Which dead letters need nothing more, and why.",
    ),
    "deadLettersDiscarded": an_object(
        {
            "discarded": COUNT,
            "refused": an_array(an_object({"name": TEXT, "why": TEXT}, ["name", "why"])),
            "more": {"type": "boolean", "description": "Whether others wait, of all."},
        },
        ["discarded", "refused", "more"],
    ),
    "health": an_object(
        {
            "status": {**TEXT, "enum": ["healthy", "degraded", "unhealthy"]},
            "version": TEXT,
            "dependencies": {
                "type": "object",
                "description": "Each service behind this one by its name.",
                "additionalProperties": an_object(
                    {
                        "status": {
                            "type": "string",
                            "enum": [
                                "available",
                                "pending",
                                "unavailable",
                                "throttled",
                                "refused",
                                "wrong",
                            ],
                        },
                        "message": {"type": ["string", "null"]},
                    },
                    ["status", "message"],
                ),
            },
        },
        ["status", "version", "dependencies"],
    ),
    "openapi": {"type": "object", "description": "This document."},
}
