"""Reads JSON that a caller or an engine sent: bytes in, plain values out, or what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import orjson

from shared.domain.errors import BodyTooLarge, UnreadableBody

MAX_BODY_BYTES = 1024 * 1024
MAX_VALUES = 20_000
"""How many objects and arrays a body may hold: the largest batch that is of use has 5,000.

Each costs a hundred times what its bytes cost to read, and memory in the same proportion.
"""

MAX_EVENT_VALUES = 2_000
"""How many an event may hold: one with the longest configuration has some hundred."""

_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


_WHITE_SPACE = b" \t\r\n"


class RepeatedMembers(dict[str, Any]):
    """A JSON object that names a member more than once, which a dict cannot show.

    Reading goes on, so that the schema reports this beside everything else that is wrong. Names
    that differ in case only stand beside each other in any dict.
    """

    repeated: tuple[str, ...] = ()


def read_json(body: bytes, content_type: str | None) -> Any:
    """Parse a JSON request body.

    Objects with a repeated member come back as RepeatedMembers. Raises UnreadableBody or
    BodyTooLarge. The wording of the first three refusals is the Graph gateway's.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(len(body), MAX_BODY_BYTES)
    if content_type != "application/json":
        _check_content_type(content_type)
    return parse(body)


def parse(body: bytes, most: int = MAX_VALUES) -> Any:
    """Parse JSON; raises UnreadableBody. The caller has limited its size.

    It may hold `most` objects and arrays.
    """
    if opened(body) > most and opened(_TEXT.sub(b"", body)) > most:
        raise UnreadableBody(f"The body holds more than {most} objects and arrays; send less.")
    try:
        return _read_plain(body)
    except ValueError:
        if not body.strip():
            raise UnreadableBody("Empty Payload. JSON content expected.") from None
        return _read_slowly(body)


def repeated_members(value: Any) -> list[str]:
    """Return the names that any object inside a parsed value has more than once."""
    found: list[str] = []
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, dict):
            found += inner.repeated if isinstance(inner, RepeatedMembers) else ()
            left += inner.values()
        elif isinstance(inner, list):
            left += inner
    return found


def write_json(value: Mapping[str, Any], *, sort_keys: bool = False) -> bytes:
    """Write JSON in UTF-8, without white space; raises TypeError for what is not JSON."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)


def repeated_names(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that an object has twice, where case does not count."""
    return value.repeated if isinstance(value, RepeatedMembers) else _repeated(value)


def opened(body: bytes) -> int:
    """Count the brackets that open objects and arrays, those in texts included."""
    return body.count(b"{") + body.count(b"[")


def _read_plain(body: bytes) -> Any:
    """Read a body that orjson would write in the same way; raises ValueError for every other.

    So nothing is lost on the way, be it a member that is repeated or digits of a number.
    """
    value = orjson.loads(body)
    try:
        written = orjson.dumps(value)
    except TypeError as exc:
        raise ValueError("nested too deeply to be written") from exc
    if written != body:
        condensed = body.translate(None, _WHITE_SPACE)
        if written != condensed and written.translate(None, _WHITE_SPACE) != condensed:
            raise ValueError("not plain")
    return value


def _read_slowly(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse_constant)
        if _SURROGATE_ESCAPE.search(body):
            # A pair of escapes is one character; half of a pair cannot be stored or sent back.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as exc:
        raise UnreadableBody(f"{_UNREADABLE} It is not valid UTF-8: see byte {exc.start}.") from exc
    except UnicodeEncodeError as exc:
        raise UnreadableBody(f"{_UNREADABLE} It escapes half of a surrogate pair.") from exc
    except json.JSONDecodeError as exc:
        raise UnreadableBody(
            f"{_UNREADABLE} {exc.msg} (line {exc.lineno}, column {exc.colno})."
        ) from exc
    except RecursionError as exc:
        raise UnreadableBody(f"{_UNREADABLE} It is nested too deeply.") from exc
    except _NotAJsonValue as exc:
        raise UnreadableBody(f"{_UNREADABLE} {exc}") from exc
    except ValueError as exc:
        # All that is left is Python's own limit on the digits of an integer.
        raise UnreadableBody(f"{_UNREADABLE} A number in it has too many digits.") from exc
    return value


class _NotAJsonValue(ValueError):
    """NaN or an infinity, which Python would read and JSON does not have."""


_UNREADABLE = (
    "Unable to read JSON request payload. Please ensure Content-Type header is set and payload "
    "is of valid JSON format."
)


def _check_content_type(content_type: str | None) -> None:
    if not content_type or not content_type.strip():
        raise UnreadableBody(
            "Write requests (excluding DELETE) must contain the Content-Type header declaration."
        )
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json":
        raise UnreadableBody("Entity only allows writes with a JSON Content-Type header.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in (
            "utf-8",
            "utf8",
            "us-ascii",
        ):
            raise UnreadableBody("Send JSON in UTF-8; no other charset is read.")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    marked = RepeatedMembers(members)
    marked.repeated = _repeated(name for name, _ in pairs)
    return marked


def _repeated(names: Iterable[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in names:
        lowered = name.lower()
        if lowered in seen:
            repeated[name] = None
        seen.add(lowered)
    return tuple(repeated)


def _refuse_constant(name: str) -> NoReturn:
    raise _NotAJsonValue(f"{name} is not a JSON value.")
