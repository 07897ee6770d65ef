"""Requests to Cosmos DB an operation, as the emulator counts them: `python -m bench.requests`.

The operations run in this process on emulators of their own, so that no readiness check of another
process is counted. Request units are those that the emulator charges, after published figures.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import azure.functions as func

import function_app
from bench.measure import seed_bodies, stack
from functions.http.operations import dispatch
from local.access_token import application_token
from local.config import LocalConfig
from shared import bootstrap
from shared.contract import events
from shared.contract.printing import SETS


class Service:
    """The API in this process, and what its Cosmos DB emulator has counted."""

    def __init__(self, config: LocalConfig, http: aiohttp.ClientSession) -> None:
        self._headers = {
            "authorization": f"Bearer {application_token(config)}",
            "content-type": "application/json",
        }
        self._counter = f"{config.cosmos_endpoint}/_emulator/requests"
        self._http = http

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Carry out a request that must succeed; return the answer's JSON, if it has some."""
        path, _, query = path.partition("?")
        request = func.HttpRequest(
            method,
            f"http://127.0.0.1/beta/{path}",
            headers=self._headers,
            params=dict(pair.split("=", 1) for pair in query.split("&") if pair),
            body=b"" if body is None else json.dumps(body).encode(),
        )
        response = await dispatch(request, f"beta/{path}")
        content = response.get_body()
        assert response.status_code < 300, (response.status_code, content)
        return json.loads(content) if content.startswith(b"{") else content

    async def counted(self, operation: Awaitable[object]) -> list[dict[str, Any]]:
        """Return the requests about items that reached the emulator while something was done."""
        async with self._http.delete(self._counter) as response:
            response.raise_for_status()
        await operation
        async with self._http.get(self._counter) as response:
            log = (await response.json())["log"]
        return [entry for entry in log if entry["operation"] != "other"]


async def update_readiness(document: dict[str, Any], kind: str, *, fresh: bool) -> None:
    """Carry out a readiness check of a flow, as the queue's function does."""
    message = events.check_request(document["id"], kind, document["flows"][kind], fresh=fresh)
    await bootstrap.readiness().process(events.read_event(message.body), 1)


async def measure(config: LocalConfig) -> None:
    """Print the requests of each operation."""
    bodies = [json.loads(body) for body in seed_bodies()]
    async with aiohttp.ClientSession() as http:
        service = Service(config, http)
        call = service.call
        one, other = [
            f"{SETS}/{(await call('POST', SETS, {'displayName': name}))['id']}"
            for name in ("One", "Other")
        ]
        created = [await call("POST", f"{one}/provisioningFlows", body) for body in bodies]
        flow = f"{one}/provisioningFlows/{created[0]['id']}"
        kind = created[0]["@odata.type"].rpartition(".")[2]
        await call("GET", f"{one}/provisioningFlows")  # fills the caches
        document = await bootstrap.flow_store().read_set(one.rpartition("/")[2])
        kb = len(json.dumps(document)) / 1024
        print(f"  a set with four new flows is a document of {kb:.1f} KB")
        operations: list[tuple[str, int, Callable[[], Awaitable[object]]]] = [
            ("create flow", 1, lambda: call("POST", f"{other}/provisioningFlows", bodies[0])),
            ("get flow", 1, lambda: call("GET", flow)),
            ("list flows", 1, lambda: call("GET", f"{one}/provisioningFlows")),
            ("count flows", 1, lambda: call("GET", f"{one}/provisioningFlows/$count")),
            ("update readiness", 1, lambda: update_readiness(document, kind, fresh=False)),
            ("check that changes nothing", 2, lambda: update_readiness(document, kind, fresh=True)),
            ("create set", 1, lambda: call("POST", SETS, {"displayName": "New"})),
            ("get set", 1, lambda: call("GET", one)),
            ("get set with flows", 1, lambda: call("GET", f"{one}?$expand=provisioningFlows")),
            ("list sets", 1, lambda: call("GET", SETS)),
            ("update set", 2, lambda: call("PATCH", one, {"displayName": "Renamed"})),
            ("update flow", 2, lambda: call("PATCH", flow, bodies[0])),
            ("reset flow", 2, lambda: call("POST", f"{flow}/reset")),
            # With NOTIFICATION_HOSTS, as here, also who is to be notified of a delete.
            ("delete flow", 3, lambda: call("DELETE", flow)),
            ("delete set", 3, lambda: call("DELETE", one)),
        ]
        for what, target, do in operations:
            found = await service.counted(do())
            made = ", ".join(entry["operation"] for entry in found)
            units = sum(entry["charge"] for entry in found)
            print(f"  {what:<30} {len(found)} (target <= {target}): {made:<12} {units:.1f} RU")
    await bootstrap.close()


def main() -> None:
    """Run on emulators of its own."""
    assert function_app.app is not None  # whose import registers the operations
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    with stack() as running:
        asyncio.run(measure(running.config))


if __name__ == "__main__":
    main()
