"""The app in this process, on a database and queues that no running host reads or writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import azure.functions as func

import function_app
from functions.http.operations import dispatch
from tests.emulators.service_bus_fixtures import Emulator
from tests.support.cosmos import CosmosRequests

SETS = "external/industryData/outboundProvisioningFlowSets"
assert function_app.app  # declares the operations


def flows_of(set_id: str) -> str:
    """The path of a set's flows."""
    return f"{SETS}/{set_id}/provisioningFlows"


@dataclass(frozen=True)
class Alone:
    """Calls the API, and looks at what that asked of the store and sent to the queues."""

    token: str
    database: str
    emulator: Emulator
    requests: CosmosRequests

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Carry out a request; return the status and the answer's JSON, if it has some."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        payload = b"" if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1/beta/{path}"
        request = func.HttpRequest(method, url, headers=headers, body=payload)
        response = await dispatch(request, f"beta/{path}")
        content = response.get_body()
        return response.status_code, json.loads(content) if content else None

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Carry out a request that must succeed; return the answer's JSON, if it has some."""
        status, answer = await self.send(method, path, body)
        assert status < 300, (status, answer)
        return answer

    async def new_set(self) -> str:
        """Create an empty flow set; its id."""
        return str((await self.call("POST", SETS, {"displayName": "Contoso"}))["id"])

    async def new_flow(self, set_id: str, body: Any) -> str:
        """Create a flow; its id."""
        return str((await self.call("POST", flows_of(set_id), body))["id"])

    async def asked(self) -> list[str]:
        """What the store was asked for since the last reset, of items and by this app alone."""
        log = await self.requests.read()
        own = [each["operation"] for each in log if f"dbs/{self.database}/" in each["path"]]
        return [each for each in own if each != "other"]

    def waiting(self, queue: str) -> int:
        """How many messages a queue has, those among them whose time has not come."""
        with self.emulator.receiver(queue) as receiver:
            return len(receiver.peek_messages(100, sequence_number=1))
