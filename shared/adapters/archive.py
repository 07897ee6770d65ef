"""Keeps what could not be processed: one blob a dead letter, written once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.blobs import asking, write_once
from shared.contract.dead_letters import QueueMessage, letter_name, record
from shared.contract.discards import is_letter_name
from shared.domain.errors import NotFound

CONTAINER: Final = "dead-letters"
_LETTERS: Final = "letters/"
_REPLAYS: Final = "replays/"
_DISCARDS: Final = "discards/"


class Archive:
    """A tenant's dead letters in Blob Storage, and notes of which were put back or discarded.

    The blobs of a tenant are in folders of its name; `owns_earlier` is for the one to which those
    of before belong, when there were no such folders.
    """

    def __init__(
        self, client: BlobServiceClient, tenant: str, *, owns_earlier: bool = False
    ) -> None:
        self._container = client.get_container_client(CONTAINER)
        self._own = f"{tenant}/"
        self._places = (self._own, "") if owns_earlier else (self._own,)

    async def keep(self, letter: QueueMessage, fault: str | None = None) -> str:
        """Write a dead letter and return its name; one that is there already stays as it is.

        `fault` says what is wrong with it, where that does not show by itself.
        """
        name = letter_name(letter)
        kept = record(letter, datetime.now(UTC), fault)
        content = json.dumps(kept, ensure_ascii=False, indent=2)
        await write_once(
            self._container, self._path(_LETTERS, name), content.encode(errors="backslashreplace")
        )
        return name

    async def names(self, day: str = "") -> AsyncIterator[str]:
        """Yield the names of all dead letters, or of those of a day (2026/11/24), oldest first."""
        async for name in self._names(_LETTERS, day):
            yield name

    async def read(self, name: str) -> dict[str, Any]:
        """Return what was kept of a dead letter; raises NotFound."""
        found = await self._read(_LETTERS, name)
        if found is None:
            raise NotFound(name)
        return found

    async def claim(self, name: str) -> bool:
        """Note that a dead letter is being put back; False where that was noted before."""
        return await self._note(_REPLAYS, name, b"claimed\n")

    async def release(self, name: str) -> None:
        """Take the note back, because the dead letter could not be put back."""
        with asking():
            await self._container.delete_blob(self._path(_REPLAYS, name))

    async def replayed(self) -> set[str]:
        """Return the names of those that were put back."""
        return {name async for name in self._names(_REPLAYS)}

    async def was_replayed(self, name: str) -> bool:
        """Tell whether a dead letter was put back."""
        return await self._has(_REPLAYS, name, self._places)

    async def discard(self, name: str, reason: str) -> bool:
        """Note that a dead letter needs nothing more; False where that was noted before."""
        note = {"discardedDateTime": datetime.now(UTC).isoformat(), "reason": reason}
        content = json.dumps(note, ensure_ascii=False, indent=2)
        return await self._note(_DISCARDS, name, content.encode())

    async def discarded(self) -> set[str]:
        """Return the names of those that were discarded."""
        return {name async for name in self._names(_DISCARDS)}

    async def discard_of(self, name: str) -> dict[str, Any] | None:
        """Return when and why a dead letter was discarded; None where it was not."""
        return await self._read(_DISCARDS, name)

    def _path(self, folder: str, name: str) -> str:
        return folder + self._own + name

    async def _note(self, folder: str, name: str, content: bytes) -> bool:
        if await self._has(folder, name, self._places[1:]):
            return False
        return await write_once(self._container, self._path(folder, name), content)

    async def _has(self, folder: str, name: str, places: Sequence[str]) -> bool:
        with asking():
            for place in places:
                if await self._container.get_blob_client(folder + place + name).exists():
                    return True
        return False

    async def _read(self, folder: str, name: str) -> dict[str, Any] | None:
        for place in self._places:
            try:
                with asking():
                    blob = await self._container.download_blob(folder + place + name)
                    found: dict[str, Any] = json.loads(await blob.readall())
                    return found
            except ResourceNotFoundError:
                continue
        return None

    async def _names(self, folder: str, day: str = "") -> AsyncIterator[str]:
        """Yield the names in a folder in order; one that stands in several places once."""
        places = [self._names_at(folder, place, day) for place in self._places]
        heads = [(each, await anext(each, None)) for each in places]
        while left := [(each, name) for each, name in heads if name is not None]:
            first = min(name for _, name in left)
            yield first
            heads = [
                (each, await anext(each, None) if name == first else name) for each, name in left
            ]

    async def _names_at(self, folder: str, place: str, day: str) -> AsyncIterator[str]:
        # A name begins with its year; the folders of tenants stand beside those of years.
        prefix = folder + place + (day or "2")
        try:
            with asking():
                async for path in self._container.list_blob_names(name_starts_with=prefix):
                    name = path.removeprefix(folder + place)
                    if is_letter_name(name):
                        yield name
        except ResourceNotFoundError:
            return  # nothing was ever archived
