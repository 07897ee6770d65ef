"""Creates the database and its containers: `python -m local.emulators.cosmos.setup`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from local.config import COSMOS_DATABASE, COSMOS_EMULATOR_KEY, LocalConfig

CONTAINERS_FILE = Path(__file__).resolve().parents[3] / "shared" / "resources" / "containers.json"


def container_definitions() -> list[dict[str, Any]]:
    """The name, partitionKey, uniqueKeys and indexingPolicy of every container."""
    definitions: list[dict[str, Any]] = json.loads(CONTAINERS_FILE.read_text("utf-8"))["containers"]
    return definitions


async def create_containers(endpoint: str, key: str) -> None:
    """Create the database and whichever of its containers are missing; what exists stays as it is.

    Raises azure.core.exceptions.AzureError when the endpoint does not answer or refuses.
    """
    # The emulator answers over plain http on one address; discovery would send the client to the
    # https addresses that the account names.
    async with CosmosClient(endpoint, key, enable_endpoint_discovery=False) as client:
        database = await client.create_database_if_not_exists(COSMOS_DATABASE)
        for container in container_definitions():
            unique_keys = [{"paths": paths} for paths in container["uniqueKeys"]]
            await database.create_container_if_not_exists(
                container["name"],
                PartitionKey(path=container["partitionKey"]),
                indexing_policy=container["indexingPolicy"],
                unique_key_policy={"uniqueKeys": unique_keys} if unique_keys else None,  # type: ignore[dict-item]  # the SDK's hint says str, its service takes a list
            )


def main(arguments: list[str] | None = None) -> int:
    """Run as a command; 0 when the containers exist, 1 with a sentence on stderr when not."""
    parser = argparse.ArgumentParser(
        prog="python -m local.emulators.cosmos.setup", description=__doc__
    )
    parser.add_argument("--endpoint", default=LocalConfig().cosmos_endpoint, help="base URL")
    endpoint: str = parser.parse_args(arguments).endpoint
    try:
        asyncio.run(create_containers(endpoint, COSMOS_EMULATOR_KEY))
    except AzureError as error:
        print(f"Cosmos DB at {endpoint} did not create the containers: {error}", file=sys.stderr)
        return 1
    names = ", ".join(container["name"] for container in container_definitions())
    print(f"Database {COSMOS_DATABASE} at {endpoint} has the containers {names}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
