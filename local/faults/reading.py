"""Reads rules, in JSON, and the header that asks for one fault: values, or what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from marshmallow import RAISE, Schema, ValidationError, validate, validates_schema
from marshmallow import fields as members

from shared.contract.json_body import parse, repeated_members
from shared.domain.errors import UnreadableBody

#: the request header that asks for one fault, in lower case
HEADER: Final = "local-fault"
STATUSES: Final = (401, 412, 429, 500, 502, 503, 504)
#: the only ones that may hide a request that was carried out
_LATE_STATUSES: Final = (500, 502, 503, 504)
#: the operation whose requests may ask for one of READINESS
CREATES_FLOW: Final = "create_provisioning_flow"
READINESS: Final = ("failed", "expired", "disabled", "notReady")
MOST_RULES: Final = 100
MOST_BYTES: Final = 64 * 1024
LONGEST_DELAY: Final = 60.0
#: the host renews the lock of a message for five minutes
LONGEST_HOLD: Final = 240.0
_MOST_HEADER: Final = 512
_MOST_NUMBER: Final = 1_000_000
_MOST_SENTENCES: Final = 20
#: an ISO 8601 duration without years and months, which have no length of their own
_DURATION: Final = re.compile(
    r"P(?:([0-9]{1,3})D)?(?:T(?=[0-9])(?:([0-9]{1,5})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,8})S)?)?"
)
_UNITS: Final = (24 * 3600, 3600, 60, 1)
_TEXTS: Final = ("id", "method", "operation", "path", "reason", "readinessStatus", "when")


class RulesError(Exception):
    """Rules or a header cannot be used; `sentences` has one for each fault."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = list(sentences)


@dataclass(frozen=True)
class Fault:
    """What happens to a request; `when` says whether before or after it was carried out."""

    status: int | None = None
    retry_after: int | None = None
    cut: bool = False
    truncate: bool = False
    when: str = "before"
    delay: float = 0.0
    readiness_status: str | None = None
    reason: str | None = None
    seconds: float = 0.0

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """The fault of a rule or a header that was read."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: given[name] for name in names if name in given})

    @property
    def fits_parts(self) -> bool:
        """Whether it can happen to one request of a batch, which has no connection of its own.

        Nor is the id of a flow known that a part creates.
        """
        return not (self.cut or self.truncate or self.readiness_status)

    def shown(self) -> dict[str, Any]:
        """As it is written in rules, without what is not set."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.status is None and not self.cut:
            del given["when"]
        return {_camel(name): value for name, value in given.items() if value}


def read_rules(body: bytes, operations: Collection[str]) -> dict[str, Any]:
    """Return `rules` and, where given, `seed`; raises RulesError."""
    return _load(_rules_schema(operations), _read(body))


def read_rule(body: bytes, operations: Collection[str]) -> dict[str, Any]:
    """Return the members of one rule by snake_case name; raises RulesError."""
    return _load(_RuleSchema(operations), _read(body))


def read_header(text: str) -> dict[str, Any]:
    """Return the members of a fault that a header asks for; raises RulesError."""
    return _load(_HeaderSchema(), _header_members(text))


def read_forward(body: bytes) -> int:
    """Return by how many seconds to move the clock; raises RulesError."""
    text = _load(_FORWARD_SCHEMA, _read(body))["forward"]
    found = _DURATION.fullmatch(text)
    counts = [int(count or 0) for count in found.groups()] if found else [0]
    seconds = sum(count * unit for count, unit in zip(counts, _UNITS, strict=False))
    if not seconds:
        raise RulesError([f"forward: {_NO_DURATION}"])
    return seconds


_NO_DURATION: Final = "Write days, hours, minutes and seconds as P3D, PT90M or P1DT12H."


class _StrictSchema(Schema):
    """Takes an object with the members that there are, and names them for another."""

    class Meta:
        unknown = RAISE

    def __init__(self) -> None:
        super().__init__()
        names = [field.data_key or name for name, field in self.fields.items()]
        self.error_messages["unknown"] = f"Use one of {', '.join(names)}."
        self.error_messages["type"] = f"Give an object with {', '.join(names)}."


_FORWARD_SCHEMA: Final = _StrictSchema.from_dict(
    {
        "forward": members.String(
            required=True,
            validate=validate.Length(0, 64, error=_NO_DURATION),
            error_messages={"invalid": _NO_DURATION, "null": _NO_DURATION},
        )
    }
)()


