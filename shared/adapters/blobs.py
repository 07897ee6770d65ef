"""Blobs that are written once, for what must not change afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob.aio import ContainerClient

from shared.domain.errors import StoreRefused, StoreUnavailable


async def write_once(container: ContainerClient, name: str, content: bytes) -> bool:
    """Write a new blob; False where one of that name exists. Raises StoreUnavailable."""
    try:
        with asking():
            for _ in range(2):
                try:
                    await container.upload_blob(name, content, overwrite=False)
                except ResourceNotFoundError:
                    # The first blob of all: the container is created by the first writer.
                    await _make_container(container)
                else:
                    return True
    except ResourceExistsError:
        return False
    raise StoreUnavailable


async def probe(container: ContainerClient) -> None:
    """Look at a container; raises StoreUnavailable unless Blob Storage answers this app."""
    try:
        with asking():
            await container.get_container_properties()
    except ResourceNotFoundError:
        return  # the first blob creates it


async def _make_container(container: ContainerClient) -> None:
    try:
        await container.create_container()
    except ResourceExistsError:
        return


@contextmanager
def asking() -> Iterator[None]:
    """Raise StoreUnavailable where Blob Storage does not answer; 404 and 409 are answers."""
    try:
        yield
    except (ResourceExistsError, ResourceNotFoundError):
        raise
    except AzureError as exc:
        refused = isinstance(exc, ClientAuthenticationError) or (
            isinstance(exc, HttpResponseError) and exc.status_code in (401, 403)
        )
        raise (StoreRefused if refused else StoreUnavailable) from exc
