"""Reads the app's functions and refuses what the real Python worker or the real host would refuse.

In the real worker one faulty function hides all functions, often silently, so every fault is
reported here as one sentence with the function, its file and the cure.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func

from local.host.errors import HostError
from local.host.ncrontab import parse_schedule
from local.host.routes import Route, RouteError, Router
from local.host.settings import HostSettings, MissingSetting, expand

HTTP_TRIGGER, SERVICE_BUS_TRIGGER, TIMER_TRIGGER = (
    "httpTrigger",
    "serviceBusTrigger",
    "timerTrigger",
)
_TRIGGERS = {HTTP_TRIGGER, SERVICE_BUS_TRIGGER, TIMER_TRIGGER}
_IN, _OUT, _INOUT = 0, 1, 2
_FUNCTION_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,127}")
_SCRIPT_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]*\.py")
_GENERIC_ALIASES = tuple(type(alias) for alias in (typing.List[int], typing.List))  # noqa: UP006 - the worker knows no builtin aliases


@dataclass(frozen=True)
class IndexedFunction:
    """One function of the app, checked and ready to run."""

    name: str
    #: None in the host, which is not given the code
    call: Any
    is_async: bool
    trigger: Mapping[str, Any]
    bindings: Sequence[Mapping[str, Any]]
    takes_context: bool
    #: "http" where the function returns the answer to a request
    returns: str | None
    return_type: Any
    #: the trigger parameter is annotated str or bytes and gets the bare value
    wants_bare_value: bool
    has_retry: bool
    file: Path

    def __getstate__(self) -> dict[str, Any]:
        """What the worker process tells the host of it: all but the code."""
        return {**self.__dict__, "call": None, "return_type": None}

    @property
    def kind(self) -> str:
        """The trigger's type: httpTrigger, serviceBusTrigger or timerTrigger."""
        return str(self.trigger["type"])

    @property
    def parameter(self) -> str:
        """The name of the trigger's parameter."""
        return str(self.trigger["name"])


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


class _Fault(Exception):
    """One thing the worker or the host would refuse."""


def _route(function: IndexedFunction, prefix: str) -> Route:
    methods = function.trigger.get("methods")
    template = str(function.trigger.get("route") or function.name)
    return Route(
        function.name,
        f"{prefix}/{template}" if prefix else template,
        None if methods is None else frozenset(str(method).upper() for method in methods),
    )


# ---- importing the app


