"""Seals stored passwords with the newest key, while the service runs.

Each flow is one conditional write that changes nothing but sealed bytes, so an interruption leaves
nothing half done: what is still sealed by an older key is found by the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from shared.domain.errors import StoreUnavailable
from shared.domain.flows import resealed
from shared.domain.secrets import Ring

if TYPE_CHECKING:
    from shared.adapters.flow_store import FlowStore

TRIES = 4
_LONGEST_WAIT_SECONDS = 10

_T = TypeVar("_T")


@dataclass
class Progress:
    """How far a rotation has come.

    `unreadable` has the flows (set id, flow id, why) whose passwords no key opens: they stay as
    they are. `after` is the id of the flow set that was looked at last.
    """

    flows: int = 0
    passwords: int = 0
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    after: str = ""


async def rotate(
    store: FlowStore,
    keyring: Ring,
    progress: Progress,
    *,
    batch: int,
    dry_run: bool = False,
    note: Callable[[Progress], object] = lambda _: None,
) -> None:
    """Seal all passwords with the current key; `progress` shows at any time how far it is.

    `note` is called after each page of `batch` flow sets. With `dry_run` the passwords are opened
    and counted, and nothing is written. Raises StoreUnavailable while Cosmos DB stays
    overloaded.
    """
    more: str | None = progress.after
    while more is not None:
        found, more = await _patiently(
            store.flows_sealed_otherwise, keyring.current, more or "", batch
        )
        for set_id, flow in found:
            configuration, count, faults = resealed(flow, keyring)
            progress.unreadable += [(set_id, flow["id"], why) for why in faults]
            # One that was changed meanwhile has other passwords now, or is found by the next run.
            if count and (
                dry_run or await _patiently(store.put_resealed, set_id, flow, configuration)
            ):
                progress.flows += 1
                progress.passwords += count
            progress.after = set_id
        note(progress)


async def _patiently(ask: Callable[..., Awaitable[_T]], *arguments: object) -> _T:
    """Repeat a request for a while when Cosmos DB is overloaded: no caller waits for this."""
    for attempt in range(1, TRIES + 1):
        try:
            return await ask(*arguments)
        except StoreUnavailable as exc:
            if attempt == TRIES:
                raise
            await asyncio.sleep(min(exc.retry_after * attempt, _LONGEST_WAIT_SECONDS))
    raise AssertionError
