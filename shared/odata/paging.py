"""Pages that stay put while entities come and go: each continues behind the last one's place.

A $skiptoken is that place and the page size, signed, for one collection and one
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

from shared.contract.field_types import MAX_NAME
from shared.odata.faults import refusal
from shared.odata.model import Edm
from shared.odata.options import MAX_LENGTH, QueryOptions
from shared.odata.values import Value, value_at

PAGE_SIZE: Final = 100
MAX_QUERY: Final = 4096
"""The longest query string that the front end of Azure Functions lets through."""

_VERSION = b"\x02"
_DIGEST_BYTES = 16
_TAG_BYTES = 32
_OPTION = "$skiptoken="
# What one value of an order takes in a token at most, in bytes of JSON with a comma. Ids are ASCII.
_TEXT_BYTES = 4 * MAX_NAME + 3
_ID_BYTES = 131
_OTHER_BYTES = 40
_SIZE_BYTES = 5


@dataclass(frozen=True)
class Page:
    """Which entities to answer with: behind `after`, leaving out `skip`, at most `limit`.

    `after` has a value for each key of QueryOptions.order.
    """

    limit: int
    skip: int = 0
    after: tuple[Value, ...] | None = None

    def behind(self, last: Mapping[str, Any], options: QueryOptions) -> Page:
        """Return the page of this size behind an entity, stored or printed."""
        return Page(self.limit, after=tuple(value_at(sort.path, last) for sort in options.order))


def open_page(
    options: QueryOptions, key: bytes, *, max_page_size: int | None = None, scope: str = ""
) -> Page:
    """Return the page that a request asks for.

    `scope` names the collection among those of one type (for flows, the id of their set).
    Raises InvalidRequest for a $skiptoken that is not ours, or not for this request.
    """
    after, size = None, PAGE_SIZE
    if options.skiptoken is not None:
        after, size = _opened(options.skiptoken, options, key, scope)
    # A client states its preference once: the links lead through pages of the first one's size.
    # $top is the size of a page, too: Graph's PageIterators set it and follow the links to the end.
    limit = min(size, max_page_size or size, size if options.top is None else options.top)
    return Page(limit, options.skip if after is None else 0, after)


def next_token(
    options: QueryOptions,
    page: Page,
    last: Mapping[str, Any],
    key: bytes,
    *,
    scope: str = "",
) -> str:
    """Return the token of the next page, for a page behind which there are more entities.

    `last`, stored or printed, is the last entity of this page.
    """
    place = [value_at(sort.path, last) for sort in options.order]
    payload = json.dumps([page.limit, *place], ensure_ascii=False, separators=(",", ":")).encode()
    signed = _VERSION + _digest(options, scope) + payload
    return _encode(signed + _tag(signed, key))


def next_link(url: str, token: str) -> str:
    """Return the request's URL with its options as the client wrote them, and the token."""
    address = url.partition("#")[0].partition("?")[0]
    return f"{address}?{'&'.join([*_kept(url), _OPTION + token])}"


def check_room(url: str, options: QueryOptions) -> None:
    """Check that the link to a next page fits in MAX_QUERY, wherever this page ends.

    Raises InvalidRequest, naming the longest option, where it might not.
    """
    kept = _kept(url)
    length, room = len("&".join(kept)), MAX_QUERY - len(f"&{_OPTION}") - _longest_token(options)
    if length <= room:
        return
    # The order alone may ask for a token that is too long.
    name = "$orderby" if room < 0 else _name(max(kept, key=len))
    raise refusal(
        name if name.startswith("$") else f"${name}",
        f"The options have {length} characters as they are encoded in the URL; in this order, the "
        f"link to the next page leaves {max(room, 0)}. Shorten the option, or order by fewer "
        "properties.",
        "TooLong",
    )


def _longest_token(options: QueryOptions) -> int:
    place = sum(
        _ID_BYTES
        if str(sort.path) == "id"
        else _TEXT_BYTES
        if sort.path.type is Edm.STRING
        else _OTHER_BYTES
        for sort in options.order
    )
    raw = len(_VERSION) + _DIGEST_BYTES + _SIZE_BYTES + place + _TAG_BYTES
    return -(-raw * 4 // 3)


def _kept(url: str) -> list[str]:
    query = url.partition("#")[0].partition("?")[2]
    return [pair for pair in query.split("&") if pair and not _is_token(pair)]


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _is_token(pair: str) -> bool:
    return _name(pair).removeprefix("$").lower() == "skiptoken"


def _opened(
    token: str, options: QueryOptions, key: bytes, scope: str
) -> tuple[tuple[Value, ...], int]:
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
    size, *place = json.loads(payload)
    return tuple(place), size


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
