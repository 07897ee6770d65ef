"""Keeps what the readiness queue could not process: one blob a dead letter, written once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.blobs import asking, write_once
from shared.contract.dead_letters import DeadLetter, letter_name, record
from shared.domain.errors import NotFound

CONTAINER: Final = "dead-letters"
_LETTERS: Final = "letters/"
_REPLAYS: Final = "replays/"


class Archive:
    """The dead letters in Blob Storage, and notes of which were put back."""

    def __init__(self, client: BlobServiceClient) -> None:
        self._container = client.get_container_client(CONTAINER)

    async def keep(self, letter: DeadLetter) -> str:
        """Write a dead letter and return its name; one that is there already stays as it is."""
        name = letter_name(letter)
        content = json.dumps(record(letter, datetime.now(UTC)), ensure_ascii=False, indent=2)
        await write_once(
            self._container, _LETTERS + name, content.encode(errors="backslashreplace")
        )
        return name

    async def names(self, day: str = "") -> AsyncIterator[str]:
        """Yield the names of all dead letters, or of those of a day (2026/11/24), oldest first."""
        async for name in self._names(_LETTERS + day):
            yield name.removeprefix(_LETTERS)

    async def read(self, name: str) -> dict[str, Any]:
        """Return what was kept of a dead letter; raises NotFound."""
        try:
            with asking():
                blob = await self._container.download_blob(_LETTERS + name)
                found: dict[str, Any] = json.loads(await blob.readall())
        except ResourceNotFoundError as exc:
            raise NotFound(name) from exc
        return found

    async def claim(self, name: str) -> bool:
        """Note that a dead letter is being put back; False where that was noted before."""
        return await write_once(self._container, _REPLAYS + name, b"claimed\n")

    async def release(self, name: str) -> None:
        """Take the note back, because the dead letter could not be put back."""
        with asking():
            await self._container.delete_blob(_REPLAYS + name)

    async def replayed(self) -> set[str]:
        """Return the names of those that were put back."""
        return {name.removeprefix(_REPLAYS) async for name in self._names(_REPLAYS)}

    async def _names(self, prefix: str) -> AsyncIterator[str]:
        try:
            with asking():
                async for name in self._container.list_blob_names(name_starts_with=prefix):
                    yield name
        except ResourceNotFoundError:
            return  # nothing was ever archived
