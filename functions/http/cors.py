"""Lets pages of the configured origins call the service from a browser (CORS, Fetch standard).

Without CORS_ORIGINS no answer differs. Credentials are never allowed: callers send a token in the
Authorization header, and no cookie means anything here.
"""

from __future__ import annotations

from typing import Final

import azure.functions as func

from shared import bootstrap
from shared.domain.errors import SettingsError

REQUEST_HEADERS: Final = (
    "Accept",
    "Accept-Language",
    "Authorization",
    "client-request-id",
    "ConsistencyLevel",
    "Content-Encoding",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "OData-MaxVersion",
    "OData-Version",
    "Prefer",
    # Added by the retry handlers of Graph's clients, and by their telemetry.
    "Retry-Attempt",
    "return-client-request-id",
    "SdkVersion",
    # W3C trace context, as Application Insights sends it.
    "traceparent",
    "tracestate",
    # Firefox and Safari send the value that Kiota's clients set.
    "User-Agent",
)
"""Headers of requests that a page may set, besides those that every page may."""

RESPONSE_HEADERS: Final = (
    "Accept-Encoding",
    "Allow",
    "client-request-id",
    "ETag",
    "Link",
    "Location",
    "OData-EntityId",
    "OData-Version",
    "Preference-Applied",
    "request-id",
    "Retry-After",
    "WWW-Authenticate",
    "x-ms-ags-diagnostic",
)
"""Headers of answers that a page may read, besides those that every page may."""

# As long as Chromium keeps one at most.
_PREFLIGHT_SECONDS: Final = 7200


def sharing(req: func.HttpRequest, response: func.HttpResponse) -> dict[str, str]:
    """Return Vary, and where the caller's origin is a configured one, what lets its page read this.

    A preflight gets the methods that its answer has in Allow.
    """
    origins = _origins()
    if not origins:
        return {"Vary": "Accept-Encoding"}
    headers = {"Vary": "Accept-Encoding, Origin"}
    origin = req.headers.get("origin")
    if origin is None or origin not in origins:
        return headers
    headers["Access-Control-Allow-Origin"] = origin
    if req.method == "OPTIONS" and "access-control-request-method" in req.headers:
        headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
        headers["Access-Control-Allow-Headers"] = ", ".join(REQUEST_HEADERS)
        headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
    else:
        headers["Access-Control-Expose-Headers"] = ", ".join(RESPONSE_HEADERS)
    return headers


def _origins() -> frozenset[str]:
    try:
        return bootstrap.settings().cors_origins
    except SettingsError:
        # The answer is an error that says so in the log.
        return frozenset()
