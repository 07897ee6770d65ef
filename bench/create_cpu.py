"""CPU of a create in the process that serves it, against the SDK calls that it must make.

`python -m bench.create_cpu`. Both do one conditional PATCH and one send of the same bytes, one
after the other, on the emulators. Theirs makes the same calls with the same clients and nothing
else; ours is the door, with authorization, validation, printing and logging.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import Any

import azure.functions as func
from azure.servicebus import ServiceBusMessage

from bench.measure import in_turns_async, seed_bodies, stack
from functions.provisioning_flows import create_provisioning_flow
from local.access_token import application_token
from shared import clients, events, flows, schemas
from shared.payload import read_json

TARGET = "<= 1.15"
ROUNDS = 15
SETS_A_ROUND = 25


async def new_sets(count: int) -> list[str]:
    """Store empty flow sets; return their ids."""
    documents = [
        flows.new_flow_set({"display_name": "Bench", "filter": None}) for _ in range(count)
    ]
    await asyncio.gather(*(clients.flow_store().create_set(document) for document in documents))
    return [document["id"] for document in documents]


def request(set_id: str, body: bytes, token: str) -> func.HttpRequest:
    """A create as the Functions worker hands it to the door."""
    path = f"/beta/{flows.SETS}/{set_id}/provisioningFlows"
    return func.HttpRequest(
        "POST",
        f"http://127.0.0.1{path}",
        headers={"content-type": "application/json", "authorization": f"Bearer {token}"},
        params={},
        route_params={"set_id": set_id},
        body=body,
    )


async def measure(token: str) -> None:
    """Print the ratio for all four bodies together."""
    bodies = seed_bodies()
    registered: Any = create_provisioning_flow
    door = registered._function.get_user_function()
    prepared = []
    for body in bodies:
        kind, values = schemas.load_flow(read_json(body, "application/json"))
        prepared.append((kind, flows.new_flow(kind, values, clients.settings().keyring)))
    container = clients.flow_store()._container
    sender = clients._service_bus().get_queue_sender(clients.settings().readiness_queue)

    async def ours() -> float:
        sets = await new_sets(SETS_A_ROUND)
        started = time.process_time()
        for set_id in sets:
            for body in bodies:
                answer = await door(request(set_id, body, token))
                assert answer.status_code == 201, answer.get_body()
        return (time.process_time() - started) / (len(sets) * len(bodies)) * 1e3

    async def theirs() -> float:
        sets = await new_sets(SETS_A_ROUND)
        messages = [events.check_request(sets[0], *each).body for each in prepared]
        started = time.process_time()
        for set_id in sets:
            for (kind, flow), message in zip(prepared, messages, strict=True):
                await container.patch_item(
                    set_id,
                    set_id,
                    [{"op": "add", "path": f"/flows/{kind}", "value": flow}],
                    filter_predicate=f"FROM c WHERE NOT IS_DEFINED(c.flows.{kind})",
                    no_response=True,
                )
                await sender.send_messages(ServiceBusMessage(message, message_id=str(uuid.uuid4())))
        return (time.process_time() - started) / (len(sets) * len(bodies)) * 1e3

    compared = await in_turns_async(ours, theirs, ROUNDS)
    print(compared.line("create, CPU in the process", "ms", TARGET))
    await sender.close()
    await clients.close()


def main() -> None:
    """Run on emulators of its own."""
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    with stack() as running:
        asyncio.run(measure(application_token(running.config)))


if __name__ == "__main__":
    main()
