"""The composition root: settings are read and SDK clients are built here, once, at first use.

What belongs to a tenant is built once for each, and given out for the tenant being served: there is
no way to a store but through one.

The SDKs are imported inside the functions: a cold start that answers from memory does not pay for
them. Tests point the app elsewhere by its settings, never by replacing a client.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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
    from shared.adapters.readiness_store import ReadinessStore
    from shared.adapters.service_bus import QueueDepth, QueuePublisher
    from shared.contract.printing import Printer
    from shared.services.announcing import Announcer
    from shared.services.archiving import Archiving
    from shared.services.dead_letters import DeadLetters
    from shared.services.flow_sets import FlowSets
    from shared.services.health import Health
    from shared.services.overview import Overview
    from shared.services.provisioning_flows import ProvisioningFlows
    from shared.services.readiness import Readiness
    from shared.services.receiving import Receiver
    from shared.services.reconciliation import Reconciler, Reconciliation
    from shared.services.reference_definitions import ReferenceDefinitions
    from shared.services.repeats import Repeats
    from shared.services.representations import Representations
    from shared.services.role_groups import RoleGroups
    from shared.services.roots import Roots
    from shared.services.rotation import Rotation


_Built = TypeVar("_Built")


class _PerTenant(Generic[_Built]):
    """Keeps what a function builds for each tenant; called, it returns that of the one served."""

    def __init__(self, build: Callable[[], _Built]) -> None:
        self.__doc__ = build.__doc__
        self._build = build
        self._built: dict[str, _Built] = {}

    def __call__(self) -> _Built:
        tenant = served_tenant()
        if tenant not in self._built:
            self._built[tenant] = self._build()
        return self._built[tenant]

    def cache_clear(self) -> None:
        self._built.clear()


# --- settings and adapters ---------------------------------------------------------------------


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


@_PerTenant
def _keyring() -> Keyring:
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
def _credential() -> AsyncTokenCredential:
    """The app's own identity; on an operator's machine that of `az login`, `azd auth login`, ..."""
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    if _in_azure():
        return ManagedIdentityCredential(client_id=settings().identity_client_id)
    return DefaultAzureCredential()


@functools.cache
def _cosmos() -> Cosmos:
    from urllib.request import getproxies

    from azure.core.pipeline.transport import AioHttpTransport
    from azure.cosmos.aio import CosmosClient

    from shared.adapters.cosmos import MOST_WAIT_SECONDS, Cosmos, on_response

    config = settings()
    client = CosmosClient(
        config.cosmos_endpoint,
        config.cosmos_key or _credential(),
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
    before = _earlier_documents().move_all if tenant == tenants()[0] else None
    return Partition(_cosmos(), container, tenant, before)


@functools.cache
def _earlier_documents() -> EarlierDocuments:
    from shared.adapters.earlier import EarlierDocuments

    return EarlierDocuments(_cosmos(), tenants()[0])


@_PerTenant
def flow_store() -> FlowStore:
    """Return the one store of flow sets."""
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.partition import FLOW_SETS

    return FlowStore(_items(FLOW_SETS))


@_PerTenant
def _readiness_store() -> ReadinessStore:
    from shared.adapters.readiness_store import ReadinessStore

    return ReadinessStore(flow_store())


@_PerTenant
def catalog() -> CatalogStore:
    """Return the one store of role groups and reference definitions."""
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.partition import REFERENCE_DEFINITIONS, ROLE_GROUPS

    return CatalogStore(_items(ROLE_GROUPS), _items(REFERENCE_DEFINITIONS))


@functools.cache
def _blobs() -> BlobServiceClient:
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
    return BlobServiceClient(config.storage_blob_uri, _credential(), **patience)


@_PerTenant
def archive() -> Archive:
    """Return the archive of dead letters."""
    from shared.adapters.archive import Archive

    tenant = served_tenant()
    return Archive(_blobs(), tenant, owns_earlier=tenant == tenants()[0])


@_PerTenant
def _password_audit() -> PasswordAudit:
    from shared.adapters.password_audit import PasswordAudit

    return PasswordAudit(_blobs(), served_tenant())


@functools.cache
def publisher() -> QueuePublisher:
    """Return the one sender to the readiness queue."""
    from shared.adapters.service_bus import CONNECT_SECONDS, QueuePublisher

    config = settings()
    # The Azure CLI alone may take many seconds for a token.
    from_cli = config.service_bus_connection is None and not _in_azure()
    seconds = 30.0 if from_cli else CONNECT_SECONDS
    return QueuePublisher(_service_bus(), config.readiness_queue, seconds)


def _service_bus() -> ServiceBusClient:
    from azure.servicebus.aio import ServiceBusClient

    config = settings()
    if config.service_bus_connection is not None:
        return ServiceBusClient.from_connection_string(
            config.service_bus_connection, retry_total=1, retry_backoff_factor=0.2
        )
    assert config.service_bus_namespace is not None  # noqa: S101 - Settings.read saw to it
    return ServiceBusClient(
        config.service_bus_namespace, _credential(), retry_total=1, retry_backoff_factor=0.2
    )


@functools.cache
def _dead_letter_queue() -> DeadLetterQueue:
    from shared.adapters.dead_letter_queue import DeadLetterQueue

    return DeadLetterQueue(_service_bus(), settings().readiness_queue)


@functools.cache
def queue_depth() -> QueueDepth:
    """Return what counts the messages of the readiness queue."""
    from shared.adapters.service_bus import QueueDepth

    return QueueDepth(_service_bus(), settings().readiness_queue)


# --- use cases ---------------------------------------------------------------------------------


@_PerTenant
def flow_sets() -> FlowSets:
    """Return the use cases of flow sets."""
    from shared.services.flow_sets import FlowSets

    return FlowSets(flow_store(), catalog(), _answers(), _repeats())


@_PerTenant
def provisioning_flows() -> ProvisioningFlows:
    """Return the use cases of provisioning flows."""
    from shared.services.provisioning_flows import ProvisioningFlows

    # The audit is opened by the first reading of passwords: nothing else here needs that SDK.
    return ProvisioningFlows(
        flow_store(),
        catalog(),
        _announcer(),
        _answers(),
        _keyring(),
        _password_audit,
        _repeats(),
    )


@_PerTenant
def role_groups() -> RoleGroups:
    """Return the use cases of role groups."""
    from shared.services.role_groups import RoleGroups

    return RoleGroups(catalog(), _announcer(), _answers(), _repeats())


@_PerTenant
def reference_definitions() -> ReferenceDefinitions:
    """Return the use cases of reference definitions."""
    from shared.services.reference_definitions import ReferenceDefinitions

    return ReferenceDefinitions(catalog(), _announcer(), _answers(), _repeats())


@_PerTenant
def roots() -> Roots:
    """Return the use cases of what leads to the collections."""
    from shared.services.roots import Roots

    return Roots(_answers(), flow_sets(), role_groups(), reference_definitions())


@_PerTenant
def readiness() -> Readiness:
    """Return what applies the events of the readiness queue."""
    from shared.services.readiness import Readiness

    return Readiness(_readiness_store(), catalog(), publisher())


@functools.cache
def receiver() -> Receiver:
    """Return what takes messages from the readiness queue."""
    from shared.services.receiving import Receiver

    # Dead letters are rare, and the SDK of Blob Storage takes its time to load.
    return Receiver(tenants(), readiness, publisher(), archiving)


@functools.cache
def archiving() -> Archiving:
    """Return what archives messages that cannot be processed."""
    from shared.services.archiving import Archiving

    return Archiving(tenants(), archive, _dead_letter_queue())


@functools.cache
def reconciliation() -> Reconciliation:
    """Return what makes good what was lost on the way, in each tenant."""
    from shared.services.reconciliation import Reconciliation

    return Reconciliation(tenants(), reconciler)


@_PerTenant
def reconciler() -> Reconciler:
    """Return what makes good what was lost on the way, in one tenant."""
    from shared.services.reconciliation import Reconciler

    return Reconciler(flow_store(), _readiness_store(), catalog(), publisher(), _announcer())


@_PerTenant
def dead_letters() -> DeadLetters:
    """Return the use cases of dead letters."""
    from shared.services.dead_letters import DeadLetters

    return DeadLetters(archive(), publisher())


@_PerTenant
def rotation() -> Rotation:
    """Return what seals stored passwords with the newest key."""
    from shared.services.rotation import Rotation

    return Rotation(flow_store(), _keyring())


@_PerTenant
def overview() -> Overview:
    """Return what reads the status page's data."""
    from shared.services.overview import Overview

    return Overview(flow_store(), archive(), queue_depth())


