"""What the emulator says on the wire, where other clients are stricter than the Python SDK."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local.emulators.service_bus import codec
from local.emulators.service_bus.codec import Described, Int, Long, Symbol, Timestamp, UInt, ULong
from tests.emulators.service_bus_fixtures import (
    PATIENCE,
    SOURCE,
    TARGET,
    Emulator,
    RawClient,
    error_of,
    eventually,
    running,
    sas_token,
    text_message,
)

ACCEPTED = Described(ULong(codec.ACCEPTED), [])
RELEASED = Described(ULong(codec.RELEASED), [])
_numbers = itertools.count()


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    queues: dict[str, dict[str, Any]] = {f"q{number}": {} for number in range(80)}
    queues["once"] = {"RequiresDuplicateDetection": True}
    with running(tmp_path_factory.mktemp("wire"), queues) as emulator:
        yield emulator


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"q{next(_numbers)}"


@pytest.fixture
def raw(bus: Emulator) -> Iterator[RawClient]:
    with RawClient(bus.port) as client:
        yield client


def modified(*fields: Any) -> Described:
    return Described(ULong(codec.MODIFIED), list(fields))


def rejected(*fields: Any) -> Described:
    return Described(ULong(codec.REJECTED), list(fields))


def put(raw: RawClient, queue: str, *contents: bytes) -> None:
    """Attach a sender as handle 0 and send plain messages."""
    raw.attach_sender(queue)
    for number, content in enumerate(contents):
        raw.transfer(content, delivery=number)
        assert raw.until(codec.DISPOSITION)[0][4] == ACCEPTED


def get(raw: RawClient, queue: str, credit: int = 1, **link: Any) -> tuple[list[Any], Any]:
    """Attach a receiver as handle 1 and take one message."""
    raw.attach_receiver(queue, **link)
    raw.flow(credit)
    fields, content = raw.receive()
    return fields, codec.parse_message(content)


def settle(raw: RawClient, delivery: int, state: Any) -> list[Any]:
    """Settle as the SDK does, and the answer."""
    raw.dispose(delivery, state)
    return raw.until(codec.DISPOSITION)[0]


def header_of(content: bytes) -> list[Any]:
    assert content[:3] == b"\x00\x53\x70"
    fields: list[Any] = codec.decode(content, 3)[0]
    return fields


def peek(raw: RawClient, queue: str) -> list[codec.Sections]:
    """Every message in the queue."""
    body = {"from-sequence-number": Long(0), "message-count": Int(100)}
    _, answer = raw.request(f"{queue}/$management", "com.microsoft:peek-message", body)
    found = answer.value().get("messages", [])
    return [codec.parse_message(one["message"]) for one in found]


# ---------------------------------------------------------------- connection


def test_the_mechanism_that_dotnet_knows_is_offered_and_taken(bus: Emulator) -> None:
    with RawClient(bus.port, mechanism="MSSBCBS") as raw:
        assert set(raw.mechanisms.items) == {"MSSBCBS", "ANONYMOUS"}
        assert raw.sasl_code == 0


def test_an_unknown_mechanism_is_refused(bus: Emulator) -> None:
    with RawClient(bus.port, handshake=False) as raw:
        raw.socket.sendall(codec.SASL_HEADER)
        raw.take(8)
        raw.expect(codec.SASL_MECHANISMS)
        raw.send(codec.SASL_INIT, [Symbol("SCRAM-SHA-256")], kind=codec.SASL_FRAME)
        assert raw.expect(codec.SASL_OUTCOME)[0] == 1
        with pytest.raises(ConnectionResetError):
            raw.read()


def test_a_handshake_may_come_byte_by_byte_and_all_at_once(bus: Emulator) -> None:
    init = codec.performative(codec.SASL_INIT, [Symbol("ANONYMOUS")])
    begin = codec.performative(codec.BEGIN, [None, UInt(0), UInt(9), UInt(9)])
    stream = (
        codec.SASL_HEADER
        + codec.frame(0, init, codec.SASL_FRAME)
        + codec.AMQP_HEADER
        + codec.frame(0, codec.performative(codec.OPEN, ["c"]))
        + codec.frame(1, begin)
    )
    for pieces in ([stream[i : i + 1] for i in range(len(stream))], [stream]):
        with RawClient(bus.port, handshake=False) as raw:
            for piece in pieces:
                raw.socket.sendall(piece)
            assert raw.take(8) == codec.SASL_HEADER
            raw.expect(codec.SASL_MECHANISMS)
            raw.expect(codec.SASL_OUTCOME)
            assert raw.take(8) == codec.AMQP_HEADER
            raw.expect(codec.OPEN)
            assert raw.expect(codec.BEGIN)[0] == 1


def test_open_and_begin_are_answered_as_the_sdk_needs(raw: RawClient) -> None:
    assert raw.opened[2] == 65536
    assert raw.opened[4] == 120_000
    begun = raw.begin(channel=5)
    assert begun[0] == 5
    assert begun[2] == 2**31 - 1
    assert begun[7] == {}


def test_a_client_with_an_idle_timeout_gets_empty_frames(bus: Emulator) -> None:
    with RawClient(bus.port, idle=400) as raw:
        before = time.monotonic()
        beats = 0
        while beats < 4:
            beats += raw.frame() == b""
        assert time.monotonic() - before < 2


def test_what_comes_after_end_is_ignored(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue)
    raw.send(codec.END, [None])
    raw.send(codec.DETACH, [UInt(0), True, None])
    raw.send(codec.TRANSFER, [UInt(0), UInt(0), b"tag"], b"\x00")
    raw.expect(codec.END)
    raw.begin()  # the connection lives


def test_close_is_answered(raw: RawClient) -> None:
    raw.send(codec.CLOSE, [None])
    assert raw.expect(codec.CLOSE) == [None]
    with pytest.raises(ConnectionResetError):
        raw.read()


def test_detach_is_answered_and_the_handle_is_free(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue)
    raw.send(codec.DETACH, [UInt(0), True, None])
    assert raw.expect(codec.DETACH) == [0, True, None]
    assert raw.attach_sender(queue)[6] is not None


# ---------------------------------------------------------------- $cbs and routing


@pytest.mark.parametrize("message_id", [uuid.UUID(int=5), ULong(5), "five", b"5"])
def test_a_token_is_taken_and_the_answer_names_the_request(raw: RawClient, message_id: Any) -> None:
    fields, answer = raw.request("$cbs", "put-token", sas_token(), message_id=message_id)
    assert fields[4] is True
    found = answer.property_fields()[5]
    assert (type(found), found) == (type(message_id), message_id)
    values = {key: codec.decode(value)[0] for key, value in codec.map_items(answer.application)}
    assert values == {"status-code": 200, "status-description": "OK"}
    assert type(values["status-code"]) is Int


def test_a_request_is_accepted_like_any_transfer(raw: RawClient) -> None:
    raw.attach_receiver("$cbs", 9, target="reply")
    raw.attach_sender("$cbs", 8)
    raw.flow(1, handle=9)
    raw.transfer(codec.value_message(["1"], {"operation": "put-token"}, "t"), handle=8, delivery=3)
    assert raw.until(codec.DISPOSITION)[0][:5] == [True, 3, 3, True, ACCEPTED]


def test_an_answer_goes_to_the_link_that_reply_to_names(raw: RawClient, queue: str) -> None:
    node = f"{queue}/$management"
    raw.attach_receiver(node, 1, target="first")
    raw.attach_receiver(node, 2, target="second")
    raw.attach_sender(node, 8)
    for handle in (1, 2):
        raw.flow(9, handle=handle)
    for target, handle in (("second", 2), ("first", 1), (None, 1)):
        request = codec.value_message(["1", None, None, None, target], {"operation": "x"}, {})
        raw.transfer(request, handle=8)
        assert raw.receive()[0][0] == handle


def test_an_answer_goes_to_a_link_of_another_session(raw: RawClient, queue: str) -> None:
    node = f"{queue}/$management"
    raw.attach_receiver(node, 1, target="elsewhere")
    raw.flow(9, handle=1)
    raw.begin(channel=3)
    raw.send(
        codec.ATTACH,
        ["s", UInt(0), False, None, None, Described(SOURCE, []), Described(TARGET, [node])],
        channel=3,
    )
    request = codec.value_message(["1", None, None, None, "elsewhere"], {"operation": "x"}, {})
    raw.until(codec.FLOW)
    raw.send(codec.TRANSFER, [UInt(0), UInt(0), b"t"], request, channel=3)
    assert raw.receive()[0][0] == 1


def test_an_answer_waits_for_credit(raw: RawClient, queue: str) -> None:
    node = f"{queue}/$management"
    raw.attach_receiver(node, 1, target="r")
    raw.attach_sender(node, 8)
    raw.transfer(codec.value_message(["1"], {"operation": "x"}, {}), handle=8)
    raw.expect(codec.DISPOSITION)
    raw.flow(1)
    assert raw.expect(codec.TRANSFER)[0] == 1


# ---------------------------------------------------------------- links


@pytest.mark.parametrize("form", ["amqps://localhost:5671/{}", "{}", "/{}", "{}/"])
def test_an_address_may_have_any_clients_form(raw: RawClient, queue: str, form: str) -> None:
    address = form.format(queue.upper())
    put(raw, address, text_message("a"))
    assert get(raw, address)[1].value() == "a"


def test_an_attach_is_answered_in_kind(raw: RawClient, queue: str) -> None:
    sending = raw.attach_sender(queue)
    assert sending[2] is True
    assert sending[6] == Described(TARGET, [queue])
    assert sending[5] is not None
    assert sending[10] == 256 * 1024
    assert sending[13] == {Symbol("com.microsoft:max-message-batch-size"): 256 * 1024}
    receiving = raw.attach_receiver(queue, target="here")
    assert receiving[2:5] == [False, 0, 1]
    assert receiving[5].value[0] == queue
    assert receiving[6] == Described(TARGET, ["here"])
    assert receiving[9] == 0
    assert receiving[10] == 256 * 1024


@pytest.mark.parametrize("attach", [RawClient.attach_sender, RawClient.attach_receiver])
def test_an_unknown_queue_is_refused_with_null_ends(raw: RawClient, attach: Any) -> None:
    answer = attach(raw, "no-such-queue")
    assert answer[5:7] == [None, None]
    _, closed, error = raw.expect(codec.DETACH)
    assert closed is True
    assert error.value[0] == "amqp:not-found"
    assert len(error.value) == 3


def _session(raw: RawClient, queue: str) -> None:
    raw.attach_receiver(queue, filters={Symbol("com.microsoft:session-filter"): None})


def _transaction(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue, target=Described(ULong(codec.COORDINATOR), []))


def _subscription(raw: RawClient, queue: str) -> None:
    raw.attach_receiver("topic/Subscriptions/one")


def _transfer_dead_letters(raw: RawClient, queue: str) -> None:
    raw.attach_receiver(f"{queue}/$Transfer/$DeadLetterQueue")


@pytest.mark.parametrize(
    ("ask", "word"),
    [
        (_session, "sessions"),
        (_transaction, "transactions"),
        (_subscription, "topics"),
        (_transfer_dead_letters, "forward"),
    ],
)
def test_what_is_not_built_is_refused_in_words(
    raw: RawClient, queue: str, ask: Any, word: str
) -> None:
    ask(raw, queue)
    condition, text, _ = raw.expect(codec.DETACH)[2].value
    assert condition == "amqp:not-implemented"
    assert word in text


def test_senders_get_a_thousand_and_more_at_half(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue)
    assert raw.credit[5:7] == [0, 1000]
    for number in range(500):
        raw.transfer(text_message("a"), delivery=number, settled=True)
    assert raw.expect(codec.FLOW)[5:7] == [500, 1000]


def test_a_sender_that_is_settled_gets_no_answer(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue)
    raw.transfer(text_message("a"), settled=True)
    raw.transfer(text_message("b"), delivery=1)
    assert raw.expect(codec.DISPOSITION)[1] == 1


def test_delivery_tags_and_ids_may_repeat_on_a_new_link(raw: RawClient, queue: str) -> None:
    for handle in (3, 4):
        raw.attach_sender(queue, handle)
        raw.transfer(text_message("a"), handle=handle)
        assert raw.expect(codec.DISPOSITION)[4] == ACCEPTED
    assert len(peek(raw, queue)) == 2


# ---------------------------------------------------------------- credit


def test_credit_counts_from_the_clients_delivery_count(raw: RawClient, queue: str) -> None:
    put(raw, queue, *(text_message(str(number)) for number in range(5)))
    raw.attach_receiver(queue)
    raw.flow(2)
    for _ in range(2):
        raw.receive()
    raw.flow(2, seen=0)  # sent before the client saw what came: nothing is left of it
    raw.flow(1, seen=2)
    raw.receive()
    raw.flow(0, seen=3, echo=True)
    assert raw.read()[0] == codec.FLOW


def test_drain_gives_what_is_there_and_takes_the_rest_back(raw: RawClient, queue: str) -> None:
    put(raw, queue, text_message("a"))
    raw.attach_receiver(queue)
    raw.flow(5, drain=True)
    assert raw.read()[0] == codec.TRANSFER
    answer = raw.expect(codec.FLOW)
    assert (answer[4], answer[5], answer[6], answer[8]) == (1, 5, 0, True)


def test_drain_of_no_credit_is_answered(raw: RawClient, queue: str) -> None:
    raw.attach_receiver(queue)
    raw.flow(3)
    raw.flow(0, drain=True)
    answer = raw.expect(codec.FLOW)
    assert (answer[5], answer[6], answer[8]) == (0, 0, True)


def test_credit_taken_back_is_not_used(raw: RawClient, queue: str) -> None:
    raw.attach_receiver(queue)
    raw.flow(3)
    raw.flow(0)
    put(raw, queue, text_message("a"))
    raw.flow(0, echo=True)
    assert raw.read()[0] == codec.FLOW


def test_echo_is_answered_for_link_and_session(raw: RawClient, queue: str) -> None:
    raw.attach_receiver(queue)
    raw.flow(7, echo=True)
    answer = raw.expect(codec.FLOW)
    assert (answer[4], answer[5], answer[6]) == (1, 0, 7)
    fields: list[Any] = [UInt(1), UInt(9), UInt(0), UInt(9), None, None, None, None, None, True]
    raw.send(codec.FLOW, fields)
    assert raw.expect(codec.FLOW)[4] is None


def test_messages_are_shared_out_in_turns(bus: Emulator, queue: str) -> None:
    with RawClient(bus.port) as one, RawClient(bus.port) as other:
        for raw in (one, other):
            raw.attach_receiver(queue)
            raw.flow(10)
            raw.flow(10, echo=True)
            raw.expect(codec.FLOW)
        put(one, queue, *(text_message(str(number)) for number in range(4)))
        for raw in (one, other):
            raw.flow(0, seen=2, drain=True)
        for _ in range(2):
            other.receive()
        assert other.expect(codec.FLOW)[8] is True


def test_deliveries_wait_for_the_sessions_window(bus: Emulator, queue: str) -> None:
    with RawClient(bus.port, frame_size=512) as raw:
        raw.begin(window=3, channel=1)
        put(raw, queue, text_message("x" * 4000))
        source = Described(SOURCE, [queue])
        fields: list[Any] = ["r", UInt(1), True, None, None, source, Described(TARGET, [])]
        raw.send(codec.ATTACH, fields, channel=1)
        raw.expect(codec.ATTACH)

        def flow(transfers: int, window: int) -> None:
            head = [UInt(transfers), UInt(window), UInt(0), UInt(9)]
            raw.send(codec.FLOW, [*head, UInt(1), UInt(0), UInt(1)], channel=1)

        flow(1, 3)
        content = b""
        for _ in range(3):
            fields, payload = raw.until(codec.TRANSFER)
            content += payload
        raw.flow(0, handle=0, echo=True)  # nothing comes before the answer on the other session
        assert raw.read()[0] == codec.FLOW
        flow(4, 100)
        while fields[5]:
            fields, payload = raw.until(codec.TRANSFER)
            content += payload
        assert codec.parse_message(content).value() == "x" * 4000


# ---------------------------------------------------------------- messages out


def test_a_delivery_carries_what_clients_cast(raw: RawClient, queue: str) -> None:
    put(raw, queue, text_message("a"))
    raw.attach_receiver(queue)
    raw.flow(1)
    fields, content = raw.receive()
    assert len(fields[2]) == 16
    assert fields[3] == 0
    assert not fields[4]
    assert header_of(content)[4] == 0
    position = codec.skip(content, 3)
    token = codec.decode(content, position + 3)[0][Symbol("x-opt-lock-token")]
    assert content[position : position + 3] == b"\x00\x53\x71"
    assert token == uuid.UUID(bytes_le=fields[2])
    annotations = codec.parse_message(content).annotations
    found = {key: codec.decode(value)[0] for key, value in codec.map_items(annotations)}
    assert {key: type(value) for key, value in found.items()} == {
        "x-opt-sequence-number": Long,
        "x-opt-enqueued-time": Timestamp,
        "x-opt-locked-until": Timestamp,
        "x-opt-message-state": Int,
        "x-opt-enqueue-sequence-number": Long,
    }
    assert found["x-opt-locked-until"] >= found["x-opt-enqueued-time"] + 60_000


def test_the_senders_sections_keep_their_bytes(raw: RawClient, queue: str) -> None:
    properties = b"\x00\x53\x73\xd0\x00\x00\x00\x07\x00\x00\x00\x01\xa1\x01i"  # not the shortest
    values = {"long": Long(5), "int": Int(5), "symbol": Symbol("s"), "binary": b"\x00"}
    application = codec.encode(values)
    body = b"\x00\x53\x75\xb0\x00\x00\x00\x02ab"
    put(raw, queue, properties + b"\x00\x53\x74" + application + body)
    message = get(raw, queue)[1]
    assert message.properties == properties
    assert message.application == application
    assert message.body == body


def test_a_message_sent_on_gets_new_annotations(raw: RawClient, queue: str) -> None:
    own = {Symbol("x-opt-sequence-number"): Long(99), Symbol("x-own"): "kept"}
    own |= {Symbol("x-opt-locked-until"): Timestamp(5)}
    put(raw, queue, b"\x00\x53\x72" + codec.encode(own) + text_message("a"))
    found = dict(codec.map_items(peek(raw, queue)[0].annotations))
    assert found["x-opt-sequence-number"] == codec.encode(Long(1))
    assert found["x-own"] == codec.encode("kept")
    assert "x-opt-locked-until" not in found


def test_receive_and_delete_is_settled_and_its_settling_ignored(raw: RawClient, queue: str) -> None:
    put(raw, queue, text_message("a"))
    fields, message = get(raw, queue, settled=True)
    assert fields[4] is True
    assert len(fields[2]) == 16
    assert "x-opt-locked-until" not in dict(codec.map_items(message.annotations))
    raw.dispose(0, ACCEPTED, settled=True)
    raw.dispose(0, ACCEPTED)
    raw.flow(0, seen=1, echo=True)
    assert raw.read()[0] == codec.FLOW


def test_a_delivery_is_cut_to_the_clients_frames(bus: Emulator, queue: str) -> None:
    with RawClient(bus.port, frame_size=512) as raw:
        put(raw, queue, text_message("x" * 5000))
        raw.attach_receiver(queue)
        raw.flow(1)
        content = b""
        sizes = []
        more = True
        while more:
            body = raw.frame()
            sizes.append(len(body) + 8)
            _, fields, position = codec.decode_performative(body)
            content += body[position:]
            more = fields[5]
        assert max(sizes) <= 512
        assert len(sizes) > 10
        assert codec.parse_message(content).value() == "x" * 5000


# ---------------------------------------------------------------- messages in


def test_a_batch_is_known_by_its_format_and_its_envelope_ignored(
    raw: RawClient, queue: str
) -> None:
    envelope = b"\x00\x53\x73" + codec.encode(["first id"])
    inner = [text_message(text, f"id {text}") for text in ("a", "b")]
    batch = envelope + b"".join(b"\x00\x53\x75" + codec.encode(one) for one in inner)
    raw.attach_sender(queue)
    raw.transfer(batch, format=0x80013700)
    assert raw.expect(codec.DISPOSITION)[1:5] == [0, 0, True, ACCEPTED]
    found = [(one.value(), one.property_fields()[0]) for one in peek(raw, queue)]
    assert found == [("a", "id a"), ("b", "id b")]


def test_a_batch_with_one_broken_message_is_refused_whole(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue)
    batch = b"".join(b"\x00\x53\x75" + codec.encode(one) for one in (text_message("a"), b"\x01"))
    raw.transfer(batch, format=0x80013700)
    assert error_of(raw.expect(codec.DISPOSITION)[4])[0] == "amqp:decode-error"
    assert peek(raw, queue) == []


def test_a_delivery_may_come_in_many_transfers(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue)
    content = text_message("in three parts")
    raw.transfer(content[:5], more=True)
    raw.send(codec.TRANSFER, [UInt(0), None, None, None, None, True], content[5:9])
    raw.send(codec.TRANSFER, [UInt(0)], content[9:])
    assert raw.expect(codec.DISPOSITION)[4] == ACCEPTED
    assert peek(raw, queue)[0].value() == "in three parts"


def test_an_aborted_delivery_is_forgotten(raw: RawClient, queue: str) -> None:
    raw.attach_sender(queue)
    raw.transfer(text_message("a")[:5], more=True)
    raw.transfer(b"", aborted=True)
    raw.transfer(text_message("b"), delivery=1)
    assert raw.expect(codec.DISPOSITION)[1] == 1
    assert [one.value() for one in peek(raw, queue)] == ["b"]


def test_a_delivery_too_large_is_rejected_at_its_end_and_the_link_stays(
    raw: RawClient, queue: str
) -> None:
    raw.attach_sender(queue)
    raw.transfer(b"", more=True)
    for _ in range(40):
        raw.send(codec.TRANSFER, [UInt(0), None, None, None, None, True], b"x" * 60_000)
    raw.send(codec.TRANSFER, [UInt(0)], b"x")
    error = error_of(raw.expect(codec.DISPOSITION)[4])
    assert error[0] == "amqp:link:message-size-exceeded"
    assert len(error) == 3
    raw.transfer(text_message("small"), delivery=1)
    assert raw.expect(codec.DISPOSITION)[4] == ACCEPTED


def test_message_ids_of_different_types_are_different(raw: RawClient) -> None:
    ids = ["7", ULong(7), b"7", uuid.UUID(int=7), None, None]
    raw.attach_sender("once")
    for _ in range(2):
        for message_id in ids:
            raw.transfer(text_message("a", message_id))
            assert raw.expect(codec.DISPOSITION)[4] == ACCEPTED
    found = [one.property_fields()[0] for one in peek(raw, "once")]
    assert found[:4] == ids[:4]
    assert len(set(found)) == 8  # those that had none got one of their own each


# ---------------------------------------------------------------- settling


@pytest.mark.parametrize(
    ("state", "answer", "left"),
    [
        (ACCEPTED, ACCEPTED, []),
        (RELEASED, RELEASED, [0]),
        (modified(), modified(), [1]),
        (modified(False, False), modified(), [1]),
        (modified(True, False), modified(), [1]),
        (modified(None, True), modified(), [0]),
        (rejected(), rejected(), []),
        (rejected(Described(ULong(codec.ERROR), [Symbol("any:error")])), rejected(), []),
    ],
)
def test_an_outcome_is_done_and_echoed(
    raw: RawClient, queue: str, state: Described, answer: Described, left: list[int]
) -> None:
    put(raw, queue, text_message("a"))
    get(raw, queue)
    assert settle(raw, 0, state) == [False, 0, 0, True, answer, None]
    body = {"from-sequence-number": Long(0), "message-count": Int(9)}
    _, found = raw.request(f"{queue}/$management", "com.microsoft:peek-message", body)
    messages = found.value().get("messages", [])
    assert [header_of(one["message"])[4] for one in messages] == left
    dead = peek_dead(raw, queue)
    assert len(dead) == (1 if state.descriptor == codec.REJECTED else 0)


def peek_dead(raw: RawClient, queue: str) -> list[codec.Sections]:
    """Every message in the dead-letter queue."""
    raw.attach_receiver(f"{queue}/$DeadLetterQueue", 5)
    raw.flow(10, handle=5, drain=True)
    found = []
    while (read := raw.read())[0] == codec.TRANSFER:
        found.append(codec.parse_message(read[2]))
    return found


def test_a_settled_disposition_is_done_without_an_answer(raw: RawClient, queue: str) -> None:
    put(raw, queue, text_message("a"))
    get(raw, queue)
    raw.dispose(0, ACCEPTED, settled=True)
    raw.flow(0, seen=1, echo=True)
    assert raw.read()[0] == codec.FLOW
    assert peek(raw, queue) == []


def test_a_range_settles_all_in_it(raw: RawClient, queue: str) -> None:
    put(raw, queue, *(text_message(str(number)) for number in range(4)))
    get(raw, queue, credit=4)
    for _ in range(3):
        raw.receive()
    raw.dispose(1, ACCEPTED, last=2**32 - 1)
    assert [raw.expect(codec.DISPOSITION)[1] for _ in range(3)] == [1, 2, 3]
    assert [one.value() for one in peek(raw, queue)] == ["0"]


def test_settling_twice_does_nothing_the_second_time(raw: RawClient, queue: str) -> None:
    put(raw, queue, text_message("a"), text_message("b"))
    get(raw, queue, credit=2)
    raw.receive()
    settle(raw, 0, ACCEPTED)
    raw.dispose(0, ACCEPTED)
    assert settle(raw, 1, ACCEPTED)[1] == 1


def test_properties_to_modify_are_merged_by_both_ways_of_settling(
    raw: RawClient, queue: str
) -> None:
    put(raw, queue, text_message("a", own=Int(1), other=Long(2)))
    get(raw, queue)
    settle(raw, 0, modified(None, False, {Symbol("own"): "new"}))
    raw.flow(1, seen=1)
    token = uuid.UUID(bytes_le=raw.receive()[0][2])
    body = {
        "disposition-status": "abandoned",
        "lock-tokens": codec.Array(0x98, (token,)),
        "properties-to-modify": {"third": True},
    }
    raw.request(f"{queue}/$management", "com.microsoft:update-disposition", body)
    expected = codec.encode({"other": Long(2), "own": "new", "third": True})
    assert peek(raw, queue)[0].application == expected


def test_more_than_a_reason_may_come_with_a_dead_letter(raw: RawClient, queue: str) -> None:
    put(raw, queue, text_message("a"))
    get(raw, queue)
    info: dict[Any, Any] = {
        Symbol("DeadLetterReason"): "R",
        Symbol("DeadLetterErrorDescription"): None,
    }
    info |= {Symbol("extra"): Int(4)}
    error = Described(ULong(codec.ERROR), [Symbol("com.microsoft:dead-letter"), None, info])
    settle(raw, 0, rejected(error))
    found = dict(codec.map_items(peek_dead(raw, queue)[0].application))
    assert found == {"extra": codec.encode(Int(4)), "DeadLetterReason": codec.encode("R")}


def test_a_lock_outlives_its_link(bus: Emulator, raw: RawClient, queue: str) -> None:
    put(raw, queue, text_message("a"))
    fields, _ = get(raw, queue)
    raw.send(codec.DETACH, [UInt(1), True, None])
    raw.until(codec.DETACH)
    raw.dispose(0, ACCEPTED)  # of a link that is gone: ignored
    token = codec.Array(0x98, (uuid.UUID(bytes_le=fields[2]),))
    with RawClient(bus.port) as other:
        assert len(peek(other, queue)) == 1
        other.attach_receiver(queue, 3)
        other.flow(1, handle=3, drain=True)
        assert other.read()[0] == codec.FLOW  # nothing to receive
        body = {"disposition-status": "completed", "lock-tokens": token}
        other.request(f"{queue}/$management", "com.microsoft:update-disposition", body)
        assert peek(other, queue) == []


# ---------------------------------------------------------------- management


def _management(raw: RawClient, queue: str, operation: str, body: Any) -> tuple[int, Any, Any]:
    """Status code, error condition and body of an answer."""
    _, answer = raw.request(f"{queue}/$management", operation, body)
    found = {key: codec.decode(value)[0] for key, value in codec.map_items(answer.application)}
    assert type(found["statusCode"]) is Int
    assert isinstance(found["statusDescription"], str)
    return int(found["statusCode"]), found.get("errorCondition"), answer.value()


def test_an_unknown_operation_is_not_implemented(raw: RawClient, queue: str) -> None:
    for operation in ("com.microsoft:get-message-sessions", "com.microsoft:add-rule", "x"):
        found = _management(raw, queue, operation, {})
        assert found == (501, "amqp:not-implemented", {})


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("any", "InvalidToken"),
        (7, "InvalidToken"),
        ("SharedAccessSignature ", "InvalidSignature"),
        ("SharedAccessSignature sig=%00&skn=%FF&&=", "InvalidSignature"),
        (sas_token(key="wrong"), "InvalidSignature"),
        (sas_token(key_name="local"), "InvalidSignature"),
        (sas_token() + "&se=99999999999", "InvalidSignature"),
        (sas_token(seconds=-5), "ExpiredToken"),
    ],
)
def test_a_token_that_is_not_good_gets_401_and_opens_nothing(
    bus: Emulator, queue: str, token: Any, reason: str
) -> None:
    with RawClient(bus.port, authorize=False) as raw:
        answer = raw.put_token(Int(token) if isinstance(token, int) else token)
        assert answer["status-code"] == 401
        assert answer["status-description"].startswith(reason)
        for attach in (raw.attach_sender, raw.attach_receiver):
            assert attach(queue)[5:7] == [None, None]
            assert raw.expect(codec.DETACH)[2].value[0] == "amqp:unauthorized-access"
        assert raw.put_token(sas_token())["status-code"] == 200
        put(raw, queue, text_message("a"))


@pytest.mark.parametrize(
    ("operation", "body", "status", "condition"),
    [
        ("peek-message", {"message-count": Int(1), "from-sequence-number": Long(1)}, 204, None),
        (
            "renew-lock",
            {"lock-tokens": codec.Array(0x98, (uuid.UUID(int=1),))},
            410,
            "com.microsoft:message-lock-lost",
        ),
        (
            "update-disposition",
            {
                "disposition-status": "completed",
                "lock-tokens": codec.Array(0x98, (uuid.UUID(int=1),)),
            },
            410,
            "com.microsoft:message-lock-lost",
        ),
        (
            "cancel-scheduled-message",
            {"sequence-numbers": codec.Array(0x81, (Long(1),))},
            404,
            "com.microsoft:message-not-found",
        ),
        (
            "receive-by-sequence-number",
            {
                "sequence-numbers": codec.Array(0x81, (Long(1),)),
                "receiver-settle-mode": UInt(1),
            },
            404,
            "com.microsoft:message-not-found",
        ),
    ],
)
def test_what_is_not_there_has_its_own_status(
    raw: RawClient, queue: str, operation: str, body: Any, status: int, condition: str | None
) -> None:
    found = _management(raw, queue, f"com.microsoft:{operation}", body)
    assert found == (status, condition, {})


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("renew-lock", None),
        ("renew-lock", {}),
        ("renew-lock", {"lock-tokens": ["text"]}),
        ("renew-lock", {"lock-tokens": codec.Array(0x98, ())}),
        ("peek-message", {"message-count": Int(0), "from-sequence-number": Long(1)}),
        ("peek-message", {"message-count": "1", "from-sequence-number": Long(1)}),
        ("peek-message", {"message-count": ULong(2**64 - 1), "from-sequence-number": Long(1)}),
        ("schedule-message", {"messages": [{"message": text_message("no time")}]}),
        ("schedule-message", {"messages": [{"message": "text"}]}),
        ("schedule-message", {"messages": [{"message": b"\x00"}]}),
        ("schedule-message", {"messages": [None]}),
        ("cancel-scheduled-message", {"sequence-numbers": [2.5]}),
        ("update-disposition", {"disposition-status": "lost", "lock-tokens": [uuid.UUID(int=1)]}),
        ("update-disposition", {"disposition-status": "abandoned", "properties-to-modify": "x"}),
    ],
)
def test_a_request_that_is_not_well_formed_is_refused(
    raw: RawClient, queue: str, operation: str, body: Any
) -> None:
    found = _management(raw, queue, f"com.microsoft:{operation}", body)
    assert found == (400, "amqp:decode-error", {})


def test_nothing_is_scheduled_in_a_dead_letter_queue(raw: RawClient, queue: str) -> None:
    when = {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(2**41)}
    content = b"\x00\x53\x72" + codec.encode(when) + text_message("a")
    body = {"messages": [{"message": content}]}
    grave = f"{queue}/$DeadLetterQueue"
    found = _management(raw, grave, "com.microsoft:schedule-message", body)
    assert found == (400, "amqp:not-allowed", {})
    assert peek(raw, grave) == []


def test_what_is_scheduled_comes_within_a_moment_of_its_time(raw: RawClient, queue: str) -> None:
    due = int((time.time() + 0.5) * 1000)
    when = {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(due)}
    put(raw, queue, b"\x00\x53\x72" + codec.encode(when) + text_message("a"))
    get(raw, queue)
    assert 0 <= time.time() * 1000 - due < PATIENCE * 1000


def test_a_request_whose_answer_cannot_be_sent_is_done(raw: RawClient, queue: str) -> None:
    when = {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(2**41)}
    content = b"\x00\x53\x72" + codec.encode(when) + text_message("a")
    body = {"messages": [{"message": content}]}
    raw.attach_sender(f"{queue}/$management", 4)
    operation = {"operation": "com.microsoft:schedule-message"}
    raw.transfer(codec.value_message(["1"], operation, body), handle=4)
    assert raw.expect(codec.DISPOSITION)[4] == ACCEPTED
    eventually(lambda: len(peek(raw, queue)) == 1)
