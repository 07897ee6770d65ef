"""A Cosmos DB emulator for the queries that options become."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey

from local.config import COSMOS_EMULATOR_KEY
from local.emulators.cosmos.setup import container_definitions
from shared.adapters.partition import FLOW_SETS

SERVER = Path(__file__).parents[2] / "local" / "emulators" / "cosmos" / "server.cjs"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = ["node", str(SERVER), "--port", "0", "--state", str(tmp_path_factory.mktemp("state"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        match = re.search(r"listening on (\S+:\d+)", server.stdout.readline())
        assert match is not None
        try:
            yield f"http://{match[1]}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def container(endpoint: str) -> Iterator[Callable[[str], ContainerProxy]]:
    """Makes containers that are indexed as flowSets is."""
    definition = next(each for each in container_definitions() if each["name"] == FLOW_SETS)
    indexing = definition["indexingPolicy"]
    with CosmosClient(endpoint, COSMOS_EMULATOR_KEY, enable_endpoint_discovery=False) as client:
        database = client.create_database_if_not_exists("odata")
        yield lambda name: database.create_container(
            name, PartitionKey("/id"), indexing_policy=indexing
        )
