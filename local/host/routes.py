"""Which function serves a path, matched as the Functions host does.

The host tries the functions' routes in the order of the functions' names, without regard to case,
and takes the first that fits path and method (azure-functions-host issues 3153 and 9876). A literal
segment does not win over a parameter, as it would in ASP.NET itself: `shadowed` finds such cases.

Of ASP.NET's templates it takes literal segments, {name} and a last {*rest}, which is what the app
uses: no constraint, default, optional parameter or segment of several parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

_PARAMETER = re.compile(r"\{(?P<star>\*{0,2})(?P<name>[^*:=?{}/]+)\}")


class RouteError(Exception):
    """A route template that cannot be used; the text says what is wrong with it."""


def _parse(template: str) -> list[tuple[str, str]]:
    """The segments of a template: "" or stars, and a literal or a parameter's name in braces."""
    text = template.removeprefix("/").removesuffix("/")
    segments = text.split("/") if text else []
    if "" in segments:
        raise RouteError("it has two slashes in a row: begin a route without a slash")
    parsed: list[tuple[str, str]] = []
    for segment in segments:
        found = _PARAMETER.fullmatch(segment)
        if found is None and re.search(r"[{}?~]", segment):
            raise RouteError(
                f"{segment!r} is neither a literal, {{name}} nor {{*rest}}, which the local host "
                "takes. Use `func start` for others"
            )
        if parsed and parsed[-1][0].startswith("*"):
            raise RouteError(f"{{*{parsed[-1][1]}}} must come last")
        parsed.append((found["star"] or "{", found["name"]) if found else ("", segment))
    names = [name.lower() for kind, name in parsed if kind]
    for name in names:
        if names.count(name) > 1:
            raise RouteError(f"the parameter {name!r} appears twice")
    return parsed


@dataclass(frozen=True)
class Route:
    """The template of one HTTP function and the methods it serves; None means every method."""

    function_name: str
    template: str
    methods: frozenset[str] | None = None

    @cached_property
    def segments(self) -> list[tuple[str, str]]:
        """The parsed template; raises RouteError."""
        return _parse(self.template)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts: list[str] = []
        for kind, text in self.segments:
            slash = "/" if parts else ""
            if kind.startswith("*"):
                parts.append(f"(?:{slash}(.*))?")
            else:
                parts.append(f"{slash}([^/]+)" if kind else slash + re.escape(text))
        return re.compile("".join(parts) + "/?", re.IGNORECASE | re.DOTALL)

    def match(self, path: str) -> dict[str, str] | None:
        """The route values for a decoded path without its leading slash, or None."""
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        names = [name for kind, name in self.segments if kind]
        return {name: text for name, text in zip(names, found.groups(), strict=True) if text}

    def serves(self, method: str) -> bool:
        """Whether the function takes this method (in upper case)."""
        return self.methods is None or method in self.methods


class Router:
    """All HTTP functions of an app; find() answers as the host's routing does."""

    def __init__(self, routes: Iterable[Route]) -> None:
        # Upper case as .NET compares: "_" comes after the letters.
        self.routes = sorted(routes, key=lambda route: route.function_name.upper())

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route for a method and a decoded path, and its values; None is the host's 404."""
        path = path.removeprefix("/")
        if path.startswith("/"):  # an empty first segment fits no template, {*rest} included
            return None
        for route in self.routes:
            if route.serves(method):
                values = route.match(path)
                if values is not None:
                    return route, values
        return None

    def shadowed(self) -> Mapping[str, str]:
        """Functions a request for their own template never reaches, with the one that takes it."""
        taken: dict[str, str] = {}
        for at, route in enumerate(self.routes):
            sample = "/".join("\x00" if kind else text for kind, text in route.segments)
            for earlier in self.routes[:at]:
                shared = route.methods is None or any(map(earlier.serves, route.methods))
                if shared and earlier.match(sample) is not None:
                    taken.setdefault(route.function_name, earlier.function_name)
        return taken
