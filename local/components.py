"""What the local stack consists of: how each part is started and how it shows that it works."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from local import clock
from local.config import HOST, ROOT, LocalConfig

NODE_MODULES = ROOT / "local" / "node_modules"
QUEUES_FILE = ROOT / "shared" / "resources" / "queues.json"
PROBE_SECONDS = 2.0
# What a stop waits for a part, and less than that for the functions that run in the host.
STOP_SECONDS = 10.0
DRAIN_SECONDS = 7.0

LOCAL_HOST = "local"
CORE_TOOLS = "func"
HOSTS = (LOCAL_HOST, CORE_TOOLS)


class StackError(Exception):
    """The local stack cannot start or go on; the text says why and what to do next."""


@dataclass(frozen=True)
class Component:
    """One process of the stack.

    `healthy` answers within a few seconds and never raises; `seconds` is how long a start may take.
    """

    name: str
    title: str
    command: tuple[str, ...]
    port_variables: tuple[str, ...]
    healthy: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 60.0


def components(
    config: LocalConfig, *, host: str = LOCAL_HOST, host_settings: Mapping[str, str] | None = None
) -> dict[str, Component]:
    """Every part of the stack in the order in which it starts.

    `host_settings` are app settings for the Functions host; like all of its environment they win
    over local.settings.json.
    """
    node = shutil.which("node") or "node"
    state = config.local_state
    parts = (
        Component(
            name="azurite",
            title="Azurite (storage)",
            command=(
                node,
                str(NODE_MODULES / "azurite" / "dist" / "src" / "azurite.js"),
                *("--location", str(state / "azurite")),
                *("--blobHost", HOST, "--blobPort", str(config.azurite_blob_port)),
                *("--queueHost", HOST, "--queuePort", str(config.azurite_queue_port)),
                *("--tableHost", HOST, "--tablePort", str(config.azurite_table_port)),
                # A newer SDK than Azurite knows is served rather than refused.
                "--skipApiVersionCheck",
                "--silent",
                "--disableTelemetry",
            ),
            port_variables=("AZURITE_BLOB_PORT", "AZURITE_QUEUE_PORT", "AZURITE_TABLE_PORT"),
            healthy=lambda: all(
                _http_answers(port)
                for port in (
                    config.azurite_blob_port,
                    config.azurite_queue_port,
                    config.azurite_table_port,
                )
            ),
        ),
        Component(
            name="cosmos",
            title="Cosmos DB emulator",
            command=(
                node,
                str(ROOT / "local" / "emulators" / "cosmos" / "server.cjs"),
                *("--port", str(config.cosmos_port)),
                *("--state", str(state / "cosmos")),
                *("--clock", str(state / clock.FILE)),
            ),
            port_variables=("COSMOS_PORT",),
            healthy=lambda: _http_answers(config.cosmos_port),
        ),
        Component(
            name="service_bus",
            title="Service Bus emulator",
            command=(
                *(sys.executable, "-m", "local.emulators.service_bus"),
                *("--port", str(config.service_bus_port)),
                *("--state", str(state / "service_bus")),
                *("--config", str(QUEUES_FILE)),
                *("--clock", str(state / clock.FILE)),
            ),
            port_variables=("SERVICE_BUS_PORT",),
            healthy=lambda: _amqp_answers(config.service_bus_port),
        ),
        Component(
            name="issuer",
            title="Token issuer",
            command=(
                *(sys.executable, "-m", "local.issuer"),
                *("--port", str(config.issuer_port)),
                *("--state", str(state / "issuer")),
            ),
            port_variables=("ISSUER_PORT",),
            healthy=lambda: _http_answers(config.issuer_port),
        ),
        _host(config, host, {**config.overrides(), **(host_settings or {})}),
    )
    return {part.name: part for part in parts}


def _host(config: LocalConfig, host: str, settings: Mapping[str, str]) -> Component:
    """The Functions host: ours, or Azure Functions Core Tools."""
    port = str(config.functions_port)
    if host == LOCAL_HOST:
        return Component(
            name="host",
            title="Functions host",
            command=(
                *(sys.executable, "-m", "local.host", "--app", str(ROOT), "--port", port),
                *("--state", str(config.local_state / "host"), "--drain", str(DRAIN_SECONDS)),
                *("--clock", str(config.local_state / clock.FILE)),
                "--faults",
            ),
            port_variables=("FUNCTIONS_PORT",),
            healthy=lambda: _host_answers(config.functions_port),
            environment=settings,
        )
    func = shutil.which("func")
    if func is None:
        raise StackError(
            "HOST=func needs Azure Functions Core Tools, and there is no `func` on PATH: install "
            "version 4 of them, or omit HOST to use the local host."
        )
    # Core Tools start the worker with the `python` they find first.
    python_folder = os.path.dirname(sys.executable)  # noqa: PTH120 - a symlink must stay one
    return Component(
        name="host",
        title="Functions host (func start)",
        command=(func, "start", "--port", port),
        port_variables=("FUNCTIONS_PORT",),
        healthy=lambda: _host_answers(config.functions_port),
        environment={
            **settings,
            "PATH": python_folder + os.pathsep + os.environ.get("PATH", ""),
            "VIRTUAL_ENV": sys.prefix,
        },
        seconds=300.0,  # the first start downloads the extension bundle
    )


def missing_tools(parts: Mapping[str, Component]) -> list[str]:
    """One sentence for each thing that must be installed before these parts can start."""
    faults = []
    if parts.keys() & {"azurite", "cosmos"}:
        if shutil.which("node") is None:
            faults.append("There is no `node` on PATH: install Node.js 20 or newer.")
        if not (NODE_MODULES / "azurite").is_dir():
            faults.append("The emulators' npm packages are not installed: run `make install`.")
    return faults


def port_is_taken(port: int) -> bool:
    """Whether something listens on this loopback port, or it cannot be bound for another reason."""
    with socket.socket() as probe:
        probe.settimeout(PROBE_SECONDS)
        # macOS lets 127.0.0.1 be bound although 0.0.0.0 is (a Docker port), hence both questions.
        if probe.connect_ex((HOST, port)) == 0:
            return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def free_ports(count: int) -> list[int]:
    """That many different free loopback ports.

    They are below the range from which the system gives ports to outgoing connections (32768 and up
    on Linux, 49152 on macOS): none of those can take a port while what listens there is restarted.
    """
    ports: list[int] = []
    for port in random.sample(range(20000, 32000), 12000):
        if len(ports) == count:
            return ports
        if not port_is_taken(port):
            ports.append(port)
    raise StackError(f"There are no {count} free ports between 20000 and 32000 on {HOST}.")


def _http_answers(port: int) -> bool:
    """Whether an HTTP server answers at all; any status will do."""
    return _http_get(f"http://{HOST}:{port}/") is not None


def _host_answers(port: int) -> bool:
    """Whether a Functions host says of itself that it runs."""
    body = _http_get(f"http://{HOST}:{port}/admin/host/status")
    with contextlib.suppress(TypeError, ValueError):
        status = json.loads(body or b"")
        return isinstance(status, dict) and status.get("state") == "Running"
    return False


def _http_get(url: str) -> bytes | None:
    """The body of a 200, b"" for any other status, None when no HTTP server answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PROBE_SECONDS) as response:
            body: bytes = response.read(65536)
            return body
    except urllib.error.HTTPError as error:
        error.close()
        return b""
    except (OSError, http.client.HTTPException):
        return None


def _amqp_answers(port: int) -> bool:
    """Whether an AMQP 1.0 server answers the SASL protocol header with its own."""
    header = b"AMQP\x03\x01\x00\x00"
    try:
        with socket.create_connection((HOST, port), timeout=PROBE_SECONDS) as connection:
            connection.sendall(header)
            answer = b""
            while len(answer) < len(header) and (more := connection.recv(64)):
                answer += more
    except OSError:
        return False
    return answer.startswith(header)
