"""Keeps the worker process: starts it, sends it calls, ends it when one takes too long.

As the real host does, and outside the worker's event loop: when a call runs longer than
functionTimeout its process is killed, every call that is in flight there fails with it, and another
process is started. Calls that come meanwhile wait for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from local.host.channel import Ahead, Answer, Begin, Call, Channel
from local.host.errors import HostError
from local.host.index import App
from local.host.invocation import InvocationFailed
from local.host.logs import HOST
from local.host.worker_checks import IndexedFunction

_ROOT = Path(__file__).resolve().parents[2]
#: a time limit that is noticed later than this ran while the process was stopped (seconds)
_LATE = 1.0


class Supervisor:
    """The host's side of the worker process; `broken` is called when no other can be started."""

    def __init__(self, begin: Begin, broken: Callable[[HostError], None]) -> None:
        self._begin, self._broken = begin, broken
        self._timeout = begin.settings.function_timeout
        self._calls: dict[str, tuple[Call, asyncio.Future[Any]]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._app: asyncio.Future[App] = asyncio.get_running_loop().create_future()
        #: the pipe whose end tells the worker process that this one has ended
        self._life = -1
        self._restart: asyncio.Task[None] | None = None

    async def start(self) -> App:
        """Start the process; the app's functions. Raises HostError when it cannot run them."""
        ours = self._spawn()
        channel = Channel(self._receive, self._lost)
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=ours)
        self._channel = channel
        channel.send(self._begin)
        return await self._app

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        reading, self._life = os.pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.host.worker", str(theirs.fileno()), str(reading)],
                pass_fds=(theirs.fileno(), reading),
                cwd=_ROOT,
            )
        os.close(reading)
        return ours

    async def invoke(
        self,
        function: IndexedFunction,
        value: Datum,
        metadata: Mapping[str, Datum] | None = None,
        *,
        reason: str,
    ) -> Any:
        """Run a function; what it answered. Raises InvocationFailed, which is logged already."""
        try:
            await asyncio.shield(self._app)
        except HostError as exc:
            raise InvocationFailed from exc
        if self._channel is None:
            raise InvocationFailed
        loop = asyncio.get_running_loop()
        call = Call(str(uuid.uuid4()), function.name, value, metadata, reason)
        answer: asyncio.Future[Any] = loop.create_future()
        self._calls[call.id] = call, answer
        limit = self._timeout and loop.call_later(
            self._timeout, self._expire, call, loop.time() + self._timeout
        )
        self._channel.send(call)
        try:
            return await answer
        finally:
            del self._calls[call.id]
            if limit:
                limit.cancel()

    def be_ahead(self, seconds: int) -> None:
        """Have the clock of this process, and of those after it, be so far ahead for new calls."""
        self._begin = replace(self._begin, ahead=seconds)
        if self._channel is not None:
            self._channel.send(Ahead(seconds))

    def stop(self) -> None:
        """End the process, and every call that is in flight there."""
        if self._restart is not None:
            self._restart.cancel()
        self._end()
        self._fail_all()

    def _receive(self, message: App | list[str] | Answer) -> None:
        if isinstance(message, App):
            self._app.set_result(message)
        elif not isinstance(message, Answer):
            self._app.set_exception(HostError(message))
        elif message.id in self._calls:
            answer = self._calls[message.id][1]
            if message.failed:
                _fail(answer)
            elif not answer.done():
                answer.set_result(message.value)

    def _expire(self, call: Call, due: float) -> None:
        if call.id not in self._calls:
            return
        loop = asyncio.get_running_loop()
        if self._timeout and loop.time() > due + _LATE:
            # This process was stopped, as a rule together with the worker, which may answer yet.
            due = loop.time() + self._timeout
            loop.call_at(due, self._expire, call, due)
            return
        HOST.error(
            "%s (%s), invocation %s, ran longer than functionTimeout (%g s): its worker process "
            "is ended, and with it every call in flight there",
            *(call.name, call.reason, call.id, self._timeout),
        )
        if self._process is not None:
            self._process.kill()

    def _lost(self) -> None:
        """The process ended, by our hand or by its own: fail its calls and start another."""
        if self._channel is None:
            return
        self._end()
        if not self._app.done():
            self._app.set_exception(HostError("The worker process ended while it read the app."))
            return
        HOST.error("The worker process ended; another one is started")
        self._app = asyncio.get_running_loop().create_future()
        self._fail_all()
        self._restart = asyncio.get_running_loop().create_task(self._start_again())

    def _fail_all(self) -> None:
        for call, answer in self._calls.values():
            HOST.error(
                "Failed (%s): %s, invocation %s, ended with its worker process",
                *(call.reason, call.name, call.id),
            )
            _fail(answer)

    async def _start_again(self) -> None:
        try:
            await self.start()
        except HostError as exc:
            self._broken(exc)

    def _end(self) -> None:
        self._channel = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            os.close(self._life)


def _fail(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(InvocationFailed())
