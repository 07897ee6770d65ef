"""Time moved forward: what is due or expires then, on a stack of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.storage.blob.aio import BlobServiceClient

from local import clock
from local.access_token import all_roles, application_token
from local.config import COSMOS_DATABASE, READINESS_QUEUE, ROOT
from local.issuer import claims, sign, signing_key
from local.settings import example_values
from local.stack import Stack, throwaway_config
from shared.adapters.archive import Archive
from shared.adapters.partition import FLOW_SETS
from shared.domain.context import LOCAL_TENANT
from tests.notifications.stored import stored_subscriptions
from tests.support.api import Answer, Api, Flow
from tests.support.bodies import request_body
from tests.support.commands import environment, ps, run
from tests.support.receiver import receiving, resource_of, subscribe
from tests.support.stored import cosmos_client
from tests.support.waiting import until

BODY = "security_group"


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose clock the tests of this file move."""
    config = throwaway_config(tmp_path_factory.mktemp("moving"))
    with Stack(config, host_settings={**example_values(), **config.app_settings()}) as running:
        yield running


class Timed(Api):
    """The service, for a client whose token outlives all moves."""

    @property
    def time(self) -> str:
        """Where its clock is."""
        return f"{self.root.removesuffix('/beta')}/local/time"

    async def move(self, by: object) -> Answer:
        """Ask for a move."""
        return await self.post(self.time, {"forward": by})

    async def forward(self, by: str) -> datetime:
        """Move the clock, which must work; return what it shows then."""
        answer = await self.move(by)
        assert answer.status == 200, answer.text
        return datetime.fromisoformat(answer.json()["now"])

    async def shown(self) -> Any:
        """What it says of its clock."""
        return (await self.get(self.time)).json()

    async def new_flow_with(self, fault: str) -> Flow:
        """Create a flow by a request that asks for a fault."""
        set_id = await self.new_set()
        body = request_body(BODY)
        answer = await self.send("POST", self.flows(set_id), body, local_fault=fault)
        assert answer.status == 201, answer.text
        made = answer.json()
        return Flow(self, set_id, made["id"], made["@odata.type"].rpartition(".")[2])

    async def now(self) -> datetime:
        """What its clock shows."""
        return datetime.fromisoformat((await self.shown())["now"])


@pytest.fixture(scope="module")
async def timed(moving: Stack) -> AsyncIterator[Timed]:
    config = moving.config
    payload = claims(config.issuer, roles=all_roles(), lifetime=clock.MOST)
    token = sign(payload, signing_key(config.local_state / "issuer"))
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        yield Timed(session, config.api)


@pytest.fixture
async def sender(moving: Stack) -> AsyncIterator[ServiceBusSender]:
    """The real SDK in a process whose clock is this machine's."""
    async with (
        ServiceBusClient.from_connection_string(moving.config.service_bus_connection) as client,
        client.get_queue_sender(READINESS_QUEUE) as sender,
    ):
        yield sender


def bearer(token: str) -> str:
    return f"Bearer {token}"


async def test_a_token_expires_and_a_new_one_is_of_the_service_s_time(
    timed: Timed, moving: Stack
) -> None:
    token = bearer(application_token(moving.config))
    assert (await timed.get(timed.sets, authorization=token)).status == 200
    await timed.forward("PT2H")
    expired = await timed.get(timed.sets, authorization=token)
    assert expired.status == 401
    assert expired.json()["error"]["message"] == "Access token has expired or is not yet valid."
    new = bearer(application_token(moving.config))
    assert (await timed.get(timed.sets, authorization=new)).status == 200


async def test_commands_move_the_clock_and_print_a_token_of_its_time(
    timed: Timed, moving: Stack
) -> None:
    config = moving.config
    moved = await asyncio.to_thread(
        run, ROOT, "-m", "local.faults", "forward", "PT2H", env=environment(config)
    )
    assert json.loads(moved.stdout)["ahead"] == (await timed.shown())["ahead"]
    printed = await asyncio.to_thread(
        run, ROOT, "-m", "local.access_token", env=environment(config)
    )
    assert (await timed.get(timed.sets, authorization=bearer(printed.stdout.strip()))).status == 200


async def test_what_is_stored_bears_the_service_s_time(timed: Timed, moving: Stack) -> None:
    now = await timed.forward("P3D")
    assert now > datetime.now(UTC) + timedelta(days=3)
    set_id = await timed.new_set()
    created = (await timed.get(timed.set(set_id))).json()["createdDateTime"]
    async with cosmos_client(moving.config.cosmos_endpoint) as cosmos:
        sets = cosmos.get_database_client(COSMOS_DATABASE).get_container_client(FLOW_SETS)
        written = (await sets.read_item(set_id, LOCAL_TENANT))["_ts"]
    assert now <= datetime.fromisoformat(created) < now + timedelta(minutes=1)
    assert int(now.timestamp()) <= written < now.timestamp() + 60


async def test_a_scheduled_message_arrives_when_it_is_due_and_not_before(
    timed: Timed, sender: ServiceBusSender
) -> None:
    flow = await timed.new_flow(BODY)
    await flow.until_status("ready")
    due = await timed.now() + timedelta(days=1)
    _, report = flow.report("failed", due)
    await sender.schedule_messages(report, due)
    await timed.forward("PT12H")
    # A flow that is created now becomes ready: the queue is read again.
    await (await timed.new_flow(BODY)).until_status("ready")
    assert await flow.status() == "ready"
    await timed.forward("PT12H")
    await flow.until_status("failed")


async def test_a_flow_that_is_kept_not_ready_is_checked_when_its_time_is_over(
    timed: Timed,
) -> None:
    begin = time.monotonic()
    flow = await timed.new_flow_with("readinessStatus=notReady; seconds=240")
    await timed.forward("PT3M")
    await (await timed.new_flow(BODY)).until_status("ready")
    assert await flow.status() == "notReady"
    await timed.forward("PT2M")
    await flow.until_status("ready")
    assert time.monotonic() - begin < 200


