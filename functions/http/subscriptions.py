"""Handlers of subscriptions to change notifications."""

from __future__ import annotations

from typing import Final

import azure.functions as func

from functions.http.operations import operation, route
from functions.http.replies import created, no_content, ok
from functions.http.requests import guid_param, json_body
from functions.http.service import TAG
from shared import bootstrap
from shared.description.operations import Contract
from shared.domain.permissions import OUTBOUND_FLOW_READ

bp = func.Blueprint()

SUBSCRIPTIONS: Final = "subscriptions"
SUBSCRIPTION: Final = SUBSCRIPTIONS + "/{subscription_id}"
_TAG: Final = "Subscriptions"


@operation(
    bp,
    "GET",
    SUBSCRIPTIONS,
    OUTBOUND_FLOW_READ,
    Contract(_TAG, {200: "subscriptionCollectionResponse"}),
)
async def list_subscriptions(req: func.HttpRequest) -> func.HttpResponse:
    """Return the subscriptions of the calling application."""
    return ok(req, await bootstrap.subscriptions().all())


@operation(
    bp,
    "POST",
    SUBSCRIPTIONS,
    OUTBOUND_FLOW_READ,
    Contract(
        _TAG,
        {201: "subscription", 204: None},
        body="subscriptionCreate",
        headers=("Prefer-create",),
        errors=(403, 404, 409),
    ),
)
async def create_subscription(req: func.HttpRequest) -> func.HttpResponse:
    """Subscribe to changes of flows, after the endpoints have repeated a validation token."""
    return created(req, await bootstrap.subscriptions().create(json_body(req)))


@operation(
    bp,
    "GET",
    SUBSCRIPTION,
    OUTBOUND_FLOW_READ,
    Contract(_TAG, {200: "subscription"}, errors=(404,)),
)
async def get_subscription(req: func.HttpRequest) -> func.HttpResponse:
    """Return one subscription of the calling application."""
    found = await bootstrap.subscriptions().get(guid_param(req, "subscription_id"))
    return ok(req, found.body)


@operation(
    bp,
    "PATCH",
    SUBSCRIPTION,
    OUTBOUND_FLOW_READ,
    Contract(_TAG, {200: "subscription"}, body="subscriptionUpdate", errors=(404,)),
)
async def update_subscription(req: func.HttpRequest) -> func.HttpResponse:
    """Renew a subscription: let it last until another moment."""
    subscription_id = guid_param(req, "subscription_id")
    renewed = await bootstrap.subscriptions().renew(subscription_id, json_body(req))
    return ok(req, renewed.body)


@operation(
    bp,
    "DELETE",
    SUBSCRIPTION,
    OUTBOUND_FLOW_READ,
    Contract(_TAG, {204: None}, errors=(404,)),
)
async def delete_subscription(req: func.HttpRequest) -> func.HttpResponse:
    """End a subscription."""
    await bootstrap.subscriptions().delete(guid_param(req, "subscription_id"))
    return no_content()


@route(
    bp,
    "GET",
    "status/subscriptions",
    OUTBOUND_FLOW_READ,
    Contract(TAG, {200: "subscriptionsOverview"}),
)
async def get_subscriptions_overview(req: func.HttpRequest) -> func.HttpResponse:
    """Return how deliveries to the subscriptions of the caller's tenant go."""
    return ok(req, await bootstrap.subscriptions().overview())
