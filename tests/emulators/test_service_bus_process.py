"""The emulator as a process: its command line, its queue file, and visitors that are no clients."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.emulators.service_bus import codec
from local.emulators.service_bus.config import QueueFileError, duration, read_queues
from local.emulators.service_bus.queues import FILE_NAME, Broker, QueueOptions
from local.emulators.service_bus.server import Server
from tests.emulators.service_bus_fixtures import (
    PATIENCE,
    ROOT,
    Emulator,
    RawClient,
    eventually,
    queue_file,
    running,
    text_message,
)


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running(tmp_path_factory.mktemp("process"), {"q": {}, "slow": {}}) as emulator:
        yield emulator


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of an emulator that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "local.emulators.service_bus", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


# ---------------------------------------------------------------- command line


def test_a_taken_port_is_reported_in_one_sentence(bus: Emulator, tmp_path: Path) -> None:
    code, text = run("--port", str(bus.port), "--state", str(tmp_path))
    assert code == 2
    assert text.startswith(f"Port {bus.port} on 127.0.0.1 is taken")
    assert text.count("\n") == 1


def test_a_taken_folder_is_reported_in_one_sentence(bus: Emulator) -> None:
    code, text = run("--port", "0", "--state", str(bus.state))
    assert code == 2
    assert text.startswith("Another Service Bus emulator uses")
    assert text.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, text = run("--port", "0", "--state", str(tmp_path / "file" / "state"))
    assert code == 2
    assert "cannot hold the state" in text


@pytest.mark.parametrize("port", ["-1", "65536", "http", "5_672"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    code, text = run(f"--port={port}", "--state", str(tmp_path))
    assert code == 2
    assert "is not a port" in text


def test_a_bad_queue_file_stops_the_start(tmp_path: Path) -> None:
    faults: dict[str, dict[str, Any]] = {"q": {"LockDuration": "1m", "Typo": 1}}
    config = queue_file(tmp_path / "queues.json", faults)
    code, text = run("--port", "0", "--state", str(tmp_path), "--config", str(config))
    assert code == 2
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_at_once_and_closes_connections_with_a_reason(
    tmp_path: Path, number: int
) -> None:
    emulator = Emulator(tmp_path, {"q": {}})
    emulator.start()
    with RawClient(emulator.port) as raw:
        raw.attach_receiver("q")
        started = time.monotonic()
        assert emulator.end(number) == 0
        assert time.monotonic() - started < 5
        assert raw.until(codec.CLOSE)[0][0].value[0] == "amqp:connection:forced"


def test_it_listens_on_this_machine_only(bus: Emulator) -> None:
    # On Linux every 127.x address reaches what listens on all addresses; elsewhere only ours does.
    other = "127.0.0.2" if sys.platform == "linux" else socket.gethostbyname(socket.gethostname())
    with pytest.raises(OSError):  # noqa: PT011 - refused or unreachable, by platform
        socket.create_connection((other, bus.port), timeout=1)


def test_a_store_that_fails_ends_it_without_an_answer(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path, {"q": {}})
    emulator.start()
    assert emulator.process is not None
    process = emulator.process
    with RawClient(emulator.port) as raw:
        raw.attach_sender("q")
        thief = sqlite3.connect(emulator.state / FILE_NAME, isolation_level=None)
        thief.execute("begin immediate")  # no one else can write from here on
        raw.transfer(text_message("a"))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            raw.until(codec.DISPOSITION)
        thief.close()
    assert process.wait(PATIENCE) == 1
    assert process.stdout is not None
    process.stdout.close()


# ---------------------------------------------------------------- queue file


def test_our_own_queue_file_is_read() -> None:
    queues = read_queues(ROOT / "shared" / "resources" / "queues.json")
    assert queues == {
        "readiness": QueueOptions(
            lock=60_000,
            max_delivery_count=5,
            ttl=3_600_000,
            dead_letter_expired=True,
            duplicate_window=300_000,
        ),
        # Of a reminder that expires there is nothing to keep: the timer sends another.
        "notifications": QueueOptions(
            lock=60_000,
            max_delivery_count=5,
            ttl=3_600_000,
            dead_letter_expired=False,
            duplicate_window=300_000,
        ),
    }


def test_what_a_queue_leaves_out_has_the_emulators_default(tmp_path: Path) -> None:
    assert read_queues(queue_file(tmp_path / "f", {"q": {}})) == {
        "q": QueueOptions(
            lock=60_000,
            max_delivery_count=10,
            ttl=3_600_000,
            dead_letter_expired=False,
            duplicate_window=None,
        )
    }


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("PT1M", 60_000),
        ("PT1.5S", 1500),
        ("P1DT2H3M4S", 93_784_000),
        ("P2W", 1_209_600_000),
        ("PT0S", 0),
        ("P", None),
        ("PT", None),
        ("P1DT", None),
        ("1M", None),
        ("PT1M ", None),
        ("pt1m", None),
        ("-PT1M", None),
        ("PT1,5S", None),
        ("P1Y", None),
        ("00:01:00", None),
        (60, None),
        (None, None),
    ],
)
def test_durations_are_iso_8601(text: object, milliseconds: int | None) -> None:
    assert duration(text) == milliseconds


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"LockDuration": "PT6M"}, "LockDuration must be"),
        ({"LockDuration": "PT0S"}, "LockDuration must be"),
        ({"LockDuration": 60}, "LockDuration must be"),
        ({"DefaultMessageTimeToLive": "PT2H"}, "DefaultMessageTimeToLive must be"),
        ({"DuplicateDetectionHistoryTimeWindow": "PT6M"}, "Window must be"),
        ({"MaxDeliveryCount": 0}, "MaxDeliveryCount must be"),
        ({"MaxDeliveryCount": 11}, "MaxDeliveryCount must be"),
        ({"MaxDeliveryCount": True}, "MaxDeliveryCount must be"),
        ({"MaxDeliveryCount": "5"}, "MaxDeliveryCount must be"),
        ({"RequiresDuplicateDetection": "true"}, "must be true or false"),
        ({"RequiresSession": True}, "sessions are not built"),
        ({"ForwardTo": "other"}, "forwarding is not built"),
        ({"ForwardDeadLetteredMessagesTo": "other"}, "forwarding is not built"),
        ({"LockDurations": "PT1M"}, "LockDurations is not a property"),
        ([], "Properties must be an object"),
    ],
)
def test_a_fault_of_a_queue_is_reported_with_its_name(
    tmp_path: Path, properties: Any, expected: str
) -> None:
    with pytest.raises(QueueFileError, match=f"Queue my-queue: .*{expected}"):
        read_queues(queue_file(tmp_path / "f", {"my-queue": properties}))


@pytest.mark.parametrize(
    ("namespaces", "expected"),
    [
        (None, "one namespace"),
        ([], "one namespace"),
        ([{}, {}], "one namespace"),
        ([{}], "list of queues"),
        ([{"Queues": []}], "at least one queue"),
        ([{"Queues": [{"Name": "a"}], "Topics": [{"Name": "t"}]}], "Topics must be empty"),
        ([{"Queues": [None]}], r"Queues\[0\].Name"),
        ([{"Queues": [{"Name": "-a"}]}], r"Queues\[0\].Name"),
        ([{"Queues": [{"Name": "a" * 261}]}], r"Queues\[0\].Name"),
        ([{"Queues": [{"Name": "a"}, {"Name": "A"}]}], "A is there twice"),
        ([{"Queues": [{"Name": "a", "Property": {}}]}], "unknown members: Property"),
    ],
)
def test_a_fault_of_the_file_is_reported(tmp_path: Path, namespaces: Any, expected: str) -> None:
    path = tmp_path / "f"
    path.write_text(json.dumps({"UserConfig": {"Namespaces": namespaces}}))
    with pytest.raises(QueueFileError, match=expected):
        read_queues(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_queue_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(QueueFileError, match=str(path)):
        read_queues(path)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(QueueFileError, match="cannot be read"):
        read_queues(tmp_path / "none")


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    bad: dict[str, dict[str, Any]] = {
        "a": {"LockDuration": "x", "MaxDeliveryCount": 0},
        "b": {"RequiresSession": True},
    }
    with pytest.raises(QueueFileError) as caught:
        read_queues(queue_file(tmp_path / "f", bad))
    assert len(str(caught.value).splitlines()) == 3


# ---------------------------------------------------------------- visitors that are no clients


def visit(port: int, data: bytes) -> bytes:
    """What comes back until the emulator closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as visitor:
        answer = b""
        with contextlib.suppress(
            ConnectionResetError, BrokenPipeError
        ):  # closed before it read all
            visitor.sendall(data)
            while piece := visitor.recv(65536):
                answer += piece
    return answer


