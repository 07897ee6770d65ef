"""The names of operations, as Graph's own OpenAPI document has them.

That document is generated from `$metadata` by Microsoft.OpenApi.OData. These are its rules, with
the settings that Graph publishes for it: keys as segments, named by their type; tags of two parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from shared.contract.names import NAMESPACE
from shared.odata.model import EXTERNAL, EntityType

_SOURCE: Final = EXTERNAL.name
_ROOT: Final = f"/beta/{_SOURCE}"
_SUBSCRIPTIONS: Final = "/beta/subscriptions"
_COUNT: Final = "$count"
_VERBS: Final = {"GET": "Get", "POST": "Create", "PATCH": "Update", "DELETE": "Delete"}

Kind = Literal["operation", "action", "function"]
"""The values of x-ms-docs-operation-type."""


@dataclass(frozen=True)
class Names:
    """What an operation is called; `kind` is None for a plain count."""

    operation_id: str
    tag: str
    summary: str
    kind: Kind | None


@dataclass(frozen=True)
class _Step:
    """A segment below the singleton, and the type that the path leads to with it."""

    sort: Literal["navigation", "key", "call"]
    segment: str
    entity: EntityType
    many: bool = False


def path_template(path: str) -> str:
    """Return a path with its parameters named by the types that they are keys of."""
    if path.startswith(_SUBSCRIPTIONS):
        return path.replace("{subscription_id}", "{subscription-id}")
    if not _in_graph(path):
        return path
    segments = (
        f"{{{each.entity.name}-id}}" if each.sort == "key" else each.segment
        for each in _steps(path)
    )
    return "/".join((_ROOT, *segments))


def names(method: str, path: str, known: Collection[str]) -> Names | None:
    """Return what an operation is called; None for one outside of what Graph has.

    `known` are the paths of all operations: an action that has two has two ids.
    """
    if path.startswith(_SUBSCRIPTIONS):
        verb = "List" if path == _SUBSCRIPTIONS and method == "GET" else _VERBS[method]
        tag, named = "subscriptions.subscription", "subscription" + "s" * (verb == "List")
        return Names(f"{tag}.{verb}Subscription", tag, f"{verb} {named}", "operation")
    if not _in_graph(path):
        return None
    steps = _steps(path)
    navigations = [each.segment for each in steps if each.sort == "navigation"]
    if not steps:
        tag = f"{_SOURCE}.{_SOURCE}"
        return Names(f"{tag}.Get{_upper(_SOURCE)}", tag, f"Get {_SOURCE}", "operation")
    tag, last = f"{_SOURCE}.{steps[0].entity.name}", steps[-1]
    if last.segment == _COUNT:
        identifiers = ("id" if each.sort == "key" else each.segment for each in steps)
        suffix = _hash(_COUNT, (_SOURCE, *identifiers))
        counted = ".".join((_SOURCE, *navigations, f"GetCount-{suffix}"))
        return Names(counted, tag, "Get the number of the resource", None)
    if last.sort == "call":
        name = last.segment.removeprefix(NAMESPACE)
        before = (each.entity.name if each.sort == "key" else each.segment for each in steps[:-1])
        operation_id = ".".join((_SOURCE, *before, name))
        if name == last.segment and path.removesuffix(name) + NAMESPACE + name in known:
            operation_id += f"-{_hash(name)}"
        kind: Kind = "function" if method == "GET" else "action"
        return Names(operation_id, tag, f"Invoke {kind} {name}", kind)
    verb = "List" if last.many and method == "GET" else _VERBS[method]
    operation_id = ".".join((_SOURCE, *navigations[:-1], verb + _upper(navigations[-1])))
    # Graph's pages are titled by the collection where it is listed, and else by the type.
    named = last.segment if verb == "List" else last.entity.name
    return Names(operation_id, tag, f"{verb} {named}", "operation")


def _in_graph(path: str) -> bool:
    return path == _ROOT or path.startswith(f"{_ROOT}/")


def _steps(path: str) -> list[_Step]:
    entity = EXTERNAL
    steps: list[_Step] = []
    for segment in path.removeprefix(_ROOT).split("/")[1:]:
        navigation = entity.navigation(segment)
        if navigation is not None:
            entity = navigation.target
            steps.append(_Step("navigation", segment, entity, many=not navigation.single))
        else:
            steps.append(_Step("key" if segment.startswith("{") else "call", segment, entity))
    return steps


def _upper(name: str) -> str:
    return name[0].upper() + name[1:]


def _hash(item: str, identifiers: Iterable[str] = ()) -> str:
    """Return what the generator tells operations apart by whose ids would be the same."""
    text = item + "/".join(dict.fromkeys(identifiers))
    return hashlib.sha256(text.encode()).hexdigest()[:4]