class _FaultSchema(_StrictSchema):
    status = members.Integer(strict=True, validate=validate.OneOf(STATUSES))
    retry_after = members.Integer(
        strict=True, data_key="retryAfter", validate=validate.Range(0, 3600)
    )
    cut = members.Boolean(truthy={True}, falsy=set())
    truncate = members.Boolean(truthy={True}, falsy=set())
    when = members.String(validate=validate.OneOf(("before", "after")))
    delay = members.Float(validate=validate.Range(0, LONGEST_DELAY, min_inclusive=False))
    readiness_status = members.String(
        data_key="readinessStatus", validate=validate.OneOf(READINESS)
    )
    reason = members.String(validate=validate.Length(1, 1024))
    seconds = members.Float(validate=validate.Range(0, LONGEST_HOLD, min_inclusive=False))
    count = members.Integer(strict=True, validate=validate.Range(1, _MOST_NUMBER))

    @validates_schema
    def _one_fault(self, given: dict[str, Any], **_: Any) -> None:
        kinds = [name for name in _KINDS if name in given]
        if len(kinds) > 1 or not (kinds or "delay" in given):
            names = ", ".join(map(_camel, _KINDS))
            raise ValidationError(f"Give one of {names}, or delay alone.")
        if "retry_after" in given and "status" not in given:
            raise ValidationError("This goes with status.", "retryAfter")
        when = given.get("when")
        if when and not ("status" in given or "cut" in given):
            raise ValidationError("This goes with status or cut.", "when")
        if when == "after" and given.get("status", 500) not in _LATE_STATUSES:
            raise ValidationError(f"A {given['status']} is never sent after a write.", "when")
        if ("seconds" in given) != (given.get("readiness_status") == "notReady"):
            raise ValidationError("Give this with readinessStatus notReady, only.", "seconds")
        if "reason" in given and given.get("readiness_status") in (None, "notReady"):
            raise ValidationError("This goes with a readinessStatus that is reported.", "reason")


class _RuleSchema(_FaultSchema):
    method = members.String(
        validate=validate.OneOf(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
    )
    path = members.String(
        validate=(validate.Length(1, 1024), validate.Regexp("/", error="Begin it with a slash."))
    )
    operation = members.String()
    nth = members.Integer(strict=True, validate=validate.Range(1, _MOST_NUMBER))
    share = members.Float(validate=validate.Range(0, 1, min_inclusive=False))

    def __init__(self, operations: Collection[str]) -> None:
        super().__init__()
        self._operations = operations

    @validates_schema
    def _known_operation(self, given: dict[str, Any], **_: Any) -> None:
        if "operation" in given and given["operation"] not in self._operations:
            names = ", ".join(sorted(self._operations))
            raise ValidationError(f"Give one of {names}.", "operation")

    @validates_schema
    def _one_choice(self, given: dict[str, Any], **_: Any) -> None:
        if "nth" in given and ("count" in given or "share" in given):
            raise ValidationError("Give this without count and share.", "nth")


def _rules_schema(operations: Collection[str]) -> Schema:
    rule = members.Nested(_RuleSchema(operations))
    return _StrictSchema.from_dict(
        {
            "seed": members.Integer(strict=True, validate=validate.Range(0, 2**31)),
            "rules": members.List(rule, required=True, validate=validate.Length(0, MOST_RULES)),
        }
    )()


class _HeaderSchema(_FaultSchema):
    id = members.String(validate=validate.Length(1, 128))

    @validates_schema
    def _count_needs_id(self, given: dict[str, Any], **_: Any) -> None:
        if "count" in given and "id" not in given:
            raise ValidationError("Give an id, by which the requests are counted.", "count")


_KINDS: Final = ("status", "cut", "truncate", "readiness_status")


def _read(body: bytes) -> Any:
    if len(body) > MOST_BYTES:
        raise RulesError([f"Rules have at most {MOST_BYTES} bytes."])
    try:
        value = parse(body)
    except UnreadableBody as exc:
        # Without Graph's advice in front, which is for requests only.
        why = str(exc).rpartition("JSON format. ")[2]
        raise RulesError([f"This cannot be read as JSON: {why}"]) from None
    if repeated := repeated_members(value):
        raise RulesError([f"'{repeated[0][:64]}' is given more than once in an object."])
    return value


def _load(schema: Schema, value: Any) -> dict[str, Any]:
    try:
        given: dict[str, Any] = schema.load(value)
    except ValidationError as exc:
        raise RulesError(list(_sentences(exc.messages))[:_MOST_SENTENCES]) from None
    return given


def _sentences(messages: Any, place: str = "") -> Iterator[str]:
    """Put into sentences what marshmallow found, each with its place, such as rules[0].status."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            if name == "_schema":
                yield from _sentences(inner, place)
            elif isinstance(name, int):
                yield from _sentences(inner, f"{place}[{name}]")
            else:
                yield from _sentences(inner, f"{place}.{str(name)[:64]}".removeprefix("."))
    else:
        for text in messages:
            yield f"{place}: {text}" if place else text


def _header_members(header: str) -> dict[str, Any]:
    if len(header) > _MOST_HEADER:
        raise RulesError([f"It has at most {_MOST_HEADER} characters."])
    return members_of(part.strip() for part in header.split(";"))


def members_of(parts: Iterable[str]) -> dict[str, Any]:
    """Read `503`, `retryAfter=2`, `cut`: a bare number is a status, a bare word is true.

    Raises RulesError for what is not so written.
    """
    given: dict[str, Any] = {}
    for part in parts:
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if name.isascii() and name.isdigit() and not equals:
            name, equals, text = "status", "=", name
        if name in given or not name or " " in name:
            hint = " Put a semicolon between two." if " " in name else ""
            raise RulesError([f"Write name=value, each name once: {part[:64]!r} is not so.{hint}"])
        given[name] = _value(name, text) if equals else True
    return given


def _value(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
