"""One-function apps that the real Python worker or host refuses or accepts, with our verdict.

The worker's half was compared with azure-functions-runtime 1.3.0; see local/host/README.md.
"""

from __future__ import annotations

HEADER = """
import asyncio, collections.abc, functools, typing
import azure.functions as func
app = func.FunctionApp()
"""

_HTTP = HEADER + '@app.route("x", methods=["GET"])\n'
_BUS = HEADER + (
    '@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBus")\n'
)
_BATCH = HEADER + (
    '@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBus",'
    ' cardinality="many")\n'
)
_TIMER = HEADER + '@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")\n'
_RESPONSE = ' -> func.HttpResponse:\n    return func.HttpResponse("")\n'

#: refused by the worker, with a part of the sentence printed here
WORKER_REFUSES: dict[str, tuple[str, str]] = {
    "HTTP parameter not named req": (
        _HTTP + "async def f(request: func.HttpRequest)" + _RESPONSE,
        "the HTTP parameter is named 'request'. Name it 'req'",
    ),
    "trigger parameter unlike arg_name": (
        _BUS + "async def f(message: func.ServiceBusMessage) -> None: ...\n",
        "the trigger's arg_name is 'msg' but the parameter is 'message'",
    ),
    "no parameter": (_HTTP + "async def f()" + _RESPONSE, "no parameter is named 'req'"),
    "route value as parameter": (
        _HTTP + "async def f(req: func.HttpRequest, flow_id: str)" + _RESPONSE,
        "route values come from req.route_params",
    ),
    "extra parameter with default": (
        _HTTP + "async def f(req: func.HttpRequest, extra: int = 1)" + _RESPONSE,
        "'extra' belong to no binding",
    ),
    "extra keywords": (
        _HTTP + "async def f(req: func.HttpRequest, **kw: object)" + _RESPONSE,
        "'kw' belong to no binding",
    ),
    "builtin list": (
        _BATCH + "async def f(msg: list[func.ServiceBusMessage]) -> None: ...\n",
        "hands over one message at a time",
    ),
    "Sequence of collections.abc": (
        _BATCH
        + "async def f(msg: collections.abc.Sequence[func.ServiceBusMessage]) -> None: ...\n",
        "hands over one message at a time",
    ),
    "Optional": (
        _HTTP + "async def f(req: typing.Optional[func.HttpRequest])" + _RESPONSE,
        "Annotate it func.HttpRequest",
    ),
    "union": (
        _HTTP + "async def f(req: func.HttpRequest | None)" + _RESPONSE,
        "Annotate it func.HttpRequest",
    ),
    "dict for a request": (
        _HTTP + "async def f(req: dict)" + _RESPONSE,
        "of a httpTrigger is annotated dict. Annotate it func.HttpRequest",
    ),
    "request for a message": (
        _BUS + "async def f(msg: func.HttpRequest) -> None: ...\n",
        "Annotate it func.ServiceBusMessage",
    ),
    "int for a timer": (
        _TIMER + "async def f(timer: int) -> None: ...\n",
        "Annotate it func.TimerRequest",
    ),
    "Out for an input": (
        _BUS + "async def f(msg: func.Out[str]) -> None: ...\n",
        "Annotate it func.ServiceBusMessage",
    ),
    "returns dict": (
        _HTTP + "async def f(req: func.HttpRequest) -> dict: ...\n",
        "its return annotation is dict. Return func.HttpResponse or str",
    ),
    "returns None": (
        _HTTP + "async def f(req: func.HttpRequest) -> None: ...\n",
        "Return func.HttpResponse or str",
    ),
    "returns a union": (
        _HTTP + "async def f(req: func.HttpRequest) -> func.HttpResponse | str: ...\n",
        "Return func.HttpResponse or str",
    ),
    "name known to type checkers only": (
        "from __future__ import annotations\n" + _HTTP + "async def f(req: Missing)" + _RESPONSE,
        "cannot be resolved at run time",
    ),
    "context of another type": (
        _HTTP + "async def f(req: func.HttpRequest, context: dict)" + _RESPONSE,
        "the local host gives no context",
    ),
    "decorator without wraps": (
        HEADER + "def deco(call):\n    async def wrapper(*args, **kwargs):\n"
        "        return await call(*args, **kwargs)\n    return wrapper\n"
        '@app.route("x")\n@deco\nasync def f(req: func.HttpRequest)' + _RESPONSE,
        "Use functools.wraps in that decorator",
    ),
    "same name in two blueprints": (
        HEADER
        + "one, two = func.Blueprint(), func.Blueprint()\n"
        + "".join(
            f'@{bp}.route("{bp}")\nasync def f(req: func.HttpRequest)' + _RESPONSE
            for bp in ("one", "two")
        )
        + "app.register_functions(one)\napp.register_functions(two)\n",
        "more than one function has this name",
    ),
    "two apps": (HEADER + "other = func.FunctionApp()\n", "more than one FunctionApp"),
    "two names for one app": (HEADER + "other = app\n", "more than one FunctionApp"),
    "no app": ("import azure.functions as func\n", "no FunctionApp at its top level"),
    "no trigger": (
        HEADER + '@app.function_name("f")\nasync def f(req: func.HttpRequest)' + _RESPONSE,
        "it has no trigger",
    ),
}

