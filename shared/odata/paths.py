"""Turns the path that a client wrote into the members it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.odata.faults import shown
from shared.odata.model import Complex, Property, Type

Refuse = Callable[[str, str], Exception]
"""Makes the error from a message and a code."""


@dataclass(frozen=True)
class Step:
    """One member on the way; `cast` is the type that its owner must have, where one was named."""

    name: str
    cast: str | None = None

    def __str__(self) -> str:
        return self.name if self.cast is None else f"{self.cast}/{self.name}"


@dataclass(frozen=True)
class Path:
    """A way from an entity, or from a lambda's variable, to a value of `type`."""

    steps: tuple[Step, ...]
    type: Type
    nullable: bool
    collection: bool
    variable: str | None = None

    def __str__(self) -> str:
        parts = [str(step) for step in self.steps]
        return "/".join(parts if self.variable is None else [self.variable, *parts])


def resolve(
    start: Complex, segments: Sequence[str], refuse: Refuse, *, through_collections: bool = False
) -> Path:
    """Follow `segments` from a type, ignoring case.

    Only where `through_collections` is true may a collection be followed into its entries.
    """
    here: Type = start
    steps: list[Step] = []
    cast: str | None = None
    found: Property | None = None
    nullable = False
    for segment in segments:
        if found is not None and found.collection and not through_collections:
            raise refuse(
                f"'{found.name}' is a collection; ask about its entries with any or all, "
                f"as in {found.name}/any(x:x eq 'value').",
                "InvalidPath",
            )
        if not isinstance(here, Complex):
            raise refuse(
                f"'{steps[-1].name}' is {here} and has no member '{shown(segment)}'.",
                "UnknownProperty",
            )
        if "." in segment:
            here, cast = _cast(here, segment, refuse)
            continue
        found = here.member(segment)
        if found is None and here.owners(segment):
            raise refuse(
                f"'{shown(segment)}' is no property of type '{here}' but of one derived from it; "
                f"write the type before it, as in {here.owners(segment)[0]}/{shown(segment)}.",
                "UnknownProperty",
            )
        if found is None:
            choice = f"use one of {here.names}" if here.members else "it has none to use"
            raise refuse(
                f"The property '{shown(segment)}' does not exist on type '{here}' or cannot be "
                f"asked for; {choice}.",
                "UnknownProperty",
            )
        nullable = nullable or found.nullable or cast is not None
        steps.append(Step(found.name, cast))
        here, cast = found.type, None
    if found is None or cast is not None:
        raise refuse(
            f"'{shown('/'.join(segments))}' names a type but no property of it.", "InvalidPath"
        )
    return Path(tuple(steps), found.type, nullable, found.collection)


def _cast(here: Complex, segment: str, refuse: Refuse) -> tuple[Complex, str | None]:
    target = here.cast(segment)
    if target is None:
        types = ", ".join(str(each) for each in (here, *here.derived.values()))
        raise refuse(f"'{shown(segment)}' is not a type to cast to; use {types}.", "UnknownType")
    return target, None if target is here else str(target)