async def _probe_blobs() -> None:
    from shared.adapters.archive import CONTAINER
    from shared.adapters.blobs import probe

    await probe(_blobs().get_container_client(CONTAINER))


@functools.cache
def health() -> Health:
    """Return what says whether the app can work."""
    from shared.adapters.partition import FLOW_SETS
    from shared.services.health import Dependency, Health

    return Health(
        settings,
        {
            "cosmosDb": Dependency(lambda: _cosmos().probe(FLOW_SETS), needed=True),
            "serviceBus": Dependency(lambda: queue_depth().probe(), needed=False),
            "blobStorage": Dependency(_probe_blobs, needed=False),
            "issuer": Dependency(lambda: authorizer().probe(), needed=True),
        },
    )


@_PerTenant
def _announcer() -> Announcer:
    from shared.services.announcing import Announcer

    return Announcer(publisher(), catalog())


@_PerTenant
def _answers() -> Representations:
    from shared.services.representations import Representations

    return Representations(printer(), _keyring().signing_key("skiptoken"))


@_PerTenant
def _repeats() -> Repeats:
    from shared.services.repeats import Repeats

    return Repeats(_keyring().signing_key("repeats"))


async def close() -> None:
    """Close whatever was opened, for a command that ends; a host keeps it all."""
    for opened in (publisher, queue_depth, _dead_letter_queue, _blobs, _cosmos, _credential):
        if opened.cache_info().currsize:
            await opened().close()
            opened.cache_clear()
    for built_on_it in (
        archive,
        _password_audit,
        flow_store,
        _readiness_store,
        catalog,
        flow_sets,
        provisioning_flows,
        role_groups,
        reference_definitions,
        roots,
        readiness,
        reconciler,
        dead_letters,
        rotation,
        overview,
        receiver,
        archiving,
        _earlier_documents,
        _announcer,
    ):
        built_on_it.cache_clear()