def works(emulator: Emulator) -> bool:
    """Whether a client is served."""
    with RawClient(emulator.port) as raw:
        return bool(raw.attach_sender("q")[6])


_OPENED = codec.AMQP_HEADER + codec.frame(0, codec.performative(codec.OPEN, ["c"]))


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"AMQP\x02\x01\x00\x00",
        b"AMQP\x00\x00\x09\x01",
        b"\x00" * 64,
        bytes(range(256)) * 256,
    ],
)
def test_another_protocol_gets_the_header_that_is_expected(bus: Emulator, data: bytes) -> None:
    assert visit(bus.port, data) in (codec.SASL_HEADER, b"")
    assert works(bus)


@pytest.mark.parametrize(
    "line", ["GET /$servicebus/websocket", "GET /queue", "PUT /queue", "DELETE /queue"]
)
def test_http_is_refused_in_words(bus: Emulator, line: str) -> None:
    """Which is what web sockets and the management API are."""
    method, path = line.split()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", bus.port, PATIENCE)) as client:
        client.request(method, path, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        answer = client.getresponse()
        assert answer.status == 501
        text = answer.read().decode()
    assert "web sockets" in text
    assert "management over HTTP" in text
    assert works(bus)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">IBBH", 2**32 - 1, 2, 0, 0),  # a frame of 4 GiB
        struct.pack(">IBBH", 65537, 2, 0, 0),
        struct.pack(">IBBH", 4, 2, 0, 0),
        struct.pack(">IBBH", 16, 200, 0, 0) + bytes(8),
        struct.pack(">IBBH", 8, 2, 9, 0),  # no such frame type
        codec.frame(0, b"\x00" * 60_000),  # descriptors of descriptors
        codec.frame(0, b"\x00\x53\x10" + b"\xd0\x00\x00\xe0\x00\x00\x00\x00\x01" * 6000),
        codec.frame(0, b"\x00\x53\x12\xd0\x00\x00\x00\x04\xff\xff\xff\xff"),
        codec.frame(0, b"\x00\x53\x12\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x41"),
        codec.frame(0, b"\x00\x53\x99\x45"),
        codec.frame(0, b"\x40"),
        codec.frame(0, codec.performative(codec.OPEN, ["again"])),
        codec.frame(0, codec.performative(codec.ATTACH, [])[:10]),
    ],
)
def test_a_connection_with_broken_frames_is_closed_with_an_error(
    bus: Emulator, data: bytes
) -> None:
    answer = visit(bus.port, _OPENED + data)
    reader = codec.FrameReader(1 << 20)
    reader.feed(answer)
    assert reader.take(8) == codec.AMQP_HEADER
    assert reader.frame() is not None  # the answer to open
    closing = reader.frame()
    assert closing is not None
    code, fields, _ = codec.decode_performative(closing[2])
    assert code == codec.CLOSE
    assert len(fields[0].value) == 3
    assert works(bus)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [None] * 14,
        ["name", codec.UInt(0)],
        ["name", codec.UInt(0), True, None, None, "source", "target"],
        ["name", codec.UInt(0), False, None, None, None, codec.Described(codec.ULong(0x29), None)],
        ["name", [], False],
        ["name", codec.UInt(2**32 - 1), False],
    ],
)
def test_an_attach_that_makes_no_sense_is_refused(bus: Emulator, fields: list[Any]) -> None:
    with RawClient(bus.port) as raw:
        raw.send(codec.ATTACH, fields)
        code, found, _ = raw.read()
        if code == codec.ATTACH:
            assert found[5:7] == [None, None]
            code, found, _ = raw.read()
        assert code in (codec.DETACH, codec.CLOSE)
    assert works(bus)


