"""A subscription to more changes than one delivery takes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

from local.stack import Stack
from shared import bootstrap
from shared.adapters.partition import FLOW_SETS
from shared.domain.context import LOCAL_TENANT, current_tenant
from shared.domain.subscriptions import ALL_FLOWS
from tests.notifications.alone import Alone
from tests.support.bodies import request_body
from tests.support.receiver import Receiver, in_an_hour
from tests.support.stored import cosmos_client


async def test_more_changes_of_one_second_than_a_delivery_takes_are_all_sent(
    alone: Alone, receiver: Receiver, stack: Stack
) -> None:
    """The store's time stamps are seconds: a mark alone would never get past a full one."""
    wanted = {
        "resource": ALL_FLOWS,
        "changeType": "created",
        "notificationUrl": receiver.url,
        "expirationDateTime": in_an_hour(),
    }
    subscription_id = (await alone.call("POST", "subscriptions", wanted))["id"]
    set_ids = [await alone.new_set() for _ in range(12)]
    body = json.loads(request_body("security_group"))
    made = await asyncio.gather(*(alone.new_flow(set_id, body) for set_id in set_ids))
    flow_ids = dict(zip(set_ids, made, strict=True))
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
