"""Which requests fail, and how often: rules, and the header that asks for one fault.

A rule says where (`method`, `path`, `operation`), which of those requests (`nth`, `count`, `share`)
and what happens to them (the members of a Fault).
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from functions.http.paths import path_segments
from local.faults.reading import (
    CREATES_FLOW,
    MOST_RULES,
    Fault,
    RulesError,
    read_header,
    read_rule,
    read_rules,
)

#: how many ids of header faults are remembered
_MOST_IDS: Final = 1000
_WHERE: Final = ("method", "path", "operation", "nth", "count", "share")


@dataclass
class Rule:
    """A fault, the requests that it is for, and what became of it so far."""

    fault: Fault
    method: str | None = None
    path: str | None = None
    operation: str | None = None
    nth: int | None = None
    count: int | None = None
    share: float | None = None
    #: requests that it was for, and those that it made fail
    matched: int = 0
    applied: int = 0
    dice: random.Random = field(default_factory=random.Random)

    def shown(self) -> dict[str, Any]:
        """As it was given, with its counts."""
        where = {"method": self.method, "path": self.path, "operation": self.operation}
        which = {"nth": self.nth, "count": self.count, "share": self.share}
        given = {name: value for name, value in (where | which).items() if value is not None}
        return {**given, **self.fault.shown(), "matched": self.matched, "applied": self.applied}

    def matches(self, target: Target) -> bool:
        """Whether a request is one that this rule is for."""
        if target.is_part and not self.fault.fits_parts:
            return False
        if self.fault.readiness_status and target.operation != CREATES_FLOW:
            return False
        named = self.path is not None or self.operation is not None
        if target.operation == "batch" and not named:
            return False  # its parts are what fails
        return (
            (target.method == self.method if self.method else target.method != "OPTIONS")
            and (self.operation is None or target.operation == self.operation)
            and (self.path is None or _fits(_segments(self.path), _segments(target.path)))
        )

    def wants(self) -> bool:
        """Count one more request that matches; whether it is to fail."""
        self.matched += 1
        if self.nth is not None and self.matched != self.nth:
            return False
        # Drawn also when it is used up, so that the same requests fail whatever came before.
        drawn = self.share is None or self.dice.random() < self.share
        return drawn and (self.count is None or self.applied < self.count)


class Target(NamedTuple):
    """A request as rules see it; `path` is below /beta, and `is_part` in a batch."""

    method: str
    path: str
    operation: str
    is_part: bool = False


class Rules:
    """The rules in force, and which header faults were used up."""

    def __init__(self, operations: Collection[str]) -> None:
        self._operations = operations
        self._rules: list[Rule] = []
        self._seed = 0
        self._used: OrderedDict[str, int] = OrderedDict()

    def replace(self, body: bytes) -> None:
        """Take rules from JSON in place of those there are; raises RulesError."""
        given = read_rules(body, self._operations)
        self._seed, self._rules = given.get("seed", 0), []
        for each in given["rules"]:
            self._append(each)

    def add(self, body: bytes) -> None:
        """Take one more rule from JSON; raises RulesError."""
        given = read_rule(body, self._operations)
        if len(self._rules) >= MOST_RULES:
            raise RulesError([f"There are {MOST_RULES} rules, which is the most: remove some."])
        self._append(given)

    def clear(self) -> None:
        """Remove all rules, and forget the ids of header faults."""
        self._rules, self._seed = [], 0
        self._used.clear()

    def shown(self) -> dict[str, Any]:
        """The rules with their counts."""
        return {"seed": self._seed, "rules": [rule.shown() for rule in self._rules]}

    def decide(self, target: Target, header: str | None) -> Fault | None:
        """Which fault a request gets, by its header or else by the first rule that wants it.

        Raises RulesError for a header that cannot be used.
        """
        if header is not None:
            fault = self._asked_for(header)
            if fault and fault.readiness_status and target.operation != CREATES_FLOW:
                raise RulesError(["readinessStatus goes with a request that creates a flow."])
            return fault
        wanting = [rule for rule in self._rules if rule.matches(target) and rule.wants()]
        if not wanting:
            return None
        wanting[0].applied += 1
        return wanting[0].fault

    def give_back(self, fault: Fault, header: str | None) -> None:
        """Do not count a fault that was decided on and did not happen."""
        for rule in self._rules:
            if rule.fault is fault:
                rule.applied -= 1
        key = None if header is None else read_header(header).get("id")
        if key is not None and key in self._used:
            self._used[key] -= 1

    def _append(self, given: Mapping[str, Any]) -> None:
        # A rule's chances depend on the seed and its place alone.
        dice = random.Random(f"{self._seed}/{len(self._rules)}")  # noqa: S311 - no secret
        where = {name: given[name] for name in _WHERE if name in given}
        self._rules.append(Rule(Fault.of(given), **where, dice=dice))

    def _asked_for(self, header: str) -> Fault | None:
        given = read_header(header)
        key = given.get("id")
        if key is not None:
            used = self._used.pop(key, 0)
            self._used[key] = used + 1
            if len(self._used) > _MOST_IDS:
                self._used.popitem(last=False)
            if used >= given.get("count", 1):
                return None
        return Fault.of(given)


def _segments(path: str) -> list[str]:
    segments = [segment.lower() for segment in path_segments(path)]
    return segments[1:] if segments[:1] == ["beta"] else segments


def _fits(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    """Whether segments are those of a pattern: `*` is any one, `**` at its end any number."""
    if pattern[-1:] == ["**"]:
        pattern, segments = pattern[:-1], segments[: len(pattern) - 1]
    return len(pattern) == len(segments) and all(
        own in ("*", given) for own, given in zip(pattern, segments, strict=True)
    )
