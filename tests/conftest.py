"""One local stack for the whole test session, on free ports, with state of its own."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from local.access_token import application_token
from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, READINESS_QUEUE, ROOT
from local.settings import example_values
from local.stack import Stack, throwaway_config
from shared.adapters.archive import Archive
from shared.adapters.keyring import Keyring
from shared.adapters.partition import FLOW_SETS
from shared.domain.context import LOCAL_TENANT
from tests.support.api import Api, Flow
from tests.support.cosmos import CosmosFaults, CosmosRequests, Counted
from tests.support.queue import Queue
from tests.support.sealed import FORMER_KEY

NOT_COPIED = (".git", ".venv*", "node_modules", ".local", "local.settings.json", ".*_cache")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that no test writes into the developer's own."""
    copy = tmp_path_factory.mktemp("project") / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (copy / "local" / "node_modules").symlink_to(ROOT / "local" / "node_modules")
    return copy


@pytest.fixture(scope="session")
def password_keys() -> str:
    """The stack's PASSWORD_KEYS: the key that seals, and the one before it."""
    return f"{example_values()['PASSWORD_KEYS']},{FORMER_KEY}"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, password_keys: str) -> Iterator[Stack]:
    """The running stack; the first test that uses it waits until it is healthy.

    `stack.kill(name)` and `stack.start(name)` end and restart one part on its port ("azurite",
    "cosmos", "service_bus", "host"); both block, so an async test calls them with
    `asyncio.to_thread`. A test that kills a part starts it again.
    """
    config = throwaway_config(tmp_path_factory.mktemp("stack"))
    # Everything by environment: a developer's local.settings.json must not change a test.
    settings = {**example_values(), **config.app_settings(), "PASSWORD_KEYS": password_keys}
    with Stack(config, host_settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
async def stored_sets(stack: Stack) -> AsyncIterator[ContainerProxy]:
    """The container of flow sets, as the app stores them."""
    async with CosmosClient(
        stack.config.cosmos_endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False
    ) as client:
        yield client.get_database_client(COSMOS_DATABASE).get_container_client(FLOW_SETS)


@pytest.fixture(scope="session")
def keyring(password_keys: str) -> Keyring:
    """The keys with which the app encrypts passwords."""
    return Keyring.read(password_keys, LOCAL_TENANT)


@pytest.fixture(scope="session")
def api(stack: Stack) -> str:
    """The service root, http://127.0.0.1:PORT/beta."""
    return stack.config.api


@pytest.fixture(scope="session")
def token(stack: Stack) -> str:
    """An access token with every permission."""
    return application_token(stack.config)


@pytest.fixture(scope="session")
async def http(token: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A shared HTTP client that may do everything."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


@pytest.fixture
async def served_description(api: str, tmp_path: Path) -> Path:
    """The API's description as a file, as the service gives it to anyone."""
    found = tmp_path / "openapi.json"
    async with (
        aiohttp.ClientSession() as anyone,
        anyone.get(f"{api.removesuffix('/beta')}/openapi.json") as response,
    ):
        found.write_bytes(await response.read())
    return found


@pytest.fixture(scope="session")
def cosmos_requests(stack: Stack, http: aiohttp.ClientSession) -> CosmosRequests:
    """Counts the requests that reach the Cosmos DB emulator."""
    return CosmosRequests(http, f"{stack.config.cosmos_endpoint}/_emulator/requests")


@pytest.fixture(scope="session")
async def service_bus_client(stack: Stack) -> AsyncIterator[ServiceBusClient]:
    """The real SDK's client on the Service Bus emulator."""
    async with ServiceBusClient.from_connection_string(
        stack.config.service_bus_connection
    ) as client:
        yield client


@pytest.fixture(scope="session")
async def service(http: aiohttp.ClientSession, api: str) -> Api:
    """The service under test."""
    return Api(http, api)


@pytest.fixture
async def set_id(service: Api) -> str:
    """A flow set of the test's own."""
    return await service.new_set()


@pytest.fixture
async def ready_flow(service: Api) -> Flow:
    """A flow whose first check was applied."""
    flow = await service.new_flow()
    await flow.until_status("ready")
    return flow


@pytest.fixture
async def counted(
    service: Api, stack: Stack, set_id: str, cosmos_requests: CosmosRequests
) -> Counted:
    """A fresh count, when the host has its connections and knows which roles are disabled."""
    await (await service.new_flow("user")).until_status("ready")
    await cosmos_requests.reset()
    return Counted(cosmos_requests, set_id)


@pytest.fixture(scope="session")
def cosmos_faults(stack: Stack, http: aiohttp.ClientSession) -> CosmosFaults:
    """Makes requests to the Cosmos DB emulator fail: `async with cosmos_faults(status=503)`."""
    return CosmosFaults(http, f"{stack.config.cosmos_endpoint}/_emulator/faults")


@pytest.fixture(scope="module")
async def queue(service_bus_client: ServiceBusClient, stack: Stack) -> AsyncIterator[Queue]:
    """The readiness queue and what became of its dead letters."""
    storage = BlobServiceClient.from_connection_string(stack.config.storage_connection)
    async with storage, service_bus_client.get_queue_sender(READINESS_QUEUE) as sender:
        yield Queue(sender, Archive(storage, LOCAL_TENANT), stack)
