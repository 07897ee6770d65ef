"""Which function serves a path: ASP.NET route templates, matched as the Functions host does.

The host tries the functions' routes in the order of the functions' names, without regard to case,
and takes the first that fits path and method (azure-functions-host issues 3153 and 9876). A literal
segment does not win over a parameter, as it would in ASP.NET itself: `shadowed` finds such cases.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_PARAMETER = re.compile(
    r"(?P<star>\*{0,2})(?P<name>[^*:=?{}/]+)"
    r"(?P<rules>(?::(?:[^:=?(){}]+(?:\((?:[^()\\]|\\.|\([^()]*\))*\))?))*)"
    r"(?:=(?P<default>[^{}]*?))?(?P<optional>\?)?"
)
_RULE = re.compile(r":(?P<name>[^:(]+)(?:\((?P<args>(?:[^()\\]|\\.|\([^()]*\))*)\))?")
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
_INTEGER = re.compile(r"[+-]?[0-9]+")
_GUID = re.compile(
    r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|\{[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}"
    r"|\([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\)"
)


class RouteError(Exception):
    """A route template that the host refuses; the text says what is wrong with it."""


@dataclass(frozen=True)
class Constraint:
    """One inline constraint, such as `guid` or `range(1,9)`."""

    name: str
    args: tuple[str, ...] = ()

    def accepts(self, value: str) -> bool:
        """Whether a route value satisfies the constraint."""
        return _CHECKS[self.name](value, self.args)


def _whole(value: str, low: int, high: int) -> bool:
    return _INTEGER.fullmatch(value) is not None and low <= int(value) <= high


def _number(value: str, args: Sequence[str]) -> bool:
    return re.fullmatch(_NUMBER, value) is not None


_CHECKS: dict[str, Callable[[str, Sequence[str]], bool]] = {
    "int": lambda value, args: _whole(value, -(2**31), 2**31 - 1),
    "long": lambda value, args: _whole(value, -(2**63), 2**63 - 1),
    "bool": lambda value, args: value.lower() in ("true", "false"),
    "guid": lambda value, args: _GUID.fullmatch(value) is not None,
    "decimal": _number,
    "double": _number,
    "float": _number,
    "alpha": lambda value, args: re.fullmatch("[a-zA-Z]*", value) is not None,
    "required": lambda value, args: value != "",
    "minlength": lambda value, args: len(value) >= int(args[0]),
    "maxlength": lambda value, args: len(value) <= int(args[0]),
    "length": lambda value, args: int(args[0]) <= len(value) <= int(args[-1]),
    "min": lambda value, args: _whole(value, int(args[0]), 2**63 - 1),
    "max": lambda value, args: _whole(value, -(2**63), int(args[0])),
    "range": lambda value, args: _whole(value, int(args[0]), int(args[1])),
    "regex": lambda value, args: re.search(args[0], value, re.IGNORECASE) is not None,
}
_ARGUMENTS: dict[str, tuple[int, ...]] = {
    "minlength": (1,),
    "maxlength": (1,),
    "length": (1, 2),
    "min": (1,),
    "max": (1,),
    "range": (2,),
    "regex": (1,),
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a template."""

    name: str
    catch_all: bool = False
    optional: bool = False
    default: str | None = None
    constraints: tuple[Constraint, ...] = ()


Segment = tuple["str | Parameter", ...]


def _parse_constraint(name: str, text: str | None) -> Constraint:
    args: tuple[str, ...] = () if text is None else (text,)
    if text is not None and name != "regex":
        args = tuple(part.strip() for part in text.split(","))
    if name not in _CHECKS:
        raise RouteError(
            f"the constraint {name!r} is not known: use one of {', '.join(sorted(_CHECKS))}"
        )
    if len(args) not in _ARGUMENTS.get(name, (0,)):
        raise RouteError(f"the constraint {name!r} has the wrong number of arguments")
    try:
        if name == "regex":
            re.compile(args[0])
        else:
            [int(arg) for arg in args]
    except (ValueError, re.error) as exc:
        raise RouteError(f"the constraint {name!r} has a bad argument ({exc})") from exc
    return Constraint(name, args)


def _parse_parameter(text: str) -> Parameter:
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise RouteError(f"{{{text}}} is not a route parameter")
    if found["optional"] and found["default"] is not None:
        raise RouteError(f"{{{text}}} is optional and has a default: keep one of the two")
    if found["optional"] and found["star"]:
        raise RouteError(f"{{{text}}} takes the rest of the path and cannot be optional too")
    constraints = tuple(
        _parse_constraint(rule["name"], rule["args"]) for rule in _RULE.finditer(found["rules"])
    )
    return Parameter(
        found["name"], bool(found["star"]), bool(found["optional"]), found["default"], constraints
    )


