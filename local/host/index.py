"""Reads the app's functions and refuses what the real Python worker or the real host would refuse.

In the real worker one faulty function hides all functions, often silently, so every fault is
reported here as one sentence with the function, its file and the cure.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func

from local.host.errors import HostError
from local.host.ncrontab import parse_schedule
from local.host.routes import Route, RouteError, Router
from local.host.settings import HostSettings, MissingSetting, expand
from local.host.worker_checks import (
    HTTP_TRIGGER,
    SERVICE_BUS_TRIGGER,
    TIMER_TRIGGER,
    TRIGGERS,
    Fault,
    IndexedFunction,
    check_function,
)

_FUNCTION_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,127}")
_SCRIPT = "function_app.py"


@dataclass
class App:
    """Everything the host runs: the functions in the order of their names, and warnings."""

    functions: list[IndexedFunction] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[IndexedFunction]:
        """The functions with this trigger type."""
        return [function for function in self.functions if function.kind == kind]

    def routes(self, prefix: str) -> list[Route]:
        """The routes of the HTTP functions, with the route prefix of host.json."""
        return [_route(function, prefix) for function in self.of_kind(HTTP_TRIGGER)]


def _route(function: IndexedFunction, prefix: str) -> Route:
    methods = function.trigger.get("methods")
    template = str(function.trigger.get("route") or function.name)
    return Route(
        function.name,
        f"{prefix}/{template}" if prefix else template,
        None if methods is None else frozenset(str(method).upper() for method in methods),
    )


# ---- importing the app


def import_app(app_dir: Path) -> ModuleType:
    """Import the app's script as the worker does; call it inside the running event loop.

    The app's folder goes last on sys.path and becomes the working directory. Raises HostError.
    """
    if not (app_dir / _SCRIPT).is_file():
        raise HostError(f"{app_dir} has no {_SCRIPT}: name the folder of a Python v2 app by --app.")
    # The folder the host was started in is no part of the worker's path, unless it is the app's.
    unwanted = {"", str(app_dir), str(Path.cwd())}
    os.chdir(app_dir)
    sys.path[:] = [entry for entry in sys.path if entry not in unwanted] + [str(app_dir)]
    sys.path_importer_cache.clear()
    try:
        return importlib.import_module(_SCRIPT.removesuffix(".py"))
    except (Exception, SystemExit) as exc:
        raise HostError(
            f"{_SCRIPT} cannot be imported: {type(exc).__name__}: {exc} "
            f"({_origin(exc, app_dir)}). Correct it: until then no function of the app is served."
        ) from exc


def _origin(exc: BaseException, app_dir: Path) -> str:
    """The last place in the app's own code that an import error went through."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{_short(Path(exc.filename), app_dir)}, line {exc.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if Path(frame.filename).is_relative_to(app_dir)
    ]
    if not frames:
        return "outside the app"
    return f"{_short(Path(frames[-1].filename), app_dir)}, line {frames[-1].lineno}"


def _short(file: Path, app_dir: Path) -> Path:
    return file.relative_to(app_dir) if file.is_relative_to(app_dir) else file


# ---- reading the functions


def index(module: ModuleType, settings: HostSettings, environ: Mapping[str, str]) -> App:
    """Read and check the functions of an imported app; raises HostError that lists every fault."""
    app_dir = Path(module.__file__ or ".").resolve().parent
    functions, faults = [], []
    found = _functions_of(module)
    for function in found:
        place = f"{function.get_function_name()} ({_place(function, app_dir)})"
        checked: IndexedFunction | None = None
        try:
            checked = check_function(function)
        except Fault as fault:
            faults.append(f"{place}: {fault}")
        faults += [f"{place}: {fault}" for fault in _host_faults(function, settings, environ)]
        if checked is not None:
            functions.append(checked)
    app = App(sorted(functions, key=lambda function: function.name.upper()))
    faults += _name_faults(found, app_dir) + _route_faults(app, settings, app_dir)
    if faults:
        raise HostError(faults)
    app.warnings += _warnings(app, settings)
    return app


def _functions_of(module: ModuleType) -> list[Any]:
    script = Path(module.__file__ or "function_app.py").name
    # As in the worker: every top-level name counts, so a second name for one object counts too.
    names = [
        name
        for name in dir(module)
        if isinstance(getattr(module, name, None), func.FunctionRegister)
    ]
    if not names:
        raise HostError(
            f"{script} has no FunctionApp at its top level: add `app = func.FunctionApp()`."
        )
    if len(names) > 1:
        raise HostError(
            f"{script} has more than one FunctionApp at its top level ({', '.join(names)}): keep "
            "one, and register blueprints in it."
        )
    app = getattr(module, names[0])
    try:
        return list(app.get_functions())
    except (ValueError, TypeError) as exc:
        raise HostError(_build_faults(app, exc, Path(script))) from exc


def _build_faults(app: Any, exc: Exception, script: Path) -> list[str]:
    """Why azure.functions refused to build the functions: it names the first fault only."""
    places: dict[str, list[str]] = {}
    faults = []
    for builder in getattr(app, "_function_builders", []):
        function = builder._function
        name, place = function.get_function_name(), _place(function, script.resolve().parent)
        places.setdefault(name, []).append(place)
        if function.get_trigger() is None:
            faults.append(f"{name} ({place}): it has no trigger. Add one, such as @bp.route(...).")
    faults += [
        f"{name} ({', '.join(where)}): more than one function has this name. Give each its own."
        for name, where in places.items()
        if len(where) > 1
    ]
    return faults or [f"{script}: the functions cannot be built: {exc}"]


def _place(function: Any, app_dir: Path) -> str:
    code = getattr(inspect.unwrap(function.get_user_function()), "__code__", None)
    if code is None:
        return "unknown file"
    return f"{_short(Path(code.co_filename), app_dir)}, line {code.co_firstlineno}"