def import_app(app_dir: Path, environ: Mapping[str, str]) -> ModuleType:
    """Import the app's script as the worker does; call it inside the running event loop.

    The app's folder goes last on sys.path and becomes the working directory. Raises HostError.
    """
    script = environ.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    if not _SCRIPT_NAME.fullmatch(script):
        raise HostError(f"PYTHON_SCRIPT_FILE_NAME={script!r} is not the name of a Python file.")
    if not (app_dir / script).is_file():
        raise HostError(f"{app_dir} has no {script}: name the folder of a Python v2 app by --app.")
    # The folder the host was started in is no part of the worker's path, unless it is the app's.
    unwanted = {"", str(app_dir), str(Path.cwd())}
    os.chdir(app_dir)
    sys.path[:] = [entry for entry in sys.path if entry not in unwanted] + [str(app_dir)]
    sys.path_importer_cache.clear()
    try:
        return importlib.import_module(script.removesuffix(".py"))
    except (Exception, SystemExit) as exc:
        raise HostError(
            f"{script} cannot be imported: {type(exc).__name__}: {exc} "
            f"({_origin(exc, app_dir)}). Mend it: no function of the app is served otherwise."
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
            checked = _check_function(function)
        except _Fault as fault:
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


# ---- what the worker checks


def _check_function(function: Any) -> IndexedFunction:
    """Check the signature of one function against its bindings; raises _Fault."""
    call = function.get_user_function()
    parameters = dict(inspect.signature(call).parameters)
    try:
        annotations = typing.get_type_hints(call)
    except Exception as exc:
        raise _Fault(
            f"an annotation cannot be resolved at run time ({exc}). Import the name for real, "
            "not only for type checkers."
        ) from exc
    bindings = list(function.get_bindings())
    for binding in bindings:
        if binding.direction == _INOUT:
            raise _Fault(f"the binding {binding.name!r} is inout, which Python cannot do.")
        if binding.name == "$return" and binding.direction != _OUT:
            raise _Fault('the binding "$return" must have the direction out.')
    bound = {binding.name: binding for binding in bindings if binding.name != "$return"}
    takes_context = "context" in parameters and "context" not in bound
    if takes_context:
        parameters.pop("context")
        given = annotations.get("context")
        if given is not None and getattr(given, "__name__", "") != "Context":
            raise _Fault("the parameter 'context' must be annotated func.Context, or not at all.")
    _check_parameters(parameters, bound, call)
    for name in parameters:
        if name in annotations:
            _check_parameter_type(bound[name], annotations[name])
    trigger = function.get_trigger()
    returns = next((b.type for b in bindings if b.name == "$return"), None)
    if returns is not None and "return" in annotations:
        _check_return_type(returns, annotations["return"])
    code = getattr(inspect.unwrap(call), "__code__", None)
    as_json = [json.loads(text) for text in function.get_raw_bindings()]
    return IndexedFunction(
        name=function.get_function_name(),
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        trigger=next((b for b in as_json if b.get("name") == trigger.name), {}),
        bindings=as_json,
        takes_context=takes_context,
        returns=returns,
        return_type=annotations.get("return"),
        wants_bare_value=annotations.get(trigger.name) in (str, bytes),
        file=Path(code.co_filename if code else "function_app.py"),
        has_retry=function.get_settings_dict("retry_policy") is not None,
    )


def _check_parameters(parameters: dict[str, Any], bound: dict[str, Any], call: Any) -> None:
    extra = sorted(set(parameters) - set(bound))
    missing = sorted(set(bound) - set(parameters))
    if not extra and not missing:
        return
    unwrapped = {"args", "kwargs"} <= set(extra) and not hasattr(call, "__wrapped__")
    if unwrapped:
        raise _Fault(
            f"its parameters are {', '.join(parameters)}: a decorator below the trigger hides the "
            "real ones. Use functools.wraps in that decorator."
        )
    if missing == ["req"] and len(extra) == 1:
        raise _Fault(
            f"the HTTP parameter is named {extra[0]!r}. Name it 'req', or give the trigger "
            f"trigger_arg_name={extra[0]!r}."
        )
    if len(missing) == 1 and len(extra) == 1:
        raise _Fault(
            f"the trigger's arg_name is {missing[0]!r} but the parameter is {extra[0]!r}. "
            "Give both the same name."
        )
    if missing:
        raise _Fault(f"no parameter is named {missing[0]!r}, the name of its binding. Add it.")
    raise _Fault(
        f"the parameters {', '.join(map(repr, extra))} belong to no binding. Remove them: route "
        "values come from req.route_params, and only `context: func.Context` may be added."
    )


def _is_generic(annotation: Any) -> bool:
    """What the worker takes for a generic type: typing.List[...], but not list[...] or a union."""
    if isinstance(annotation, type):
        return not isinstance(annotation, _builtin_alias()) and issubclass(
            annotation,
            typing.Generic,
        )
    if not isinstance(annotation, _GENERIC_ALIASES):
        return False
    origin = getattr(annotation, "__origin__", None)
    return origin not in (typing.Union, tuple, typing.ClassVar, Callable)


def _builtin_alias() -> type:
    return type(list[int])


def _shown(annotation: Any) -> str:
    return annotation.__name__ if type(annotation) is type else str(annotation)


def _check_parameter_type(binding: Any, annotation: Any) -> None:
    out_type = typing.get_origin(annotation) or annotation
    is_out = getattr(out_type, "__name__", "") == "Out"
    checked = annotation
    if is_out:
        arguments = typing.get_args(annotation)
        if len(arguments) != 1:
            raise _Fault(f"the parameter {binding.name!r} needs a type: func.Out[str].")
        checked = arguments[0]
    if not isinstance(checked, type) and not _is_generic(checked):
        raise _Fault(
            f"the parameter {binding.name!r} is annotated {_shown(annotation)}, which is not a "
            f"plain type. {_expected(binding)}"
        )
    if is_out != (binding.direction == _OUT):
        raise _Fault(
            f"the parameter {binding.name!r} is annotated {_shown(annotation)}, but its binding "
            f"goes {'out: use func.Out' if binding.direction == _OUT else 'in: drop func.Out'}."
        )
    if checked in (str, bytes):
        return
    converter = func.get_binding_registry().get(binding.type)
    check = "check_output_type_annotation" if is_out else "check_input_type_annotation"
    try:
        fits = (
            getattr(converter, check)(checked)
            if converter is not None
            else issubclass(checked, str | bytes | bytearray)
        )
    except (TypeError, AttributeError):
        fits = False
    if not fits:
        raise _Fault(
            f"the parameter {binding.name!r} of a {binding.type} is annotated "
            f"{_shown(annotation)}. {_expected(binding)}"
        )


def _expected(binding: Any) -> str:
    if binding.type == SERVICE_BUS_TRIGGER:
        many = str(binding.get_dict_repr().get("cardinality") or "").lower().endswith("many")
        wanted = "typing.List[func.ServiceBusMessage]" if many else "func.ServiceBusMessage"
        return f"Annotate it {wanted}."
    types = {HTTP_TRIGGER: "func.HttpRequest", TIMER_TRIGGER: "func.TimerRequest"}
    return f"Annotate it {types[binding.type]}." if binding.type in types else "Use str or bytes."


def _check_return_type(binding_type: str, annotation: Any) -> None:
    cure = "Return func.HttpResponse or str." if binding_type == "http" else "Return str or bytes."
    if not isinstance(annotation, type) or isinstance(annotation, _builtin_alias()):
        raise _Fault(f"its return annotation {_shown(annotation)} is not a plain type. {cure}")
    converter = func.get_binding_registry().get(binding_type)
    check = getattr(converter, "check_output_type_annotation", None)
    fits = check(annotation) if check else issubclass(annotation, str | bytes | bytearray)
    if not fits:
        raise _Fault(f"its return annotation is {annotation.__name__}. {cure}")


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
    if trigger.type not in _TRIGGERS:
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
    for function in app.functions:
        if not function.is_async and inspect.iscoroutinefunction(inspect.unwrap(function.call)):
            warnings.append(
                f"{function.name}: a plain `def` decorator wraps an async function, so a call "
                "answers nothing. Make the decorator's wrapper `async def`."
            )
        if function.has_retry:
            warnings.append(f"{function.name}: the local host does not apply its retry policy.")
    return warnings
