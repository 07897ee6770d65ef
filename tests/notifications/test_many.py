"""As many subscriptions as there may be, and more changes than one delivery takes."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from dataclasses import replace
from typing import Any

from local.stack import Stack
from shared import bootstrap
from shared.adapters.partition import FLOW_SETS
from shared.domain.context import LOCAL_TENANT, current_tenant
from shared.domain.subscriptions import ALL_FLOWS, MAX_PER_TENANT
from tests.notifications.alone import Alone
from tests.support.bodies import request_body
from tests.support.receiver import Receiver, in_an_hour
from tests.support.stored import cosmos_client


def wanted(receiver: Receiver, change_type: str) -> dict[str, Any]:
    return {
        "resource": ALL_FLOWS,
        "changeType": change_type,
        "notificationUrl": receiver.url,
        "expirationDateTime": in_an_hour(),
    }


async def test_a_tenant_has_a_hundred_subscriptions_at_most(
    alone: Alone, receiver: Receiver, stack: Stack
) -> None:
    await alone.call("POST", "subscriptions", wanted(receiver, "created"))
    async with cosmos_client(stack.config.cosmos_endpoint) as client:
        database = client.get_database_client(alone.database)
        container = database.get_container_client("subscriptions")
        [stored] = [each async for each in container.query_items("SELECT * FROM c")]
        for _ in range(MAX_PER_TENANT - 2):
            other = str(uuid.uuid4())
            await container.create_item({**stored, "id": other, "duplicateKey": other})

        last = await alone.call("POST", "subscriptions", wanted(receiver, "updated"))
        status, answer = await alone.send("POST", "subscriptions", wanted(receiver, "deleted"))
        assert (status, answer["error"]["code"]) == (403, "ExtensionError")
        assert f"has {MAX_PER_TENANT} subscriptions" in answer["error"]["message"]
        # Those of another tenant do not count, nor do those that are over.
        await container.create_item({**stored, "tenantId": str(uuid.uuid4())})
        await alone.call("DELETE", f"subscriptions/{last['id']}")
    await alone.call("POST", "subscriptions", wanted(receiver, "deleted"))


async def test_more_changes_of_one_second_than_a_delivery_takes_are_all_sent(
    alone: Alone, receiver: Receiver, stack: Stack
) -> None:
    """The store's time stamps are seconds: a mark alone would never get past a full one."""
    made = await alone.call("POST", "subscriptions", wanted(receiver, "created"))
    subscription_id = made["id"]
    set_ids = [await alone.new_set() for _ in range(12)]
    body = json.loads(request_body("security_group"))
    created = await asyncio.gather(*(alone.new_flow(set_id, body) for set_id in set_ids))
    flow_ids = dict(zip(set_ids, created, strict=True))
    async with cosmos_client(stack.config.cosmos_endpoint) as client:
        database = client.get_database_client(alone.database)
        sets = database.get_container_client(FLOW_SETS)
        at = {each["id"]: each["_ts"] async for each in sets.query_items("SELECT * FROM c")}
        [(second, how_many)] = Counter(at.values()).most_common(1)
        assert how_many > 1
        subscriptions = database.get_container_client("subscriptions")
        [stored] = [each async for each in subscriptions.query_items("SELECT * FROM c")]
        marked = [{"op": "set", "path": "/delivery/mark", "value": second}]
        await subscriptions.patch_item(subscription_id, stored["tenantId"], marked)

    current_tenant.set(LOCAL_TENANT)
    await replace(bootstrap.deliveries(), most_sets=1).deliver(subscription_id)

    of_that_second = {flow_ids[set_id] for set_id in at if at[set_id] == second}
    assert of_that_second <= {each["resourceData"]["id"] for each in receiver.taken}
