"""Runs queries of the app on a container."""

from __future__ import annotations

from typing import Any

from azure.cosmos import ContainerProxy

from shared.odata.cosmos import Query


def run(container: ContainerProxy, query: Query) -> list[Any]:
    return list(
        container.query_items(
            query.text, parameters=query.parameters, enable_cross_partition_query=True
        )
    )
