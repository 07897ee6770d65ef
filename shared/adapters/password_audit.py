"""Records who was given passwords, where no log level, sampling or daily cap can drop it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.blobs import write_once
from shared.domain.context import current_caller, current_trace, left
from shared.domain.errors import StoreUnavailable
from shared.domain.ids import passing_id

CONTAINER: Final = "password-readings"
# Of the ten seconds that a caller waits, Cosmos DB may have used some.
TIMEOUT_SECONDS: Final = 5.0


class PasswordAudit:
    """One blob for each reading, written before the passwords are given out, and never changed.

    One blob each, and not lines of a shared one: no writer waits for another, and a container with
    an immutability policy can hold them.
    """

    def __init__(self, client: BlobServiceClient, tenant: str) -> None:
        self._container = client.get_container_client(CONTAINER)
        self._tenant = tenant

    async def record(self, set_id: str, flow_id: str, role_groups: Sequence[str]) -> str:
        """Record that the caller is about to be given the passwords of these role groups.

        Returns the blob's name, `<tenant>/2026/11/30/101500-<id>.json`. Raises StoreUnavailable
        where the record is not known to be written: then no password may be given out.
        """
        at = datetime.now(UTC)
        name = f"{self._tenant}/{at:%Y/%m/%d/%H%M%S}-{passing_id()}.json"
        caller = current_caller.get()
        content = {
            "time": at.isoformat(timespec="milliseconds"),
            "tenant": self._tenant,
            "flowSetId": set_id,
            "flowId": flow_id,
            "roleGroups": list(role_groups),
            "caller": None if caller is None else vars(caller),
            "traceparent": current_trace.get(),
        }
        try:
            async with asyncio.timeout(left(TIMEOUT_SECONDS)):
                # The name is new: a blob that exists is this one, its first answer was lost.
                await write_once(self._container, name, json.dumps(content).encode())
        except TimeoutError as exc:
            raise StoreUnavailable from exc
        return name
