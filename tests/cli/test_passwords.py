"""`industrydata passwords rotate`: stored passwords are sealed with the newest key."""

from __future__ import annotations

import asyncio
import signal

import pytest
from azure.cosmos.aio import ContainerProxy

from tests.cli.conftest import COMMAND, Command
from tests.support.api import Api
from tests.support.sealed import LOST_KEY, Sealed
from tests.support.waiting import until

ROTATE = ("passwords", "rotate")


@pytest.fixture
async def sealed(stored_sets: ContainerProxy, password_keys: str) -> Sealed:
    return Sealed(stored_sets, password_keys)


async def test_passwords_are_counted_and_then_sealed(
    command: Command, service: Api, sealed: Sealed
) -> None:
    await asyncio.to_thread(command.ok, *ROTATE)
    flow = await sealed.make(service)
    ran = await asyncio.to_thread(command.ok, *ROTATE, "--dry-run")
    assert ran.out == (f"2 passwords of 1 flow would be sealed with the key '{sealed.current}'.\n")
    assert await sealed.key_ids(flow) == ["former", "former"]
    ran = await asyncio.to_thread(command.ok, *ROTATE, "--json", "--key", sealed.current)
    assert ran.value() == {
        "keyId": sealed.current,
        "dryRun": False,
        "flows": 1,
        "passwords": 2,
        "left": 0,
        "unreadable": [],
    }
    assert await sealed.key_ids(flow) == [sealed.current] * 2


async def test_it_goes_through_all_sets(command: Command, service: Api, sealed: Sealed) -> None:
    flows = [await sealed.make(service) for _ in range(3)]
    ran = await asyncio.to_thread(command.ok, *ROTATE, "--batch", "1")
    assert ran.out.startswith("6 passwords of 3 flows were sealed ")
    for flow in flows:
        assert await sealed.key_ids(flow) == [sealed.current] * 2


async def test_interrupted_it_says_where_it_is_and_goes_on(
    command: Command, service: Api, sealed: Sealed
) -> None:
    flows = [await sealed.make(service) for _ in range(12)]
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, *ROTATE, "--batch", "1"),
        env=command.environ,
        stderr=asyncio.subprocess.PIPE,
    )
    first = min(flows, key=lambda flow: flow.set_id)

    async def begun() -> bool:
        return await sealed.key_ids(first) == [sealed.current] * 2

    await until(begun, "the first set is done")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode().startswith("Ended early, after ")
    assert "run the same command again" in err.decode()
    done = [await sealed.key_ids(flow) for flow in flows]
    # Each flow is one write: both of its passwords, or none.
    assert all(len(set(key_ids)) == 1 for key_ids in done)
    assert ["former", "former"] in done
    await asyncio.to_thread(command.ok, *ROTATE)
    for flow in flows:
        assert await sealed.key_ids(flow) == [sealed.current] * 2


async def test_a_password_without_its_key_is_named(
    command: Command, service: Api, sealed: Sealed
) -> None:
    lost = await sealed.make(service, key=LOST_KEY)
    old = await sealed.make(service)
    try:
        ran = await asyncio.to_thread(command.run, *ROTATE)
        assert ran.code == 1
        assert ran.out.startswith("2 passwords of 1 flow were sealed ")
        assert ran.err.startswith(f"Flow {lost.id} of set {lost.set_id} stays as it is: ")
        assert await sealed.key_ids(old) == [sealed.current] * 2
    finally:
        await service.delete(service.set(lost.set_id))


def test_a_service_that_was_not_restarted_is_told_apart(command: Command) -> None:
    ran = command.run(*ROTATE, "--key", "newest")
    assert (ran.code, ran.out) == (1, "")
    assert "restart the service" in ran.err
    assert "flows list" not in ran.err


@pytest.mark.parametrize("batch", ["0", "101"])
def test_a_batch_that_no_request_may_have_is_refused(command: Command, batch: str) -> None:
    assert command.run(*ROTATE, "--batch", batch).code == 2
