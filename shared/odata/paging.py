"""Pages that stay put while entities come and go: each continues behind the last one's place.

A $skiptoken is that place, the page size and the number served, signed, for one collection and one
set of options. What it holds is the caller's own data; the signature keeps anyone from inventing a
place, not from reading it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from shared.odata.faults import refusal
from shared.odata.options import MAX_LENGTH, QueryOptions
from shared.odata.values import Value, value_at

PAGE_SIZE: Final = 100

_VERSION = b"\x01"
_DIGEST_BYTES = 16
_TAG_BYTES = 32


@dataclass(frozen=True)
class Page:
    """Which entities to answer with: behind `after`, leaving out `skip`, at most `limit`.

    `after` has a value for each key of QueryOptions.order. `served` counts those on earlier pages.
    `size` is how many a page of this list holds; the last one may have to hold less.
    """

    limit: int
    skip: int = 0
    after: tuple[Value, ...] | None = None
    served: int = 0
    size: int = PAGE_SIZE


def open_page(
    options: QueryOptions, key: bytes, *, max_page_size: int | None = None, scope: str = ""
) -> Page:
    """Return the page that a request asks for.

    `scope` names the collection among those of one type (for flows, the id of their set).
    Raises InvalidRequest for a $skiptoken that is not ours, or not for this request.
    """
    after, served, size = None, 0, PAGE_SIZE
    if options.skiptoken is not None:
        after, served, size = _opened(options.skiptoken, options, key, scope)
    # A client states its preference once: the links lead through pages of the first one's size.
    size = min(size, max_page_size or size)
    limit = size if options.top is None else min(size, options.top - served)
    return Page(limit, options.skip if after is None else 0, after, served, size)


def next_token(
    options: QueryOptions,
    page: Page,
    count: int,
    last: Mapping[str, Any],
    key: bytes,
    *,
    scope: str = "",
) -> str | None:
    """Return the token of the page behind this one, to be asked for where there are more entities.

    `count` entities were answered and `last`, stored or printed, is the last of them. None where
    $top is reached.
    """
    served = page.served + count
    if options.top is not None and served >= options.top:
        return None
    place = [value_at(sort.path, last) for sort in options.order]
    payload = json.dumps(
        [served, page.size, *place], ensure_ascii=False, separators=(",", ":")
    ).encode()
    signed = _VERSION + _digest(options, scope) + payload
    return _encode(signed + _tag(signed, key))


def next_link(url: str, token: str) -> str:
    """Return the request's URL with its options as the client wrote them, and the token."""
    address, _, query = url.partition("#")[0].partition("?")
    kept = [pair for pair in query.split("&") if pair and not _is_token(pair)]
    return f"{address}?{'&'.join([*kept, f'$skiptoken={token}'])}"


def _is_token(pair: str) -> bool:
    return unquote_plus(pair.partition("=")[0]).removeprefix("$").lower() == "skiptoken"


def _opened(
    token: str, options: QueryOptions, key: bytes, scope: str
) -> tuple[tuple[Value, ...], int, int]:
    raw = _decode(token)
    signed, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(signed, key)) or signed[:1] != _VERSION:
        raise refusal(
            "$skiptoken",
            "This is not a token that was given out, or not as it was given out. Start again from "
            "the first page, and follow @odata.nextLink unchanged.",
            "InvalidToken",
        )
    digest, payload = signed[1 : 1 + _DIGEST_BYTES], signed[1 + _DIGEST_BYTES :]
    if digest != _digest(options, scope):
        raise refusal(
            "$skiptoken",
            "This token was given out for another collection or other options. Start again from "
            "the first page, and follow @odata.nextLink unchanged.",
            "InvalidToken",
        )
    served, size, *place = json.loads(payload)
    return tuple(place), served, size


def _digest(options: QueryOptions, scope: str) -> bytes:
    bound = json.dumps([options.entity.name, scope, options.given]).encode()
    return hashlib.sha256(bound).digest()[:_DIGEST_BYTES]


def _tag(signed: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"skiptoken\0" + signed, "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(token: str) -> bytes:
    """Return a token's bytes; none for text that is not exactly what _encode makes of them."""
    if len(token) > MAX_LENGTH:
        return b""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if _encode(raw) == token else b""
