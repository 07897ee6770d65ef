"""CPU of a create in the process that serves it, against the SDK calls that it must make.

`python -m bench.create_cpu`. Both do one conditional PATCH and one send for each flow, on the
emulators. Theirs is the SDK calls and nothing else, with the service's clients and options, and
with the SDK's defaults; ours is the handler, with authorization, validation, printing and logging.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusSender

from bench.measure import in_turns_async, seed_bodies, stack
from functions.http.provisioning_flows import create_provisioning_flow
from local.access_token import application_token
from shared import bootstrap
from shared.adapters.partition import FLOW_SETS
from shared.contract import events
from shared.contract.json_body import read_json
from shared.contract.loading import load_flow
from shared.contract.printing import SETS
from shared.domain import flows
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import new_id
from shared.services.provisioning_flows import new_flow

TARGET = "<= 1.15"
ROUNDS = 15
SETS_A_ROUND = 32

Way = Callable[[str], Awaitable[None]]
"""Creates the four published flows in a set."""


async def new_sets(count: int) -> list[str]:
    """Store empty flow sets; return their ids."""
    documents = [flows.new_flow_set({"displayName": "Bench", "filter": None}) for _ in range(count)]
    await asyncio.gather(*(bootstrap.flow_store().create_set(document) for document in documents))
    return [document["id"] for document in documents]


def request(set_id: str, body: bytes, token: str) -> func.HttpRequest:
    """A create as the Functions worker hands it to the handler."""
    path = f"/beta/{SETS}/{set_id}/provisioningFlows"
    return func.HttpRequest(
        "POST",
        f"http://127.0.0.1{path}",
        headers={"content-type": "application/json", "authorization": f"Bearer {token}"},
        params={},
        route_params={"set_id": set_id},
        body=body,
    )


async def measure(token: str) -> None:
    """Print the ratios for all four bodies together."""
    bodies = seed_bodies()
    registered: Any = create_provisioning_flow
    handler = registered._function.get_user_function()
    prepared = []
    for body in bodies:
        kind, values = load_flow(read_json(body, "application/json"))
        prepared.append((kind, new_flow(kind, values, bootstrap.keyring())))
    messages = [events.check_request(new_id(), *each).body for each in prepared]

    async def by_handler(set_id: str) -> None:
        for body in bodies:
            answer = await handler(request(set_id, body, token))
            assert answer.status_code == 201, answer.get_body()

    def by_sdk(container: ContainerProxy, sender: ServiceBusSender, **options: Any) -> Way:
        sending = asyncio.Lock()  # the SDK's senders are not made for several tasks at once

        async def calls(set_id: str) -> None:
            for (kind, flow), message in zip(prepared, messages, strict=True):
                await container.patch_item(
                    set_id,
                    LOCAL_TENANT,
                    [{"op": "add", "path": f"/flows/{kind}", "value": flow}],
                    filter_predicate=f"FROM c WHERE NOT IS_DEFINED(c.flows.{kind})",
                    **options,
                )
                sent = ServiceBusMessage(message, message_id=str(uuid.uuid4()))
                async with sending:
                    await sender.send_messages(sent)

        return calls

    config = bootstrap.settings()
    async with (
        bootstrap.service_bus() as service_bus,
        service_bus.get_queue_sender(config.readiness_queue) as sender,
        CosmosClient(config.cosmos_endpoint, config.cosmos_key or "") as plain,
    ):
        same = by_sdk(bootstrap.cosmos().container(FLOW_SETS), sender, no_response=True)
        database = plain.get_database_client(config.cosmos_database)
        usual = by_sdk(database.get_container_client(FLOW_SETS), sender)
        for what, theirs, at_once in [
            ("same options, 1 at once", same, 1),
            ("same options, 16 at once", same, 16),
            ("default options, 1 at once", usual, 1),
            ("default options, 16 at once", usual, 16),
        ]:
            compared = await in_turns_async(
                functools.partial(cpu_of, by_handler, at_once),
                functools.partial(cpu_of, theirs, at_once),
                ROUNDS,
            )
            print(compared.line(f"against SDK calls, {what}", "ms", TARGET))
    await bootstrap.close()


async def cpu_of(way: Way, at_once: int) -> float:
    """Return the CPU time of a create in milliseconds, sets at once and one after the other."""
    sets = await new_sets(SETS_A_ROUND)
    slots = asyncio.Semaphore(at_once)

    async def one(set_id: str) -> None:
        async with slots:
            await way(set_id)

    started = time.process_time()
    await asyncio.gather(*map(one, sets))
    return (time.process_time() - started) / (len(sets) * len(seed_bodies())) * 1e3


def main() -> None:
    """Run on emulators of its own."""
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    with stack() as running:
        asyncio.run(measure(application_token(running.config)))


if __name__ == "__main__":
    main()
