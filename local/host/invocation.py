"""Runs one function as the worker does: on the event loop, or a plain `def` in a thread pool."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
import time
import traceback
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import azure.functions as func
import azure.functions.http
from azure.functions.meta import Datum

from local.host import messages
from local.host.logs import HOST, current
from local.host.worker_checks import SERVICE_BUS_TRIGGER, IndexedFunction

#: so many tracebacks are remembered as shown
_SHOWN = 200
_thread_local = threading.local()


class InvocationFailed(Exception):
    """The function raised, returned what it must not or was ended; it is logged already."""


class HttpAnswer(NamedTuple):
    """What an HTTP function returned, as the binding writes it; nothing of it is checked yet."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Invoker(Protocol):
    """Runs functions: in another process (Supervisor), or in this one (Worker)."""

    async def invoke(
        self,
        function: IndexedFunction,
        value: Datum,
        metadata: Mapping[str, Datum] | None = None,
        *,
        trace_parent: str = "",
        trace_state: str = "",
        reason: str,
    ) -> HttpAnswer | None:
        """Run a function; its answer to a request, None for one without.

        Raises InvocationFailed, once that is logged.
        """


class TraceContext(func._abc.TraceContext):
    """The W3C trace context that came with the request or the message."""

    def __init__(self, trace_parent: str, trace_state: str) -> None:
        self._trace_parent, self._trace_state = trace_parent, trace_state

    @property
    def trace_state(self) -> str:
        """The tracestate, empty when none came."""
        return self._trace_state

    @property
    def trace_parent(self) -> str:
        """The traceparent of the caller, or a new one."""
        return self._trace_parent

    @property
    def attributes(self) -> dict[str, str]:
        """Always empty here."""
        return {}

    # The worker still offers the old spellings.
    Tracestate, Traceparent, Attributes = trace_state, trace_parent, attributes


class RetryContext(func._abc.RetryContext):
    """The host never retries by itself, so this is always the first try."""

    retry_count = 0
    max_retry_count = 0
    exception = None  # type: ignore[assignment]  # the worker gives None too


class Context(func.Context):
    """What a function with a `context` parameter is given."""

    def __init__(self, function: IndexedFunction, invocation_id: str, trace: TraceContext) -> None:
        self._function, self._invocation_id, self._trace = function, invocation_id, trace

    @property
    def invocation_id(self) -> str:
        """The id of this invocation."""
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        """Holds the invocation id in the thread of a plain function."""
        return _thread_local

    @property
    def function_name(self) -> str:
        """The function's name."""
        return self._function.name

    @property
    def function_directory(self) -> str:
        """The folder of the function's file."""
        return str(self._function.file.parent)

    @property
    def trace_context(self) -> TraceContext:
        """The caller's trace context."""
        return self._trace

    @property
    def retry_context(self) -> RetryContext:
        """Always the first try."""
        return RetryContext()


def new_trace_parent() -> str:
    """A W3C traceparent for work that nobody traced so far."""
    return f"00-{uuid.uuid4().hex}-{os.urandom(8).hex()}-00"


