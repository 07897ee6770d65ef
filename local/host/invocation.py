"""Runs one function as the worker does, on the event loop of its import."""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import azure.functions as func
import azure.functions.http
from azure.functions.meta import Datum

from local.host import messages
from local.host.logs import HOST, current
from local.host.worker_checks import SERVICE_BUS_TRIGGER, IndexedFunction

#: so many tracebacks are remembered as shown
_SHOWN = 200


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
        reason: str,
    ) -> HttpAnswer | None:
        """Run a function; its answer to a request, None for one without.

        Raises InvocationFailed, once that is logged.
        """


class Worker:
    """Decodes a trigger's value, calls the function and checks what it returns."""

    def __init__(self) -> None:
        self._registry = func.get_binding_registry()
        self._shown: set[tuple[str, str, int]] = set()

    async def invoke(
        self,
        function: IndexedFunction,
        value: Datum,
        metadata: Mapping[str, Datum] | None = None,
        *,
        reason: str,
        invocation_id: str = "",
    ) -> HttpAnswer | None:
        """Run a function: see Invoker."""
        token = current.set((function.name, invocation_id))
        began = time.perf_counter()
        try:
            answer = await self._run(function, value, metadata)
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
        value: Datum,
        metadata: Mapping[str, Datum] | None,
    ) -> HttpAnswer | None:
        try:
            given = self._decode(function, value, metadata)
            result = await function.call(**{function.parameter: given})
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
            return azure.functions.http.HttpRequest(**value.value, body_type="bytes")
        converter = self._registry.get(function.kind)
        if function.kind == SERVICE_BUS_TRIGGER:
            converter = messages.Converter
        return converter.decode(value, trigger_metadata=metadata or {})

    def _encode(self, function: IndexedFunction, result: Any) -> HttpAnswer | None:
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
        # As in Azure, a header without a value is not sent.
        given = ((name, datum.value) for name, datum in parts["headers"].items())
        headers = [(name, value) for name, value in given if value]
        headers += [
            ("Set-Cookie", morsel.OutputString())
            for cookie in parts["cookies"] or ()
            for morsel in cookie.values()
        ]
        return HttpAnswer(parts["status_code"].value, headers, parts["body"].value)


def _milliseconds(began: float) -> float:
    return (time.perf_counter() - began) * 1000
