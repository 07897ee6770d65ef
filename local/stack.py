"""The local stack: emulators, issuer and Functions host as child processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from local.components import (
    LOCAL_HOST,
    STOP_SECONDS,
    StackError,
    components,
    free_ports,
    missing_tools,
    port_is_taken,
)
from local.config import ROOT, LocalConfig
from local.reaper import signal_group

EMULATORS = ("azurite", "cosmos", "service_bus", "issuer")
SETUP_SECONDS = 60.0
TAIL_LINES = 25
# A larger log becomes NAME.log.1, in place of the one before.
LOG_BYTES = 10 * 1024 * 1024
POLL_SECONDS = 0.05
HEARTBEAT_SECONDS = 5.0


class StackInterruptedError(StackError):
    """The stack was stopped while it was starting."""


def throwaway_config(state: Path) -> LocalConfig:
    """Free ports and a state folder of its own, for tests and measurements beside a running one."""
    names = [field.name for field in fields(LocalConfig) if field.name.endswith("_port")]
    return LocalConfig(**dict(zip(names, free_ports(len(names)), strict=True)), local_state=state)


class Stack:
    """The emulators and the Functions host as child processes of this one.

    A context manager: entering starts what `names` lists (all by default) and returns when it is
    healthy; leaving stops it in reverse order. Each child leads a process group of its own and
    writes to logs/NAME.log in the state folder. Should this process be killed, a small process
    beside it (reaper.py) ends the children. Raises StackError, whose text says what to do next.
    Use it from one thread.
    """

    def __init__(
        self,
        config: LocalConfig,
        *,
        names: Collection[str] | None = None,
        host: str = LOCAL_HOST,
        host_settings: Mapping[str, str] | None = None,
        say: Callable[[str], object] = print,
    ) -> None:
        self.config = config
        self._parts = {
            name: part
            for name, part in components(config, host=host, host_settings=host_settings).items()
            if names is None or name in names
        }
        self._say = say
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._interrupted = False

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def log_file(self, name: str) -> Path:
        """Where the named part writes what it says."""
        return self.config.local_state / "logs" / f"{name}.log"

    def pid(self, name: str) -> int:
        """The process id of a running part, which is its process group as well."""
        return self._children[name].pid

    def start(self, *names: str) -> None:
        """Start parts that do not run (after `kill`, say) on their ports; return when healthy."""
        for name in names:
            part = self._parts[name]
            self._spawn(name, part.command, part.environment)
        self._await_health(names)
        if "cosmos" in names:
            self._create_containers()

    def kill(self, name: str) -> None:
        """Kill a part with everything it started, as kill -9 does."""
        signal_group(self.pid(name), signal.SIGKILL)
        self._forget(name)

    def stop(self, name: str) -> None:
        """Send a part SIGTERM, and kill what is left of it after STOP_SECONDS."""
        child = self._children[name]
        signal_group(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        # Also without a timeout: a part may leave processes of its own behind.
        signal_group(child.pid, signal.SIGKILL)
        self._forget(name)

    def interrupt(self) -> None:
        """End a start that is under way with StackInterruptedError; safe in a signal handler."""
        self._interrupted = True

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupted

    def fault(self) -> str | None:
        """The message for a part that ended by itself; None while all run."""
        for name, child in self._children.items():
            if child.poll() is not None:
                title = self._parts[name].title if name in self._parts else name
                return f"{title} ended with {_ending(child.returncode)}.\n{self._tail(name)}"
        return None

    def rotate_logs(self) -> None:
        """Keep what each part has logged to twice LOG_BYTES; call it from time to time."""
        for name in self._children:
            log = self.log_file(name)
            if log.stat().st_size > LOG_BYTES:
                # Its writer appends to this file, and goes on at the beginning.
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)

    def close(self) -> None:
        """Stop every part, the last started first."""
        for name in reversed(list(self._children)):
            self.stop(name)
        if self._reaper is not None:
            assert self._reaper.stdin is not None  # noqa: S101 - it was started with a pipe
            self._reaper.stdin.close()
            self._reaper.wait()
            self._reaper = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill_all(self) -> None:
        """Kill every part at once, without waiting; for a process that is about to exit."""
        for child in reversed(list(self._children.values())):
            signal_group(child.pid, signal.SIGKILL)

    def _open(self) -> None:
        if faults := missing_tools(self._parts):
            raise StackError(" ".join(faults))
        for name in (*self._parts, "logs"):
            (self.config.local_state / name).mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._check_ports()
        for name in self._parts:
            self.log_file(name).unlink(missing_ok=True)
        self._start_reaper()
        emulators = [name for name in EMULATORS if name in self._parts]
        self._say(f"Starting {', '.join(part.title for part in self._parts.values())} ...")
        self.start(*emulators)
        if "host" in self._parts:
            if "cosmos" not in emulators:
                self._create_containers()
            self.start("host")

    def _take_lock(self) -> None:
        """Keep a second stack out of this state folder.

        Parts that hold no state there (the host alone) need no lock: the demo may start them beside
        running emulators.
        """
        if self._parts.keys() == {"host"}:
            return
        lock = (self.config.local_state / "stack.lock").open("a+")
        self._lock = lock
        # The reaper holds the lock too, until it has ended what a killed stack left.
        deadline = time.monotonic() + STOP_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                owner = lock.read().strip()
                if _is_alive(owner) or time.monotonic() > deadline:
                    raise StackError(
                        f"The local stack already runs as process {owner or '(unknown)'}: use "
                        "it, stop it with Ctrl-C in its terminal, or give this one other ports "
                        "and another LOCAL_STATE folder."
                    ) from None
                self._sleep()
            else:
                lock.truncate(0)
                lock.write(str(os.getpid()))
                lock.flush()
                return

    def _check_ports(self) -> None:
        ports = self.config.ports()
        variables = [name for part in self._parts.values() for name in part.port_variables]
        taken = [name for name in variables if port_is_taken(ports[name])]
        if taken:
            listing = " and ".join(f"{ports[name]} ({name})" for name in taken)
            port = "Ports" if len(taken) > 1 else "Port"
            are = "are" if len(taken) > 1 else "is"
            example = " ".join(
                f"{name}={free}" for name, free in zip(taken, free_ports(len(taken)), strict=True)
            )
            raise StackError(
                f"{port} {listing} {are} taken on this machine: stop what listens there, or choose "
                f"other ports, for example `make run {example}`."
            )

    def _start_reaper(self) -> None:
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", str(ROOT / "local" / "reaper.py")],
            stdin=subprocess.PIPE,
            start_new_session=True,
            pass_fds=() if self._lock is None else (self._lock.fileno(),),
        )

    def _report(self, sign: str, group: int) -> None:
        """Report to the reaper that a process group began ("+") or ended ("-")."""
        if self._reaper is None or self._reaper.stdin is None:
            raise StackError("The stack is closed: enter it again to start a part.")
        try:
            self._reaper.stdin.write(f"{sign}{group}\n".encode())
            self._reaper.stdin.flush()
        except BrokenPipeError:
            raise StackError(
                "The process that guards the stack (local/reaper.py) was killed: start again."
            ) from None

    def _spawn(self, name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        """Start a child in its own process group, known to the reaper before it does anything.

        The shell waits for one line, which it gets once the reaper knows of it; if we are killed in
        between it reads the end of the pipe instead and ends.
        """
        if name in self._children:
            raise StackError(f"{name} already runs as process {self.pid(name)}.")
        with self.log_file(name).open("ab") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', name, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                process_group=0,
            )
        self._children[name] = child
        assert child.stdin is not None  # noqa: S101 - it was started with a pipe
        try:
            self._report("+", child.pid)
            child.stdin.write(b"go\n")
        finally:
            child.stdin.close()

    def _forget(self, name: str) -> None:
        child = self._children[name]
        child.wait()
        del self._children[name]
        with contextlib.suppress(StackError):  # without its reaper a stack can still be stopped
            self._report("-", child.pid)

    def _await_health(self, names: Collection[str]) -> None:
        began = heard = time.monotonic()
        waiting = list(names)
        while waiting:
            healthy = [name for name in waiting if self._parts[name].healthy()]
            # Checked after the probe: what answered may be another process on that port.
            if fault := self.fault():
                raise StackError(fault)
            for name in healthy:
                waiting.remove(name)
                self._say(f"  {self._parts[name].title} after {time.monotonic() - began:.1f} s")
                heard = time.monotonic()
            for name in waiting:
                if time.monotonic() - began > self._parts[name].seconds:
                    raise StackError(
                        f"{self._parts[name].title} was not healthy after "
                        f"{self._parts[name].seconds:.0f} s.\n{self._tail(name)}"
                    )
            if time.monotonic() - heard > HEARTBEAT_SECONDS:
                heard = time.monotonic()
                titles = ", ".join(self._parts[name].title for name in waiting)
                self._say(f"  ... {heard - began:.0f} s, waiting for {titles}")
            if waiting:
                self._sleep()

    def _create_containers(self) -> None:
        name = "cosmos_setup"
        self.log_file(name).unlink(missing_ok=True)
        command = (sys.executable, "-m", "local.emulators.cosmos.setup")
        self._spawn(name, (*command, "--endpoint", self.config.cosmos_endpoint), {})
        child = self._children[name]
        deadline = time.monotonic() + SETUP_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            self._sleep()
        if child.returncode != 0:
            raise StackError(
                f"The Cosmos DB containers were not created ({_ending(child.returncode)}).\n"
                f"{self._tail(name)}"
            )
        self._forget(name)

    def _sleep(self) -> None:
        if self._interrupted:
            raise StackInterruptedError("Stopped while starting.")
        time.sleep(POLL_SECONDS)

    def _tail(self, name: str) -> str:
        """The end of a part's log, for an error message."""
        lines = self.log_file(name).read_text("utf-8", errors="replace").splitlines()
        end = "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:]) or "  | (nothing)"
        return f"The end of its log, {short_path(self.log_file(name))}:\n{end}"


def _ending(returncode: int | None) -> str:
    if returncode is None:
        return "no end in sight"
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def short_path(path: Path) -> str:
    """A path as a person in the project's folder would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def say(text: str) -> None:
    """Print at once; a closed terminal is no reason to fail."""
    with contextlib.suppress(OSError):
        print(text, flush=True)
