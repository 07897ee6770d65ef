"""A receiver of change notifications on this machine, which behaves as a test wants."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from tests.support.api import Api

CLIENT_STATE = "a secret of the client's"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def taken(request: web.Request) -> web.StreamResponse:
    """Take whatever comes."""
    return web.Response(status=202)


class Receiver:
    """Validates as Graph's pages say, and remembers what it took, in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        """Bodies of all calls, whatever the answer was."""
        self.taken: list[dict[str, Any]] = []
        """Notifications of the calls that were answered with a 2xx."""
        self.answer: Answer = taken
        self.validate: Answer | None = None
        self.validations: list[str] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hooks"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if "validationToken" in request.query:
            self.validations.append(request.query["validationToken"])
            if self.validate is not None:
                return await self.validate(request)
            return web.Response(text=request.query["validationToken"])
        body = await request.json()
        self.calls.append(body)
        response = await self.answer(request)
        if 200 <= response.status < 300:
            self.taken += body["value"]
        return response


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver while the block does."""
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()


def slow(seconds: float) -> Answer:
    """Answer 202, but late."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.Response(status=202)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer each call in another way, the last of them for good."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def answer(request: web.Request) -> web.StreamResponse:
        return await next(left)(request)

    return answer


def status(code: int, **headers: str) -> Answer:
    """Answer with a status."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return answer


def resource_of(set_id: str) -> str:
    """The resource of a subscription to the flows of one set."""
    return f"external/industryData/outboundProvisioningFlowSets/{set_id}/provisioningFlows"


def in_an_hour() -> str:
    """An expirationDateTime."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def subscribe(service: Api, receiver: Receiver, **members: Any) -> dict[str, Any]:
    """Subscribe a receiver to changes; `resource` and others go into the body."""
    body = {
        "changeType": "created,updated,deleted",
        "notificationUrl": receiver.url,
        "expirationDateTime": in_an_hour(),
        "clientState": CLIENT_STATE,
        **members,
    }
    answer = await service.post(f"{service.root}/subscriptions", body)
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def changes(receiver: Receiver, flow_id: str) -> list[tuple[str, str | None]]:
    """Changes of a flow as they were taken, repeats left out."""
    found: dict[str, tuple[str, str | None]] = {}
    for each in receiver.taken:
        if each["resourceData"]["id"] == flow_id:
            status = each["resourceData"].get("readinessStatus")
            found.setdefault(each["id"], (each["changeType"], status))
    return list(found.values())
