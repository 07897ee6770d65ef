"""A running stack for `make chaos`: connections that can be cut, and flows that are created."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from azure.cosmos.aio import ContainerProxy

from local.config import HOST, ROOT
from local.stack import Stack
from shared.domain.context import LOCAL_TENANT

PAYLOADS = ROOT / "shared" / "contract" / "examples"


NAMES = ("administrative_unit", "class_group", "security_group", "user")


KINDS = {
    "administrative_unit": "administrativeUnitProvisioningFlow",
    "class_group": "classGroupProvisioningFlow",
    "security_group": "securityGroupProvisioningFlow",
    "user": "userProvisioningFlow",
}


BODIES = {name: json.loads((PAYLOADS / f"{name}.request.json").read_bytes()) for name in NAMES}


AT_ONCE = 16


TOO_LARGE = "larger than the store takes"


# What hangs longer than this is counted as stuck or lost.
QUIET_SECONDS = 2.0
DEADLINE_SECONDS = 180.0


T = TypeVar("T")


_NAME = "Contoso schools number "


def unique_name() -> str:
    """A name that no other set has."""
    return f"{_NAME}{uuid.uuid4()}"


class Hop:
    """A TCP hop on loopback that can drop every connection through it, as a network would."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Reset all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    def close(self) -> None:
        """Listen no more and reset all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    # The other direction ends with this one: its reader sees the end.
    writer.close()


@dataclass(frozen=True)
class Accepted:
    """A flow that the service has answered for."""

    set_id: str
    name: str
    flow_id: str


@dataclass(frozen=True)
class Answer:
    """What a request was answered in the end, and at which try."""

    status: int
    body: Any
    etag: str | None
    tries: int


@dataclass
class Run:
    """A stack with hops in between, the clients on it, and what went wrong."""

    stack: Stack
    chance: random.Random
    http: aiohttp.ClientSession
    container: ContainerProxy
    api: Hop
    cosmos: Hop
    service_bus: Hop
    settings: Mapping[str, str]
    """The hosts' app settings."""
    faults: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    """The sets that an answer named, or that the run stored itself."""
    longest_wait: float = 60.0
    """For how many seconds at most the client does as Retry-After says."""
    also: list[Hop] = field(default_factory=list)
    """Ways to further hosts on the same stack."""

    @property
    def apis(self) -> list[Hop]:
        """The ways to the API; each try of a request takes any of them."""
        return [self.api, *self.also]

    def url(self, *more: str) -> str:
        """An address below the service's data."""
        return "/".join([f"http://{HOST}:{self.api.port}/beta/external/industryData", *more])

    def sets(self, *more: str) -> str:
        """An address below the flow sets."""
        return self.url("outboundProvisioningFlowSets", *more)

    async def send(self, method: str, url: str, body: Any = None, **headers: str) -> Answer:
        """Send a request as a careful client does.

        It is repeated, under one client-request-id, while there is no answer, an answer that says
        when to come again (429, 503), or the 409 of what was too large for the store: that fault is
        injected, and passes.
        """
        headers = {"client-request-id": str(uuid.uuid4()), **headers}
        ends = time.monotonic() + DEADLINE_SECONDS
        tries = 0
        while time.monotonic() < ends:
            tries += 1
            wait = 0.1 + 0.2 * random.random()  # noqa: S311 - no secret
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                where = url.replace(f":{self.api.port}/", f":{random.choice(self.apis).port}/")  # noqa: S311
                async with self.http.request(method, where, json=body, headers=headers) as response:
                    text = await response.text()
                    if response.status in (429, 503):
                        wait = min(float(response.headers["Retry-After"]), self.longest_wait)
                    elif not (response.status == 409 and TOO_LARGE in text):
                        answer = json.loads(text) if text else None
                        return Answer(response.status, answer, response.headers.get("ETag"), tries)
            await asyncio.sleep(wait)
        raise TimeoutError(f"{method} {url} got no answer in {DEADLINE_SECONDS:.0f} s")

    async def get(self, url: str) -> Any:
        """Read one address; repeats as `post` does."""
        ends = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self.http.get(url) as response:
                    if response.status == 200:
                        return await response.json()
            await asyncio.sleep(0.2)
        raise TimeoutError(f"GET {url} got no answer in {DEADLINE_SECONDS:.0f} s")

    async def new_set(self) -> str:
        """Create a set, whose name no other has; remember that an answer named it."""
        name = unique_name()
        answer = await self.send("POST", self.sets(), {"displayName": name})
        if answer.status != 201:
            raise RuntimeError(f"a set was answered {answer.status}: {answer.body}")
        self.named.add(str(answer.body["id"]))
        return str(answer.body["id"])

    async def unnamed(self) -> tuple[int, int]:
        """How many stored sets no answer named, and how many are there twice."""
        query = self.container.query_items("SELECT c.id, c.displayName FROM c")
        stored = {document["id"]: document["displayName"] async for document in query}
        orphans = stored.keys() - self.named
        # The sets that the run stores itself have other names.
        names = [name for name in stored.values() if name.startswith(_NAME)]
        return len(orphans), len(names) - len(set(names))

    async def create(self, set_id: str, name: str) -> Accepted | None:
        """Create a flow; a repeat is answered as its first try was, so that 409 is a fault."""
        url = self.sets(set_id, "provisioningFlows")
        answer = await self.send("POST", url, BODIES[name])
        if answer.status == 201:
            return Accepted(set_id, name, str(answer.body["id"]))
        self.faults.append(f"a create was answered {answer.status}: {str(answer.body)[:200]}")
        return None

    async def create_all(
        self, count: int, seconds: float, at_once: int = AT_ONCE
    ) -> list[Accepted]:
        """Create flows, four a set, spread over `seconds` where the service is fast enough."""
        began = time.monotonic()
        new_sets: dict[int, asyncio.Task[str]] = {}

        async def one(number: int) -> Accepted | None:
            wait = began + seconds * number / count - time.monotonic()
            await asyncio.sleep(max(0.0, wait))
            place, kind = divmod(number, len(NAMES))
            if place not in new_sets:
                new_sets[place] = asyncio.create_task(self.new_set())
            return await self.create(await new_sets[place], NAMES[kind])

        found = await in_turns(at_once, (one(number) for number in range(count)))
        return [each for each in found if each is not None]

    async def stored(self) -> dict[str, dict[str, Any]]:
        """Every stored flow by its id, with its set id and its kind."""
        query = self.container.query_items("SELECT c.id, c.flows FROM c")
        return {
            flow["id"]: {**flow, "setId": document["id"], "kind": kind}
            async for document in query
            for kind, flow in document["flows"].items()
        }

    async def not_ready(self) -> list[dict[str, Any]]:
        """The stored flows that are notReady."""
        found = await self.stored()
        return [flow for flow in found.values() if flow["readinessStatus"] == "notReady"]

    async def until_quiet(self) -> list[dict[str, Any]]:
        """Wait until flows become ready no more without help; return those that are not."""
        left, since = await self.not_ready(), time.monotonic()
        while left and time.monotonic() < since + QUIET_SECONDS:
            await asyncio.sleep(0.1)
            now = await self.not_ready()
            if len(now) < len(left):
                since = time.monotonic()
            left = now
        return left

    async def reconcile(self, ends: float) -> list[dict[str, Any]]:
        """Make what is notReady due, and fire the timer until nothing is; return what is left."""
        left = await self.not_ready()
        for flow in left:
            path = f"/flows/{flow['kind']}/checkDueAt"
            operation = {"op": "set", "path": path, "value": 0}
            await self.container.patch_item(flow["setId"], LOCAL_TENANT, [operation])
        timer = f"http://{HOST}:{self.stack.config.functions_port}/admin/functions"
        while left and time.monotonic() < ends:
            async with self.http.post(f"{timer}/reconcile_readiness", data=b"{}") as response:
                response.raise_for_status()
            left = await self.until_quiet()
        return left


async def in_turns(most: int, work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines, `most` at a time; their results in order."""
    slots = asyncio.Semaphore(most)

    async def one(each: Coroutine[Any, Any, T]) -> T:
        async with slots:
            return await each

    return list(await asyncio.gather(*(one(each) for each in work)))