#: accepted by the worker, refused by the host that stands above it or not run by ours
HOST_REFUSES: dict[str, tuple[str, str]] = {
    "name that begins with a digit": (
        HEADER + '@app.function_name("1st")\n@app.route("x")\nasync def f(req)' + _RESPONSE,
        "the host refuses this name",
    ),
    "names that differ in case": (
        HEADER
        + '@app.route("x")\nasync def one(req)'
        + _RESPONSE
        + '@app.route("y")\nasync def One(req)'
        + _RESPONSE,
        "differs from it only in case",
    ),
    "same route twice": (
        HEADER
        + '@app.route("X/{id}", methods=["GET", "PUT"])\nasync def one(req)'
        + _RESPONSE
        + '@app.route("x/{id}", methods=["PUT"])\nasync def two(req)'
        + _RESPONSE,
        "one has the same route and a method in common",
    ),
    "route of the host": (
        HEADER + '@app.route("admin/x")\nasync def f(req)' + _RESPONSE,
        "begin with 'admin' or 'runtime' belong to the host",
    ),
    "route template": (
        HEADER + '@app.route("a/{id:nonsense}")\nasync def f(req)' + _RESPONSE,
        "'{id:nonsense}' is neither a literal",
    ),
    "slash before a route with prefix": (
        HEADER + '@app.route("/a")\nasync def f(req)' + _RESPONSE,
        "begin a route without a slash",
    ),
    "setting not set": (
        _BUS.replace('"q"', '"%NO_QUEUE%"') + "async def f(msg) -> None: ...\n",
        "the setting NO_QUEUE is not set",
    ),
    "connection not set": (
        _BUS.replace('"ServiceBus"', '"Elsewhere"') + "async def f(msg) -> None: ...\n",
        "the connection setting Elsewhere is not set",
    ),
    "connection by identity": (
        _BUS.replace('"ServiceBus"', '"Identity"') + "async def f(msg) -> None: ...\n",
        "which need an identity in Azure",
    ),
    "schedule": (
        _TIMER.replace("*/5", "61") + "async def f(timer) -> None: ...\n",
        "61 is outside 0-59, the range of the minute field",
    ),
    "plain function": (_HTTP + "def f(req: func.HttpRequest)" + _RESPONSE, "is not `async def`"),
    "plain decorator over async": (
        HEADER + "def deco(call):\n    @functools.wraps(call)\n    def wrapper(*args, **kwargs):\n"
        "        return call(*args, **kwargs)\n    return wrapper\n"
        '@app.route("x")\n@deco\nasync def f(req: func.HttpRequest)' + _RESPONSE,
        "wrappers of its decorators `async def`",
    ),
    "context": (
        _HTTP + "async def f(req: func.HttpRequest, context: func.Context)" + _RESPONSE,
        "the local host gives no context",
    ),
    "message as text": (
        _BUS + "async def f(msg: str) -> None: ...\n",
        "Annotate it func.ServiceBusMessage",
    ),
    "TimeSpan": (
        _TIMER.replace("0 */5 * * * *", "00:05:00") + "async def f(timer) -> None: ...\n",
        "'00:05:00' is not an NCRONTAB expression of six fields",
    ),
    "blob trigger": (
        HEADER + '@app.blob_trigger(arg_name="blob", path="a/b", connection="Storage")\n'
        "async def f(blob: func.InputStream) -> None: ...\n",
        "the local host cannot run a blobTrigger",
    ),
    "output binding": (
        _HTTP + '@app.queue_output(arg_name="out", queue_name="q", connection="Storage")\n'
        "async def f(req: func.HttpRequest, out: func.Out[str])" + _RESPONSE,
        "the local host has no queue binding ('out')",
    ),
    "dead-letter queue": (
        _BUS.replace('"q"', '"q/$DeadLetterQueue"') + "async def f(msg) -> None: ...\n",
        "comes back at once, without end",
    ),
    "topic": (
        HEADER + '@app.service_bus_topic_trigger(arg_name="msg", topic_name="t",'
        ' subscription_name="s", connection="ServiceBus")\nasync def f(msg) -> None: ...\n',
        "from queues only",
    ),
    "batch": (
        _BATCH + "async def f(msg: typing.List[func.ServiceBusMessage]) -> None: ...\n",
        "hands over one message at a time",
    ),
    "sessions": (
        _BUS.replace('"ServiceBus")', '"ServiceBus", is_sessions_enabled=True)')
        + "async def f(msg) -> None: ...\n",
        "cannot receive sessions",
    ),
}

