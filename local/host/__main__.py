"""`python -m local.host`: run a function app on this machine, without Azure or Core Tools."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aiohttp import web

from local.host import index, logs, timers
from local.host.errors import HostError
from local.host.http import HOST_ADDRESS, HttpHost
from local.host.index import HTTP_TRIGGER, SERVICE_BUS_TRIGGER, TIMER_TRIGGER, IndexedFunction
from local.host.invocation import Worker
from local.host.service_bus import QueueListener
from local.host.settings import apply_local_settings, read_host_json

#: how long running invocations may take to end once the host was told to stop (seconds)
GRACE = 3.0
_THREADS = "PYTHON_THREADPOOL_THREAD_COUNT"


def _threads(text: str | None) -> int | None:
    """PYTHON_THREADPOOL_THREAD_COUNT; the default is the executor's own."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise HostError(
            f"PYTHON_THREADPOOL_THREAD_COUNT={text!r} is not a whole number above 0: mend it."
        )
    return int(text)


async def serve(app_dir: Path, port: int | None) -> None:
    """Run the app until SIGINT or SIGTERM; raises HostError when it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    settings = read_host_json(app_dir)
    configured_port = apply_local_settings(app_dir, os.environ)
    os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
    os.environ.setdefault("AzureWebJobsScriptRoot", str(app_dir))
    environ = os.environ
    port = configured_port if port is None else port
    worker = Worker(settings.function_timeout, _threads(environ.get(_THREADS)))
    logs.set_up()
    app = index.index(index.import_app(app_dir, environ), settings, environ)

    timer_of = {f.name: timers.Timer(f, worker, environ) for f in app.of_kind(TIMER_TRIGGER)}
    queue_of = {
        f.name: QueueListener(f, worker, settings.service_bus, environ)
        for f in app.of_kind(SERVICE_BUS_TRIGGER)
    }

    async def run_by_hand(function: IndexedFunction, text: str) -> None:
        if function.name in timer_of:
            await timer_of[function.name].run("by hand")
        else:
            await queue_of[function.name].run_by_hand(text)

    http = HttpHost(app, settings, worker, run_by_hand, environ)
    runner = web.ServerRunner(http.server(), handle_signals=False, shutdown_timeout=GRACE)
    await runner.setup()
    running: list[asyncio.Task[None]] = []
    try:
        site = web.TCPSite(runner, HOST_ADDRESS, port)
        try:
            await site.start()
        except OSError as exc:
            raise HostError(
                f"Port {port} cannot be used on {HOST_ADDRESS} ({exc.strerror}): stop the process "
                "that has it, or choose another by --port."
            ) from exc
        http.port = runner.addresses[0][1]
        queues = {name: listener.queue for name, listener in queue_of.items()}
        _announce(app, http.port, settings.route_prefix, queues)
        for listener in queue_of.values():
            listener.start()
        running = [loop.create_task(timer.run_for_ever()) for timer in timer_of.values()]
        print(f"Host started on http://{HOST_ADDRESS}:{http.port}", flush=True)
        await stop.wait()
        logs.HOST.info("Stopping")
        await asyncio.gather(
            runner.cleanup(), *(listener.stop(GRACE) for listener in queue_of.values())
        )
    finally:
        await timers.stop(running)
        await runner.cleanup()
        worker.close()


def _announce(app: index.App, port: int, prefix: str, queues: Mapping[str, str]) -> None:
    for warning in app.warnings:
        print(f"Warning: {warning}")
    if app.functions:
        print("\nFunctions:\n")
    templates = {route.function_name: route for route in app.routes(prefix)}
    for function in app.functions:
        if function.kind == HTTP_TRIGGER:
            route = templates[function.name]
            methods = "" if route.methods is None else f"[{','.join(sorted(route.methods))}] "
            path = route.template.strip("/")
            print(f"    {function.name}: {methods}http://{HOST_ADDRESS}:{port}/{path}")
        elif function.kind == TIMER_TRIGGER:
            print(f"    {function.name}: timerTrigger {function.trigger['schedule']}")
        else:
            print(f"    {function.name}: serviceBusTrigger {queues[function.name]}")
    print(flush=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Take uvloop where it is installed, as uvicorn does: a create costs a tenth less CPU."""
    try:
        import uvloop  # type: ignore[import-not-found,unused-ignore]  # nothing here needs it
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns 0 after a stop by signal, 2 when the host cannot start."""
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("--app", default=".", help="the function app's folder (default: .)")
    parser.add_argument(
        "--port",
        type=int,
        help="0 for any free one (default: Host.LocalHttpPort of local.settings.json, else 7071)",
    )
    given = parser.parse_args(arguments)
    if given.port is not None and not 0 <= given.port < 65536:
        parser.error(f"--port {given.port} is not a port: give a number from 0 to 65535")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(Path(given.app).resolve(), given.port))
    except HostError as exc:
        for sentence in exc.sentences:
            print(sentence, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    # The threads of functions that never end must not keep the process alive.
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
