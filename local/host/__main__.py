"""`python -m local.host`: run a function app on this machine, without Azure or Core Tools."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from local.clock import PROCESS, Clock
from local.host import logs
from local.host.channel import Begin
from local.host.clock import HostClock
from local.host.errors import HostError
from local.host.http import HOST_ADDRESS, HttpHost
from local.host.index import App
from local.host.layer import Layer
from local.host.settings import HostSettings, apply_local_settings, read_host_json
from local.host.supervisor import Supervisor
from local.host.timers import Timer
from local.host.worker_checks import (
    HTTP_TRIGGER,
    SERVICE_BUS_TRIGGER,
    TIMER_TRIGGER,
)

if TYPE_CHECKING:
    from local.host.service_bus import QueueListener

#: how long running functions may take to end once the host is stopped (seconds): what Azure gives
#: them when it replaces an instance; functionTimeout ends most of them before
DRAIN = 600.0
#: how long those that were then ended may take to be answered and given back (seconds)
_LATE = 2.0


async def serve(
    app_dir: Path,
    port: int | None,
    state: Path | None,
    drain: float,
    faults: bool,
    clock_file: Path | None = None,
) -> None:
    """Run the app until SIGINT or SIGTERM; raises HostError when it cannot start or go on.

    After the signal running functions have `drain` seconds to end; a second one ends them at once.
    With `faults` there is what lets a client's author ask for faults, and with `clock_file` move
    the clock.
    """
    clock = None if clock_file is None else Clock(clock_file)
    ahead = 0 if clock is None else clock.ahead()
    PROCESS.be_ahead(ahead)
    settings = read_host_json(app_dir)
    configured_port = apply_local_settings(app_dir, os.environ)
    os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")
    os.environ.setdefault("AzureWebJobsScriptRoot", str(app_dir))
    logs.set_up()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    broken: list[HostError] = []

    def give_up(exc: HostError) -> None:
        broken.append(exc)
        stop.set()

    def signalled() -> None:
        if stop.is_set():
            worker.stop()
        stop.set()

    worker = Supervisor(Begin(app_dir, settings, ahead), give_up)
    host_clock = None if clock is None else HostClock(clock, worker)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
    try:
        app = await _started(worker, stop)
        if app is None:
            return
        layer = _faults(app, settings, host_clock) if faults else None
        parts = _Parts(app, settings, worker, state, drain, layer)
        if host_clock is not None:
            for timer in parts.timers.values():
                host_clock.call_when_moved(timer.clock_moved)
        try:
            await parts.start(configured_port if port is None else port)
            _announce(app, parts, settings.route_prefix)
            await stop.wait()
            logs.HOST.info("Stopping")
            loop.call_later(drain, worker.stop)
        finally:
            await parts.stop()
    finally:
        worker.stop()
    if broken:
        raise broken[0]


async def _started(worker: Supervisor, stop: asyncio.Event) -> App | None:
    """Start the worker process; None when a signal comes before it is ready."""
    starting, stopping = asyncio.ensure_future(worker.start()), asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        return starting.result()
    starting.cancel()
    return None


def _faults(app: App, settings: HostSettings, clock: HostClock | None) -> Layer:
    # For this product's own app only, and imported for it only.
    from local.faults.layer import Faults

    return Faults(app, settings.route_prefix, os.environ, clock)


class _Parts:
    """What brings calls to the worker: the HTTP server, queue listeners and timers."""

    def __init__(
        self,
        app: App,
        settings: HostSettings,
        worker: Supervisor,
        state: Path | None,
        drain: float,
        layer: Layer | None,
    ) -> None:
        self.timers = {
            f.name: Timer(f, worker, os.environ, state) for f in app.of_kind(TIMER_TRIGGER)
        }
        self.queues = _listeners(app, settings, worker, layer)
        self._grace = drain + _LATE
        self._http = HttpHost(app, settings, worker, self.timers, os.environ, layer)
        self._runner = web.ServerRunner(
            self._http.server(), handle_signals=False, shutdown_timeout=self._grace
        )

    @property
    def port(self) -> int:
        return self._http.port

    async def start(self, port: int) -> None:
        """Begin to take calls; raises HostError when the port cannot be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST_ADDRESS, port).start()
        except OSError as exc:
            raise HostError(
                f"Port {port} cannot be used on {HOST_ADDRESS} ({exc.strerror}): stop the process "
                "that has it, or choose another by --port."
            ) from exc
        self._http.port = self._runner.addresses[0][1]
        for listener in self.queues.values():
            listener.start()
        for timer in self.timers.values():
            timer.start()

    async def stop(self) -> None:
        """Take no more calls and wait for those that run."""
        await asyncio.gather(
            self._runner.cleanup(),
            *(listener.stop(self._grace) for listener in self.queues.values()),
            *(timer.stop() for timer in self.timers.values()),
        )


def _listeners(
    app: App, settings: HostSettings, worker: Supervisor, layer: Layer | None
) -> Mapping[str, QueueListener]:
    """The listeners of the app's queues; one without queues does not load the SDK."""
    functions = app.of_kind(SERVICE_BUS_TRIGGER)
    if not functions:
        return {}
    from local.host.service_bus import QueueListener

    return {
        f.name: QueueListener(f, worker, settings.service_bus, os.environ, layer) for f in functions
    }


def _announce(app: App, parts: _Parts, prefix: str) -> None:
    for warning in app.warnings:
        print(f"Warning: {warning}")
    if app.functions:
        print("\nFunctions:\n")
    url = f"http://{HOST_ADDRESS}:{parts.port}"
    templates = {route.function_name: route for route in app.routes(prefix)}
    for function in app.functions:
        if function.kind == HTTP_TRIGGER:
            route = templates[function.name]
            methods = "" if route.methods is None else f"[{','.join(sorted(route.methods))}] "
            path = route.template.strip("/")
            print(f"    {function.name}: {methods}{url}/{path}")
        elif function.kind == TIMER_TRIGGER:
            print(f"    {function.name}: timerTrigger {function.trigger['schedule']}")
        else:
            print(f"    {function.name}: serviceBusTrigger {parts.queues[function.name].queue}")
    print(f"\nHost started on {url}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns 0 after a stop by signal, 2 when the host cannot start."""
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("--app", default=".", help="the function app's folder (default: .)")
    parser.add_argument(
        "--port",
        type=int,
        help="0 for any free one (default: Host.LocalHttpPort of local.settings.json, else 7071)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        help="a folder that remembers when timers ran, so that a missed run is made up for",
    )
    parser.add_argument(
        "--drain",
        type=float,
        default=DRAIN,
        metavar="SECONDS",
        help=f"what a stop waits for running functions (default: {DRAIN:.0f})",
    )
    parser.add_argument(
        "--faults",
        action="store_true",
        help="serve /local, by which a client's author asks for faults (docs/testing-a-client.md)",
    )
    parser.add_argument(
        "--clock",
        type=Path,
        help="a file that says how far the clock is ahead (local/clock.py); /local/time moves it",
    )
    given = parser.parse_args(arguments)
    if given.port is not None and not 0 <= given.port < 65536:
        parser.error(f"--port {given.port} is not a port: give a number from 0 to 65535")
    try:
        app = Path(given.app).resolve()
        asyncio.run(serve(app, given.port, given.state, given.drain, given.faults, given.clock))
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
