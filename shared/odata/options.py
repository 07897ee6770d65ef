"""Reads the query options of a request: each is checked, and all faults are reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from shared.domain.errors import MAX_FAULTS, Fault, InvalidRequest
from shared.odata.faults import refusal, shown
from shared.odata.model import Complex, Edm, EntityType
from shared.odata.paths import Path, Step, resolve
from shared.odata.search import parse_search
from shared.odata.select import Selection, parse_select

if TYPE_CHECKING:
    from shared.odata.expressions import Predicate

COLLECTION: Final = frozenset(
    {"select", "expand", "filter", "orderby", "search", "top", "skip", "count", "skiptoken"}
)
"""What a list takes."""
ITEM: Final = frozenset({"select", "expand"})
"""What one entity takes."""
COUNT: Final = frozenset({"filter", "search"})
"""What `/$count` takes."""

MAX_TOP: Final = 999
MAX_SKIP: Final = 10_000
# A $skiptoken holds a display name; everything else is written by hand.
MAX_LENGTH: Final = 4096

_NUMBER = re.compile(r"[0-9]{1,9}")
_ORDER = re.compile(r"(?P<path>\S+)(?:\s+(?P<direction>asc|desc))?", re.IGNORECASE)
_EXPAND = re.compile(r"(?P<name>[^\s(]+)\s*(?:\((?P<nested>[^()]*)\))?", re.DOTALL)
_ID: Final = Path((Step("id"),), Edm.STRING, nullable=False, collection=False)


@dataclass(frozen=True)
class Sort:
    """One key of an order; nulls come first in ascending order."""

    path: Path
    descending: bool = False


@dataclass(frozen=True)
class Expand:
    """A navigation property to print inside the entity, and what to keep of its entities."""

    navigation: str
    select: Selection | None = None

    @property
    def context(self) -> str:
        """How a context URL names it."""
        return f"{self.navigation}({self.select.context if self.select else ''})"


@dataclass(frozen=True)
class QueryOptions:
    """The options of one request, ready to use.

    `given` holds the text of those that decide which entities come and in which order.
    """

    entity: EntityType
    select: Selection | None = None
    expand: tuple[Expand, ...] = ()
    filter: Predicate | None = None
    orderby: tuple[Sort, ...] = ()
    search: tuple[str, ...] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    skiptoken: str | None = None
    given: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(
        cls, params: Mapping[str, str], allowed: Collection[str], entity: EntityType
    ) -> QueryOptions:
        """Read a query string's decoded parameters.

        Names count with and without `$`, in any case; `allowed` has them without, in lower case
        (COLLECTION, ITEM, COUNT or nothing). Raises InvalidRequest with every fault.
        """
        faults: list[Fault] = []
        read: dict[str, Any] = {}
        texts: dict[str, str] = {}
        for name, text in params.items():
            bare = name.removeprefix("$").lower()
            try:
                if bare not in allowed:
                    raise _not_an_option(name, allowed)
                if bare in texts:
                    raise refusal(
                        f"${bare}", f"'{shown(name)}' is given twice; keep one.", "DuplicateOption"
                    )
                texts[bare] = text
                read[bare] = _read(bare, text, entity)
            except InvalidRequest as exc:
                faults += exc.faults
                if len(faults) >= MAX_FAULTS:
                    break
        if faults:
            raise InvalidRequest(*faults)
        ordering = ("filter", "orderby", "search", "skip")
        given = tuple((name, texts[name]) for name in ordering if name in texts)
        return cls(entity, **read, given=given)

    @property
    def order(self) -> tuple[Sort, ...]:
        """The whole order: what was asked for, then id, so that no two entities are alike."""
        keys: list[Sort] = []
        for sort in self.orderby:
            keys.append(sort)
            if sort.path == _ID:
                return tuple(keys)
        return (*keys, Sort(_ID, bool(keys) and keys[-1].descending))

    def expands(self, navigation: str) -> Expand | None:
        """Return how a navigation property is to be expanded; None where it is not."""
        return next((each for each in self.expand if each.navigation == navigation), None)

    def context_suffix(self) -> str:
        """Return what follows the collection in a context URL, before any `/$entity`."""
        parts = [self.select.context] if self.select else []
        parts += [expand.context for expand in self.expand]
        return f"({','.join(parts)})" if parts else ""

    def project(self, printed: Mapping[str, Any]) -> dict[str, Any]:
        """Copy what $select keeps of a printed entity; what $expand added stays."""
        if self.select is None:
            return dict(printed)
        return self.select.project(printed, [expand.navigation for expand in self.expand])


def _not_an_option(name: str, allowed: Collection[str]) -> InvalidRequest:
    use = ", ".join(f"${each}" for each in sorted(allowed)) if allowed else "none"
    return refusal(
        shown(name),
        f"The query option '{shown(name)}' is not supported here; supported: {use}.",
        "UnknownOption",
    )


def _read(name: str, text: str, entity: EntityType) -> Any:
    option = f"${name}"
    if len(text) > MAX_LENGTH:
        raise refusal(option, f"The value has {len(text)} characters; at most {MAX_LENGTH} count.")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise refusal(option, "The value is not valid UTF-8.") from exc
    return _READERS[name](text, entity)


def _select(text: str, entity: EntityType) -> Selection:
    return parse_select(text, entity)


def _filter(text: str, entity: EntityType) -> Predicate:
    # All that filters need is imported with the first one: a cold start seldom has one.
    from shared.odata.filters import parse_filter

    return parse_filter(text, entity)


def _top(text: str, entity: EntityType) -> int:
    return _number("$top", text, MAX_TOP)


def _skip(text: str, entity: EntityType) -> int:
    return _number("$skip", text, MAX_SKIP)


def _number(option: str, text: str, most: int) -> int:
    if _NUMBER.fullmatch(text) and int(text) <= most:
        return int(text)
    raise refusal(
        option, f"'{shown(text)}' is not a whole number from 0 to {most}.", "InvalidValue"
    )


def _count(text: str, entity: EntityType) -> bool:
    if text.lower() not in ("true", "false"):
        raise refusal("$count", f"'{shown(text)}' is neither true nor false.", "InvalidValue")
    return text.lower() == "true"


def _orderby(text: str, entity: EntityType) -> tuple[Sort, ...]:
    sorts = [_sort(part.strip(), entity) for part in text.split(",")]
    paths = [str(sort.path) for sort in sorts]
    if len(set(paths)) < len(paths):
        raise refusal("$orderby", "A property is named twice; keep the first.")
    if entity.orderable is None:
        return tuple(sorts)
    for path in paths:
        if path not in entity.orderable:
            raise refusal(
                "$orderby",
                f"{entity.name} cannot be ordered by '{path}'; use one of "
                f"{', '.join(entity.orderable)}.",
            )
    others = [sort for sort in sorts if str(sort.path) != "id"]
    if len(others) > 1 or len({sort.descending for sort in sorts}) > 1:
        raise refusal(
            "$orderby",
            f"{entity.name} can be ordered by one property, with id after it in the same "
            "direction; leave the others out.",
        )
    return tuple(sorts)


def _sort(text: str, entity: EntityType) -> Sort:
    match = _ORDER.fullmatch(text)
    if match is None:
        raise refusal(
            "$orderby", f"'{shown(text)}' is not a property with asc, desc or nothing after it."
        )

    def refuse(message: str, code: str) -> Exception:
        return refusal("$orderby", message, code)

    path = resolve(entity, match["path"].split("/"), refuse)
    if path.collection or isinstance(path.type, Complex):
        raise refuse(f"'{path}' has no order: it is no single value.", "InvalidPath")
    return Sort(path, (match["direction"] or "").lower() == "desc")


def _expand(text: str, entity: EntityType) -> tuple[Expand, ...]:
    match = _EXPAND.fullmatch(text.strip())
    name = match and entity.navigation_target(match["name"])
    if match is None or name is None:
        use = ", ".join(entity.navigation) if entity.navigation else "nothing"
        raise refusal(
            "$expand",
            f"'{shown(text)}' cannot be expanded; {entity.name} expands {use}.",
            "UnknownProperty",
        )
    expanded = Expand(name)
    for part in match["nested"].split(";") if match["nested"] is not None else ():
        option, _, value = part.partition("=")
        if option.strip().removeprefix("$").lower() != "select" or expanded.select is not None:
            raise refusal(
                "$expand",
                f"'{shown(part.strip())}' cannot be used inside $expand; use one $select, as in "
                f"{name}($select=id).",
                "UnknownOption",
            )
        target = entity.targets[name]
        expanded = replace(expanded, select=parse_select(value, target, "$expand"))
    return (expanded,)


def _skiptoken(text: str, entity: EntityType) -> str:
    return text


_READERS: dict[str, Callable[[str, EntityType], Any]] = {
    "select": _select,
    "expand": _expand,
    "filter": _filter,
    "orderby": _orderby,
    "search": parse_search,
    "top": _top,
    "skip": _skip,
    "count": _count,
    "skiptoken": _skiptoken,
}
