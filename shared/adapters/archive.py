"""Keeps what could not be processed: one blob a dead letter, written once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.blobs import asking, write_once
from shared.contract.dead_letters import QueueMessage, letter_name, record
from shared.domain.errors import NotFound

CONTAINER: Final = "dead-letters"
_LETTERS: Final = "letters/"
_REPLAYS: Final = "replays/"
_DISCARDS: Final = "discards/"


class Archive:
    """The dead letters in Blob Storage, and notes of which were put back or discarded."""

    def __init__(self, client: BlobServiceClient) -> None:
        self._container = client.get_container_client(CONTAINER)

    async def keep(self, letter: QueueMessage) -> str:
        """Write a dead letter and return its name; one that is there already stays as it is."""
        name = letter_name(letter)
        content = json.dumps(record(letter, datetime.now(UTC)), ensure_ascii=False, indent=2)
        await write_once(
            self._container, _LETTERS + name, content.encode(errors="backslashreplace")
        )
        return name

    async def probe(self) -> None:
        """Look at the container; raises StoreUnavailable unless Blob Storage answers this app."""
        try:
            with asking():
                await self._container.get_container_properties()
        except ResourceNotFoundError:
            return  # the first dead letter creates it

    async def names(self, day: str = "") -> AsyncIterator[str]:
        """Yield the names of all dead letters, or of those of a day (2026/11/24), oldest first."""
        async for name in self._names(_LETTERS + day):
            yield name.removeprefix(_LETTERS)

    async def read(self, name: str) -> dict[str, Any]:
        """Return what was kept of a dead letter; raises NotFound."""
        return await self._read(_LETTERS + name)

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

    async def was_replayed(self, name: str) -> bool:
        """Tell whether a dead letter was put back."""
        with asking():
            return await self._container.get_blob_client(_REPLAYS + name).exists()

    async def discard(self, name: str, reason: str) -> bool:
        """Note that a dead letter needs nothing more; False where that was noted before."""
        note = {"discardedDateTime": datetime.now(UTC).isoformat(), "reason": reason}
        content = json.dumps(note, ensure_ascii=False, indent=2)
        return await write_once(self._container, _DISCARDS + name, content.encode())

    async def discarded(self) -> set[str]:
        """Return the names of those that were discarded."""
        return {name.removeprefix(_DISCARDS) async for name in self._names(_DISCARDS)}

    async def discard_of(self, name: str) -> dict[str, Any] | None:
        """Return when and why a dead letter was discarded; None where it was not."""
        try:
            return await self._read(_DISCARDS + name)
        except NotFound:
            return None

    async def _read(self, blob_name: str) -> dict[str, Any]:
        try:
            with asking():
                blob = await self._container.download_blob(blob_name)
                found: dict[str, Any] = json.loads(await blob.readall())
        except ResourceNotFoundError as exc:
            raise NotFound(blob_name.partition("/")[2]) from exc
        return found

    async def _names(self, prefix: str) -> AsyncIterator[str]:
        try:
            with asking():
                async for name in self._container.list_blob_names(name_starts_with=prefix):
                    yield name
        except ResourceNotFoundError:
            return  # nothing was ever archived
