"""Readiness on request: a new flow that is reported failed, expired or disabled, or stays notReady.

All of it happens by real means: the report is an event on the queue, as a provisioning engine sends
it, and what keeps a flow notReady is that the message with its first check is held.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import azure.functions as func
import jwt
from azure.servicebus.aio import ServiceBusClient

from functions.http.requests import json_body
from local.faults.reading import Fault
from local.host.index import service_bus_connection
from local.host.invocation import HttpAnswer
from local.host.layer import Asked, Run
from local.host.logs import HOST
from shared.adapters.service_bus import QueuePublisher
from shared.contract.events import report
from shared.domain.context import current_tenant
from shared.domain.errors import PublishFailed
from shared.domain.readiness import EventType

#: held messages keep calls of the queue's function busy, of which the host runs 16
MOST_HELD: Final = 8
#: a check does not wait longer for a report that never arrives (seconds)
_LONGEST_REPORT: Final = 30.0
_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass
class _Held:
    """The first check of a flow, held until a time of day, or until a report has arrived."""

    until: float | None = None
    end: asyncio.Event = field(default_factory=asyncio.Event)


class Readiness:
    """Creates flows with a readiness on request, and holds the messages about them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._held: dict[str, _Held] = {}
        self._creating = 0
        #: set while no such flow is being created: until then a message may be about one
        self._known = asyncio.Event()
        self._known.set()

    async def create(self, asked: Asked, fault: Fault, run: Run) -> tuple[HttpAnswer, bool]:
        """Have a flow created, and its readiness be what the fault says; whether it will be.

        It will not where no flow was created, or too many wait already.
        """
        if len(self._held) + self._creating >= MOST_HELD:
            HOST.warning("%d flows wait for their readiness, which is the most", MOST_HELD)
            return await run(asked), False
        self._creating += 1
        self._known.clear()
        try:
            answer = await run(asked)
            ids = _GUID.findall(dict(answer.headers).get("Location", ""))
            created = len(ids) == 2 and answer.status.startswith("2")
            if created:
                await self._hold(asked, fault, *ids)
            return answer, created
        finally:
            self._creating -= 1
            if not self._creating:
                self._known.set()

    @asynccontextmanager
    async def message(self, body: bytes) -> AsyncIterator[None]:
        """Hold the check of a flow until it is due, and see a report arrive."""
        await self._known.wait()
        kind, flow_id = _about(body) if self._held else ("", "")
        if kind == EventType.CHECK_REQUESTED and (held := self._held.get(flow_id)):
            await held.end.wait()
        yield
        if kind == EventType.REPORTED:
            self._release(flow_id)

    def clock_moved(self) -> None:
        """Wait less for what is held until a time of day."""
        loop, now = asyncio.get_running_loop(), time.time()
        for flow_id, held in self._held.items():
            if held.until is not None:
                loop.call_later(max(0.0, held.until - now), self._release, flow_id)

    async def _hold(self, asked: Asked, fault: Fault, set_id: str, flow_id: str) -> None:
        until = time.time() + fault.seconds if fault.seconds else None
        self._held[flow_id] = _Held(until)
        loop = asyncio.get_running_loop()
        loop.call_later(fault.seconds or _LONGEST_REPORT, self._release, flow_id)
        if until is not None or fault.readiness_status is None:
            return
        request = func.HttpRequest("POST", asked.path, headers=asked.headers, body=asked.body)
        kind = str(json_body(request)["@odata.type"]).rpartition(".")[2]
        publisher = QueuePublisher(
            ServiceBusClient.from_connection_string(
                service_bus_connection("ServiceBus", self._environ)
            ),
            self._environ["READINESS_QUEUE"],
        )
        whose = current_tenant.set(_tenant(asked.headers))
        event = report(set_id, kind, flow_id, fault.readiness_status, reason=fault.reason)
        current_tenant.reset(whose)
        try:
            await publisher.publish(event)
        except PublishFailed as exc:
            HOST.warning("The readiness of flow %s was not reported: %s", flow_id, exc)
            self._release(flow_id)
        finally:
            await publisher.close()

    def _release(self, flow_id: str) -> None:
        if held := self._held.pop(flow_id, None):
            held.end.set()


def _tenant(headers: Mapping[str, str]) -> str | None:
    """The tenant of the token that the service has accepted; None without one."""
    token = headers.get("authorization", "").partition(" ")[2]
    try:
        return str(jwt.decode(token, options={"verify_signature": False})["tid"])
    except (jwt.PyJWTError, KeyError):
        return None


def _about(body: bytes) -> tuple[str, str]:
    """The type of an event and the id of its flow; empty where it has none."""
    try:
        event = json.loads(body)
        return str(event["type"]), str(event["data"]["flowId"]).lower()
    except (ValueError, RecursionError, KeyError, TypeError):
        return "", ""
