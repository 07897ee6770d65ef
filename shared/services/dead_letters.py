"""What operators do with dead letters: read them, put them back, discard them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from shared.contract.administration import ReplayDeadLetters
from shared.contract.discards import read_discard, read_name, read_page
from shared.contract.events import Message, read_event
from shared.contract.loading import load
from shared.domain.errors import (
    Conflict,
    InvalidEvent,
    NewerEvent,
    NotFound,
    PublishFailed,
    StoreUnavailable,
)
from shared.domain.ids import as_guid
from shared.domain.readiness import EventType
from shared.telemetry import log_event

if TYPE_CHECKING:
    from shared.adapters.archive import Archive
    from shared.adapters.service_bus import QueuePublisher

_AT_ONCE: Final = 16
# One request of an operator's.
PAGE: Final = 50
DISCARDED_AT_ONCE: Final = 500
_REQUEST_SECONDS: Final = 10.0

T = TypeVar("T")


@dataclass(frozen=True)
class DeadLetters:
    """The use cases of dead letters."""

    archive: Archive
    publisher: QueuePublisher
    tenant: str

    async def read(self, name: str) -> dict[str, Any]:
        """Return what is kept of a dead letter, and why it was discarded; raises NotFound."""
        letter = await self.archive.read(name)
        discarded = await self.archive.discard_of(name)
        return letter if discarded is None else {**letter, **discarded}

    async def replay(self, name: str, *, again: bool = False) -> None:
        """Put a dead letter back on the queue, once unless `again`.

        Raises NotFound; Conflict where it was put back or discarded before; InvalidEvent where it
        would only be refused again; StoreUnavailable and PublishFailed.
        """
        body = _body_to_send(await self.archive.read(name), self.tenant)
        if not again and await self.archive.discard_of(name) is not None:
            raise Conflict("It was discarded; `again` sends it all the same.")
        claimed = await self.archive.claim(name)
        if not claimed and not again:
            raise Conflict(
                "It was put back before, or that was interrupted; `again` sends it once more."
            )
        try:
            # By this id the queue drops a second one within its five minutes, if the first arrived.
            await self.publisher.publish(Message(replay_id(name), body))
        except BaseException:
            if claimed:
                await self.archive.release(name)
            raise

    async def discard(self, name: str, reason: str) -> None:
        """Note that a dead letter needs nothing more, and why; what is kept of it stays.

        Raises NotFound; Conflict where it was put back or discarded before; StoreUnavailable.
        """
        await self.archive.read(name)
        if await self.archive.was_replayed(name):
            raise Conflict("It was put back before.")
        if not await self.archive.discard(name, reason):
            raise Conflict("It was discarded before.")
        log_event("deadLetterDiscarded", name=name)

    async def page(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the PAGE oldest, without their bodies.

        `params` are a request's: day (2026/11/24), after (the name that the last page ended with)
        and all (`true`: those that were put back or discarded, too). Raises InvalidRequest and
        StoreUnavailable.
        """
        asked = read_page(params)
        async with _in_time():
            replayed, discarded = await self.archive.replayed(), await self.archive.discarded()
            done = set() if asked.done_too else replayed | discarded
            names, more = await self._first(PAGE, done, asked.day, asked.after)
            letters = await self._several(names, self.archive.read)
        return {
            "value": [
                {
                    **summary(name, letter),
                    "state": "discarded"
                    if name in discarded
                    else "replayed"
                    if name in replayed
                    else "waiting",
                }
                for name, letter in zip(names, letters, strict=True)
            ],
            "more": more,
        }

    async def one(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Return what is kept of the dead letter that a request names.

        Raises InvalidRequest, NotFound and StoreUnavailable.
        """
        return await self.read(read_name(params))

    async def replay_several(self, body: Any) -> dict[str, Any]:
        """Put those back on the queue that a request's body names.

        Returns how many were, and which were not and why. Raises InvalidRequest and
        StoreUnavailable.
        """
        asked = load(ReplayDeadLetters, body)
        refused: list[dict[str, str]] = []

        async def replay(name: str) -> None:
            try:
                await self.replay(name, again=asked.get("again", False))
            except PublishFailed:
                refused.append({"name": name, "why": "Service Bus did not take it: try again."})
            except (Conflict, InvalidEvent, NotFound) as exc:
                refused.append({"name": name, "why": str(exc)})

        names = list(dict.fromkeys(asked["names"]))
        async with _in_time():
            await self._several(names, replay)
        return {"replayed": len(names) - len(refused), "refused": refused}

    async def discard_several(self, body: Any) -> dict[str, Any]:
        """Discard those that a request's body names, or all that wait, DISCARDED_AT_ONCE at most.

        Returns how many were discarded, which were not and why, and whether others wait. Raises
        InvalidRequest and StoreUnavailable.
        """
        asked = read_discard(body)
        refused: list[dict[str, str]] = []

        async def discard(name: str) -> None:
            try:
                await self.discard(name, asked.reason)
            except (Conflict, NotFound) as exc:
                refused.append({"name": name, "why": str(exc)})

        async with _in_time():
            names, more = list(asked.names or ()), False
            if asked.names is None:
                done = await self.archive.replayed() | await self.archive.discarded()
                names, more = await self._first(DISCARDED_AT_ONCE, done)
            await self._several(names, discard)
        return {"discarded": len(names) - len(refused), "refused": refused, "more": more}

    async def _first(
        self, most: int, done: Collection[str], day: str = "", after: str = ""
    ) -> tuple[list[str], bool]:
        """Return the names of the oldest that are not done, and whether there are others."""
        found: list[str] = []
        async for name in self.archive.names(day):
            if name > after and name not in done:
                if len(found) == most:
                    return found, True
                found.append(name)
        return found, False

    async def _several(self, names: list[str], act: Callable[[str], Awaitable[T]]) -> list[T]:
        found: list[T] = []
        for start in range(0, len(names), _AT_ONCE):
            found += await asyncio.gather(*map(act, names[start : start + _AT_ONCE]))
        return found


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            yield
    except TimeoutError as exc:
        raise StoreUnavailable from exc


def summary(name: str, letter: dict[str, Any]) -> dict[str, Any]:
    """Return what a list shows of a dead letter."""
    event = letter["body"] if isinstance(letter["body"], dict) else letter.get("readable") or {}
    return {
        "name": name,
        "messageId": letter["messageId"],
        "type": event.get("type"),
        "reason": letter["deadLetterReason"],
        "fault": letter["fault"],
    }


def replay_id(name: str) -> str:
    """Return the message id under which a dead letter is put back."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"replay {name}"))


def _body_to_send(letter: dict[str, Any], tenant: str) -> bytes:
    """Return the event of a dead letter; raises InvalidEvent where it would be refused again."""
    event = letter["body"]
    if not isinstance(event, dict):
        raise InvalidEvent(
            "It is not one JSON object, so only what tells which event it was is kept; have its "
            "sender send it."
        )
    named = event.get("tenantid")
    if named is None:
        event["tenantid"] = tenant
    elif not isinstance(named, str) or as_guid(named) != tenant:
        raise InvalidEvent("It names another tenant; have its sender send it with the right one.")
    data = event.get("data")
    if isinstance(data, dict) and event.get("type") == EventType.CHECK_REQUESTED:
        # What looked like a secret in it was hidden. Without it, the check reads the store.
        data.pop("configuration", None)
    body = json.dumps(event, ensure_ascii=False).encode(errors="backslashreplace")
    try:
        read_event(body)
    except InvalidEvent as exc:
        raise InvalidEvent(f"It would be refused again; have its sender mend it. {exc}") from exc
    except NewerEvent:
        return body  # it waits in the queue for an instance of a later release
    return body