@pytest.mark.parametrize("code", [*range(codec.BEGIN, codec.CLOSE), codec.SASL_INIT, 0x99])
@pytest.mark.parametrize("value", [[], {}, "text", -1, 2.5, codec.Array(0x98, ())])
def test_fields_of_the_wrong_type_do_no_harm(bus: Emulator, code: int, value: Any) -> None:
    typed = codec.Int(value) if value == -1 else value
    with RawClient(bus.port) as raw:
        raw.attach_sender("q")
        raw.attach_receiver("q")
        body = codec.Described(codec.ULong(code), [typed] * 3)
        raw.socket.sendall(codec.frame(0, codec.encode(body)))
        raw.socket.sendall(codec.frame(0, codec.encode(body)))
    assert works(bus)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 100,
        text_message("a")[:-1],
        b"\x00\x53\x77" + b"\x00" * 50_000,
        b"\x00\x53\x73" + codec.encode({}) + b"\x00\x53\x77\x40",
        b"\x00\x53\x73" + codec.encode([[]]) + b"\x00\x53\x77\x40",
        b"\x00\x53\x72" + codec.encode({"x-opt-scheduled-enqueue-time": "x"}) + text_message("a"),
    ],
)
@pytest.mark.parametrize("address", ["q", "q/$management", "$cbs"])
def test_a_message_that_is_none_is_rejected_and_the_link_stays(
    bus: Emulator, address: str, content: bytes
) -> None:
    with RawClient(bus.port) as raw:
        raw.attach_sender(address)
        raw.transfer(content)
        state = raw.until(codec.DISPOSITION)[0][4]
        assert state.descriptor == codec.REJECTED or address != "q"
        raw.transfer(text_message("good", operation="x"), delivery=1)
        assert raw.until(codec.DISPOSITION)[0][4].descriptor == codec.ACCEPTED


