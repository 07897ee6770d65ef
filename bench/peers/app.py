"""The create of a flow as a FastAPI service: the same storage calls and document, the same event.

It has less to do than ours: no access token is checked, no password is encrypted, and only uvicorn
logs. `uvicorn bench.peers.app:app`, with the app settings in the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosAccessConditionFailedError, CosmosResourceNotFoundError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from fastapi import FastAPI, HTTPException, Request

from bench.peers.models import PREFIX, Flow
from shared.adapters.partition import FLOW_SETS
from shared.domain.context import LOCAL_TENANT


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the clients, with the options that the service uses."""
    async with (
        CosmosClient(
            os.environ["COSMOS_ENDPOINT"],
            os.environ["COSMOS_KEY"],
            enable_endpoint_discovery=False,
            transport=AioHttpTransport(use_env_settings=False),
        ) as cosmos,
        ServiceBusClient.from_connection_string(os.environ["ServiceBus"]) as service_bus,  # noqa: SIM112 - the setting's name
        service_bus.get_queue_sender(os.environ["READINESS_QUEUE"]) as sender,
    ):
        database = cosmos.get_database_client(os.environ["COSMOS_DATABASE"])
        app.state.container = database.get_container_client(FLOW_SETS)
        app.state.sender = sender
        app.state.sending = asyncio.Lock()
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/sets/{set_id}/provisioningFlows", status_code=201)
async def create(set_id: uuid.UUID, flow: Flow, request: Request) -> dict[str, Any]:
    """Store a flow of a kind that the set does not have, and ask for its readiness check."""
    kind = flow.odata_type.removeprefix(PREFIX)
    moment = datetime.now(UTC)
    now, at = moment.isoformat(), int(moment.timestamp() * 1e6)
    shown = {
        "id": str(uuid.uuid4()),
        "createdDateTime": now,
        "lastModifiedDateTime": now,
        "readinessStatus": "notReady",
        "configuration": flow.model_dump(mode="json", by_alias=True, exclude={"odata_type"}),
    }
    entry = {"readinessStatus": "notReady", "reason": "created", "revision": 1, "eventId": None}
    stored = {
        **shown,
        "reason": None,
        "revision": 1,
        "revisedAt": at,
        "check": None,
        "report": None,
        "stamp": secrets.token_hex(8),
        "asks": 1,
        "checkDueAt": at + 60_000_000,
        "uses": [],
        "history": [{**entry, "eventAt": at, "appliedAt": at}, *[None] * 19],
    }
    try:
        await request.app.state.container.patch_item(
            str(set_id),
            LOCAL_TENANT,
            [{"op": "add", "path": f"/flows/{kind}", "value": stored}],
            filter_predicate=f"FROM c WHERE NOT IS_DEFINED(c.flows.{kind})",
            no_response=True,
        )
    except CosmosResourceNotFoundError as exc:
        raise HTTPException(404) from exc
    except CosmosAccessConditionFailedError as exc:
        raise HTTPException(409) from exc
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/peer",
        "type": "readinessCheckRequested",
        "time": now,
        "data": {"flowSetId": str(set_id), "kind": kind, **shown},
    }
    message = ServiceBusMessage(json.dumps(event).encode(), message_id=str(event["id"]))
    # The SDK's senders are not made for several tasks at once.
    async with request.app.state.sending:
        await request.app.state.sender.send_messages(message)
    return {"@odata.type": flow.odata_type, **shown}
