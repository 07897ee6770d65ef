"""The service from outside: requests, answers and flows."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from azure.servicebus import ServiceBusMessage
from yarl import URL

from tests.support.bodies import request_body
from tests.support.waiting import until

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z")
CONTENT_TYPE = (
    "application/json;odata.metadata=minimal;odata.streaming=true;"
    "IEEE754Compatible=false;charset=utf-8"
)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


_sort_indexes = itertools.count(1_000_000)


def sort_index() -> int:
    """A sortIndex that no other definition has."""
    return next(_sort_indexes)


NONE: Mapping[str, object] = {}


def with_options(url: str, options: Mapping[str, object]) -> str:
    """Put query options behind a URL, all but their names' `$` encoded."""
    pairs = (f"{name}={quote(str(value), safe='')}" for name, value in options.items())
    return f"{url}?{'&'.join(pairs)}" if options else url


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    text: str
    headers: Any

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)


class Api:
    """The service as a client sees it."""

    def __init__(self, http: aiohttp.ClientSession, root: str) -> None:
        self.http = http
        self.root = root
        self.industry_data = f"{root}/external/industryData"
        self.sets = f"{self.industry_data}/outboundProvisioningFlowSets"
        self.groups = f"{self.industry_data}/roleGroups"
        self.definitions = f"{self.industry_data}/referenceDefinitions"
        # The documented requests write the segment with a capital letter.
        self.documented = f"{root}/external/industryData/OutboundProvisioningFlowSets"

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.sets).port
        assert port is not None
        return port

    async def send(
        self, method: str, url: str, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send one request; the body, if any, is JSON."""
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        address = URL(url, encoded=True)
        async with self.http.request(method, address, data=body, headers=names) as response:
            return Answer(response.status, await response.text(), response.headers)

    async def get(self, url: str, options: Mapping[str, object] = NONE, **headers: str) -> Answer:
        """Read a URL, with query options."""
        return await self.send("GET", with_options(url, options), None, **headers)

    async def post(self, url: str, value: Any, **headers: str) -> Answer:
        """POST a value as JSON."""
        return await self.send("POST", url, json.dumps(value).encode(), **headers)

    async def patch(self, url: str, value: Any, **headers: str) -> Answer:
        """PATCH with a value as JSON."""
        return await self.send("PATCH", url, json.dumps(value).encode(), **headers)

    async def delete(self, url: str, **headers: str) -> Answer:
        """DELETE what is at a URL."""
        return await self.send("DELETE", url, None, **headers)

    async def new_set(self, name: str = "Contoso schools") -> str:
        """Create a flow set; return its id."""
        answer = await self.post(self.sets, {"displayName": name})
        assert answer.status == 201, answer.text
        set_id: str = answer.json()["id"]
        return set_id

    async def new_role_group(self, *codes: str, name: str = "Helpers") -> str:
        """Create a role group; return its id."""
        body = {"displayName": name, "roles": [{"code": code} for code in codes]}
        answer = await self.post(self.groups, body)
        assert answer.status == 201, answer.text
        group_id: str = answer.json()["id"]
        return group_id

    def set(self, set_id: str) -> str:
        """The address of a set."""
        return f"{self.sets}/{set_id}"

    def flows(self, set_id: str) -> str:
        """The address of a set's flows, as documented."""
        return f"{self.documented}/{set_id}/provisioningFlows"

    async def create(self, set_id: str, name: str = "administrative_unit") -> Answer:
        """Send a published body."""
        return await self.send("POST", self.flows(set_id), request_body(name))

    async def new_flow(self, name: str = "administrative_unit") -> Flow:
        """Create a flow in a set of its own."""
        set_id = await self.new_set()
        answer = await self.create(set_id, name)
        assert answer.status == 201, answer.text
        body = answer.json()
        return Flow(self, set_id, body["id"], body["@odata.type"].rpartition(".")[2])


@dataclass(frozen=True)
class Flow:
    """A flow that was created."""

    api: Api
    set_id: str
    id: str
    kind: str

    @property
    def url(self) -> str:
        """Where it is read."""
        return f"{self.api.flows(self.set_id)}/{self.id}"

    async def read(self) -> Any:
        """What a client reads of it now."""
        answer = await self.api.get(self.url)
        assert answer.status == 200, answer.text
        return answer.json()

    async def status(self) -> str:
        """Its readinessStatus now."""
        status: str = (await self.read())["readinessStatus"]
        return status

    async def until_status(self, status: str) -> None:
        """Wait for a readinessStatus."""

        async def reached() -> bool:
            return await self.status() == status

        await until(reached, f"{self.kind} {self.id} is {status}")

    def report(
        self,
        status: str,
        at: datetime,
        *,
        event_id: str | None = None,
        revision: int = 1,
        flow_id: str | None = None,
    ) -> tuple[str, ServiceBusMessage]:
        """A report as a provisioning engine sends it: its event id, and the message."""
        event_id = event_id or str(uuid.uuid4())
        about = {"flowId": flow_id or self.id, "revision": revision, "readinessStatus": status}
        return event_id, self.event("readinessReported", event_id, at, about)

    def event(
        self, kind: str, event_id: str, at: datetime, about: dict[str, Any]
    ) -> ServiceBusMessage:
        """An event of one kind about this flow."""
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/tests",
            "type": f"industryData.provisioningFlow.{kind}",
            "time": at.isoformat(),
            "data": {"flowSetId": self.set_id, "flowId": self.id, "kind": self.kind, **about},
        }
        # A message id of its own: what the queue drops as a duplicate never reaches the rule.
        return ServiceBusMessage(json.dumps(event), message_id=str(uuid.uuid4()))


def assert_envelope(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """An error in Graph's envelope, its ids those of the headers; return the error."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert list(error) in (
        ["code", "message", "innerError"],
        ["code", "message", "details", "innerError"],
    )
    assert error["code"] == code
    assert error["message"]
    inner = error["innerError"]
    assert list(inner) == ["date", "request-id", "client-request-id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner["date"])
    assert inner["request-id"] == answer.headers["request-id"]
    assert inner["client-request-id"] == answer.headers["client-request-id"]
    return error


async def ready_flow_of(service: Api, body: bytes) -> Flow:
    """Create a flow in a set of its own and wait until it is ready."""
    set_id = await service.new_set()
    answer = await service.send("POST", service.flows(set_id), body)
    assert answer.status == 201, answer.text
    made = answer.json()
    flow = Flow(service, set_id, made["id"], made["@odata.type"].rpartition(".")[2])
    await flow.until_status("ready")
    return flow
