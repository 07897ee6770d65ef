"""GET /health: whether the app can work, with each service behind it, within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from local.components import free_ports
from local.config import HOST
from local.health import troubles
from local.settings import example_values
from local.stack import Stack
from shared import VERSION, bootstrap
from shared.services.health import CHECK_SECONDS, KEPT_SECONDS, Dependency, Health
from tests.emulators.service_bus_fixtures import SDK_LEAKS_SOCKETS
from tests.support.api import Api
from tests.support.app import forget
from tests.support.cosmos import CosmosFaults, CosmosRequests

ALL = ("cosmosDb", "serviceBus", "blobStorage", "issuer")
pytestmark = SDK_LEAKS_SOCKETS


async def test_an_app_that_can_work_says_so(service: Api) -> None:
    assert await asyncio.to_thread(troubles, service.port) == []
    answer = await service.get(service.root.removesuffix("/beta") + "/health")
    assert answer.status == 200
    assert answer.json() == {
        "status": "healthy",
        "version": VERSION,
        "dependencies": {name: {"status": "available", "message": None} for name in ALL},
    }


async def test_however_many_ask_each_service_is_looked_at_once(
    service: Api, cosmos_requests: CosmosRequests
) -> None:
    url = service.root.removesuffix("/beta") + "/health"
    await service.get(url)
    await cosmos_requests.reset()
    for _ in range(20):
        assert (await service.get(url)).status == 200
    probes = [each for each in await cosmos_requests.read() if each["path"].endswith("/probe")]
    assert len(probes) <= 2


Change = Callable[[Stack, dict[str, str]], None]


def set_to(name: str, value: str) -> Change:
    """Give a setting another value."""

    def change(stack: Stack, settings: dict[str, str]) -> None:
        settings[name] = value

    return change


def no_cosmos(stack: Stack, settings: dict[str, str]) -> None:
    """A port without a listener."""
    [unused] = free_ports(1)
    settings["COSMOS_ENDPOINT"] = f"http://{HOST}:{unused}"


def no_service_bus(stack: Stack, settings: dict[str, str]) -> None:
    """The same of Service Bus."""
    [unused] = free_ports(1)
    used = f":{stack.config.service_bus_port};"
    settings["ServiceBus"] = settings["ServiceBus"].replace(used, f":{unused};")


def other_bus_key(stack: Stack, settings: dict[str, str]) -> None:
    """A key of Service Bus with a typing error."""
    settings["ServiceBus"] = settings["ServiceBus"].replace("SharedAccessKey=", "SharedAccessKey=x")


@pytest.fixture
async def changed(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> AsyncIterator[Any]:
    """Start the app in this process with changed settings; it is closed afterwards."""

    def start(change: Change) -> None:
        settings = {**example_values(), **stack.config.app_settings()}
        change(stack, settings)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        forget()

    yield start
    await bootstrap.close()
    forget()


@pytest.mark.parametrize(
    ("change", "name", "state", "works"),
    [
        (set_to("COSMOS_DATABASE", "misspelt"), "cosmosDb", "refused", False),
        (set_to("COSMOS_KEY", "eHl6"), "cosmosDb", "refused", False),
        (no_cosmos, "cosmosDb", "unavailable", False),
        (set_to("READINESS_QUEUE", "misspelt"), "serviceBus", "refused", True),
        (other_bus_key, "serviceBus", "refused", True),
        (no_service_bus, "serviceBus", "unavailable", True),
        (set_to("PASSWORD_KEYS", "k1:short"), "settings", "wrong", False),
        (set_to("COSMOS_ENDPOINT", ""), "settings", "wrong", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_is_wrong_at_the_start_is_named_at_once(
    changed: Any, change: Change, name: str, state: str, works: bool
) -> None:
    changed(change)
    can_work, answer = await bootstrap.health().read(seconds=30.0)
    assert can_work is works
    assert answer["status"] == ("degraded" if works else "unhealthy")
    found = answer["dependencies"].pop(name)
    assert found["status"] == state
    assert found["message"]
    assert {each["status"] for each in answer["dependencies"].values()} <= {"available"}


async def test_an_outage_is_shown_and_ends(
    service: Api, stack: Stack, cosmos_faults: CosmosFaults
) -> None:
    url = service.root.removesuffix("/beta") + "/health"

    async def state(wanted: str) -> int:
        ends = time.monotonic() + KEPT_SECONDS + CHECK_SECONDS + 20
        while time.monotonic() < ends:
            answer = await service.get(url)
            if answer.json()["dependencies"]["cosmosDb"]["status"] == wanted:
                return answer.status
        raise AssertionError(f"Cosmos DB is not shown as {wanted}")

    async with cosmos_faults(operation="read", count=1000, status=429, retryAfterMs=60_000):
        assert await state("throttled") == 503
        assert "cosmosDb (throttled): It has no throughput left just now." in (
            await asyncio.to_thread(troubles, service.port)
        )
    async with cosmos_faults(operation="read", count=1000, delayMs=30_000):
        assert await state("unavailable") == 503
    assert await state("available") == 200


async def test_what_does_not_answer_is_pending_and_holds_nothing_up() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    health = Health(dict, {"a": Dependency(never, needed=True)})
    works, answer = await health.read(seconds=0.01)
    assert (works, answer["status"]) == (True, "degraded")
    assert answer["dependencies"]["a"]["status"] == "pending"
    for task in health._looking.values():
        task.cancel()


async def test_a_check_that_fails_unexpectedly_says_unavailable() -> None:
    async def broken() -> None:
        raise ValueError("no endpoint in the connection string")

    works, answer = await Health(dict, {"a": Dependency(broken, needed=True)}).read(seconds=5.0)
    assert (works, answer["status"]) == (False, "unhealthy")
    assert answer["dependencies"]["a"]["status"] == "unavailable"


def test_an_app_that_does_not_answer_is_a_sentence() -> None:
    [unused] = free_ports(1)
    [trouble] = troubles(unused)
    assert trouble.startswith("The app does not answer GET /health")
    assert HOST
