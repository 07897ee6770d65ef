"""The composition root: settings are read and SDK clients are built here, once, at first use.

What belongs to a tenant is built once for each, and given out for the tenant being served: there is
no way to a store but through one.

The SDKs are imported inside the functions: a cold start that answers from memory does not pay for
them. Tests point the app elsewhere by its settings, never by replacing a client.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from shared.bootstrap.adapters import (
    archive,
    catalog,
    dead_letter_queue,
    earlier_documents,
    notification_publisher,
    password_audit,
    queue_depth,
    readiness_store,
    receivers,
    subscription_store,
    tenants,
)
from shared.bootstrap.adapters import (
    authorizer as authorizer,
)
from shared.bootstrap.adapters import (
    flow_store as flow_store,
)
from shared.bootstrap.adapters import (
    keyring as keyring,
)
from shared.bootstrap.adapters import (
    printer as printer,
)
from shared.bootstrap.adapters import (
    publisher as publisher,
)
from shared.bootstrap.connections import blobs
from shared.bootstrap.connections import cosmos as cosmos
from shared.bootstrap.connections import credential as credential
from shared.bootstrap.connections import service_bus as service_bus
from shared.bootstrap.connections import settings as settings
from shared.bootstrap.tenants import PerTenant
from shared.domain.context import served_tenant

if TYPE_CHECKING:
    from shared.services.announcing import Announcer
    from shared.services.archiving import Archiving
    from shared.services.assigning import Assigning
    from shared.services.dead_letters import DeadLetters
    from shared.services.deliveries import Deliveries
    from shared.services.delivering import Delivering
    from shared.services.flow_sets import FlowSets
    from shared.services.health import Health
    from shared.services.notifying import Notifier
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
    from shared.services.subscriptions import Subscriptions


@PerTenant
def flow_sets() -> FlowSets:
    """Return the use cases of flow sets."""
    from shared.services.flow_sets import FlowSets

    return FlowSets(flow_store(), catalog(), _answers(), _repeats(), _notifier())


@PerTenant
def provisioning_flows() -> ProvisioningFlows:
    """Return the use cases of provisioning flows."""
    from shared.services.provisioning_flows import ProvisioningFlows

    # The audit is opened by the first reading of passwords: nothing else here needs that SDK.
    return ProvisioningFlows(
        flow_store(),
        catalog(),
        _announcer(),
        _answers(),
        keyring(),
        password_audit,
        _repeats(),
    )


@PerTenant
def subscriptions() -> Subscriptions:
    """Return the use cases of subscriptions."""
    from shared.services.subscriptions import Subscriptions

    return Subscriptions(
        subscription_store(), flow_store(), receivers(), _notifier(), _answers(), keyring()
    )


@functools.cache
def delivering() -> Delivering:
    """Return what has each tenant's subscriptions served."""
    from shared.services.delivering import Delivering

    return Delivering(tenants(), deliveries)


@PerTenant
def deliveries() -> Deliveries:
    """Return what sends change notifications."""
    from shared.services.deliveries import Deliveries

    return Deliveries(subscription_store(), receivers(), _notifier(), keyring())


@PerTenant
def role_groups() -> RoleGroups:
    """Return the use cases of role groups."""
    from shared.services.role_groups import RoleGroups

    return RoleGroups(catalog(), _announcer(), _answers(), _repeats())


@PerTenant
def reference_definitions() -> ReferenceDefinitions:
    """Return the use cases of reference definitions."""
    from shared.services.reference_definitions import ReferenceDefinitions

    return ReferenceDefinitions(catalog(), _announcer(), _answers(), _repeats())


@PerTenant
def roots() -> Roots:
    """Return the use cases of what leads to the collections."""
    from shared.services.roots import Roots

    return Roots(_answers(), flow_sets(), role_groups(), reference_definitions())


@PerTenant
def readiness() -> Readiness:
    """Return what applies the events of the readiness queue."""
    from shared.services.readiness import Readiness

    return Readiness(readiness_store(), catalog(), publisher(), _notifier())


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

    return Archiving(tenants(), archive, dead_letter_queue())


@functools.cache
def reconciliation() -> Reconciliation:
    """Return what makes good what was lost on the way, in each tenant."""
    from shared.services.reconciliation import Reconciliation

    return Reconciliation(tenants(), reconciler)


@PerTenant
def reconciler() -> Reconciler:
    """Return what makes good what was lost on the way, in one tenant."""
    from shared.services.reconciliation import Reconciler

    return Reconciler(flow_store(), readiness_store(), catalog(), publisher(), _announcer())


@PerTenant
def dead_letters() -> DeadLetters:
    """Return the use cases of dead letters."""
    from shared.services.dead_letters import DeadLetters

    return DeadLetters(archive(), publisher(), served_tenant())


@PerTenant
def rotation() -> Rotation:
    """Return what seals stored passwords with the newest key."""
    from shared.services.rotation import Rotation

    return Rotation(flow_store(), keyring())


@PerTenant
def assigning() -> Assigning:
    """Return what assigns the documents of earlier releases."""
    from shared.services.assigning import Assigning

    return Assigning(earlier_documents(), served_tenant(), tenants()[0])


@PerTenant
def overview() -> Overview:
    """Return what reads the status page's data."""
    from shared.services.archiving import owner_of
    from shared.services.overview import Overview

    tenant, served = served_tenant(), tenants()
    return Overview(
        flow_store(),
        archive(),
        queue_depth(),
        tenant,
        (lambda message: owner_of(message, served) == tenant) if len(served) > 1 else None,
    )


async def _probe_blobs() -> None:
    from shared.adapters.archive import CONTAINER
    from shared.adapters.blobs import probe

    await probe(blobs().get_container_client(CONTAINER))


@functools.cache
def health() -> Health:
    """Return what says whether the app can work."""
    from shared.adapters.partition import FLOW_SETS
    from shared.services.health import Dependency, Health

    return Health(
        settings,
        {
            "cosmosDb": Dependency(lambda: cosmos().probe(FLOW_SETS), needed=True),
            "serviceBus": Dependency(lambda: queue_depth().probe(), needed=False),
            "blobStorage": Dependency(_probe_blobs, needed=False),
            "issuer": Dependency(lambda: authorizer().probe(), needed=True),
        },
    )


@PerTenant
def _notifier() -> Notifier:
    from shared.services.notifying import Notifier

    enabled = bool(settings().notification_hosts)
    return Notifier(
        subscription_store(), notification_publisher(), served_tenant(), enabled=enabled
    )


@PerTenant
def _announcer() -> Announcer:
    from shared.services.announcing import Announcer

    return Announcer(publisher(), catalog(), _notifier())


@PerTenant
def _answers() -> Representations:
    from shared.services.representations import Representations

    return Representations(printer(), keyring().signing_key("skiptoken"))


@PerTenant
def _repeats() -> Repeats:
    from shared.services.repeats import Repeats

    return Repeats(keyring().signing_key("repeats"))


async def close() -> None:
    """Close whatever was opened, for a command that ends; a host keeps it all."""
    for opened in (
        publisher,
        notification_publisher,
        receivers,
        queue_depth,
        dead_letter_queue,
        blobs,
        cosmos,
        credential,
    ):
        if opened.cache_info().currsize:
            await opened().close()
            opened.cache_clear()
    for built_on_it in (
        archive,
        password_audit,
        flow_store,
        readiness_store,
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
        assigning,
        overview,
        receiver,
        archiving,
        earlier_documents,
        subscription_store,
        subscriptions,
        deliveries,
        delivering,
        _notifier,
        _announcer,
    ):
        built_on_it.cache_clear()
