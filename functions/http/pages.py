"""Handlers of the API's description, of the pages for people, and of what only a page asks for.

Description and pages are public. They hold no data: what the pages show they request from the API,
with the access token of the person who uses them.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Final

import azure.functions as func

from functions.http.compression import LEAST_BYTES, takes_gzip
from functions.http.errors import STATUSES, UNEXPECTED
from functions.http.operations import SECURITY_HEADERS, operations, route
from functions.http.service import TAG
from shared import bootstrap
from shared.description.operations import Contract
from shared.domain.conditions import names_tag
from shared.domain.permissions import OUTBOUND_FLOW_READ

bp = func.Blueprint()

PAGES: Final = Path(__file__).with_name("static")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}
_PAGE_HEADERS: Final = {
    **SECURITY_HEADERS,
    # Requested each time, answered 304: a deployment shows at once.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        # Swagger UI's styles have their icons inside, as data: URLs.
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@route(
    bp,
    "GET",
    "openapi.json",
    contract=Contract(TAG, {200: "openapi", 304: None}, headers=("If-None-Match",)),
)
async def openapi(req: func.HttpRequest) -> func.HttpResponse:
    """Return this description of the API, in OpenAPI 3.1."""
    return _static(req, "application/json", *description())


@route(bp, "GET", "status")
async def page_status(req: func.HttpRequest) -> func.HttpResponse:
    """Return the operator's page: every flow's readiness."""
    return _file(req, "status.html")


@route(bp, "GET", "docs")
async def page_docs(req: func.HttpRequest) -> func.HttpResponse:
    """Return the page on which the API can be read and tried."""
    return _file(req, "docs.html")


@route(bp, "GET", "pages/{name}")
async def page_part(req: func.HttpRequest) -> func.HttpResponse:
    """Return what a page consists of: styles, scripts, its icon."""
    return _file(req, req.route_params["name"])


@route(bp, "GET", "pages/{library}/{file}")
async def page_library(req: func.HttpRequest) -> func.HttpResponse:
    """Return a file of a library, whose folder is named after its version."""
    response = _file(req, f"{req.route_params['library']}/{req.route_params['file']}")
    if response.status_code != 404:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@route(
    bp,
    "GET",
    "status/overview",
    OUTBOUND_FLOW_READ,
    Contract(
        TAG,
        {200: "overview", 304: None},
        headers=(
            "overview-search",
            "overview-status",
            "overview-skip",
            "overview-top",
            "If-None-Match",
        ),
        errors=(400,),
    ),
)
async def page_data(req: func.HttpRequest) -> func.HttpResponse:
    """Return counts, the queue's depth and flow sets with their flows' readiness, trouble first.

    Not one of Graph's operations: the status page requests it. Counts and order are up to 30 s old.
    """
    found = await bootstrap.overview().read(req.params)
    content, tag = _tagged(json.dumps(found, ensure_ascii=False).encode())
    if _has(req, tag):
        return func.HttpResponse(status_code=304, headers={"ETag": tag})
    return func.HttpResponse(content, headers={"ETag": tag, "Content-Type": "application/json"})


@functools.cache
def description() -> tuple[bytes, str]:
    """Return the description and its ETag; it is written once a process."""
    from shared.description.openapi import document

    codes: defaultdict[int, set[str]] = defaultdict(set)
    for status, code in (*STATUSES.values(), UNEXPECTED):
        codes[status].add(code)
    return _tagged(json.dumps(document(operations(), codes), ensure_ascii=False).encode())


@functools.cache
def _paths() -> dict[str, Path]:
    """Return where the files of the pages are, by their names below /pages."""
    files = (path for path in PAGES.rglob("*") if path.is_file())
    return {path.relative_to(PAGES).as_posix(): path for path in files}


@functools.cache
def _read(path: Path) -> tuple[str, bytes, str]:
    """Return media type, content and ETag of a file; it is read at its first request."""
    return (_TYPES[path.suffix], *_tagged(path.read_bytes()))


@functools.cache
def _packed(content: bytes) -> bytes:
    # Once a file and process: 0.1 s for the largest. The time in gzip's header would differ.
    return gzip.compress(content, mtime=0)


def _tagged(content: bytes) -> tuple[bytes, str]:
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _has(req: func.HttpRequest, tag: str) -> bool:
    return names_tag(req.headers.get("if-none-match", ""), tag)


def _file(req: func.HttpRequest, name: str) -> func.HttpResponse:
    path = _paths().get(name)
    if path is None:
        return func.HttpResponse(
            "There is no such page.\n",
            status_code=404,
            headers={**_PAGE_HEADERS, "Content-Type": "text/plain; charset=utf-8"},
        )
    return _static(req, *_read(path))


def _static(req: func.HttpRequest, media_type: str, content: bytes, tag: str) -> func.HttpResponse:
    headers = {**_PAGE_HEADERS, "ETag": tag}
    if _has(req, tag):
        return func.HttpResponse(status_code=304, headers=headers)
    headers["Content-Type"] = media_type
    if len(content) > LEAST_BYTES and takes_gzip(req.headers.get("accept-encoding", "")):
        content, headers["Content-Encoding"] = _packed(content), "gzip"
    return func.HttpResponse(content, headers=headers)
