"""The adapters that the settings configure: each is built once, at first use.

What belongs to a tenant is given out for the tenant being served.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from shared.bootstrap.connections import blobs, cosmos, in_azure, service_bus, settings
from shared.bootstrap.tenants import PerTenant
from shared.domain.context import served_tenant

if TYPE_CHECKING:
    from shared.adapters.archive import Archive
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.dead_letter_queue import DeadLetterQueue
    from shared.adapters.earlier import EarlierDocuments
    from shared.adapters.entra import Authorizer
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.keyring import Keyring
    from shared.adapters.partition import Partition
    from shared.adapters.password_audit import PasswordAudit
    from shared.adapters.queue_depth import QueueDepth
    from shared.adapters.readiness_store import ReadinessStore
    from shared.adapters.receivers import Receivers
    from shared.adapters.service_bus import QueuePublisher
    from shared.adapters.subscription_store import SubscriptionStore
    from shared.contract.printing import Printer


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


@PerTenant
def subscription_store() -> SubscriptionStore:
    from shared.adapters.partition import FLOW_SETS
    from shared.adapters.subscription_store import SubscriptionStore

    return SubscriptionStore(cosmos(), served_tenant(), _items(FLOW_SETS))


@functools.cache
def receivers() -> Receivers:
    from shared.adapters.receivers import Receivers

    config = settings()
    # Keys are for the emulators: only with them may this machine be called.
    return Receivers(config.notification_hosts, local=config.cosmos_key is not None)


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
    return _publisher(settings().readiness_queue)


@functools.cache
def notification_publisher() -> QueuePublisher:
    """Return the one sender to the queue of reminders."""
    return _publisher(settings().notifications_queue)


def _publisher(queue: str) -> QueuePublisher:
    from shared.adapters.service_bus import CONNECT_SECONDS, QueuePublisher

    config = settings()
    # The Azure CLI alone may take many seconds for a token.
    from_cli = config.service_bus_connection is None and not in_azure()
    seconds = 30.0 if from_cli else CONNECT_SECONDS
    return QueuePublisher(service_bus(), queue, seconds)


@functools.cache
def dead_letter_queue() -> DeadLetterQueue:
    from shared.adapters.dead_letter_queue import DeadLetterQueue

    return DeadLetterQueue(service_bus(), settings().readiness_queue)


@functools.cache
def queue_depth() -> QueueDepth:
    """Return what counts the messages of the readiness queue."""
    from shared.adapters.queue_depth import QueueDepth

    return QueueDepth(service_bus(), settings().readiness_queue)
