"""The fault run's part about messages that can never be understood."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from typing import Any

from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties
from azure.storage.blob.aio import BlobServiceClient

from bench.chaos_run import DEADLINE_SECONDS, Accepted, Run
from local.config import HOST, READINESS_QUEUE
from shared.adapters.archive import Archive
from shared.contract import events
from shared.domain.context import LOCAL_TENANT

_FLOWS_A_POISON = 4


async def survive_poison(run: Run, count: int, *, kill: bool) -> None:
    """Send what can never be understood amid creates; all of it is archived, each once.

    With `kill`, the host is killed in between: what it had comes back when its locks have ended,
    after a minute.
    """
    began = time.monotonic()
    kinds: Counter[str] = Counter()
    ids: set[str] = set()
    creating = asyncio.create_task(run.create_all(max(4, count // _FLOWS_A_POISON), 2.0))
    connection = run.stack.config.service_bus_connection
    storage = BlobServiceClient.from_connection_string(run.stack.config.storage_connection)
    async with ServiceBusClient.from_connection_string(connection) as client, storage:
        async with client.get_queue_sender(READINESS_QUEUE) as sender:
            for number in range(count):
                name = run.chance.choice(list(_BODIES))
                kinds[name] += 1
                ids.add(message_id := str(uuid.UUID(int=run.chance.getrandbits(128))))
                properties = AmqpMessageProperties(message_id=message_id)
                await sender.send_messages(
                    AmqpAnnotatedMessage(**_BODIES[name], properties=properties)
                )
                if kill and number == count // 2:
                    await asyncio.to_thread(run.stack.kill, "host")
                    await asyncio.to_thread(run.stack.start, "host")
        accepted = await creating
        left = await _until_empty(run, client)
        kept = await _archived(Archive(storage, LOCAL_TENANT), ids)
    not_ready = await _not_ready(run, accepted)
    twice = sum(times > 1 for times in kept.values())
    sent = ", ".join(f"{number} {name}" for name, number in sorted(kinds.items()))
    print(
        f"poison: {count} messages ({sent}) amid {len(accepted)} creates"
        f"{' and a kill of the host' if kill else ''}, {time.monotonic() - began:.0f} s\n"
        f"  archived {len(kept)}, lost {count - len(kept)}, twice {twice}, left in a queue {left}; "
        f"flows that are not ready {not_ready}"
    )
    if len(kept) != count or twice or left or not_ready:
        run.faults.append(
            f"of {count} poisonous messages {count - len(kept)} are lost, {twice} archived twice "
            f"and {left} left; {not_ready} flows amid them are not ready"
        )


def _event() -> dict[str, Any]:
    guid = str(uuid.UUID(int=1))
    event: dict[str, Any] = json.loads(
        events.report(guid, "userProvisioningFlow", guid, "ready").body
    )
    return event


_BODIES: dict[str, dict[str, Any]] = {
    "that are no JSON": {"data_body": b"\xff{"},
    "that are strings": {"data_body": json.dumps(json.dumps(_event()))},
    "that the schema refuses": {"data_body": json.dumps(_event() | {"time": "now"})},
    "with an AMQP value": {"value_body": _event()},
    "with an AMQP sequence": {"sequence_body": [[_event()]]},
}


async def _until_empty(run: Run, client: ServiceBusClient) -> int:
    """Fire the timer until both queues are empty; return how many messages are left."""
    timer = f"http://{HOST}:{run.stack.config.functions_port}/admin/functions/archive_dead_letters"
    ends = time.monotonic() + DEADLINE_SECONDS
    async with (
        client.get_queue_receiver(READINESS_QUEUE) as live,
        client.get_queue_receiver(
            READINESS_QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER
        ) as dead,
    ):
        while True:
            async with run.http.post(timer, data=b"{}") as response:
                response.raise_for_status()
            await asyncio.sleep(0.5)
            left = [len(await each.peek_messages(250, sequence_number=1)) for each in (live, dead)]
            if not any(left) or time.monotonic() > ends:
                return sum(left)


async def _archived(archive: Archive, ids: set[str]) -> Counter[str]:
    """Count the entries of each message in the archive."""
    letters = [await archive.read(name) async for name in archive.names()]
    return Counter(letter["messageId"] for letter in letters if letter["messageId"] in ids)


async def _not_ready(run: Run, accepted: list[Accepted]) -> int:
    """Have the timer check again what was lost in the kill; return how many are not ready."""
    if await run.until_quiet():
        await run.reconcile(time.monotonic() + DEADLINE_SECONDS)
    found = await run.stored()
    return sum(found[each.flow_id]["readinessStatus"] != "ready" for each in accepted)
