"""Keeps what the readiness queue could not process: one blob a dead letter, written once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient

from shared.contract.dead_letters import DeadLetter, letter_name, record
from shared.domain.errors import NotFound, StoreUnavailable

CONTAINER: Final = "dead-letters"
_LETTERS: Final = "letters/"
_REPLAYS: Final = "replays/"


class Archive:
    """The dead letters in Blob Storage, and notes of which were put back."""

    def __init__(self, client: BlobServiceClient) -> None:
        self._client = client
        self._container = client.get_container_client(CONTAINER)

    async def keep(self, letter: DeadLetter) -> str:
        """Write a dead letter and return its name; one that is there already stays as it is."""
        name = letter_name(letter)
        content = json.dumps(record(letter, datetime.now(UTC)), ensure_ascii=False, indent=2)
        await self._write_once(_LETTERS + name, content.encode(errors="backslashreplace"))
        return name

    async def names(self, day: str = "") -> AsyncIterator[str]:
        """Yield the names of all dead letters, or of those of a day (2026/11/24), oldest first."""
        async for name in self._names(_LETTERS + day):
            yield name.removeprefix(_LETTERS)

    async def read(self, name: str) -> dict[str, Any]:
        """Return what was kept of a dead letter; raises NotFound."""
        try:
            with _asking():
                blob = await self._container.download_blob(_LETTERS + name)
                found: dict[str, Any] = json.loads(await blob.readall())
        except ResourceNotFoundError as exc:
            raise NotFound(name) from exc
        return found

    async def claim(self, name: str) -> bool:
        """Note that a dead letter is being put back; False where somebody noted that before."""
        return await self._write_once(_REPLAYS + name, b"claimed\n")

    async def release(self, name: str) -> None:
        """Take the note back, because the dead letter could not be put back."""
        with _asking():
            await self._container.delete_blob(_REPLAYS + name)

    async def replayed(self) -> set[str]:
        """Return the names of those that were put back."""
        return {name.removeprefix(_REPLAYS) async for name in self._names(_REPLAYS)}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _names(self, prefix: str) -> AsyncIterator[str]:
        try:
            with _asking():
                async for name in self._container.list_blob_names(name_starts_with=prefix):
                    yield name
        except ResourceNotFoundError:
            return  # nothing was ever archived

    async def _write_once(self, name: str, content: bytes) -> bool:
        try:
            with _asking():
                for _ in range(2):
                    try:
                        await self._container.upload_blob(name, content, overwrite=False)
                    except ResourceNotFoundError:
                        # The first letter of all: the container is made by whoever comes first.
                        await self._make_container()
                    else:
                        return True
        except ResourceExistsError:
            return False
        raise StoreUnavailable

    async def _make_container(self) -> None:
        try:
            await self._container.create_container()
        except ResourceExistsError:
            return


@contextmanager
def _asking() -> Iterator[None]:
    """Tell what keeps Blob Storage from answering as StoreUnavailable; 404 and 409 are answers."""
    try:
        yield
    except (ResourceExistsError, ResourceNotFoundError):
        raise
    except AzureError as exc:
        raise StoreUnavailable from exc
