"""Reads the query options of a request: each is checked, and all faults are reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from shared.domain.errors import MAX_FAULTS, Fault, InvalidRequest
from shared.odata.expand import split_expand
from shared.odata.faults import refusal, shown
from shared.odata.model import Complex, Edm, EntityType, Navigation
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
_EXPANDED: Final = COLLECTION - {"skiptoken"}

MAX_TOP: Final = 999
MAX_SKIP: Final = 10_000
# A $skiptoken holds a display name; everything else is written by hand.
MAX_LENGTH: Final = 4096

_NUMBER = re.compile(r"[0-9]{1,9}")
_ORDER = re.compile(r"(?P<path>\S+)(?:\s+(?P<direction>asc|desc))?", re.IGNORECASE)
_ID: Final = Path((Step("id"),), Edm.STRING, nullable=False, collection=False)


@dataclass(frozen=True)
class Sort:
    """One key of an order; nulls come first in ascending order."""

    path: Path
    descending: bool = False


@dataclass(frozen=True)
class Expand:
    """Entities to print inside the entity: which, and what of them.

    `options` are those written for them, read; `params` the same as written.
    """

    navigation: Navigation
    options: QueryOptions
    params: Mapping[str, str]

    @property
    def path(self) -> str:
        """How the expanded entities are named, with the type that they are cast to."""
        cast_to = self.options.cast
        return self.navigation.path if cast_to is None else f"{self.navigation.path}/{cast_to}"

    @property
    def context(self) -> str:
        """How a context URL names it."""
        return f"{self.path}{self.options.context_suffix() or '()'}"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The way from the entity to what is printed."""
        steps: list[Step] = []
        type_name: str | None = None
        for segment in self.navigation.path.split("/"):
            if "." in segment:
                type_name = segment
            else:
                steps.append(Step(segment, type_name))
                type_name = None
        return tuple(steps)


@dataclass(frozen=True)
class QueryOptions:
    """The options of one request, ready to use.

    `entity` is the type that they are about: where `cast` is not None, that derived type of a
    collection's, and entities of other types do not count. `given` holds the text of those that
    decide which entities come and in which order.
    """

    entity: EntityType
    cast: str | None = None
    select: Selection | None = None
    expand: tuple[Expand, ...] = ()
    filter: Predicate | None = None
    orderby: tuple[Sort, ...] = ()
    search: Predicate | None = None
    top: int | None = None
    skip: int = 0
    count: bool = False
    skiptoken: str | None = None
    given: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(
        cls,
        params: Mapping[str, str],
        allowed: Collection[str],
        entity: EntityType,
        cast: str | None = None,
    ) -> QueryOptions:
        """Read a query string's decoded parameters.

        Names count with and without `$`, in any case; `allowed` has them without, in lower case
        (COLLECTION, ITEM, COUNT or nothing). Raises InvalidRequest with every fault.
        """
        faults: list[Fault] = []
        read: dict[str, Any] = {}
        texts: dict[str, str] = {}
        aliases = {name: text for name, text in params.items() if name.startswith("@")}
        for name, text in params.items():
            bare = name.removeprefix("$").lower()
            try:
                if name in aliases and "filter" in allowed:
                    _check_alias(name, text, params)
                    texts[name] = text
                    continue
                if bare not in allowed:
                    raise _not_an_option(name, allowed)
                if bare in texts:
                    raise refusal(
                        f"${bare}", f"'{shown(name)}' is given twice; keep one.", "DuplicateOption"
                    )
                texts[bare] = text
                read[bare] = _read(bare, text, entity, aliases)
            except InvalidRequest as exc:
                faults += exc.faults
                if len(faults) >= MAX_FAULTS:
                    break
        if faults:
            raise InvalidRequest(*faults)
        ordering = ("filter", "orderby", "search", "skip")
        given = tuple((name, texts[name]) for name in (*ordering, *aliases) if name in texts)
        return cls(entity, cast, **read, given=given)

    @property
    def order(self) -> tuple[Sort, ...]:
        """The whole order: what was asked for, then id, so that no two entities are alike."""
        keys: list[Sort] = []
        for sort in self.orderby:
            keys.append(sort)
            if sort.path == _ID:
                return tuple(keys)
        return (*keys, Sort(_ID, bool(keys) and keys[-1].descending))

    @property
    def indexed(self) -> bool:
        """Whether the store's indexes have the order: one property, then id, in one direction."""
        return len(self.order) <= 2 and len({sort.descending for sort in self.order}) == 1

    def expands(self, navigation: str) -> Expand | None:
        """Return how a navigation property is to be expanded; None where it is not."""
        return next((each for each in self.expand if each.navigation.path == navigation), None)

    def context_suffix(self) -> str:
        """Return what follows the collection in a context URL, before any `/$entity`."""
        parts = [self.select.context] if self.select else []
        parts += [expand.context for expand in self.expand]
        return f"({','.join(parts)})" if parts else ""

    def project(self, printed: Mapping[str, Any]) -> dict[str, Any]:
        """Copy what $select keeps of a printed entity; what $expand added stays."""
        if self.select is None:
            return dict(printed)
        return self.select.project(printed, [expand.steps for expand in self.expand])


