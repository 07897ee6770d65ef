"""What the Functions worker checks of each function before it takes any."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

HTTP_TRIGGER, SERVICE_BUS_TRIGGER, TIMER_TRIGGER = (
    "httpTrigger",
    "serviceBusTrigger",
    "timerTrigger",
)
TRIGGERS = {
    HTTP_TRIGGER: func.HttpRequest,
    SERVICE_BUS_TRIGGER: func.ServiceBusMessage,
    TIMER_TRIGGER: func.TimerRequest,
}


@dataclass(frozen=True)
class IndexedFunction:
    """One function of the app, checked and ready to run."""

    name: str
    #: None in the host, which is not given the code
    call: Any
    trigger: Mapping[str, Any]
    bindings: Sequence[Mapping[str, Any]]
    #: "http" where the function returns the answer to a request
    returns: str | None
    return_type: Any
    has_retry: bool
    file: Path

    def __getstate__(self) -> dict[str, Any]:
        """What the worker process sends the host of it: all but the code."""
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
    bound = {binding.name: binding for binding in bindings if binding.name != "$return"}
    _check_parameters(parameters, bound, call)
    if not inspect.iscoroutinefunction(call):
        raise Fault(
            "it is not `async def`, and the local host runs no other functions. Make it and the "
            "wrappers of its decorators `async def`, or use `func start`."
        )
    trigger = function.get_trigger()
    expected = TRIGGERS.get(trigger.type)
    given = annotations.get(trigger.name, expected)
    if expected is not None and given is not expected:
        raise Fault(
            f"the parameter {trigger.name!r} of a {trigger.type} is annotated {_shown(given)}. "
            f"Annotate it func.{expected.__name__}."
        )
    returns = next((b.type for b in bindings if b.name == "$return"), None)
    if returns is not None and annotations.get("return", str) not in (func.HttpResponse, str):
        raise Fault(
            f"its return annotation is {_shown(annotations['return'])}. Return func.HttpResponse "
            "or str."
        )
    code = getattr(inspect.unwrap(call), "__code__", None)
    as_json = [json.loads(text) for text in function.get_raw_bindings()]
    return IndexedFunction(
        name=function.get_function_name(),
        call=call,
        trigger=next((b for b in as_json if b.get("name") == trigger.name), {}),
        bindings=as_json,
        returns=returns,
        return_type=annotations.get("return"),
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
        "values come from req.route_params, and the local host gives no context."
    )


def _shown(annotation: Any) -> str:
    return annotation.__name__ if type(annotation) is type else str(annotation)
