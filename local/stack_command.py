"""Runs the local stack: `python -m local.stack_command run`, `emulators` or `clean`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO

from local import clock
from local.components import (
    HOSTS,
    LOCAL_HOST,
    StackError,
)
from local.config import LocalConfig, LocalConfigError
from local.health import troubles
from local.settings import SettingsFileError, make_settings_file
from local.stack import EMULATORS, POLL_SECONDS, Stack, StackInterruptedError, say, short_path

# A Ctrl-C reaches make and us, and make may pass a signal on: that is still the first one.
SECOND_SIGNAL_SECONDS = 0.5


def token_line(config: LocalConfig) -> str:
    """A command that prints a token, for these ports and this folder."""
    usual = LocalConfig()
    words = ["make", "-s", "token"]
    if config.issuer_port != usual.issuer_port:
        words.append(f"ISSUER_PORT={config.issuer_port}")
    if config.local_state != usual.local_state:
        words.append(f"LOCAL_STATE={shlex.quote(str(config.local_state))}")
    return " ".join(words)


def curl_line(config: LocalConfig) -> str:
    """A command that creates a flow set."""
    return (
        f"curl -i {config.api}/external/industryData/outboundProvisioningFlowSets "
        f"""-H "Authorization: Bearer $({token_line(config)})" """
        """-H 'Content-Type: application/json' -d '{"displayName": "Contoso schools"}'"""
    )


def run_banner(config: LocalConfig) -> str:
    """What runs now, and what a person may do with it."""
    site = config.api.removesuffix("/beta")
    offers = {
        "Service": f"{config.api}   (the base address of a Graph client)",
        "Docs": f"{site}/docs   (every operation, to read and to try)",
        "Status": f"{site}/status   (every flow's readiness)",
        "Token": f"{token_line(config)}   (for both pages; an hour)",
        "Create": curl_line(config),
    }
    if ahead := clock.ahead_in(config.local_state):
        offers["Clock"] = f"{clock.duration(ahead)} ahead, as it was left (afresh: make clean)"
    lines = "\n".join(f"  {name:<8} {text}" for name, text in offers.items())
    logs = short_path(config.local_state / "logs")
    return (
        "\nThe service runs; Ctrl-C stops everything. In another terminal, or a browser:\n\n"
        f"{lines}\n\nLogs are in {logs}. What the functions say follows.\n"
    )


def emulators_banner(config: LocalConfig) -> str:
    """What to type to run the functions on these emulators."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in config.overrides().items()]
    lines = "\n".join(
        f"  {line}" for line in [*exports, f"func start --port {config.functions_port}"]
    )
    return (
        f"\nThe emulators run. Start the functions in another terminal:\n\n{lines}\n\n"
        f"Logs are in {short_path(config.local_state / 'logs')}. Ctrl-C stops the emulators.\n"
    )


def _stop_on_signals(stack: Stack) -> None:
    """The first signal stops the stack, a later one kills it at once."""
    first: list[float] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if first and now - first[0] > SECOND_SIGNAL_SECONDS:
            stack.kill_all()
            os._exit(128 + number)
        first.append(now)
        stack.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)


def _watch_caller() -> Callable[[], bool]:
    """Return a check of whether the process that started this command has ended.

    make may be killed and leave us running, and a closed terminal signals only its first process,
    which make is in `ssh -t host 'make run'`.
    """
    parent = os.getppid() if "MAKELEVEL" in os.environ else None
    terminal = sys.__stdin__ is not None and os.isatty(0)
    return lambda: (parent not in (None, os.getppid())) or (terminal and not os.isatty(0))


def _serve(stack: Stack, banner: str, followed: Path | None) -> int:
    """Keep the stack up until it is to stop (0) or a part ends by itself (1)."""
    is_abandoned = _watch_caller()
    try:
        with stack, contextlib.ExitStack() as files:
            log = files.enter_context(followed.open("rb")) if followed else None
            if log:
                log.seek(0, os.SEEK_END)
            say(banner)
            if followed:
                for trouble in troubles(stack.config.functions_port):
                    say(f"! {trouble}")
            while not stack.interrupted and not is_abandoned():
                if log and (news := read_on(log)):
                    with contextlib.suppress(OSError):
                        sys.stdout.buffer.write(news)
                        sys.stdout.flush()
                stack.rotate_logs()
                if fault := stack.fault():
                    raise StackError(f"{fault}\nStopping everything.")
                time.sleep(POLL_SECONDS)
            say("\nStopping ... (Ctrl-C again stops at once)")
    except StackInterruptedError as interruption:
        say(str(interruption))
        return 0
    say("Stopped.")
    return 0


def read_on(log: IO[bytes]) -> bytes:
    """What was added to a log since it was read last, also after it was rotated."""
    if log.tell() > os.fstat(log.fileno()).st_size:
        log.seek(0)
    return log.read()


def _refuse_moved_clock(config: LocalConfig) -> None:
    """Raise StackError where the emulators would be ahead of functions that `func` runs."""
    if ahead := clock.ahead_in(config.local_state):
        raise StackError(
            f"The clock of {short_path(config.local_state)} is {clock.duration(ahead)} ahead, and "
            "`func` runs functions at the present: `make clean`, or `make run`."
        )


def _clean(config: LocalConfig) -> int:
    """Remove what the stack keeps in its state folder, and no other files in it."""
    stack = Stack(config)
    if not config.local_state.exists():
        return 0
    try:
        stack._take_lock()
        for name in (*EMULATORS, "host", "logs"):
            shutil.rmtree(config.local_state / name, ignore_errors=True)
        (config.local_state / clock.FILE).unlink(missing_ok=True)
        (config.local_state / "stack.lock").unlink()
        with contextlib.suppress(OSError):  # not ours alone
            config.local_state.rmdir()
    finally:
        stack.close()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run as a command; 1 with a sentence on stderr when the stack cannot start or breaks."""
    parser = argparse.ArgumentParser(prog="python -m local.stack_command", description=__doc__)
    parser.add_argument("what", choices=("run", "emulators", "clean"))
    parser.add_argument("--host", choices=HOSTS, default=LOCAL_HOST, help="the Functions host")
    options = parser.parse_args(arguments)
    try:
        config = LocalConfig.read(os.environ)
        if options.what == "clean":
            return _clean(config)
        say(make_settings_file())
        if options.what == "emulators" or options.host != LOCAL_HOST:
            _refuse_moved_clock(config)
        if options.what == "emulators":
            stack = Stack(config, names=EMULATORS, say=say)
            banner, followed = emulators_banner(config), None
        else:
            stack = Stack(config, host=options.host, say=say)
            banner, followed = run_banner(config), stack.log_file("host")
        _stop_on_signals(stack)
        return _serve(stack, banner, followed)
    except (LocalConfigError, SettingsFileError, StackError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
