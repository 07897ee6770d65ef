"""Serves the HTTP functions on 127.0.0.1 with the request and response rules of the real host."""

from __future__ import annotations

import asyncio
import codecs
import functools
import json
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from aiohttp import HttpVersion, HttpVersion11, web
from aiohttp.web_request import BaseRequest
from azure.functions.meta import Datum
from multidict import CIMultiDict

from local.host.connections import HEADERS_LIMIT, LINE_LIMIT, NOTE, Server
from local.host.index import App
from local.host.invocation import HttpAnswer, InvocationFailed, Invoker
from local.host.layer import Asked, Cut, Layer
from local.host.logs import HOST
from local.host.routes import Router
from local.host.settings import HostSettings
from local.host.timers import Timer

HOST_ADDRESS = "127.0.0.1"
VERSION = "4.0.0-local"
BODY_LIMIT = 104_857_600
#: characters of a query that Azure's front end takes
QUERY_LIMIT = 4096
#: Kestrel ends a body that comes slower than this (bytes a second), but not before (seconds)
_SLOWEST, _PATIENCE = 240, 5.0
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_JSON = "application/json; charset=utf-8"
#: set by the server itself
_OWN_HEADERS = {"transfer-encoding", "connection"}
_LONE_PERCENT = re.compile("%(?![0-9a-fA-F]{2})")
_PATH_SAFE = "/:@!$&'()*+,;=~-._%"


class BadRequest(Exception):
    """The request line or a header cannot be decoded; answered 400."""


def _keep_encoded(exc: UnicodeError) -> tuple[str, int]:
    assert isinstance(exc, UnicodeDecodeError)  # noqa: S101 - registered for decoding only
    wrong = exc.object[exc.start : exc.end]
    return "".join(f"%{byte:02X}" for byte in wrong), exc.end


codecs.register_error("local.host.keep_encoded", _keep_encoded)


def decode_path(raw: str) -> str:
    """Percent-decode a path as Kestrel does: %2F stays, bytes that are not UTF-8 stay encoded.

    "." and ".." segments are resolved. Raises BadRequest for %00.
    """
    path = raw
    if "%" in raw:
        kept = re.sub("%(?=2[fF])", "%25", raw)
        path = urllib.parse.unquote(kept, errors="local.host.keep_encoded")
    if "\x00" in path:
        raise BadRequest("a null character in the path")
    if "/." in path:
        parts: list[str] = []
        segments = path.split("/")[1:]
        for at, segment in enumerate(segments):
            if segment in (".", ".."):
                if segment == ".." and parts:
                    parts.pop()
                if at == len(segments) - 1:
                    parts.append("")
            else:
                parts.append(segment)
        path = "/" + "/".join(parts)
    return path


def read_query(raw: str) -> dict[str, str]:
    """The query as a function sees it: repeated names joined by ",", empty values left out.

    Of names that differ in case only the last spelling is kept.
    """
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for part in raw.split("&") if raw else ():
        if part:
            name, _, value = (
                urllib.parse.unquote_plus(text, errors="local.host.keep_encoded")
                if "%" in text or "+" in text
                else text
                for text in part.partition("=")
            )
            names[name.lower()] = name
            if value:
                values.setdefault(name.lower(), []).append(value)
    return {names[key]: ",".join(found) for key, found in values.items()}