def test_random_bytes_after_a_handshake_do_no_harm(bus: Emulator) -> None:
    chance = random.Random(5)  # noqa: S311 - the same bytes in every run
    whole = codec.frame(0, codec.performative(codec.BEGIN, [None, codec.UInt(0)]))
    whole += codec.frame(0, codec.performative(codec.ATTACH, ["n", codec.UInt(0), False]))
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with socket.create_connection(("127.0.0.1", bus.port), timeout=PATIENCE) as visitor:
            visitor.sendall(_OPENED + data)
    assert works(bus)


def _unfinished(raw: RawClient) -> None:
    """Begin messages on many links and end none."""
    for handle in range(100):
        raw.attach_sender("q", handle)
    for handle in range(100):
        for _ in range(17):
            raw.transfer(b"x" * 60_000, handle=handle, more=True)
    assert raw.until(codec.CLOSE)[0][0].value[0] == "amqp:resource-limit-exceeded"


def _unread(raw: RawClient) -> None:
    """Ask for much and read nothing."""
    _ask(raw, credit=100_000)


def _ask(raw: RawClient, credit: int) -> None:
    body = {"from-sequence-number": codec.Long(0), "message-count": codec.Int(1000)}
    request = codec.value_message(["1"], {"operation": "com.microsoft:peek-message"}, body)
    raw.attach_receiver("slow/$management", 9, target="r")
    raw.attach_sender("slow/$management", 8)
    raw.flow(credit, handle=9)
    one = codec.performative(codec.TRANSFER, [codec.UInt(8), codec.UInt(0), b"t"]) + request
    raw.socket.sendall(codec.frame(0, one) * 2000)  # the answers have 200 MB


def _without_credit(raw: RawClient) -> None:
    """Ask for much and grant no credit for the answers."""
    _ask(raw, credit=0)
    assert raw.until(codec.CLOSE)[0][0].value[0] == "amqp:resource-limit-exceeded"


def _oversized(raw: RawClient) -> None:
    """A message of 200 MB."""
    raw.attach_sender("q")
    for _ in range(3300):
        raw.transfer(b"x" * 60_000, more=True)


@pytest.mark.parametrize("attack", [_unfinished, _unread, _without_credit, _oversized])
def test_a_greedy_client_does_not_take_the_memory(
    bus: Emulator, attack: Callable[[RawClient], None]
) -> None:
    with RawClient(bus.port) as raw:
        raw.attach_sender("slow", 200)
        raw.transfer(text_message("x" * 50_000), handle=200)
        raw.transfer(text_message("x" * 50_000), handle=200)
        for _ in range(2):
            raw.until(codec.DISPOSITION)
        before = bus.memory()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # the connection is closed
            attack(raw)
        assert eventually(lambda: works(bus))
        assert bus.memory() - before < 80 * 1024 * 1024


def test_too_many_links_are_refused(bus: Emulator) -> None:
    with RawClient(bus.port) as raw:
        for channel in range(1, 8):
            raw.begin(channel=channel)
        source = codec.Described(codec.ULong(codec.SOURCE), ["q"])
        for number in range(1025):
            fields = [f"{number}", codec.UInt(number % 200), True, None, None, source]
            raw.send(codec.ATTACH, fields, channel=number // 200)
        error = raw.until(codec.CLOSE)[0][0]
        assert error.value[0] == "amqp:resource-limit-exceeded"
    assert works(bus)


async def _heard(folder: Path, signs_of_life: int) -> bytes:
    """All that a client hears which sends this many empty frames, half a second apart at most."""
    broker = Broker(folder, {"q": QueueOptions()})
    server = Server(broker, idle_seconds=0.5)
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_OPENED)
    for _ in range(signs_of_life):
        await asyncio.sleep(0.1)
        writer.write(codec.EMPTY_FRAME)
    if signs_of_life:
        writer.write(codec.frame(0, codec.performative(codec.CLOSE, [None])))
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    await server.stop()
    broker.close()
    return answer


async def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    assert b"amqp:resource-limit-exceeded" in await _heard(tmp_path, 0)


async def test_a_client_that_shows_life_is_not_closed(tmp_path: Path) -> None:
    assert b"amqp:resource-limit-exceeded" not in await _heard(tmp_path, 15)
