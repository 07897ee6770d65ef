"""What may stand between the host and an app's functions: `python -m local.host --faults` has one.

The host knows no more of it than this; without a layer every call goes straight to the functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from aiohttp import web
from aiohttp.web_request import BaseRequest

from local.host.invocation import HttpAnswer


class Asked(NamedTuple):
    """A request as a function is given it; header names are in lower case, `path` is decoded."""

    function: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Cut(NamedTuple):
    """The connection ends: with half of this answer's body sent, or without any answer."""

    answer: HttpAnswer | None


Run = Callable[[Asked], Awaitable[HttpAnswer]]


class Layer(Protocol):
    """Sees every request and every message to a function."""

    async def endpoint(self, request: BaseRequest, method: str, path: str) -> web.Response | None:
        """Return the layer's own answer, None for what it leaves to the functions."""

    async def around(self, asked: Asked, run: Run) -> HttpAnswer | Cut:
        """Answer a request; `run` has the function serve it, and answers a failure with 500."""

    def message(self, body: bytes) -> AbstractAsyncContextManager[None]:
        """Surround the processing of one message of a queue."""