class Worker:
    """Decodes a trigger's value, calls the function and checks what it returns."""

    def __init__(self, threads: int | None) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._registry = func.get_binding_registry()
        self._shown: set[tuple[str, str, int]] = set()

    async def invoke(
        self,
        function: IndexedFunction,
        value: Datum,
        metadata: Mapping[str, Datum] | None = None,
        *,
        trace_parent: str = "",
        trace_state: str = "",
        reason: str,
        invocation_id: str = "",
    ) -> HttpAnswer | None:
        """Run a function: see Invoker."""
        token = current.set((function.name, invocation_id))
        began = time.perf_counter()
        try:
            answer = await self._run(
                function, invocation_id, value, metadata, trace_parent, trace_state
            )
        except InvocationFailed as exc:
            new = self._is_new(exc.__cause__)
            HOST.error(
                "Failed (%s) after %.0f ms: %s%s",
                *(reason, _milliseconds(began), exc, "" if new else " (traceback as before)"),
                exc_info=exc.__cause__ if new else None,
            )
            raise
        else:
            HOST.info("Succeeded (%s) in %.1f ms", reason, _milliseconds(began))
            return answer
        finally:
            current.reset(token)

    def _is_new(self, exc: BaseException | None) -> bool:
        """Whether a traceback is to be shown: once for each kind of error at each place."""
        if exc is None:
            return True
        place = traceback.extract_tb(exc.__traceback__)[-1]
        key = (type(exc).__name__, place.filename, place.lineno or 0)
        if key in self._shown:
            return False
        if len(self._shown) >= _SHOWN:
            self._shown.clear()
        self._shown.add(key)
        return True

    async def _run(
        self,
        function: IndexedFunction,
        invocation_id: str,
        value: Datum,
        metadata: Mapping[str, Datum] | None,
        trace_parent: str,
        trace_state: str,
    ) -> HttpAnswer | None:
        try:
            arguments = {function.parameter: self._decode(function, value, metadata)}
            if function.takes_context:
                trace = TraceContext(trace_parent or new_trace_parent(), trace_state)
                arguments["context"] = Context(function, invocation_id, trace)
            result = await self._call(function, invocation_id, arguments)
            return self._encode(function, result)
        except InvocationFailed:
            raise
        except asyncio.CancelledError:
            HOST.error("A CancelledError left the function: it is not answered until it times out")
            raise
        except (SystemExit, KeyboardInterrupt) as exc:
            HOST.error("%s left the function: the worker process ends", type(exc).__name__)
            os._exit(1)
        except Exception as exc:
            raise InvocationFailed(f"{type(exc).__name__}: {exc}") from exc

    def _decode(
        self, function: IndexedFunction, value: Datum, metadata: Mapping[str, Datum] | None
    ) -> Any:
        if value.type == "http":
            if function.wants_bare_value:
                raise InvocationFailed("an HTTP request cannot be given as str or bytes")
            return azure.functions.http.HttpRequest(**value.value, body_type="bytes")
        if function.wants_bare_value:
            return value.value
        converter = self._registry.get(function.kind)
        if function.kind == SERVICE_BUS_TRIGGER:
            converter = messages.Converter
        return converter.decode(value, trigger_metadata=metadata or {})

    async def _call(
        self, function: IndexedFunction, invocation_id: str, arguments: dict[str, Any]
    ) -> Any:
        if function.is_async:
            return await function.call(**arguments)
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, context.run, _call_in_thread, function, invocation_id, arguments
        )

    def _encode(self, function: IndexedFunction, result: Any) -> HttpAnswer | None:
        if inspect.iscoroutine(result):
            result.close()
            raise InvocationFailed(
                "it returned a coroutine: a plain `def` decorator wraps an async function"
            )
        if function.returns is None:
            if result is not None:
                raise InvocationFailed(
                    f"it returned {type(result).__name__}, but nothing takes a returned value"
                )
            return None
        try:
            encoded: Datum = self._registry.get(function.returns).encode(
                result, expected_type=function.return_type
            )
        except NotImplementedError:
            raise InvocationFailed(
                f"it returned {type(result).__name__} instead of func.HttpResponse or str"
            ) from None
        if encoded.type == "string":
            kind = ("Content-Type", "text/plain; charset=utf-8")
            return HttpAnswer("200", [kind], encoded.value.encode())
        parts = encoded.value
        headers = [(name, datum.value) for name, datum in parts["headers"].items()]
        headers += [
            ("Set-Cookie", morsel.OutputString())
            for cookie in parts["cookies"] or ()
            for morsel in cookie.values()
        ]
        return HttpAnswer(parts["status_code"].value, headers, parts["body"].value)


def _call_in_thread(
    function: IndexedFunction, invocation_id: str, arguments: dict[str, Any]
) -> Any:
    _thread_local.invocation_id = invocation_id
    try:
        return function.call(**arguments)
    except StopIteration as exc:
        # A future cannot carry it, and the awaiting task would wait for ever.
        raise RuntimeError("the function raised StopIteration") from exc
    finally:
        _thread_local.invocation_id = None


def _milliseconds(began: float) -> float:
    return (time.perf_counter() - began) * 1000
