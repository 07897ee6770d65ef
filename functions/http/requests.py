"""Reads requests: keys of the path, bodies, headers. Everything is bounded before it is used."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import azure.functions as func

from functions.http.negotiation import is_format
from shared.contract.json_body import MAX_BODY_BYTES, read_json
from shared.domain.conditions import Conditions
from shared.domain.errors import (
    BodyTooLarge,
    LengthRequired,
    NotFound,
    UnreadableBody,
    UnsupportedEncoding,
)
from shared.domain.ids import as_guid

if TYPE_CHECKING:
    from shared.services.representations import Asked

_CLIENT_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_GZIP: Final = 31  # zlib's number for a gzip header and trailer


def guid_param(req: func.HttpRequest, name: str) -> str:
    """Return a key of the path as a lower-case GUID; raises NotFound for all else."""
    text = req.route_params[name]
    guid = as_guid(text)
    if guid is None:
        raise NotFound(text[:64])
    return guid


def json_body(req: func.HttpRequest) -> Any:
    """Return the request's JSON; raises the error that says why it cannot be read."""
    body = req.get_body()
    encoding = req.headers.get("content-encoding", "").strip().lower()
    if not body and "chunked" in req.headers.get("transfer-encoding", "").lower():
        # The Functions host hands over an empty body; the client has sent one.
        raise LengthRequired
    if encoding in ("gzip", "x-gzip"):
        body = _unpacked(body)
    elif encoding not in ("", "identity"):
        raise UnsupportedEncoding(encoding)
    return read_json(body, req.headers.get("content-type"))


def _unpacked(body: bytes) -> bytes:
    """Unpack a gzip body: one byte more than may be read is never unpacked."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as exc:
        raise UnreadableBody("The body is not gzip, as its Content-Encoding says.") from exc
    if len(unpacked) > MAX_BODY_BYTES:
        raise BodyTooLarge(len(unpacked), MAX_BODY_BYTES)
    if not unpacker.eof or unpacker.unused_data:
        raise UnreadableBody("The gzip body is incomplete, or something follows it.")
    return unpacked


def service_root(req: func.HttpRequest) -> str:
    """Return the root of this service as the caller addresses it."""
    address = urlsplit(req.url)
    return f"{address.scheme}://{address.netloc}/beta"


def client_request_id(req: func.HttpRequest) -> str | None:
    """Return the caller's own id for the request, if it is one that can be echoed."""
    given = req.headers.get("client-request-id", "")
    return given if _CLIENT_REQUEST_ID.fullmatch(given) else None


def conditions(req: func.HttpRequest) -> Conditions:
    """Return which version of an entity a request is meant for."""
    return Conditions(req.headers.get("if-match"), req.headers.get("if-none-match"))


def asked(req: func.HttpRequest) -> Asked:
    """Return what a request asks for by its query options and its Prefer header."""
    from shared.services.representations import Asked

    params = {name: text for name, text in req.params.items() if not is_format(name)}
    return Asked(params, req.headers.get("prefer"), req.url, req.route_params.get("cast"))
