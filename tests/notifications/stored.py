"""Subscriptions as the app stores them, to be looked at and moved in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.cosmos.aio import CosmosClient

from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY
from local.stack import Stack


def client_of(stack: Stack) -> CosmosClient:
    """The real SDK's client on the stack's emulator."""
    return CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    )


async def stored_subscriptions(stack: Stack, subscription_id: str) -> list[dict[str, Any]]:
    """The document of a subscription; empty where it is gone."""
    async with client_of(stack) as client:
        container = client.get_database_client(COSMOS_DATABASE).get_container_client(
            "subscriptions"
        )
        found = container.query_items(
            "SELECT * FROM c WHERE c.id = @id",
            parameters=[{"name": "@id", "value": subscription_id}],
        )
        return [each async for each in found]


async def stored_subscription(stack: Stack, subscription_id: str) -> dict[str, Any]:
    """The one document of a subscription."""
    [found] = await stored_subscriptions(stack, subscription_id)
    return found


async def alter(
    stack: Stack, subscription_id: str, delivery: Mapping[str, Any], **members: Any
) -> None:
    """Set members of a subscription, and of how its deliveries go."""
    document = await stored_subscription(stack, subscription_id)
    given = {**members, **{f"delivery/{name}": value for name, value in delivery.items()}}
    operations = [{"op": "set", "path": f"/{name}", "value": v} for name, v in given.items()]
    async with client_of(stack) as client:
        container = client.get_database_client(COSMOS_DATABASE).get_container_client(
            "subscriptions"
        )
        await container.patch_item(document["id"], document["tenantId"], operations)