def _check_alias(name: str, text: str, params: Mapping[str, str]) -> None:
    """Check that $filter uses a parameter alias: whatever is not used is a mistake."""
    filters = [text for key, text in params.items() if key.removeprefix("$").lower() == "filter"]
    if not any(name in text for text in filters):
        raise refusal(
            shown(name),
            f"The parameter alias '{shown(name)}' is not used in $filter; omit it.",
            "UnknownOption",
        )
    _check_text(shown(name), text)


_LEFT_OUT: Final = {
    "apply": "This service does not aggregate: read the entities, or count them with $count.",
    "compute": "This service computes no properties: compute them from what is answered.",
}


def _not_an_option(name: str, allowed: Collection[str]) -> InvalidRequest:
    reason = _LEFT_OUT.get(name.removeprefix("$").lower())
    if reason is not None:
        return refusal(shown(name), f"'{name}' is not supported. {reason}", "UnknownOption")
    use = ", ".join(f"${each}" for each in sorted(allowed)) if allowed else "none"
    return refusal(
        shown(name),
        f"The query option '{shown(name)}' is not supported here; supported: {use}.",
        "UnknownOption",
    )


def _read(name: str, text: str, entity: EntityType, aliases: Mapping[str, str]) -> Any:
    _check_text(f"${name}", text)
    if name == "filter":
        return _filter(text, entity, aliases)
    return _READERS[name](text, entity)


def _check_text(option: str, text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise refusal(option, f"The value has {len(text)} characters; at most {MAX_LENGTH} count.")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise refusal(option, "The value is not valid UTF-8.") from exc


def _select(text: str, entity: EntityType) -> Selection:
    return parse_select(text, entity)


def _filter(text: str, entity: EntityType, aliases: Mapping[str, str]) -> Predicate:
    # All that filters need is imported with the first one: a cold start seldom has one.
    from shared.odata.filters import parse_filter

    return parse_filter(text, entity, aliases)


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
    found: dict[str, Expand] = {}
    for path, params in split_expand(text):
        named = _all_of(entity) if path == "*" and not params else [_named(path, entity)]
        for navigation, target in named:
            if navigation.path in found:
                raise refusal("$expand", f"'{navigation.path}' is named twice; keep one.")
            found[navigation.path] = _expanded(navigation, target, params)
    return tuple(found.values())


def _all_of(entity: EntityType) -> list[tuple[Navigation, EntityType]]:
    return [(each, each.target) for each in entity.navigations if "/" not in each.path]


def _named(path: str, entity: EntityType) -> tuple[Navigation, EntityType]:
    """Return the navigation of a path and the type of its entities, which the path may cast to."""
    navigation = entity.navigation(path)
    if navigation is not None:
        return navigation, navigation.target
    owner, _, last = path.rpartition("/")
    navigation = entity.navigation(owner)
    target = None if navigation is None else navigation.target.narrowed(last)
    if navigation is None or target is None:
        raise refusal(
            "$expand",
            f"'{shown(path)}' cannot be expanded; {entity.name} expands {entity.expands}.",
            "UnknownProperty",
        )
    return navigation, target


def _expanded(navigation: Navigation, target: EntityType, params: Mapping[str, str]) -> Expand:
    cast = None if target is navigation.target else str(target)
    allowed = _EXPANDED if not navigation.single else () if navigation.printed else ITEM
    try:
        options = QueryOptions.parse(params, allowed, target, cast)
    except InvalidRequest as exc:
        # Its own name would be taken for the option of the whole request.
        raise InvalidRequest(
            *(
                replace(fault, target="$expand", message=f"Inside $expand: {fault.message}")
                for fault in exc.faults
            )
        ) from exc
    return Expand(navigation, options, params)


def _skiptoken(text: str, entity: EntityType) -> str:
    return text


_READERS: dict[str, Callable[[str, EntityType], Any]] = {
    "select": _select,
    "expand": _expand,
    "orderby": _orderby,
    "search": parse_search,
    "top": _top,
    "skip": _skip,
    "count": _count,
    "skiptoken": _skiptoken,
}
