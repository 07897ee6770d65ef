"""The messages between the host and its worker process: Python objects over a socket pair."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from local.host.settings import HostSettings


@dataclass(frozen=True)
class Begin:
    """The host's first message; answered by an App, or by the sentences of a HostError."""

    app_dir: Path
    settings: HostSettings
    #: see Ahead
    ahead: int = 0


@dataclass(frozen=True)
class Ahead:
    """How far the clock is ahead now, in seconds (local/clock.py); for all calls that follow."""

    seconds: int


@dataclass(frozen=True)
class Call:
    """One invocation that the host wants."""

    id: str
    name: str
    value: Datum
    metadata: Mapping[str, Datum] | None
    reason: str


@dataclass(frozen=True)
class Answer:
    """What became of a call: what the function answered, or that it failed and is logged."""

    id: str
    value: Any
    failed: bool


_SIZE = 8  # bytes before each object that hold its length


class Channel(asyncio.Protocol):
    """One end of the connection; `receive` is called with each object, `lost` at its end.

    Both ends are our own processes, so what arrives is trusted as our own memory is.
    """

    def __init__(self, receive: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._receive, self._lost = receive, lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a socket's always is
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _SIZE:
            end = _SIZE + int.from_bytes(self._buffer[:_SIZE])
            if len(self._buffer) < end:
                return
            content = bytes(memoryview(self._buffer)[_SIZE:end])
            del self._buffer[:end]
            self._receive(pickle.loads(content))  # noqa: S301 - see the class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def send(self, content: Any) -> None:
        """Send one object; it is dropped when the other end is closed, which `lost` reports."""
        if self._transport is not None:
            data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
            self._transport.write(len(data).to_bytes(_SIZE) + data)
