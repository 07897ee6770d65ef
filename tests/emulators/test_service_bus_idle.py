"""Links without traffic are detached, as in Azure; what is used stays, and the SDK goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.emulators.service_bus import codec
from local.emulators.service_bus.codec import Described, UInt, ULong
from tests.emulators.service_bus_fixtures import (
    Emulator,
    QueueEnds,
    RawClient,
    receive,
    running,
    text_message,
)

IDLE = 1.5  # seconds; ten minutes in Azure


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    queues: dict[str, dict[str, Any]] = {f"q{number}": {} for number in range(4)}
    folder = tmp_path_factory.mktemp("idle")
    with running(folder, queues, "--link-idle-seconds", str(IDLE)) as emulator:
        yield emulator


def test_an_idle_link_is_detached_in_azures_words(bus: Emulator) -> None:
    with RawClient(bus.port) as raw:
        raw.attach_sender("q0", 0)
        raw.attach_receiver("q0", 1)
        raw.flow(1)
        began = time.monotonic()
        for handle, who in ((0, "AmqpMessagePublisher"), (1, "AmqpMessageConsumer")):
            found, closed, error = raw.expect(codec.DETACH)
            assert (found, closed) == (handle, True)
            assert error.value[0] == "amqp:link:detach-forced"
            assert f"{who}.IdleTimerExpired: Idle timeout: 0:00:01.5" in error.value[1]
        assert time.monotonic() - began > IDLE - 0.5
        assert raw.attach_sender("q0", 0)[6] is not None  # the session goes on


def test_only_the_idle_link_of_a_session_is_detached(bus: Emulator) -> None:
    """Also not the one to `$cbs`: tokens are renewed over it once an hour."""
    with RawClient(bus.port) as raw:
        raw.attach_receiver("$cbs", 9, target="reply")
        raw.attach_sender("q1", 0)
        raw.attach_sender("q1", 2)
        for number in range(8):
            raw.transfer(text_message("a"), handle=2, delivery=number)
            time.sleep(IDLE / 4)
        detached = []
        for _ in range(9):  # the answers to eight transfers, and the detach
            code, fields, _ = raw.read()
            detached += [fields[0]] if code == codec.DETACH else []
        assert detached == [0]


def test_settling_granting_and_receiving_keep_a_link(bus: Emulator) -> None:
    with RawClient(bus.port) as raw:
        raw.attach_receiver("q2")
        for number in range(4):
            raw.flow(1, seen=number)
            time.sleep(IDLE / 2)
            with RawClient(bus.port) as other:
                other.attach_sender("q2")
                other.transfer(text_message("a"))
                raw.receive()
            time.sleep(IDLE / 2)
            raw.dispose(number, Described(ULong(codec.ACCEPTED), []))
            assert raw.expect(codec.DISPOSITION)[3] is True
        raw.send(codec.DETACH, [UInt(1), True, None])
        assert raw.expect(codec.DETACH)[2] is None


def test_the_sdk_sends_receives_and_settles_after_its_links_were_detached(bus: Emulator) -> None:
    ends = QueueEnds(bus, "q3")
    ends.send("before")
    held = ends.receive()
    time.sleep(2 * IDLE)
    ends.send("after")
    ends.receiver.complete_message(held)  # the lock outlives the link
    assert [str(message) for message in receive(ends.receiver)] == ["after"]
    assert [str(message) for message in ends.kept()] == ["after"]
