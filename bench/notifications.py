"""CPU of a create where clients could subscribe and none has, against the feature being off."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from bench.create_cpu import ROUNDS, cpu_of, request
from bench.measure import in_turns_async, seed_bodies, stack
from functions.http.provisioning_flows import create_provisioning_flow
from local.access_token import application_token
from shared import bootstrap

TARGET = "<= 1.02"
AT_ONCE = 16


async def measure(token: str) -> None:
    """Print the ratio; both ways are the whole create, by the same handler in one process."""
    registered: Any = create_provisioning_flow
    handler = registered._function.get_user_function()
    bodies = seed_bodies()
    notifier = bootstrap.provisioning_flows().announcer.notifier
    assert notifier._enabled, "NOTIFICATION_HOSTS names no host: there would be nothing to compare"

    async def create(set_id: str) -> None:
        for body in bodies:
            answer = await handler(request(set_id, body, token))
            assert answer.status_code == 201, answer.get_body()

    async def turn(enabled: bool) -> float:
        notifier._enabled = enabled
        return await cpu_of(create, AT_ONCE)

    compared = await in_turns_async(lambda: turn(True), lambda: turn(False), ROUNDS)
    print(compared.line("a create, no subscription, against off", "ms", TARGET))
    await bootstrap.close()


def main() -> None:
    """Run on emulators of its own."""
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    with stack() as running:
        asyncio.run(measure(application_token(running.config)))


if __name__ == "__main__":
    main()
