"""CPU of a create where clients could subscribe and none has, against the feature being off.

The ratio moves by a few hundredths from run to run, as it does where both ways are the same; so
what a create does for subscriptions is also measured by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from bench.create_cpu import cpu_of, request
from bench.measure import Compared, seed_bodies, stack
from functions.http.provisioning_flows import create_provisioning_flow
from local.access_token import application_token
from shared import bootstrap
from shared.domain.ids import new_id
from shared.services.notifying import KNOWN_SECONDS, Notifier

TARGET = "<= 1.02"
AT_ONCE = 16
PAIRS = 60
LOOKS = 100_000
READINGS = 100


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

    await turn(True)
    pairs = []
    for number in range(PAIRS):
        # Each comes first in half of the pairs: the sets of a turn stay in the store.
        enabled = number % 2 == 0
        found = {enabled: await turn(enabled), not enabled: await turn(not enabled)}
        pairs.append((found[True], found[False]))
    compared = Compared.of(pairs)
    print(compared.line("a create, no subscription, against off", "ms", TARGET))
    notifier._enabled = True
    look, reading = await parts(notifier)
    print(f"  its look at the subscriptions known: {look * 1e6:.2f} µs")
    print(f"  reading them, at most every {KNOWN_SECONDS:.0f} s: {reading * 1e3:.2f} ms")
    await bootstrap.close()


async def parts(notifier: Notifier) -> tuple[float, float]:
    """Return the CPU seconds of what a create does, and of what it starts in the background."""
    set_id = new_id()
    await notifier._read()
    assert not notifier._known
    started = time.process_time()
    for _ in range(LOOKS):
        notifier.changed(set_id)
    look = (time.process_time() - started) / LOOKS
    started = time.process_time()
    for _ in range(READINGS):
        await notifier._read()
    return look, (time.process_time() - started) / READINGS


def main() -> None:
    """Run on emulators of its own."""
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    with stack() as running:
        asyncio.run(measure(application_token(running.config)))


if __name__ == "__main__":
    main()
