"""The worker process: imports the app and runs its functions for the host that started it.

`python -m local.host.worker CHANNEL LIFE`, two file descriptors: the channel to the host, and a
pipe that ends with the host.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading

from local.clock import PROCESS
from local.host import index, logs
from local.host.channel import Ahead, Answer, Begin, Call, Channel
from local.host.errors import HostError
from local.host.invocation import InvocationFailed, Worker
from local.host.worker_checks import IndexedFunction


class _Process:
    def __init__(self) -> None:
        self.channel = Channel(self._receive, _end)
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker: Worker | None = None
        self._functions: dict[str, IndexedFunction] = {}

    def _receive(self, message: Begin | Ahead | Call) -> None:
        if isinstance(message, Begin):
            PROCESS.be_ahead(message.ahead)
            self._begin(message)
            return
        if isinstance(message, Ahead):
            PROCESS.be_ahead(message.seconds)
            return
        task = asyncio.get_running_loop().create_task(self._run(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin(self, given: Begin) -> None:
        try:
            module = index.import_app(given.app_dir)
            app = index.index(module, given.settings, os.environ)
        except HostError as exc:
            self.channel.send(exc.sentences)
            return
        self._worker = Worker()
        self._functions = {function.name: function for function in app.functions}
        self.channel.send(app)

    async def _run(self, call: Call) -> None:
        assert self._worker is not None  # noqa: S101 - the host waits for the App
        try:
            value = await self._worker.invoke(
                self._functions[call.name],
                call.value,
                call.metadata,
                reason=call.reason,
                invocation_id=call.id,
            )
        except InvocationFailed:
            self.channel.send(Answer(call.id, None, failed=True))
        else:
            self.channel.send(Answer(call.id, value, failed=False))


def _end() -> None:
    """End at once: threads of functions that never return must not keep the process alive."""
    sys.stdout.flush()
    os._exit(0)


def _end_with_host(descriptor: int) -> None:
    """Wait in a thread for the host's end, which a loop held by a function would not notice."""
    os.read(descriptor, 1)
    os._exit(1)


async def _serve(descriptor: int) -> None:
    process = _Process()
    logs.set_up()
    with socket.socket(fileno=descriptor) as connection:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: process.channel, sock=connection)
        await asyncio.Event().wait()


if __name__ == "__main__":
    # The host decides when it is over; a Ctrl-C reaches the worker too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    channel, life = (int(text) for text in sys.argv[1:])
    threading.Thread(target=_end_with_host, args=(life,), daemon=True).start()
    asyncio.run(_serve(channel))
