"""The composition root: everything is built here, once, at first use.

The SDKs are imported inside the functions: a cold start that answers from memory does not pay for
them. Tests point the app elsewhere by its settings, never by replacing a client.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from shared.connections import blobs, cosmos, credential, in_azure, service_bus
from shared.connections import settings as settings

if TYPE_CHECKING:
    from shared.adapters.archive import Archive
    from shared.adapters.catalog_store import CatalogStore
    from shared.adapters.dead_letter_queue import DeadLetterQueue
    from shared.adapters.entra import Authorizer
    from shared.adapters.flow_store import FlowStore
    from shared.adapters.password_audit import PasswordAudit
    from shared.adapters.readiness_store import ReadinessStore
    from shared.adapters.receivers import Receivers
    from shared.adapters.service_bus import QueueDepth, QueuePublisher
    from shared.adapters.subscription_store import SubscriptionStore
    from shared.contract.printing import Printer
    from shared.services.announcing import Announcer
    from shared.services.dead_letters import DeadLetters
    from shared.services.deliveries import Deliveries
    from shared.services.flow_sets import FlowSets
    from shared.services.health import Health
    from shared.services.notifying import Notifier
    from shared.services.overview import Overview
    from shared.services.provisioning_flows import ProvisioningFlows
    from shared.services.readiness import Readiness
    from shared.services.reconciliation import Reconciler
    from shared.services.reference_definitions import ReferenceDefinitions
    from shared.services.repeats import Repeats
    from shared.services.representations import Representations
    from shared.services.role_groups import RoleGroups
    from shared.services.roots import Roots
    from shared.services.rotation import Rotation
    from shared.services.subscriptions import Subscriptions


# --- adapters ----------------------------------------------------------------------------------


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


@functools.cache
def flow_store() -> FlowStore:
    """Return the one store of flow sets."""
    from shared.adapters.flow_store import FlowStore

    return FlowStore(cosmos())


@functools.cache
def _readiness_store() -> ReadinessStore:
    from shared.adapters.readiness_store import ReadinessStore

    return ReadinessStore(flow_store())


@functools.cache
def catalog() -> CatalogStore:
    """Return the one store of role groups and reference definitions."""
    from shared.adapters.catalog_store import CatalogStore

    return CatalogStore(cosmos())


@functools.cache
def _subscription_store() -> SubscriptionStore:
    from shared.adapters.subscription_store import SubscriptionStore

    return SubscriptionStore(cosmos())


@functools.cache
def _receivers() -> Receivers:
    from shared.adapters.receivers import Receivers

    config = settings()
    # Keys are for the emulators: only with them may this machine be called.
    return Receivers(config.notification_hosts, local=config.cosmos_key is not None)


@functools.cache
def archive() -> Archive:
    """Return the archive of dead letters."""
    from shared.adapters.archive import Archive

    return Archive(blobs())


@functools.cache
def _password_audit() -> PasswordAudit:
    from shared.adapters.password_audit import PasswordAudit

    return PasswordAudit(blobs())


@functools.cache
def publisher() -> QueuePublisher:
    """Return the one sender to the readiness queue."""
    return _publisher(settings().readiness_queue)


@functools.cache
def _notification_publisher() -> QueuePublisher:
    return _publisher(settings().notifications_queue)


def _publisher(queue: str) -> QueuePublisher:
    from shared.adapters.service_bus import CONNECT_SECONDS, QueuePublisher

    config = settings()
    # The Azure CLI alone may take many seconds for a token.
    from_cli = config.service_bus_connection is None and not in_azure()
    seconds = 30.0 if from_cli else CONNECT_SECONDS
    return QueuePublisher(service_bus(), queue, seconds)


@functools.cache
def _dead_letter_queue() -> DeadLetterQueue:
    from shared.adapters.dead_letter_queue import DeadLetterQueue

    return DeadLetterQueue(service_bus(), settings().readiness_queue)


@functools.cache
def queue_depth() -> QueueDepth:
    """Return what counts the messages of the readiness queue."""
    from shared.adapters.service_bus import QueueDepth

    return QueueDepth(service_bus(), settings().readiness_queue)


# --- use cases ---------------------------------------------------------------------------------


@functools.cache
def flow_sets() -> FlowSets:
    """Return the use cases of flow sets."""
    from shared.services.flow_sets import FlowSets

    return FlowSets(flow_store(), catalog(), _answers(), _repeats(), _notifier())


@functools.cache
def provisioning_flows() -> ProvisioningFlows:
    """Return the use cases of provisioning flows."""
    from shared.services.provisioning_flows import ProvisioningFlows

    # The audit is opened by the first reading of passwords: nothing else here needs that SDK.
    return ProvisioningFlows(
        flow_store(),
        catalog(),
        _announcer(),
        _answers(),
        settings().keyring,
        _password_audit,
        _repeats(),
    )


@functools.cache
def subscriptions() -> Subscriptions:
    """Return the use cases of subscriptions."""
    from shared.services.subscriptions import Subscriptions

    return Subscriptions(
        _subscription_store(),
        flow_store(),
        _receivers(),
        _notifier(),
        _answers(),
        settings().keyring,
    )


@functools.cache
def deliveries() -> Deliveries:
    """Return what sends change notifications."""
    from shared.services.deliveries import Deliveries

    return Deliveries(_subscription_store(), _receivers(), _notifier(), settings().keyring)


@functools.cache
def role_groups() -> RoleGroups:
    """Return the use cases of role groups."""
    from shared.services.role_groups import RoleGroups

    return RoleGroups(catalog(), _announcer(), _answers(), _repeats())


@functools.cache
def reference_definitions() -> ReferenceDefinitions:
    """Return the use cases of reference definitions."""
    from shared.services.reference_definitions import ReferenceDefinitions

    return ReferenceDefinitions(catalog(), _announcer(), _answers(), _repeats())


@functools.cache
def roots() -> Roots:
    """Return the use cases of what leads to the collections."""
    from shared.services.roots import Roots

    return Roots(_answers(), flow_sets(), role_groups(), reference_definitions())


@functools.cache
def readiness() -> Readiness:
    """Return what applies the events of the readiness queue."""
    from shared.services.readiness import Readiness

    # Dead letters are rare, and the SDK of Blob Storage takes its time to load.
    return Readiness(_readiness_store(), catalog(), publisher(), dead_letters, _notifier())


@functools.cache
def reconciler() -> Reconciler:
    """Return what makes good what was lost on the way."""
    from shared.services.reconciliation import Reconciler

    return Reconciler(flow_store(), _readiness_store(), catalog(), publisher(), _announcer())


@functools.cache
def dead_letters() -> DeadLetters:
    """Return the use cases of dead letters."""
    from shared.services.dead_letters import DeadLetters

    return DeadLetters(archive(), _dead_letter_queue(), publisher())


@functools.cache
def rotation() -> Rotation:
    """Return what seals stored passwords with the newest key."""
    from shared.services.rotation import Rotation

    return Rotation(flow_store(), settings().keyring)


@functools.cache
def overview() -> Overview:
    """Return what reads the status page's data."""
    from shared.services.overview import Overview

    return Overview(flow_store(), archive(), queue_depth())


