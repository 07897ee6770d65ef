"""Starts Service Bus emulators for tests, and speaks AMQP to them frame by frame."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)

from local.config import SERVICE_BUS_CREDENTIALS, SERVICE_BUS_KEY, SERVICE_BUS_KEY_NAME
from local.emulators.service_bus import codec
from local.emulators.service_bus.codec import Described, Symbol, UByte, UInt, ULong, UShort

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds until a test gives up waiting


def eventually(check: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first true value of `check`, checked until it comes."""
    deadline = time.monotonic() + patience
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def queue_file(path: Path, queues: dict[str, dict[str, Any]]) -> Path:
    """Write a queue file in the official format."""
    entries = [{"Name": name, "Properties": given} for name, given in queues.items()]
    namespace = {"Name": "sbemulatorns", "Queues": entries, "Topics": []}
    document = {"UserConfig": {"Namespaces": [namespace], "Logging": {"Type": "File"}}}
    path.write_text(json.dumps(document))
    return path


class Emulator:
    """One emulator process, and the SDK objects opened against it."""

    def __init__(
        self, folder: Path, queues: dict[str, dict[str, Any]], settings: Iterable[str] = ()
    ) -> None:
        self._settings = settings
        self.state = folder / "state"
        self.config = queue_file(folder / "queues.json", queues)
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self._opened: list[Any] = []

    def start(self) -> None:
        """Start on a free port, or on the same one as before."""
        command = [sys.executable, "-m", "local.emulators.service_bus", "--port", str(self.port)]
        command += ["--state", str(self.state), "--config", str(self.config), *self._settings]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(PATIENCE), "the emulator did not say that it listens"
        line = self.process.stdout.readline()
        assert line.startswith("Service Bus emulator listening on 127.0.0.1:"), line
        self.port = int(line.rsplit(":", 1)[1])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            code = process.wait(PATIENCE)
        finally:
            process.kill()
            assert process.stdout is not None
            process.stdout.close()
        return code

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def memory(self) -> int:
        """Resident bytes of the process."""
        text = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=True
        ).stdout
        return int(text) * 1024

    def connection_string(self, port: int | None = None) -> str:
        return f"Endpoint=sb://127.0.0.1:{port or self.port};{SERVICE_BUS_CREDENTIALS}"

    def client(self, port: int | None = None, **options: Any) -> ServiceBusClient:
        """An SDK client, closed with the emulator."""
        client = ServiceBusClient.from_connection_string(self.connection_string(port), **options)
        self._opened.append(client)
        return client

    def sender(self, queue: str, **options: Any) -> ServiceBusSender:
        return self.client(**options).get_queue_sender(queue)

    def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        retry = {key: options.pop(key) for key in list(options) if key.startswith("retry")}
        return self.client(**retry).get_queue_receiver(queue, **options)

    def close_clients(self) -> None:
        """Close all at once: each takes up to a second of waiting."""
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(lambda client: client.close(), self._opened))
        self._opened.clear()


def receive(receiver: ServiceBusReceiver, count: int = 1) -> list[ServiceBusReceivedMessage]:
    """Exactly `count` messages; the test fails if they do not come."""
    found: list[ServiceBusReceivedMessage] = []
    while len(found) < count:
        more = receiver.receive_messages(count - len(found), max_wait_time=PATIENCE)
        assert more, f"{len(found)} of {count} messages came"
        found += more
    return found


class QueueEnds:
    """One queue with an open sender and an open receiver."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.emulator = emulator
        self.name = name
        self.sender = emulator.sender(name).__enter__()
        self.receiver = emulator.receiver(name).__enter__()

    def send(self, *bodies: str, **more: Any) -> None:
        """Send one message for each body, all with the same properties."""
        self.sender.send_messages([ServiceBusMessage(body, **more) for body in bodies])

    def receive(self) -> ServiceBusReceivedMessage:
        """The next message."""
        return receive(self.receiver)[0]

    def kept(self) -> list[ServiceBusReceivedMessage]:
        """Everything in the queue, whatever its state."""
        return self.receiver.peek_messages(100, sequence_number=1)

    def another(self, **options: Any) -> ServiceBusReceiver:
        """One more receiver."""
        return self.emulator.receiver(self.name, **options)

    def dead(self) -> ServiceBusReceiver:
        """A receiver of the dead-letter queue."""
        return self.another(sub_queue=ServiceBusSubQueue.DEAD_LETTER)


@contextlib.contextmanager
def running(folder: Path, queues: dict[str, dict[str, Any]], *settings: str) -> Iterator[Emulator]:
    """An emulator that runs as long as the block does."""
    emulator = Emulator(folder, queues, settings)
    emulator.start()
    try:
        yield emulator
        assert emulator.process is not None
        assert emulator.process.poll() is None, "the emulator died"
    finally:
        emulator.close_clients()
        if emulator.process is not None:
            emulator.end()


# The SDK never closes a socket or stream whose peer has gone (its shutdown() fails first), so a
# test that cuts connections collects that garbage itself and is marked to let the warnings pass.
SDK_LEAKS_SOCKETS = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <(socket\.socket|function (StreamWriter|_SelectorTransport))"
    ":pytest.PytestUnraisableExceptionWarning"
)


class Wire:
    """A TCP hop in front of the emulator that can be cut, as a network would."""

    def __init__(self, port: int, delay: float = 0.0) -> None:
        """Connections go on to `port`, each after `delay` seconds; `accepted` counts them."""
        self._target = port
        self._delay = delay
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    def cut(self) -> None:
        """Drop every connection that goes through."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE)
        for one in self._sockets:
            one.close()

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            self.accepted += 1
            time.sleep(self._delay)
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets |= {near, far}
            self._spawn(self._copy, near, far)
            self._spawn(self._copy, far, near)

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


