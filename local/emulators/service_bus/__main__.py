"""Runs the emulator: `python -m local.emulators.service_bus --port 5672 --state DIR`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import signal
import sys
from pathlib import Path

from local.clock import Clock
from local.config import HOST

from .config import QueueFileError, read_queues
from .queues import MAX_MESSAGE_SIZE, Broker, StateError
from .server import LINK_IDLE_SECONDS, Server

DEFAULT_CONFIG = Path(__file__).resolve().parents[3] / "shared" / "resources" / "queues.json"


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; exit code 0, or 2 with a sentence if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m local.emulators.service_bus", description=__doc__
    )
    parser.add_argument("--port", type=_port, default=5672, help="0 picks a free one")
    parser.add_argument("--state", type=Path, required=True, help="folder for service-bus.db")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="queue file")
    parser.add_argument(
        "--max-message-size",
        type=int,
        default=MAX_MESSAGE_SIZE,
        help="bytes of a message or batch; Azure's Standard tier takes %(default)s, Premium more",
    )
    parser.add_argument(
        "--link-idle-seconds",
        type=float,
        default=LINK_IDLE_SECONDS,
        help="after which a link without traffic is detached; Azure's own are the default",
    )
    parser.add_argument(
        "--clock", type=Path, help="a file that says how far the clock is ahead (local/clock.py)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(format="Service Bus emulator: %(message)s", level=logging.WARNING)
    try:
        queues = read_queues(arguments.config)
        clock = None if arguments.clock is None else Clock(arguments.clock)
        broker = Broker(arguments.state, queues, arguments.max_message_size, clock)
    except (QueueFileError, StateError) as exc:
        return _refuse(str(exc))
    except OSError as exc:
        return _refuse(f"{arguments.state} cannot hold the state ({exc.strerror}): give another.")
    try:
        return asyncio.run(_serve(broker, arguments.port, arguments.link_idle_seconds))
    finally:
        broker.close()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535.")
    return int(text)


def _refuse(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


async def _serve(broker: Broker, port: int, link_idle_seconds: float) -> int:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(broker, link_idle_seconds=link_idle_seconds)
    try:
        port = await server.start(HOST, port)
    except OSError as exc:
        taken = exc.errno == errno.EADDRINUSE
        why = "is taken: stop what listens there" if taken else f"cannot be used ({exc.strerror})"
        return _refuse(f"Port {port} on {HOST} {why}, or give another --port.")
    print(f"Service Bus emulator listening on {HOST}:{port}", flush=True)
    server.failed.add_done_callback(lambda _: stopped.set())
    await stopped.wait()
    await server.stop()
    if server.failed.done():
        print(f"State cannot be kept ({server.failed.result()}): stopped.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
