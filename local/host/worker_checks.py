"""What the Functions worker checks of each function before it takes any."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

HTTP_TRIGGER, SERVICE_BUS_TRIGGER, TIMER_TRIGGER = (
    "httpTrigger",
    "serviceBusTrigger",
    "timerTrigger",
)
_IN, _OUT, _INOUT = 0, 1, 2
TRIGGERS = {HTTP_TRIGGER, SERVICE_BUS_TRIGGER, TIMER_TRIGGER}


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


class Fault(Exception):
    """One thing the worker or the host would refuse."""


def check_function(function: Any) -> IndexedFunction:
    """Check the signature of one function against its bindings; raises Fault."""
    call = function.get_user_function()
    parameters = dict(inspect.signature(call).parameters)
    try:
        annotations = typing.get_type_hints(call)
    except Exception as exc:
        raise Fault(
            f"an annotation cannot be resolved at run time ({exc}). Import the name for real, "
            "not only for type checkers."
        ) from exc
    bindings = list(function.get_bindings())
    for binding in bindings:
        if binding.direction == _INOUT:
            raise Fault(f"the binding {binding.name!r} is inout, which Python cannot do.")
        if binding.name == "$return" and binding.direction != _OUT:
            raise Fault('the binding "$return" must have the direction out.')
    bound = {binding.name: binding for binding in bindings if binding.name != "$return"}
    takes_context = "context" in parameters and "context" not in bound
    if takes_context:
        parameters.pop("context")
        given = annotations.get("context")
        if given is not None and getattr(given, "__name__", "") != "Context":
            raise Fault("the parameter 'context' must be annotated func.Context, or not at all.")
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
        raise Fault(
            f"its parameters are {', '.join(parameters)}: a decorator below the trigger hides the "
            "real ones. Use functools.wraps in that decorator."
        )
    if missing == ["req"] and len(extra) == 1:
        raise Fault(
            f"the HTTP parameter is named {extra[0]!r}. Name it 'req', or give the trigger "
            f"trigger_arg_name={extra[0]!r}."
        )
    if len(missing) == 1 and len(extra) == 1:
        raise Fault(
            f"the trigger's arg_name is {missing[0]!r} but the parameter is {extra[0]!r}. "
            "Give both the same name."
        )
    if missing:
        raise Fault(f"no parameter is named {missing[0]!r}, the name of its binding. Add it.")
    raise Fault(
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
            raise Fault(f"the parameter {binding.name!r} needs a type: func.Out[str].")
        checked = arguments[0]
    if not isinstance(checked, type) and not _is_generic(checked):
        raise Fault(
            f"the parameter {binding.name!r} is annotated {_shown(annotation)}, which is not a "
            f"plain type. {_expected(binding)}"
        )
    if is_out != (binding.direction == _OUT):
        raise Fault(
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
        raise Fault(
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
        raise Fault(f"its return annotation {_shown(annotation)} is not a plain type. {cure}")
    converter = func.get_binding_registry().get(binding_type)
    check = getattr(converter, "check_output_type_annotation", None)
    fits = check(annotation) if check else issubclass(annotation, str | bytes | bytearray)
    if not fits:
        raise Fault(f"its return annotation is {annotation.__name__}. {cure}")
