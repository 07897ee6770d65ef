"""The emulator's AMQP types: what is encoded comes back, and no bytes do harm."""

from __future__ import annotations

import contextlib
import math
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.emulators.service_bus import codec
from local.emulators.service_bus.codec import AmqpDecodeError, decode, encode


def _whole(kind: type, bits: int, *, signed: bool) -> st.SearchStrategy[Any]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high).map(kind)


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    _text,
    st.text(st.characters(max_codepoint=127), max_size=300).map(codec.Symbol),
    st.characters(exclude_categories=["Cs"]).map(codec.Char),
    st.binary(max_size=300),
    st.floats(allow_nan=False),
    st.floats(width=32, allow_nan=False).map(codec.Float),
    st.uuids(),
    _whole(codec.UByte, 8, signed=False),
    _whole(codec.UShort, 16, signed=False),
    _whole(codec.UInt, 32, signed=False),
    _whole(codec.ULong, 64, signed=False),
    _whole(codec.Byte, 8, signed=True),
    _whole(codec.Short, 16, signed=True),
    _whole(codec.Int, 32, signed=True),
    _whole(codec.Long, 64, signed=True),
    _whole(codec.Timestamp, 64, signed=True),
    st.binary(min_size=8, max_size=8).map(lambda data: codec.Decimal(0x84, data)),
)
_arrays = st.one_of(
    st.lists(_whole(codec.Long, 64, signed=True)).map(lambda i: codec.Array(0x81, tuple(i))),
    st.lists(st.uuids()).map(lambda i: codec.Array(0x98, tuple(i))),
    st.lists(_text).map(lambda i: codec.Array(0xB1, tuple(i))),
    st.lists(st.lists(st.booleans())).map(lambda i: codec.Array(0xD0, tuple(i))),
)
_values = st.recursive(
    st.one_of(_scalars, _arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.dictionaries(_text, inner, max_size=8),
        st.builds(codec.Described, _whole(codec.ULong, 64, signed=False), inner),
    ),
    max_leaves=20,
)