SOURCE, TARGET = ULong(codec.SOURCE), ULong(codec.TARGET)


class RawClient:
    """Sends and reads single performatives: what the Python SDK does not do, others do."""

    def __init__(
        self, port: int, *, handshake: bool = True, authorize: bool = True, **opening: Any
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._reader = codec.FrameReader(1 << 24)
        if handshake:
            self.handshake(**opening)
        if authorize and handshake:
            self.put_token(sas_token())

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def handshake(
        self, mechanism: str = "ANONYMOUS", idle: int | None = None, frame_size: int | None = None
    ) -> None:
        """Connect up to an open session on channel 0."""
        self.socket.sendall(codec.SASL_HEADER)
        assert self.take(8) == codec.SASL_HEADER
        self.mechanisms = self.expect(codec.SASL_MECHANISMS)[0]
        self.send(codec.SASL_INIT, [Symbol(mechanism)], kind=codec.SASL_FRAME)
        self.sasl_code = self.expect(codec.SASL_OUTCOME)[0]
        self.socket.sendall(codec.AMQP_HEADER)
        assert self.take(8) == codec.AMQP_HEADER
        size = None if frame_size is None else UInt(frame_size)
        patience = None if idle is None else UInt(idle)
        self.send(codec.OPEN, ["raw", "localhost", size, UShort(100), patience])
        self.opened = self.expect(codec.OPEN)
        self.begin()

    def put_token(self, token: Any) -> dict[str, Any]:
        """Send a token to `$cbs` on a session of its own; what the answer says."""
        self.begin(channel=255)
        ends: list[Any] = [Described(SOURCE, ["$cbs"]), Described(TARGET, ["$cbs"])]
        for handle, receives in ((0, True), (1, False)):
            fields = [f"cbs-{uuid.uuid4()}", UInt(handle), receives, None, None, *ends]
            self.send(codec.ATTACH, [*fields, None, None, UInt(0)], channel=255)
        credit = [UInt(1), UInt(9), UInt(0), UInt(9), UInt(0), UInt(0), UInt(1)]
        self.send(codec.FLOW, credit, channel=255)
        request = codec.value_message(["1"], {"operation": "put-token"}, token)
        self.send(codec.TRANSFER, [UInt(1), UInt(0), b"t"], request, channel=255)
        answer = codec.parse_message(self.receive()[1])
        self.send(codec.END, [None], channel=255)
        self.until(codec.END)
        return {key: codec.decode(value)[0] for key, value in codec.map_items(answer.application)}

    def begin(self, window: int = 2**32 - 1, channel: int = 0) -> list[Any]:
        """Open a session."""
        fields: list[Any] = [None, UInt(0), UInt(window), UInt(window), UInt(100)]
        self.send(codec.BEGIN, fields, channel=channel)
        return self.expect(codec.BEGIN)

    def send(
        self, code: int, fields: list[Any], payload: bytes = b"", *, channel: int = 0, kind: int = 0
    ) -> None:
        body = codec.performative(code, fields) + payload
        self.socket.sendall(codec.frame(channel, body, kind))

    def take(self, size: int) -> bytes:
        while (found := self._reader.take(size)) is None:
            self._feed()
        return found

    def _feed(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionResetError("the emulator closed the connection")
        self._reader.feed(data)

    def frame(self) -> bytes:
        """The body of the next frame."""
        while (found := self._reader.frame()) is None:
            self._feed()
        return found[2]

    def read(self) -> tuple[int, list[Any], bytes]:
        """The next performative: code, fields, payload."""
        while not (body := self.frame()):
            pass
        code, fields, position = codec.decode_performative(body)
        return code, fields, body[position:]

    def expect(self, code: int) -> list[Any]:
        """Fields of the next performative, which must be of this kind."""
        found, fields, _ = self.read()
        assert found == code, f"{fields} of 0x{found:02x} came"
        return fields

    def until(self, code: int) -> tuple[list[Any], bytes]:
        """Fields and payload of the next performative of this kind, others passed over."""
        while (found := self.read())[0] != code:
            pass
        return found[1], found[2]

    def attach_sender(self, address: str, handle: int = 0, **more: Any) -> list[Any]:
        """Attach a link to send on; the answer's fields."""
        target = more.get("target", Described(TARGET, [address]))
        fields: list[Any] = [f"send-{uuid.uuid4()}", UInt(handle), False, UByte(0), UByte(0)]
        fields += [Described(SOURCE, []), target, None, None, UInt(0)]
        self.send(codec.ATTACH, fields)
        answer = self.expect(codec.ATTACH)
        if answer[6] is not None:
            self.credit = self.expect(codec.FLOW)
        return answer

    def attach_receiver(
        self, address: str, handle: int = 1, *, settled: bool = False, target: Any = None, **m: Any
    ) -> list[Any]:
        """Attach a link to receive on; the answer's fields."""
        source = Described(SOURCE, [address, *[None] * 6, m.get("filters")])
        fields: list[Any] = [
            f"receive-{uuid.uuid4()}",
            UInt(handle),
            True,
            UByte(1 if settled else 0),
        ]
        fields += [UByte(0 if settled else 1), source, Described(TARGET, [target])]
        self.send(codec.ATTACH, fields)
        return self.expect(codec.ATTACH)

    def flow(self, credit: int, *, handle: int = 1, seen: int = 0, **more: Any) -> None:
        """Grant link credit."""
        fields: list[Any] = [
            UInt(more.get("transfers", 1)),
            UInt(more.get("window", 2**32 - 1)),
            UInt(0),
        ]
        fields += [UInt(2**32 - 1), UInt(handle), UInt(seen), UInt(credit), None]
        fields += [more.get("drain", False), more.get("echo", False)]
        self.send(codec.FLOW, fields)

    def transfer(self, content: bytes, *, handle: int = 0, delivery: int = 0, **more: Any) -> None:
        """Send a delivery in one frame."""
        fields: list[Any] = [UInt(handle), UInt(delivery), b"tag", UInt(more.get("format", 0))]
        fields += [more.get("settled", False), more.get("more", False), None, more.get("state")]
        fields += [None, more.get("aborted", False)]
        self.send(codec.TRANSFER, fields, content)

    def dispose(
        self, first: int, state: Any, *, last: int | None = None, settled: bool = False
    ) -> None:
        """Settle what was received."""
        end = None if last is None else UInt(last)
        self.send(codec.DISPOSITION, [True, UInt(first), end, settled, state])

    def receive(self) -> tuple[list[Any], bytes]:
        """A whole delivery: fields of its first transfer, and its content."""
        first, content = self.until(codec.TRANSFER)
        more = first[5]
        while more:
            fields, payload = self.until(codec.TRANSFER)
            more = fields[5]
            content += payload
        return first, content

    def request(
        self, node: str, operation: str, body: Any, *, message_id: Any = "id", reply_to: Any = None
    ) -> tuple[list[Any], codec.Sections]:
        """One request on a node whose links are handles 8 and 9: transfer fields and response."""
        if not getattr(self, "_node", None):
            self.attach_receiver(node, 9, target="reply")
            self.attach_sender(node, 8)
            self.flow(100, handle=9)
            self._node = node
        properties: list[Any] = [message_id, None, None, None, reply_to]
        content = codec.value_message(properties, {"operation": operation}, body)
        self.transfer(content, handle=8)
        fields, payload = self.receive()
        self.until(codec.DISPOSITION)  # of the request
        return fields, codec.parse_message(payload)


def sas_token(
    key_name: str = SERVICE_BUS_KEY_NAME, key: str = SERVICE_BUS_KEY, seconds: int = 60
) -> str:
    """A token as Microsoft documents it, for the whole namespace and so many seconds."""
    scope, end = quote_plus("sb://127.0.0.1/"), int(time.time()) + seconds
    digest = hmac.digest(key.encode(), f"{scope}\n{end}".encode(), "sha256")
    signature = quote_plus(base64.b64encode(digest))
    return f"SharedAccessSignature sr={scope}&sig={signature}&se={end}&skn={key_name}"


def text_message(text: str, message_id: Any = None, **application: Any) -> bytes:
    """An encoded message with a string body."""
    return codec.value_message([message_id], application, text)


def error_of(state: Any) -> list[Any]:
    """Condition, description and info of a rejected outcome."""
    error: list[Any] = state.value[0].value
    return error


def wait_for_exit(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err
