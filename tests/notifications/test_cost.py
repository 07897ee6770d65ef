"""What subscriptions cost those who have none."""

from __future__ import annotations

import json
import time

import pytest

from shared import bootstrap
from shared.services.notifying import KNOWN_SECONDS
from tests.notifications.alone import Alone, flows_of
from tests.support.bodies import NAMES, request_body
from tests.support.waiting import until


async def test_without_subscriptions_a_create_is_one_request_and_reminds_of_nothing(
    alone: Alone,
) -> None:
    set_ids = [await alone.new_set() for _ in range(5)]
    bodies = [json.loads(request_body(kind)) for kind in NAMES]
    began = time.monotonic()
    await alone.requests.reset()

    for set_id in set_ids:
        for body in bodies:
            await alone.new_flow(set_id, body)

    flows = len(set_ids) * len(bodies)

    async def settled() -> bool:
        return len(await alone.asked()) >= flows + 1

    await until(settled, "the subscriptions are read, once for all of the creates")
    asked = await alone.asked()
    readings = 1 + int((time.monotonic() - began) / KNOWN_SECONDS)
    assert asked.count("patch") == flows
    assert 1 <= asked.count("query") <= readings
    assert set(asked) == {"patch", "query"}
    assert alone.waiting(bootstrap.settings().readiness_queue) == flows
    assert alone.waiting(bootstrap.settings().notifications_queue) == 0


async def test_where_no_host_may_be_called_subscriptions_are_not_even_looked_for(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFICATION_HOSTS", "")
    set_id = await alone.new_set()
    await alone.requests.reset()

    flow_id = await alone.new_flow(set_id, json.loads(request_body("user")))
    await alone.call("DELETE", f"{flows_of(set_id)}/{flow_id}")
    await bootstrap.delivering().watch()

    assert await alone.asked() == ["patch", "read", "patch"]