async def test_timers_that_are_due_run_and_make_good_a_check_that_was_lost(
    timed: Timed, moving: Stack
) -> None:
    await asyncio.to_thread(moving.kill, "service_bus")
    flow = await timed.new_flow(BODY)
    await asyncio.to_thread(moving.start, "service_bus")
    assert await flow.status() == "notReady"

    async def is_ready() -> bool:
        # The service does not publish for some seconds after an outage: time for another run then.
        await timed.forward("PT1H")
        await asyncio.sleep(1)
        return await flow.status() == "ready"

    await until(is_ready, "the check that was lost is requested again")


async def test_a_dead_letter_is_archived_under_the_day_that_it_is_then(
    timed: Timed, moving: Stack, sender: ServiceBusSender
) -> None:
    # Real storage refuses dates that are 15 minutes off; Azurite, whose clock stays, does not.
    today = f"{await timed.forward('P2D'):%Y/%m/%d}"
    message_id = str(uuid.uuid4())
    await sender.send_messages(ServiceBusMessage(b"no event", message_id=message_id))
    async with BlobServiceClient.from_connection_string(
        moving.config.storage_connection
    ) as storage:
        archive = Archive(storage, LOCAL_TENANT)

        async def kept() -> bool:
            letters = [await archive.read(name) async for name in archive.names(today)]
            return message_id in [letter["messageId"] for letter in letters]

        await until(kept, f"a dead letter of {today}")


async def test_a_subscription_ends_and_is_removed_from_the_store(
    timed: Timed, moving: Stack
) -> None:
    async with receiving() as receiver:
        ends = await timed.now() + timedelta(hours=1)
        made = await subscribe(
            timed,
            receiver,
            resource=resource_of(await timed.new_set()),
            expirationDateTime=ends.isoformat(),
        )
        url = f"{timed.root}/subscriptions/{made['id']}"
        assert (await timed.get(url)).status == 200
        await timed.forward("PT2H")
        assert (await timed.get(url)).status == 404

        async def removed() -> bool:
            return not await stored_subscriptions(moving, made["id"])

        await until(removed, "the subscription is removed")


async def test_a_report_of_the_command_counts_for_a_flow_of_the_service_s_time(
    timed: Timed, moving: Stack
) -> None:
    await timed.forward("P1D")
    flow = await timed.new_flow(BODY)
    await flow.until_status("ready")
    reported = await asyncio.to_thread(
        run,
        ROOT,
        *("-m", "industrydata", "report", flow.set_id, "securityGroup", "expired"),
        env=environment(moving.config),
    )
    assert reported.returncode == 0, reported.stderr
    assert await flow.status() == "expired"


async def test_a_request_under_way_takes_as_long_as_before(timed: Timed) -> None:
    begin = time.monotonic()
    slow = asyncio.create_task(timed.get(timed.sets, local_fault="delay=2"))
    await asyncio.sleep(0.5)
    await timed.forward("P1D")
    assert (await slow).status == 200
    assert time.monotonic() - begin >= 2


@pytest.mark.parametrize("part", ["worker", "host", "service_bus", "cosmos"])
async def test_a_part_that_ended_comes_back_to_the_same_time(
    timed: Timed, moving: Stack, part: str
) -> None:
    now = await timed.forward("P1D")
    ahead = (await timed.shown())["ahead"]
    if part == "worker":
        rows = ps("-axo", "pid=,ppid=")
        [worker] = [int(pid) for pid, parent in rows if int(parent) == moving.pid("host")]
        os.kill(worker, signal.SIGKILL)
    else:
        await asyncio.to_thread(moving.kill, part)
        await asyncio.to_thread(moving.start, part)
    assert (await timed.shown())["ahead"] == ahead

    async def is_ready() -> bool:
        return (await timed.get(timed.sets)).status == 200

    await until(is_ready, "the service serves again")
    flow = await timed.new_flow(BODY)
    assert datetime.fromisoformat((await flow.read())["createdDateTime"]) >= now
    await flow.until_status("ready")


@pytest.mark.parametrize(
    "by",
    [
        *("", "P", "PT", "P0D", "PT0S", "-P1D", "P1M", "P1Y", "P1W", "P1.5D", "PT1,5H", "p1d"),
        *("P1000D", "P1D ", "P\u0661D", "1", "3 days", "PT1H1D", "P1DT", "P" * 65),
        *(1, None, True, [], {}, 1.5),
    ],
)
async def test_what_is_no_duration_is_refused_with_one_that_is(timed: Timed, by: object) -> None:
    before = (await timed.shown())["ahead"]
    answer = await timed.move(by)
    assert answer.status == 400
    assert "P3D, PT90M or P1DT12H" in answer.json()["error"]["message"]
    assert (await timed.shown())["ahead"] == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"to": "2030-01-01"}', b'{"forward"'])
async def test_another_body_is_refused(timed: Timed, body: bytes) -> None:
    assert (await timed.send("POST", timed.time, body)).status == 400


async def test_time_never_goes_back(timed: Timed) -> None:
    before = await timed.now()
    answer = await timed.delete(timed.time)
    assert answer.status == 400
    assert "make clean" in answer.json()["error"]["message"]
    assert await timed.now() >= before


async def test_the_clock_is_at_most_400_days_ahead(timed: Timed) -> None:
    answer = await timed.move("P400D")
    assert answer.status == 400
    assert "P400D ahead at most" in answer.json()["error"]["message"]
    assert "make clean" in answer.json()["error"]["message"]
    assert (await timed.get(timed.sets)).status == 200
