"""The app settings, and the SDK clients that everything else is built on.

The SDKs are imported inside the functions: a cold start that answers from memory does not pay for
them.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any

from shared.settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient
    from azure.storage.blob.aio import BlobServiceClient

    from shared.adapters.cosmos import Cosmos


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


def in_azure() -> bool:
    """Tell whether this runs in Azure, by what it gives an app that has an identity."""
    # Set wherever Azure gives an app an identity, and nowhere else.
    return bool(os.environ.get("IDENTITY_ENDPOINT"))


@functools.cache
def credential() -> AsyncTokenCredential:
    """The app's own identity; on an operator's machine that of `az login`, `azd auth login`, ..."""
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    if in_azure():
        return ManagedIdentityCredential(client_id=settings().identity_client_id)
    return DefaultAzureCredential()


@functools.cache
def cosmos() -> Cosmos:
    """Return the one client of Cosmos DB."""
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


@functools.cache
def blobs() -> BlobServiceClient:
    """Return the one client of Blob Storage."""
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


def service_bus() -> ServiceBusClient:
    """Return a client of Service Bus, with a connection of its own."""
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