def _parse_segment(text: str) -> Segment:
    parts: list[str | Parameter] = []
    position = 0
    while position < len(text):
        if text.startswith("{", position) and not text.startswith("{{", position):
            end = position + 1
            while end < len(text):
                if text.startswith(("{{", "}}"), end):
                    end += 2
                elif text[end] == "}":
                    break
                else:
                    end += 1
            if end >= len(text):
                raise RouteError(f"{text!r} has a {{ without its }}")
            inner = text[position + 1 : end].replace("{{", "{").replace("}}", "}")
            parts.append(_parse_parameter(inner))
            position = end + 1
            continue
        found = re.compile(r"(?:[^{}]|\{\{|\}\})+").match(text, position)
        if found is None:
            raise RouteError(f"{text!r} has a }} without its {{")
        if "?" in found[0]:
            raise RouteError(f"{text!r} has a '?', which only a parameter may have")
        parts.append(found[0].replace("{{", "{").replace("}}", "}"))
        position = found.end()
    for left, right in itertools.pairwise(parts):
        if isinstance(left, Parameter) and isinstance(right, Parameter):
            raise RouteError(f"{text!r} has two parameters with nothing between them")
    if len(parts) > 1:
        for at, part in enumerate(parts):
            if not isinstance(part, Parameter):
                continue
            last_after_dot = at == len(parts) - 1 and parts[at - 1] == "."
            if part.catch_all or (part.optional and not last_after_dot):
                raise RouteError(f"{text!r} mixes {{{part.name}}} with other text")
    return tuple(parts)


def parse(template: str) -> tuple[Segment, ...]:
    """Take a template apart; raises RouteError."""
    text = template.removeprefix("~/").removeprefix("/").removesuffix("/")
    if text.startswith("~"):
        raise RouteError("a route may not begin with '~'")
    if not text:
        return ()
    # A regex constraint may hold a slash, so the split looks at braces.
    segments, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == "/" and depth == 0:
            segments.append(text[start:at])
            start = at + 1
    segments.append(text[start:])
    if "" in segments:
        raise RouteError("it has two slashes in a row: begin a route without a slash")
    parsed = tuple(_parse_segment(segment) for segment in segments)
    names = [p.name.lower() for segment in parsed for p in segment if isinstance(p, Parameter)]
    for name in names:
        if names.count(name) > 1:
            raise RouteError(f"the parameter {name!r} appears twice")
    for segment in parsed[:-1]:
        if isinstance(segment[0], Parameter) and segment[0].catch_all:
            raise RouteError(f"{{*{segment[0].name}}} must come last")
    return parsed


def _may_be_missing(segment: Segment) -> bool:
    part = segment[0]
    return (
        len(segment) == 1
        and isinstance(part, Parameter)
        and (part.catch_all or part.optional or part.default is not None)
    )


@dataclass(frozen=True)
class Route:
    """The template of one HTTP function and the methods it serves; None means every method."""

    function_name: str
    template: str
    methods: frozenset[str] | None = None

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The parsed template; raises RouteError."""
        return parse(self.template)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters in the order of the template."""
        return tuple(p for segment in self.segments for p in segment if isinstance(p, Parameter))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        trailing = len(self.segments)
        while trailing and _may_be_missing(self.segments[trailing - 1]):
            trailing -= 1
        pattern = ""
        for at in reversed(range(len(self.segments))):
            slash = "/" if at else ""
            own = "".join(self._part(part) for part in self._with_optional_dot(self.segments[at]))
            pattern = f"{slash}{own}{pattern}"
            if at >= trailing:
                pattern = f"(?:{pattern})?"
        return re.compile(pattern + "/?", re.IGNORECASE | re.DOTALL)

    @staticmethod
    def _with_optional_dot(segment: Segment) -> Segment:
        """Join the dot to an optional extension: in {name}.{ext?} both may be missing."""
        last = segment[-1]
        if len(segment) > 1 and isinstance(last, Parameter) and last.optional:
            return (*segment[:-2], last)
        return segment

    def _part(self, part: str | Parameter) -> str:
        if isinstance(part, str):
            return re.escape(part)
        group = f"p{[p.name for p in self.parameters].index(part.name)}"
        if part.catch_all:
            return f"(?P<{group}>.*)"
        alone = any(segment == (part,) for segment in self.segments)
        if part.optional and not alone:
            return rf"(?:\.(?P<{group}>[^/.]+))?"
        before_extension = any(
            segment[0] is part and isinstance(segment[-1], Parameter) and segment[-1].optional
            for segment in self.segments
            if len(segment) > 1
        )
        return f"(?P<{group}>[^/]+?)" if before_extension else f"(?P<{group}>[^/]+)"

    def match(self, path: str) -> dict[str, str] | None:
        """The route values for a decoded path without its leading slash, or None."""
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        values: dict[str, str] = {}
        for at, parameter in enumerate(self.parameters):
            value = found[f"p{at}"] or parameter.default
            if value is None:
                continue
            if not all(constraint.accepts(value) for constraint in parameter.constraints):
                return None
            values[parameter.name] = value
        return values

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
            sample = "/".join(
                "".join(part if isinstance(part, str) else "\x00" for part in segment)
                for segment in route.segments
            )
            for earlier in self.routes[:at]:
                shared = route.methods is None or any(map(earlier.serves, route.methods))
                if shared and earlier.match(sample) is not None:
                    taken.setdefault(route.function_name, earlier.function_name)
        return taken