@functools.cache
def health() -> Health:
    """Return what says whether the app can work."""
    from shared.services.health import Dependency, Health

    return Health(
        settings,
        {
            "cosmosDb": Dependency(lambda: flow_store().probe(), needed=True),
            "serviceBus": Dependency(lambda: queue_depth().probe(), needed=False),
            "blobStorage": Dependency(lambda: archive().probe(), needed=False),
            "issuer": Dependency(lambda: authorizer().probe(), needed=True),
        },
    )


@functools.cache
def _notifier() -> Notifier:
    from shared.services.notifying import Notifier

    enabled = bool(settings().notification_hosts)
    return Notifier(_subscription_store(), _notification_publisher(), enabled=enabled)


@functools.cache
def _announcer() -> Announcer:
    from shared.services.announcing import Announcer

    return Announcer(publisher(), catalog(), _notifier())


@functools.cache
def _answers() -> Representations:
    from shared.services.representations import Representations

    return Representations(printer(), settings().keyring.signing_key("skiptoken"))


@functools.cache
def _repeats() -> Repeats:
    from shared.services.repeats import Repeats

    return Repeats(settings().keyring.signing_key("repeats"))


async def close() -> None:
    """Close whatever was opened, for a command that ends; a host keeps it all."""
    for opened in (
        publisher,
        _notification_publisher,
        _receivers,
        queue_depth,
        _dead_letter_queue,
        blobs,
        cosmos,
        credential,
    ):
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
        subscriptions,
        deliveries,
        _subscription_store,
        _notifier,
        _announcer,
    ):
        built_on_it.cache_clear()
