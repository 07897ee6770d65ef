"""Settings, and the adapters that they configure: each is built once, at first use.

The SDKs are imported inside the functions: a cold start that answers from memory does not pay for
them. What belongs to a tenant is given out for the tenant being served.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any

from shared.bootstrap.tenants import PerTenant
from shared.domain.context import served_tenant
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient
    from azure.storage.blob.aio import BlobServiceClient

    from shared.adapters.archive import Archive
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.cosmos import Cosmos
    from shared.adapters.dead_letter_queue import DeadLetterQueue
    from shared.adapters.earlier import EarlierDocuments
    from shared.adapters.entra import Authorizer
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.keyring import Keyring
    from shared.adapters.partition import Partition
    from shared.adapters.password_audit import PasswordAudit
    from shared.adapters.queue_depth import QueueDepth
    from shared.adapters.readiness_store import ReadinessStore
    from shared.adapters.service_bus import QueuePublisher
    from shared.contract.printing import Printer


@functools.cache
def settings() -> Settings:
    """Return the app settings; raises SettingsError that names every fault."""
    # At INFO, which is the worker's level, the SDKs write all headers of every request.
    for sdk in (
        "azure.core",
        "azure.cosmos",
        "azure.identity",
        "azure.servicebus",
        "azure.storage",
    ):
        logging.getLogger(sdk).setLevel(logging.WARNING)
    return Settings.read(os.environ)


def tenants() -> tuple[str, ...]:
    """Return the tenants that are served, the one that owns what has no tenant first."""
    return settings().auth.tenants


@PerTenant
def keyring() -> Keyring:
    from shared.adapters.keyring import Keyring

    return Keyring.read(settings().password_keys, served_tenant())


@functools.cache
def authorizer() -> Authorizer:
    """Return what checks access tokens."""
    from shared.adapters.entra import Authorizer
    from shared.adapters.signing_keys import SigningKeys

    config = settings().auth
    return Authorizer(config, SigningKeys(config.authority))


@functools.cache
def printer() -> Printer:
    """Return what prints stored entities."""
    from shared.contract.printing import Printer

    return Printer(settings().graph_root)


def _in_azure() -> bool:
    # Set wherever Azure gives an app an identity, and nowhere else.
    return bool(os.environ.get("IDENTITY_ENDPOINT"))


@functools.cache
def credential() -> AsyncTokenCredential:
    """The app's own identity; on an operator's machine that of `az login`, `azd auth login`, ..."""
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    if _in_azure():
        return ManagedIdentityCredential(client_id=settings().identity_client_id)
    return DefaultAzureCredential()


@functools.cache
def cosmos() -> Cosmos:
    from urllib.request import getproxies

    from azure.core.pipeline.transport import AioHttpTransport
    from azure.cosmos.aio import CosmosClient

    from shared.adapters.cosmos import MOST_WAIT_SECONDS, Cosmos, on_response

    config = settings()
    client = CosmosClient(
        config.cosmos_endpoint,
        config.cosmos_key or credential(),
        # An emulator names itself by an address that may not be the one it is reached at.
        enable_endpoint_discovery=config.cosmos_key is None,
        # With them, aiohttp looks the proxy up in a thread at every request: 40 % of a write's CPU.
        transport=AioHttpTransport(use_env_settings=bool(getproxies())),
        connection_timeout=5,
        read_timeout=5,
        # Within the ten seconds of a request: a throttled request is repeated as the service
        # says, at most nine times and for five seconds in all; without a connection at once and
        # twice more, a second apart.
        retry_throttle_total=9,
        retry_throttle_backoff_max=MOST_WAIT_SECONDS,
        retry_connect=3,
        retry_read=3,
        retry_backoff_factor=1,
        raw_response_hook=on_response,
    )
    return Cosmos(client, config.cosmos_database)


def _items(container: str) -> Partition:
    from shared.adapters.partition import Partition

    tenant = served_tenant()
    before = earlier_documents().move_all if tenant == tenants()[0] else None
    return Partition(cosmos(), container, tenant, before)


@functools.cache
def earlier_documents() -> EarlierDocuments:
    from shared.adapters.earlier import EarlierDocuments

    return EarlierDocuments(cosmos(), tenants()[0])


@PerTenant
def flow_store() -> FlowStore:
    """Return the one store of flow sets."""
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.partition import FLOW_SETS

    return FlowStore(_items(FLOW_SETS))


@PerTenant
def readiness_store() -> ReadinessStore:
    from shared.adapters.readiness_store import ReadinessStore

    return ReadinessStore(flow_store())


@PerTenant
def catalog() -> CatalogStore:
    """Return the one store of role groups and reference definitions."""
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.partition import REFERENCE_DEFINITIONS, ROLE_GROUPS

    return CatalogStore(_items(ROLE_GROUPS), _items(REFERENCE_DEFINITIONS))


@functools.cache
def blobs() -> BlobServiceClient:
    from azure.storage.blob.aio import BlobServiceClient

    config = settings()
    # By default the SDK goes on for a minute, which is all that a function has.
    patience: dict[str, Any] = {
        "connection_timeout": 5,
        "read_timeout": 5,
        "retry_total": 1,
        "initial_backoff": 1,
        "random_jitter_range": 1,
    }
    if config.storage_connection is not None:
        return BlobServiceClient.from_connection_string(config.storage_connection, **patience)
    assert config.storage_blob_uri is not None  # noqa: S101 - Settings.read saw to it
    return BlobServiceClient(config.storage_blob_uri, credential(), **patience)


@PerTenant
def archive() -> Archive:
    """Return the archive of dead letters."""
    from shared.adapters.archive import Archive

    tenant = served_tenant()
    return Archive(blobs(), tenant, owns_earlier=tenant == tenants()[0])


@PerTenant
def password_audit() -> PasswordAudit:
    from shared.adapters.password_audit import PasswordAudit

    return PasswordAudit(blobs(), served_tenant())


@functools.cache
def publisher() -> QueuePublisher:
    """Return the one sender to the readiness queue."""
    from shared.adapters.service_bus import CONNECT_SECONDS, QueuePublisher

    config = settings()
    # The Azure CLI alone may take many seconds for a token.
    from_cli = config.service_bus_connection is None and not _in_azure()
    seconds = 30.0 if from_cli else CONNECT_SECONDS
    return QueuePublisher(service_bus(), config.readiness_queue, seconds)


def service_bus() -> ServiceBusClient:
    from azure.servicebus.aio import ServiceBusClient

    config = settings()
    if config.service_bus_connection is not None:
        return ServiceBusClient.from_connection_string(
            config.service_bus_connection, retry_total=1, retry_backoff_factor=0.2
        )
    assert config.service_bus_namespace is not None  # noqa: S101 - Settings.read saw to it
    return ServiceBusClient(
        config.service_bus_namespace, credential(), retry_total=1, retry_backoff_factor=0.2
    )


@functools.cache
def dead_letter_queue() -> DeadLetterQueue:
    from shared.adapters.dead_letter_queue import DeadLetterQueue

    return DeadLetterQueue(service_bus(), settings().readiness_queue)


@functools.cache
def queue_depth() -> QueueDepth:
    """Return what counts the messages of the readiness queue."""
    from shared.adapters.queue_depth import QueueDepth

    return QueueDepth(service_bus(), settings().readiness_queue)