def _typed(value: Any) -> Any:
    """A value with the type of everything in it, for a comparison in which UInt is not Int."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [_typed(item) for item in value]
    return type(value).__name__, value


@given(_values)
def test_a_value_comes_back_with_its_types(value: Any) -> None:
    data = encode(value)
    found, end = decode(data)
    assert _typed(found) == _typed(value)
    assert end == len(data)


@given(_values, st.binary(max_size=3))
def test_skipping_a_value_ends_where_decoding_it_does(value: Any, behind: bytes) -> None:
    data = encode(value)
    assert codec.skip(data + behind, 0) == len(data)


@given(_values, st.data())
def test_a_value_cut_short_is_refused(value: Any, data: st.DataObject) -> None:
    whole = encode(value)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(AmqpDecodeError):
        decode(cut)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for read in (decode, codec.parse_message, codec.batch_messages, codec.decode_performative):
        with contextlib.suppress(AmqpDecodeError):  # any other exception fails the test
            read(data)


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_whole_however_the_bytes_are_cut(
    bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(codec.frame(7, body) for body in bodies)
    reader = codec.FrameReader(1024)
    found = []
    position = turn = 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        reader.feed(stream[position : position + size])
        position, turn = position + size, turn + 1
        while (one := reader.frame()) is not None:
            found.append(one)
    assert found == [(0, 7, body) for body in bodies]


@given(st.dictionaries(_text, _values, max_size=6), st.dictionaries(_text, _values, max_size=4))
def test_merging_maps_keeps_the_bytes_of_what_stays(
    own: dict[str, Any], changes: dict[str, Any]
) -> None:
    merged = codec.map_merge(encode(own), {key: encode(item) for key, item in changes.items()})
    assert dict(codec.map_items(merged)) == {k: encode(v) for k, v in (own | changes).items()}


def test_a_removed_key_is_gone_from_a_map() -> None:
    assert codec.map_merge(encode({"a": True, "b": False}), {"a": None}) == encode({"b": False})


@pytest.mark.parametrize(
    ("value", "hexadecimal"),
    [
        (codec.UInt(0), "43"),
        (codec.UInt(255), "52ff"),
        (codec.UInt(256), "7000000100"),
        (codec.ULong(0), "44"),
        (codec.ULong(0x24), "5324"),
        (codec.ULong(2**32), "800000000100000000"),
        (codec.Int(-1), "54ff"),
        (codec.Int(128), "7100000080"),
        (codec.Long(1), "5501"),
        (codec.Long(-129), "81ffffffffffffff7f"),
        (codec.Timestamp(1), "830000000000000001"),
        (True, "41"),
        (None, "40"),
        ([], "45"),
        ({}, "c10100"),
        ("é", "a102c3a9"),
        (codec.Symbol("a"), "a30161"),
        (b"\0", "a00100"),
        (b"x" * 256, "b000000100" + "78" * 256),
        (uuid.UUID(int=1), "98" + "0" * 31 + "1"),
        (codec.Array(0x98, ()), "f0000000050000000098"),
        (codec.Described(codec.ULong(0x24), []), "00532445"),
    ],
)
def test_a_value_has_its_shortest_encoding(value: Any, hexadecimal: str) -> None:
    assert encode(value).hex() == hexadecimal


def test_an_integer_without_an_amqp_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"UInt\(5\)"):
        encode(5)


def test_a_float_that_is_no_number_survives() -> None:
    assert math.isnan(decode(encode(math.nan))[0])


@pytest.mark.parametrize(
    "data",
    [
        b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff",  # a list that says it has 2^32 items
        b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x41",  # as many items of no bytes
        b"\xb0\xff\xff\xff\xff",
        b"\xc1\x02\x01\x40",  # a key without a value
        b"\xc1\x03\x02\x45\x40",  # a list as a key
        b"\xa1\x01\xff",  # not UTF-8
        b"\xa3\x01\xff",  # not ASCII
        b"\x73\x00\x11\x00\x00",  # beyond Unicode
        b"\x99",
        b"",
        b"\x00" * 100_000,
        b"\xd0\x00\x01\x00\x00\x00\x00\x00\x01" * 7000,
    ],
)
def test_bytes_that_lie_about_themselves_are_refused(data: bytes) -> None:
    with pytest.raises(AmqpDecodeError):
        decode(data)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}])
def test_values_nested_too_deep_are_refused(wrap: Any) -> None:
    value: Any = None
    for _ in range(codec.MAX_DEPTH + 2):
        value = wrap(value)
    with pytest.raises(AmqpDecodeError, match="nested"):
        decode(encode(value))


def test_a_frame_over_the_limit_is_refused_by_its_header() -> None:
    reader = codec.FrameReader(512)
    reader.feed(struct.pack(">IBBH", 513, 2, 0, 0))
    with pytest.raises(AmqpDecodeError, match="513"):
        reader.frame()


@pytest.mark.parametrize("header", [(7, 2), (8, 1), (8, 3)])
def test_a_frame_header_that_cannot_be_is_refused(header: tuple[int, int]) -> None:
    reader = codec.FrameReader(512)
    reader.feed(struct.pack(">IBBH", *header, 0, 0))
    with pytest.raises(AmqpDecodeError):
        reader.frame()


@pytest.mark.parametrize(
    ("code", "count"),
    [
        (codec.OPEN, 10),
        (codec.BEGIN, 8),
        (codec.ATTACH, 14),
        (codec.FLOW, 11),
        (codec.TRANSFER, 11),
        (codec.DISPOSITION, 6),
        (codec.DETACH, 3),
        (codec.END, 1),
        (codec.CLOSE, 1),
    ],
)
def test_every_field_of_a_performative_is_written(code: int, count: int) -> None:
    body = codec.performative(code, [])
    assert body[:3] == bytes((0, 0x53, code))
    assert decode(body)[0].value == [None] * count


def test_a_message_keeps_the_bytes_of_its_body() -> None:
    body = b"\x00\x53\x75\xa0\x02ab" + b"\x00\x53\x78" + encode({})
    assert codec.parse_message(body).body == body


@pytest.mark.parametrize(
    "content",
    [
        b"",  # no body
        b"\x00\x53\x70" + encode([]),
        b"\x00\x53\x77\x40\x00\x53\x70\x45",  # header behind the body
        b"\x00\x53\x74" + encode([]) + b"\x00\x53\x77\x40",  # properties that are no map
        b"\x00\x53\x73" + encode([]) + b"\x00\x53\x73" + encode([]) + b"\x00\x53\x77\x40",
        b"\x00\x53\x10\x45",
    ],
)
def test_a_message_with_wrong_sections_is_refused(content: bytes) -> None:
    with pytest.raises(AmqpDecodeError):
        codec.parse_message(content)


def test_a_batch_is_cut_into_its_messages() -> None:
    batch = b"".join(b"\x00\x53\x75" + encode(one) for one in (b"first", b"second"))
    assert codec.batch_messages(batch) == [b"first", b"second"]
