"""A receiver for each test, and the app in the test's own process."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from local.settings import example_values
from local.stack import Stack
from shared import bootstrap
from tests.emulators.service_bus_fixtures import Emulator, running
from tests.notifications.alone import Alone
from tests.support.app import forget
from tests.support.cosmos import CosmosRequests
from tests.support.receiver import Receiver, receiving
from tests.support.stored import create_database


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes what comes, until the test ends."""
    async with receiving() as running:
        yield running


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A Service Bus emulator whose queues only these tests use."""
    detecting = {"RequiresDuplicateDetection": True}
    names = (example_values()[name] for name in ("READINESS_QUEUE", "NOTIFICATIONS_QUEUE"))
    with running(tmp_path_factory.mktemp("queues"), dict.fromkeys(names, detecting)) as started:
        yield started


@pytest.fixture
async def alone(
    monkeypatch: pytest.MonkeyPatch,
    stack: Stack,
    queues: Emulator,
    token: str,
    cosmos_requests: CosmosRequests,
) -> AsyncIterator[Alone]:
    """The app in this process, built anew, on a database of its own."""
    database = f"alone{secrets.token_hex(4)}"
    await create_database(stack.config.cosmos_endpoint, database)
    own = {"COSMOS_DATABASE": database, "ServiceBus": queues.connection_string()}
    for name, value in {**example_values(), **stack.config.app_settings(), **own}.items():
        monkeypatch.setenv(name, value)
    forget()
    yield Alone(token, database, queues, cosmos_requests)
    await bootstrap.close()
    forget()
