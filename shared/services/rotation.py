"""Seals stored passwords with the newest key, while the service runs.

Each flow is one conditional write that changes nothing but sealed bytes, so an interruption leaves
nothing half done: what is still sealed by an older key is found by the next request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.contract.administration import ResealPasswords
from shared.contract.loading import load
from shared.domain.errors import Conflict, Fault, InvalidRequest
from shared.domain.flows import resealed
from shared.domain.secrets import Ring
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.flow_store import FlowStore

MAX_SETS: Final = 100
"""A request has ten seconds, and each set is a write."""


@dataclass(frozen=True)
class Rotation:
    """The use case of operators who change the key of passwords."""

    store: FlowStore
    keyring: Ring

    async def reseal(self, body: Any) -> dict[str, Any]:
        """Seal the passwords of the next flow sets anew; return what was done, and where to go on.

        `body` is a request's: `after` (the id that the last answer gave), `top` (how many sets),
        `dryRun` (passwords are opened and counted, nothing is written) and `keyId` (the key that
        the caller expects to seal). `unreadable` has flows whose passwords no key opens: they stay
        as they are. Raises InvalidRequest, Conflict and StoreUnavailable.
        """
        given = load(ResealPasswords, body)
        top = given.get("top", MAX_SETS)
        if not 1 <= top <= MAX_SETS:
            raise InvalidRequest(
                Fault("InvalidValue", f"Give a number from 1 to {MAX_SETS}.", "$.top")
            )
        key = self.keyring.current
        if given.get("key_id", key) != key:
            # After a change of the ring, an instance that was not restarted still has the old one.
            raise Conflict(
                f"This instance of the service seals with the key '{key}': restart the service, "
                "so that every instance has the new PASSWORD_KEYS."
            )
        found, after = await self.store.flows_sealed_otherwise(
            key, self.keyring.bound, given.get("after", ""), top
        )
        flows, passwords, unreadable = 0, 0, []
        for set_id, flow in found:
            configuration, count, faults = resealed(flow, self.keyring)
            unreadable += [
                {"flowSetId": set_id, "flowId": flow["id"], "why": why} for why in faults
            ]
            # One that was changed meanwhile has other passwords now, or is found the next time.
            if count and (
                given.get("dry_run", False)
                or await self.store.put_resealed(set_id, flow, configuration)
            ):
                flows += 1
                passwords += count
        if not given.get("dry_run", False):
            log_event("passwordsResealed", keyId=key, flows=flows, passwords=passwords)
        return {
            "keyId": key,
            "flows": flows,
            "passwords": passwords,
            "unreadable": unreadable,
            "after": after,
        }
