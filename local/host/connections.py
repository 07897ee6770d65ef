"""Checks the head of each HTTP/1.1 request as Kestrel does, before aiohttp's parser gets it."""

from __future__ import annotations

import re
import secrets
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

#: Kestrel's limits: bytes of the request line, of all headers together, and their number
LINE_LIMIT, HEADERS_LIMIT, HEADER_COUNT = 8192, 32_768, 100
_KNOWN = {b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"}
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
#: a header for our own handler: the status of a refusal, or a method that the parser refuses; no
#: client can guess its name
NOTE = f"x-{secrets.token_hex(16)}"


class Connection(RequestHandler):
    """Refuses heads that are too large (NOTE holds the status) and takes methods in any case."""

    __slots__ = ("_body_left", "_head", "_refused", "_unchecked")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head, self._body_left = b"", 0
        self._refused = self._unchecked = False

    def data_received(self, data: bytes) -> None:
        # Without data, aiohttp wants the parser to go on.
        if self._unchecked or not data:
            super().data_received(data)
            return
        data = self._head + data
        while data and not self._refused:
            passed = self._body_left
            if not passed:
                data = data.lstrip(b"\r\n")
                end = data.find(_END) + len(_END)
                if end < len(_END):
                    if len(data) <= LINE_LIMIT + HEADERS_LIMIT:
                        break
                    end = len(data)
                head = self._check(data[:end])
                passed = len(head) + self._body_left
                data = head + data[end:]
            part, data = data[:passed], data[passed:]
            self._body_left = passed - len(part)
            if self._unchecked:
                part, data = part + data, b""
            super().data_received(part)
        self._head = data

    def _check(self, head: bytes) -> bytes:
        """The head as the parser takes it; sets how much of a body follows."""
        line, _, rest = head.partition(b"\r\n")
        method, _, target = line.partition(b" ")
        status = 0
        if len(line) + 2 > LINE_LIMIT:
            status = 414
        elif len(rest) - 2 > HEADERS_LIMIT or rest.count(b"\r\n") - 1 > HEADER_COUNT:
            status = 431
        if status:
            self._refused = True
            refusal = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{NOTE}: {status}\r\n\r\n"
            return refusal.encode()
        lower = head.lower()
        at = lower.find(_LENGTH)
        if at >= 0:
            text = lower[at + len(_LENGTH) : lower.find(b"\r\n", at + 2)].strip()
            self._body_left = int(text) if text.isdigit() and len(text) < 19 else 0
        # Where a chunked body ends only the parser knows; the rest of the connection is its.
        self._unchecked = b"\r\ntransfer-encoding:" in lower
        if method in _KNOWN or not _TOKEN.fullmatch(method):
            return head
        if method.upper() in _KNOWN:
            return method.upper() + head[len(method) :]
        note = NOTE.encode() + b": " + method.upper()
        return b"\r\n".join((b"POST " + target, note, rest))

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An empty answer, as Kestrel's, to what cannot be parsed."""
        super().handle_error(request, status, exc, message)
        return web.Response(status=status)


class Server(web.Server):
    """aiohttp's server with these connections."""

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)
