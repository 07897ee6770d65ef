"""Assigns what releases before 1.1 stored to the tenant that owns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.domain.errors import Conflict

if TYPE_CHECKING:
    from shared.adapters.earlier import EarlierDocuments


@dataclass(frozen=True)
class Assigning:
    """The use case of operators who upgrade; the tenant being served is `tenant`."""

    earlier: EarlierDocuments
    tenant: str
    owner: str

    async def run(self) -> dict[str, Any]:
        """Assign documents for some seconds, and return what was done and whether that was all.

        Raises Conflict for a tenant that does not own them, and StoreUnavailable.
        """
        if self.tenant != self.owner:
            raise Conflict(
                "What earlier releases stored belongs to the first tenant of AUTH_TENANTS, and the "
                "token is of another one."
            )
        moved = await self.earlier.move()
        return {
            "tenantId": self.owner,
            "assigned": moved.count,
            "staying": moved.staying,
            "complete": moved.complete,
        }
