"""The addresses below /local: only for programs on this machine, never for web pages."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from local.faults.reading import MOST_BYTES, RulesError
from local.host.http import read_body

#: names of this machine; another that leads here may be set up by an attacker (DNS rebinding)
_OWN_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

#: what serves one method of one address: takes the body, returns what to answer, None for 204
Serve = Callable[[bytes], Awaitable[Mapping[str, Any] | None]]


async def serve(
    request: BaseRequest, method: str, path: str, served: Mapping[str, Mapping[str, Serve]]
) -> web.Response:
    """Answer a request to an address below /local."""
    if refusal := _refusal(request):
        return _failed(403, [refusal])
    methods = served.get(path.rstrip("/").lower())
    if methods is None:
        return _failed(404, [f"Use one of {', '.join(served)}."])
    handler = methods.get(method)
    if handler is None:
        allowed = ", ".join(methods)
        return _failed(405, [f"Use one of {allowed}."], Allow=allowed)
    body = b""
    if method in ("PUT", "POST"):
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        length = request.content_length
        # Any web page may send other types without a question.
        if media_type != "application/json":
            return _failed(415, ["Send JSON with the header Content-Type: application/json."])
        if length is None:
            return _failed(411, ["Send the body with its Content-Length."])
        if length > MOST_BYTES:
            return _failed(413, [f"Send at most {MOST_BYTES} bytes."])
        body = await read_body(request, length) or b""
    try:
        answer = await handler(body)
    except RulesError as exc:
        return _failed(400, exc.sentences)
    return web.Response(status=204) if answer is None else _json(200, answer)


def _refusal(request: BaseRequest) -> str | None:
    if request.remote not in ("127.0.0.1", "::1"):
        return "This is for programs on the same machine."
    if not _OWN_HOST.fullmatch(request.headers.get("Host", "")):
        return "Address this as 127.0.0.1 or localhost."
    if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none":
        return "This is for programs, not for web pages."
    return None


def _failed(status: int, sentences: list[str], **headers: str) -> web.Response:
    error = {"code": "LocalRequestRefused", "message": " ".join(sentences), "details": sentences}
    return _json(status, {"error": error}, **headers)


def _json(status: int, body: Mapping[str, Any], **headers: str) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False, indent=2).encode() + b"\n",
        headers={"Content-Type": "application/json", **_HEADERS, **headers},
    )
