"""What the app has stored, read past it."""

from __future__ import annotations

from typing import Any

from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient

from local.config import COSMOS_EMULATOR_KEY
from local.emulators.cosmos.setup import container_definitions
from shared.adapters.cosmos import Cosmos, on_response
from shared.adapters.keyring import Keyring
from shared.adapters.partition import REFERENCE_DEFINITIONS, ROLE_GROUPS, Partition
from shared.domain.context import LOCAL_TENANT


def cosmos_client(endpoint: str) -> CosmosClient:
    """A client of the Cosmos DB emulator, as patient as the app's own when throttled."""
    return CosmosClient(
        endpoint,
        COSMOS_EMULATOR_KEY,
        enable_endpoint_discovery=False,
        raw_response_hook=on_response,
    )


async def create_database(endpoint: str, name: str) -> None:
    """Create a database with the app's containers on the Cosmos DB emulator."""
    async with cosmos_client(endpoint) as client:
        database = await client.create_database_if_not_exists(name)
        for container in container_definitions():
            await database.create_container_if_not_exists(
                container["name"],
                PartitionKey(path=container["partitionKey"]),
                indexing_policy=container["indexingPolicy"],
            )


def catalog_partitions(cosmos: Cosmos) -> tuple[Partition, Partition]:
    """The containers of the catalog, as the local tenant has them."""
    return (
        Partition(cosmos, ROLE_GROUPS, LOCAL_TENANT),
        Partition(cosmos, REFERENCE_DEFINITIONS, LOCAL_TENANT),
    )


async def stored_flow(sets: ContainerProxy, set_id: str, kind: str) -> dict[str, Any]:
    """The flow of one kind in a set."""
    flow: dict[str, Any] = (await sets.read_item(set_id, LOCAL_TENANT))["flows"][kind]
    return flow


async def stored_passwords(
    sets: ContainerProxy, keyring: Keyring, set_id: str
) -> dict[str, str | None]:
    """The passwords of a set's user flow in clear, by role group; None where there is none."""
    flow = await stored_flow(sets, set_id, "userProvisioningFlow")
    found: dict[str, str | None] = {}
    for entry in flow["configuration"]["creationOptions"]["configurations"]:
        settings = entry["defaultPasswordSettings"]
        found[entry["roleGroup"]] = (
            settings and keyring.open(settings["password"], flow["id"], entry["roleGroup"]).reveal()
        )
    return found
