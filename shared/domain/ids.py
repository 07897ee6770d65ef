"""Entity ids and timestamps in the form that Graph prints them."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from datetime import UTC, datetime, timedelta

# 100-nanosecond ticks between year 1 and 1970, the two epochs.
_TICKS_TO_UNIX_EPOCH = 621_355_968_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_counter = itertools.count(_TICKS_TO_UNIX_EPOCH + time.time_ns() // 100)
_passing = itertools.count(_TICKS_TO_UNIX_EPOCH + time.time_ns() // 100)


def new_id(digest: str | None = None) -> str:
    """Make an entity id: a lower-case GUID in the sequential pattern of the documented ids.

    The first half is random (version nibble 4). The second half is a counter that starts at the
    process's start, in ticks since year 1: its low 16 bits are group four, the rest group five.
    Of a digest of 32 hexadecimal digits, it makes the same id each time.
    """
    if digest is not None:
        first, second, third = digest[:8], digest[8:12], digest[13:16]
        return f"{first}-{second}-4{third}-{digest[16:20]}-{digest[20:]}"
    return _numbered(next(_counter))


def passing_id() -> str:
    """Make an id of that pattern for what is no entity: a request, an event, a record of either.

    It has a counter of its own: entities that are created one after the other have consecutive ids.
    """
    return _numbered(next(_passing))


def _numbered(count: int) -> str:
    count &= 0xFFFF_FFFF_FFFF_FFFF
    random = secrets.token_hex(8)
    return f"{random[:8]}-{random[8:12]}-4{random[13:]}-{count & 0xFFFF:04x}-{count >> 16:012x}"


def as_guid(text: str) -> str | None:
    """Return `text` as a lower-case GUID, or None where it is not one."""
    lowered = text.lower()
    return lowered if _GUID.fullmatch(lowered) else None


def utc_now() -> str:
    """Return the current UTC time as stored: always seven fractional digits, so that text sorts."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    head = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{head}.{nanoseconds // 100:07d}Z"


def microseconds() -> int:
    """Return the current time in microseconds since 1970 UTC: a number that JSON keeps exactly."""
    return time.time_ns() // 1000


def microseconds_of(moment: datetime) -> int:
    """Return a moment in microseconds since 1970 UTC; one without a time zone is in UTC."""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def printed_time(stored: str) -> str:
    """Return a stored timestamp as Graph prints it: trailing zeros of the fraction dropped."""
    return stored[:-1].rstrip("0").removesuffix(".") + "Z" if "." in stored else stored