#: accepted by both
ACCEPTED: dict[str, str] = {
    "no annotations": _HTTP + "async def f(req):\n    return func.HttpResponse()\n",
    "annotations as text": "from __future__ import annotations\n"
    + _HTTP
    + "async def f(req: func.HttpRequest)"
    + _RESPONSE,
    "returns str": _HTTP + 'async def f(req: func.HttpRequest) -> str:\n    return ""\n',
    "other parameter name": HEADER + '@app.route("x", trigger_arg_name="request")\n'
    "async def f(request: func.HttpRequest)" + _RESPONSE,
    "message": _BUS + "async def f(msg: func.ServiceBusMessage) -> None: ...\n",
    "any return annotation of a message": _BUS + "async def f(msg) -> dict: ...\n",
    "timer": _TIMER + "async def f(timer: func.TimerRequest) -> None: ...\n",
    "decorator with wraps": HEADER
    + "def deco(call):\n    @functools.wraps(call)\n    async def wrapper(*args, **kwargs):\n"
    "        return await call(*args, **kwargs)\n    return wrapper\n"
    '@app.route("x")\n@deco\nasync def f(req: func.HttpRequest)' + _RESPONSE,
    "no functions": HEADER,
    "two blueprints": HEADER
    + "one, two = func.Blueprint(), func.Blueprint()\n"
    + "".join(
        f'@{bp}.route("{bp}")\nasync def {bp}_f(req: func.HttpRequest)' + _RESPONSE
        for bp in ("one", "two")
    )
    + "app.register_functions(one)\napp.register_blueprint(two)\n",
    "routes that overlap": HEADER
    + '@app.route("items/{id}")\nasync def a(req)'
    + _RESPONSE
    + '@app.route("items/recent")\nasync def b(req)'
    + _RESPONSE,
}