def read_headers(request: BaseRequest) -> dict[str, str]:
    """The headers with lower-case names, repeated ones joined by ","; raises BadRequest."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        if key == NOTE:
            continue
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    for name, value in headers.items():
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise BadRequest(f"the header {name} is not UTF-8") from None
    return headers


def _split_target(request: BaseRequest) -> tuple[str, str]:
    target = request.raw_path.partition("#")[0]
    if not target.startswith("/"):
        parts = urllib.parse.urlsplit(target)
        return parts.path or "/", parts.query
    path, _, query = target.partition("?")
    return path, query


class HttpHost:
    """The HTTP side of the host: routing, the functions' answers, /admin."""

    def __init__(
        self,
        app: App,
        settings: HostSettings,
        worker: Invoker,
        timers: Mapping[str, Timer],
        environ: Mapping[str, str],
        layer: Layer | None = None,
    ) -> None:
        self._layer = layer
        self._functions = {function.name: function for function in app.functions}
        self._router = Router(app.routes(settings.route_prefix))
        self._worker = worker
        self._timers = {name.lower(): timer for name, timer in timers.items()}
        limit = environ.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "")
        self._body_limit = int(limit) if limit.isascii() and limit.isdigit() else BODY_LIMIT
        self._started = asyncio.get_running_loop().time()
        self._background: set[asyncio.Task[None]] = set()
        self.port = 0

    def server(self) -> Server:
        """The server that answers with handle()."""
        loop = asyncio.get_running_loop()

        def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> BaseRequest:
            return BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=self._body_limit
            )

        return Server(
            self.handle,
            request_factory=make,
            access_log=None,
            lingering_time=5.0,
            # A body is the function's, as it was sent.
            auto_decompress=False,
            # These are for one line; all together are counted before.
            max_line_size=LINE_LIMIT,
            max_field_size=HEADERS_LIMIT,
        )

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            note = request.headers.get(NOTE, "")
            if note.isdigit():
                return web.Response(status=int(note))
            method = note or request.method
            raw_path, query = _split_target(request)
            if len(query) > QUERY_LIMIT:
                return web.Response(status=414)
            path = decode_path(raw_path)
            first = path.split("/", 2)[1].lower()
            if first == "runtime":
                return web.Response(status=401)  # webhooks of extensions, for who has their key
            if first == "admin" and (answer := await self._admin(request, path)) is not None:
                return answer
            if self._layer is not None:
                answer = await self._layer.endpoint(request, method, path)
                if answer is not None:
                    return answer
            return await self._serve(request, method, path, query)
        except BadRequest as exc:
            HOST.info("Refused a request: %s", exc)
            return web.Response(status=400)

    async def _serve(
        self, request: BaseRequest, method: str, path: str, query: str
    ) -> web.StreamResponse:
        found = self._router.find(method, path)
        if found is None:
            return web.Response(status=404)
        route, values = found
        headers = read_headers(request)
        # The host forwards a body only when it knows its length, so a chunked one arrives empty.
        length = request.content_length or 0
        if length > self._body_limit:
            return web.Response(status=500)  # the host throws while it reads
        if "expect" in headers and request.version == HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        body = await read_body(request, length) if length else b""
        if body is None:
            response = web.Response(status=500)
            response.force_close()
            return response
        run = functools.partial(self._run, values)
        asked = Asked(route.function_name, method, path, query, headers, body)
        answer = await (self._layer.around(asked, run) if self._layer else run(asked))
        try:
            if isinstance(answer, Cut):
                return await _cut(request, answer.answer)
            return to_response(answer, request.version)
        except ValueError as exc:
            HOST.error("Failed: the answer of %s cannot be sent: %s", asked.function, exc)
            return web.Response(status=500)

    async def _run(self, route_params: Mapping[str, str], asked: Asked) -> HttpAnswer:
        """Have the function serve a request; an empty 500 where it fails."""
        host = asked.headers.get("host") or f"{HOST_ADDRESS}:{self.port}"
        shown = _LONE_PERCENT.sub("%25", urllib.parse.quote(asked.path, safe=_PATH_SAFE))
        value = Datum(
            {
                "method": asked.method,
                "url": f"http://{host}{shown}{'?' + asked.query if asked.query else ''}",
                "headers": asked.headers,
                "params": read_query(asked.query),
                "route_params": route_params,
                "body": asked.body,
            },
            "http",
        )
        try:
            answer = await self._worker.invoke(
                self._functions[asked.function], value, reason=f"{asked.method} {shown}"
            )
        except InvocationFailed:
            answer = HttpAnswer("500", [], b"")
        return answer or HttpAnswer("", [], b"")

    # ---- /admin, as far as tools use it

    async def _admin(self, request: BaseRequest, path: str) -> web.Response | None:
        """The host's own answer, None for what it leaves to the functions."""
        parts = path.strip("/").split("/")
        known = [part.lower() for part in parts[:2]] + parts[2:]
        if known[1:] == ["host", "status"] and request.method == "GET":
            uptime = asyncio.get_running_loop().time() - self._started
            return _json(
                {
                    "id": "local",
                    "state": "Running",
                    "version": VERSION,
                    "versionDetails": VERSION,
                    "processUptime": int(uptime * 1000),
                }
            )
        if known[1:] == ["host", "ping"] and request.method in ("GET", "POST"):
            return web.Response()
        if len(known) == 3 and known[1] == "functions":
            timer = self._timers.get(known[2].lower())
            if timer is None or request.method != "POST":
                return web.Response(status=404)
            task = asyncio.ensure_future(timer.run("by hand"))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            return web.Response(status=202)
        return None


async def read_body(request: BaseRequest, length: int) -> bytes | None:
    """A body of known length as it was sent; None when it comes too slowly."""
    loop = asyncio.get_running_loop()
    began, body = loop.time(), bytearray()
    while len(body) < length:
        try:
            async with asyncio.timeout_at(began + max(_PATIENCE, len(body) / _SLOWEST)):
                part = await request.content.readany()
        except TimeoutError:
            HOST.info("Refused a request: its body comes slower than %d bytes/s", _SLOWEST)
            return None
        if not part:
            break
        body += part
    return bytes(body)


def _json(value: Any) -> web.Response:
    return web.Response(text=json.dumps(value), headers={"Content-Type": _JSON})


async def _cut(request: BaseRequest, answer: HttpAnswer | None) -> web.StreamResponse:
    """End the connection behind half of a body, or without an answer; ValueError: see below."""
    response = web.StreamResponse()
    if answer is not None:
        whole = to_response(answer, request.version)
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(answer.body)
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def to_response(answer: HttpAnswer, version: HttpVersion) -> web.Response:
    """The HTTP answer for what a function returned; raises ValueError for what cannot be sent."""
    status, body = answer.status, answer.body
    if not (status.isascii() and status.isdigit() and 200 <= int(status) <= 999):
        raise ValueError(f"{status!r} is not a status code from 200 to 999")
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in answer.headers:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name} has a control or non-ASCII character")
        if name.lower() == "set-cookie":
            headers.add(name, value)
        elif name.lower() not in _OWN_HEADERS:
            headers[name] = value
    length = headers.get("Content-Length")
    if length not in (None, str(len(body))):
        raise ValueError(f"its Content-Length is {length!r}, but its body has {len(body)} bytes")
    response = web.Response(body=body, status=int(status), headers=headers)
    # The host copies a body without looking how long it is.
    if body and length is None and version == HttpVersion11:
        response.enable_chunked_encoding()
    return response
