"""`industrydata subscriptions list` on the running stack."""

from __future__ import annotations

import asyncio

from tests.cli.conftest import Command
from tests.support.api import Api
from tests.support.receiver import receiving, resource_of, subscribe


async def test_subscriptions_are_listed_with_their_health(
    service: Api, set_id: str, command: Command
) -> None:
    async with receiving() as receiver:
        made = await subscribe(service, receiver, resource=resource_of(set_id))
        ran = await asyncio.to_thread(command.run, "subscriptions", "list")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0].split() == [
        "ID",
        "HEALTH",
        "EXPIRES",
        "RECEIVER",
        "LAST",
        "FAULT",
    ]
    [line] = [each for each in ran.out.splitlines() if made["id"] in each]
    assert line.split()[1] == "healthy"
    assert receiver.url in line