# ---- what the host checks


def _host_faults(
    function: Any, settings: HostSettings, environ: Mapping[str, str]
) -> Iterator[str]:
    name, trigger = function.get_function_name(), function.get_trigger()
    if not _FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
        yield (
            "the host refuses this name. Use a letter, then at most 127 letters, digits, '_' or "
            "'-', and not 'host'."
        )
    if trigger.type not in TRIGGERS:
        yield (
            f"the local host cannot run a {trigger.type}: it runs HTTP, Service Bus queue and "
            "timer triggers. Use `func start` for this app."
        )
        return
    for binding in function.get_bindings():
        if binding is not trigger and binding.type != "http":
            yield (
                f"the local host has no {binding.type} binding ({binding.name!r}): it binds "
                "triggers and HTTP answers only. Use the service's SDK, or `func start`."
            )
    values = trigger.get_dict_repr()
    missing = False
    for key, value in values.items():
        if isinstance(value, str):
            try:
                expand(value, environ)
            except MissingSetting as exc:
                missing = True
                yield (
                    f"{key} is {value!r} but the setting {exc} is not set. Add {exc} to the Values "
                    "of local.settings.json, or to the environment."
                )
    if missing:
        return
    if trigger.type == TIMER_TRIGGER:
        try:
            parse_schedule(expand(str(values["schedule"]), environ))
        except ValueError as exc:
            yield f"its schedule cannot be used: {exc}."
    if trigger.type == SERVICE_BUS_TRIGGER:
        yield from _service_bus_faults(values, settings, environ)


def _service_bus_faults(
    values: Mapping[str, Any], settings: HostSettings, environ: Mapping[str, str]
) -> Iterator[str]:
    if not settings.has_extension_bundle:
        yield (
            "host.json has no extensionBundle, without which the real host cannot run Service Bus "
            "triggers. Add one."
        )
    if expand(str(values.get("queueName") or ""), environ).lower().endswith("/$deadletterqueue"):
        yield (
            "a message that fails in a dead-letter queue comes back at once, without end. Receive "
            "dead letters in a timer function, or use `func start`."
        )
    if "topicName" in values:
        yield "the local host receives from queues only, not from topics. Use `func start`."
    if str(values.get("cardinality") or "").lower().endswith("many"):
        yield "the local host hands over one message at a time. Use `func start`."
    if values.get("isSessionsEnabled"):
        yield "the local host cannot receive sessions. Use `func start`."
    try:
        service_bus_connection(str(values.get("connection") or ""), environ)
    except HostError as exc:
        yield str(exc)


def service_bus_connection(name: str, environ: Mapping[str, str]) -> str:
    """The connection string that a trigger's `connection` names; raises HostError."""
    name = name or "AzureWebJobsServiceBus"
    for setting in (f"AzureWebJobs{name}", name):
        value = environ.get(setting)
        if value is None:
            continue
        if "endpoint=" not in value.lower():
            raise HostError(
                f"the setting {setting} is not a Service Bus connection string. Begin it with "
                "Endpoint=sb://."
            )
        return value
    if any(setting.lower().startswith(f"{name.lower()}__") for setting in environ):
        raise HostError(
            f"the connection {name!r} is set by {name}__… settings, which need an identity in "
            f"Azure. Set {name} to the connection string of the emulator."
        )
    raise HostError(
        f"the connection setting {name} is not set. Add {name} to the Values of "
        "local.settings.json, or to the environment."
    )


def _name_faults(functions: Sequence[Any], app_dir: Path) -> list[str]:
    """Names that differ only in case: the host's names ignore it."""
    seen: dict[str, str] = {}
    faults = []
    for function in functions:
        name = function.get_function_name()
        first = seen.setdefault(name.lower(), name)
        if first != name:
            faults.append(
                f"{name} ({_place(function, app_dir)}): {first} differs from it only in case. "
                "Give it another name."
            )
    return faults


def _route_faults(app: App, settings: HostSettings, app_dir: Path) -> list[str]:
    faults: list[str] = []
    checked: list[tuple[str, Route]] = []
    for function in app.of_kind(HTTP_TRIGGER):
        place = f"{function.name} ({_short(function.file, app_dir)})"
        route = _route(function, settings.route_prefix)
        own = str(function.trigger.get("route") or function.name).strip("/").lower()
        if own.startswith(("admin", "runtime")):
            faults.append(
                f"{place}: routes that begin with 'admin' or 'runtime' belong to the host. "
                "Choose another."
            )
        try:
            _ = route.segments
        except RouteError as exc:
            faults.append(f"{place}: the route {route.template!r} cannot be used: {exc}.")
            continue
        for other, (other_own, other_route) in ((r.function_name, (o, r)) for o, r in checked):
            everything = route.methods is None or other_route.methods is None
            if own == other_own and (
                everything or (route.methods or set()) & (other_route.methods or set())
            ):
                faults.append(
                    f"{place}: {other} has the same route and a method in common. Change one."
                )
        checked.append((own, route))
    return faults


def _warnings(app: App, settings: HostSettings) -> list[str]:
    warnings = [] if app.functions else ["The app has no functions."]
    shadowed = Router(app.routes(settings.route_prefix)).shadowed()
    warnings += [
        f"{hidden}: its requests go to {taker}, whose name comes first and whose route fits too. "
        f"Give the parameter of {taker} a constraint, or rename one: the host tries routes in the "
        "order of the functions' names."
        for hidden, taker in shadowed.items()
    ]
    return warnings + [
        f"{function.name}: the local host does not apply its retry policy."
        for function in app.functions
        if function.has_retry
    ]
