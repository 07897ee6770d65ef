"""AMQP 1.0 types, frames and message sections, as pure functions over bytes.

Source of every rule: OASIS AMQP 1.0, part 1 (types), part 2 (transport) and part 3 (messaging).
Decoding keeps the AMQP type of a value in its Python type, so what is encoded again is the same.
Whatever a peer sends, decoding ends in a value or in AmqpDecodeError, and never takes more memory
than a small multiple of the bytes it was given.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_DEPTH = 32  # lists in maps in lists: real messages need four


class AmqpDecodeError(Exception):
    """Bytes are not AMQP 1.0; the text says what was wrong with them."""


class Symbol(str):
    """AMQP symbol."""

    __slots__ = ()


class Char(str):
    """AMQP char: one Unicode character."""

    __slots__ = ()


class UByte(int):
    """AMQP ubyte."""

    __slots__ = ()


class UShort(int):
    """AMQP ushort."""

    __slots__ = ()


class UInt(int):
    """AMQP uint."""

    __slots__ = ()


class ULong(int):
    """AMQP ulong."""

    __slots__ = ()


class Byte(int):
    """AMQP byte."""

    __slots__ = ()


class Short(int):
    """AMQP short."""

    __slots__ = ()


class Int(int):
    """AMQP int."""

    __slots__ = ()


class Long(int):
    """AMQP long."""

    __slots__ = ()


class Timestamp(int):
    """AMQP timestamp: milliseconds since 1970, UTC."""

    __slots__ = ()


class Float(float):
    """AMQP float (32 bits); a plain Python float is an AMQP double."""

    __slots__ = ()


class Decimal(NamedTuple):
    """A decimal32, decimal64 or decimal128, kept as the bytes it came in."""

    code: int
    data: bytes


class Described(NamedTuple):
    """A value with a descriptor (a ULong or a Symbol)."""

    descriptor: Any
    value: Any


class Array(NamedTuple):
    """An AMQP array; `code` is the widest constructor of its items' type."""

    code: int
    items: tuple[Any, ...]


# ---------------------------------------------------------------- encoding

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_I8 = struct.Struct(">b")
_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")
_F32 = struct.Struct(">f")
_F64 = struct.Struct(">d")
_FRAME = struct.Struct(">IBBH")


def _encode_uint(value: int) -> bytes:
    if value == 0:
        return b"\x43"
    return bytes((0x52, value)) if value < 256 else b"\x70" + _U32.pack(value)


def _encode_ulong(value: int) -> bytes:
    if value == 0:
        return b"\x44"
    return bytes((0x53, value)) if value < 256 else b"\x80" + _U64.pack(value)


def _encode_int(value: int) -> bytes:
    return b"\x54" + _I8.pack(value) if -128 <= value < 128 else b"\x71" + _I32.pack(value)


def _encode_long(value: int) -> bytes:
    return b"\x55" + _I8.pack(value) if -128 <= value < 128 else b"\x81" + _I64.pack(value)


def _sized(short: int, data: bytes) -> bytes:
    """Variable-width encoding: one-byte length where it fits, else four bytes (code + 0x10)."""
    size = len(data)
    if size < 256:
        return bytes((short, size)) + data
    return bytes((short + 0x10,)) + _U32.pack(size) + data


def _compound(short: int, count: int, data: bytes) -> bytes:
    """List or map encoding from the encoded items."""
    size = len(data)
    if size < 255 and count < 256:
        return bytes((short, size + 1, count)) + data
    return bytes((short + 0x10,)) + _U32.pack(size + 4) + _U32.pack(count) + data


def _encode_list(value: list[Any] | tuple[Any, ...]) -> bytes:
    if not value:
        return b"\x45"
    return _compound(0xC0, len(value), b"".join(map(encode, value)))


def _encode_map(value: dict[Any, Any]) -> bytes:
    data = b"".join(encode(key) + encode(item) for key, item in value.items())
    return _compound(0xC1, len(value) * 2, data)


def _wide(data: bytes, count: int) -> bytes:
    """A list, map or array body with the four-byte size and count that array items have."""
    return _U32.pack(len(data) + 4) + _U32.pack(count) + data


# Array items share one constructor, so each is written in its widest form.
_ARRAY_ITEM: dict[int, Callable[[Any], bytes]] = {
    0x56: lambda v: b"\x01" if v else b"\x00",
    0x50: lambda v: bytes((v,)),
    0x60: _U16.pack,
    0x70: _U32.pack,
    0x80: _U64.pack,
    0x51: _I8.pack,
    0x61: _I16.pack,
    0x71: _I32.pack,
    0x81: _I64.pack,
    0x72: _F32.pack,
    0x82: _F64.pack,
    0x73: lambda v: v.encode("utf-32-be"),
    0x83: _I64.pack,
    0x98: lambda v: v.bytes,
    0xB0: lambda v: _U32.pack(len(v)) + v,
    0xB1: lambda v: _U32.pack(len(v.encode())) + v.encode(),
    0xB3: lambda v: _U32.pack(len(v)) + v.encode("ascii"),
    0x40: lambda v: b"",
    0x74: lambda v: v.data,
    0x84: lambda v: v.data,
    0x94: lambda v: v.data,
    0xD0: lambda v: _wide(b"".join(map(encode, v)), len(v)),
    0xD1: lambda v: _wide(b"".join(encode(k) + encode(i) for k, i in v.items()), len(v) * 2),
    0xF0: lambda v: _encode_array(v)[1:],
}
# The widest constructor for each narrower one.
_WIDEST = {0x41: 0x56, 0x42: 0x56, 0x43: 0x70, 0x52: 0x70, 0x44: 0x80, 0x53: 0x80, 0x54: 0x71}
_WIDEST |= {0x55: 0x81, 0xA0: 0xB0, 0xA1: 0xB1, 0xA3: 0xB3, 0x45: 0xD0, 0xC0: 0xD0, 0xC1: 0xD1}
_WIDEST |= {0xE0: 0xF0}


def _encode_array(value: Array) -> bytes:
    item = _ARRAY_ITEM[value.code]
    data = bytes((value.code,)) + b"".join(map(item, value.items))
    return b"\xf0" + _wide(data, len(value.items))


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda v: b"\x40",
    bool: lambda v: b"\x41" if v else b"\x42",
    str: lambda v: _sized(0xA1, v.encode()),
    Symbol: lambda v: _sized(0xA3, v.encode("ascii")),
    Char: lambda v: b"\x73" + v.encode("utf-32-be"),
    bytes: lambda v: _sized(0xA0, v),
    UByte: lambda v: bytes((0x50, v)),
    UShort: lambda v: b"\x60" + _U16.pack(v),
    UInt: _encode_uint,
    ULong: _encode_ulong,
    Byte: lambda v: b"\x51" + _I8.pack(v),
    Short: lambda v: b"\x61" + _I16.pack(v),
    Int: _encode_int,
    Long: _encode_long,
    Timestamp: lambda v: b"\x83" + _I64.pack(v),
    Float: lambda v: b"\x72" + _F32.pack(v),
    float: lambda v: b"\x82" + _F64.pack(v),
    uuid.UUID: lambda v: b"\x98" + v.bytes,
    Decimal: lambda v: bytes((v.code,)) + v.data,
    Described: lambda v: b"\x00" + encode(v.descriptor) + encode(v.value),
    list: _encode_list,
    dict: _encode_map,
    Array: _encode_array,
}


def encode(value: Any) -> bytes:
    """The AMQP encoding of a value in its shortest form.

    Integers must carry their AMQP type (UInt(5), Long(5)); a plain int raises TypeError.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise TypeError(f"{type(value).__name__} has no AMQP type: wrap it, e.g. UInt(5).")
    return encoder(value)


# ---------------------------------------------------------------- decoding

# Bytes of a fixed-width value by the high half of its constructor.
_WIDTH = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}

_FIXED: dict[int, Callable[[bytes, int], Any]] = {
    0x40: lambda b, p: None,
    0x41: lambda b, p: True,
    0x42: lambda b, p: False,
    0x43: lambda b, p: UInt(0),
    0x44: lambda b, p: ULong(0),
    0x45: lambda b, p: [],
    0x50: lambda b, p: UByte(b[p]),
    0x51: lambda b, p: Byte(_I8.unpack_from(b, p)[0]),
    0x52: lambda b, p: UInt(b[p]),
    0x53: lambda b, p: ULong(b[p]),
    0x54: lambda b, p: Int(_I8.unpack_from(b, p)[0]),
    0x55: lambda b, p: Long(_I8.unpack_from(b, p)[0]),
    0x56: lambda b, p: b[p] != 0,
    0x60: lambda b, p: UShort(_U16.unpack_from(b, p)[0]),
    0x61: lambda b, p: Short(_I16.unpack_from(b, p)[0]),
    0x70: lambda b, p: UInt(_U32.unpack_from(b, p)[0]),
    0x71: lambda b, p: Int(_I32.unpack_from(b, p)[0]),
    0x72: lambda b, p: Float(_F32.unpack_from(b, p)[0]),
    0x73: lambda b, p: Char(b[p : p + 4].decode("utf-32-be")),
    0x74: lambda b, p: Decimal(0x74, b[p : p + 4]),
    0x80: lambda b, p: ULong(_U64.unpack_from(b, p)[0]),
    0x81: lambda b, p: Long(_I64.unpack_from(b, p)[0]),
    0x82: lambda b, p: _F64.unpack_from(b, p)[0],
    0x83: lambda b, p: Timestamp(_I64.unpack_from(b, p)[0]),
    0x84: lambda b, p: Decimal(0x84, b[p : p + 8]),
    0x94: lambda b, p: Decimal(0x94, b[p : p + 16]),
    0x98: lambda b, p: uuid.UUID(bytes=b[p : p + 16]),
}

_VARIABLE: dict[int, Callable[[bytes], Any]] = {
    0xA0: bytes,
    0xA1: lambda b: b.decode(),
    0xA3: lambda b: Symbol(b.decode("ascii")),
}


def decode(data: bytes, position: int = 0) -> tuple[Any, int]:
    """The value at `position` and the position after it; AmqpDecodeError if there is none."""
    try:
        return _decode(data, position, 0)
    except AmqpDecodeError:
        raise
    except (struct.error, IndexError, ValueError, TypeError) as exc:
        raise AmqpDecodeError(f"not an AMQP value at byte {position}: {exc}") from exc


def _decode(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    code = data[position]
    if code == 0:
        if depth > MAX_DEPTH:
            raise AmqpDecodeError(f"values are nested more than {MAX_DEPTH} deep")
        descriptor, position = _decode(data, position + 1, depth + 1)
        value, position = _decode(data, position, depth + 1)
        return Described(descriptor, value), position
    return _decode_as(code, data, position + 1, depth)


def _decode_as(code: int, data: bytes, position: int, depth: int) -> tuple[Any, int]:
    fixed = _FIXED.get(code)
    if fixed is not None:
        end = position + _WIDTH[code >> 4]
        if end > len(data):
            raise AmqpDecodeError("a value is cut off")
        return fixed(data, position), end
    start, end = _extent(code, data, position)
    variable = _VARIABLE.get(code & 0xEF)
    if variable is not None:
        return variable(data[start:end]), end
    if depth > MAX_DEPTH:
        raise AmqpDecodeError(f"values are nested more than {MAX_DEPTH} deep")
    if code in (0xE0, 0xF0):
        return _decode_array(code, data, start, end, depth), end
    if code not in (0xC0, 0xD0, 0xC1, 0xD1):
        raise AmqpDecodeError(f"unknown constructor 0x{code:02x}")
    count, position = _count(code, data, start, end)
    items = []
    for _ in range(count):
        item, position = _decode(data, position, depth + 1)
        items.append(item)
    if position != end:
        raise AmqpDecodeError("a list or map is longer or shorter than it says")
    if code in (0xC0, 0xD0):
        return items, end
    if count % 2:
        raise AmqpDecodeError("a map has a key without a value")
    return dict(zip(items[::2], items[1::2], strict=True)), end


def _extent(code: int, data: bytes, position: int) -> tuple[int, int]:
    """Where the content of a sized value starts and ends."""
    if code >> 4 in (0xA, 0xC, 0xE):
        start = position + 1
        end = start + data[position]
    elif code >> 4 in (0xB, 0xD, 0xF):
        start = position + 4
        end = start + int(_U32.unpack_from(data, position)[0])
    else:
        raise AmqpDecodeError(f"unknown constructor 0x{code:02x}")
    if end > len(data):
        raise AmqpDecodeError("a value is cut off")
    return start, end


def _count(code: int, data: bytes, start: int, end: int) -> tuple[int, int]:
    """How many items a compound value says it has, and where the first starts."""
    width = 1 if code >> 4 in (0xC, 0xE) else 4
    if end - start < width:
        raise AmqpDecodeError("a list, map or array has no room for its count")
    count = data[start] if width == 1 else _U32.unpack_from(data, start)[0]
    if count > end - start:  # also bounds arrays of items that take no bytes at all
        raise AmqpDecodeError("a list, map or array has fewer bytes than items")
    return count, start + width


def _decode_array(code: int, data: bytes, start: int, end: int, depth: int) -> Array:
    count, position = _count(code, data, start, end)
    item_code = data[position]
    position += 1
    if item_code == 0:
        raise AmqpDecodeError("arrays of described values are not understood here")
    items = []
    for _ in range(count):
        item, position = _decode_as(item_code, data, position, depth + 1)
        items.append(item)
    if position != end:
        raise AmqpDecodeError("an array is longer or shorter than it says")
    return Array(_WIDEST.get(item_code, item_code), tuple(items))


def skip(data: bytes, position: int) -> int:
    """The position after the value at `position`, without looking into it."""
    wanted = 1
    try:
        while wanted:
            code = data[position]
            position += 1
            if code == 0:
                wanted += 1  # a descriptor, then the value itself
                continue
            width = _WIDTH.get(code >> 4)
            position = position + width if width is not None else _extent(code, data, position)[1]
            wanted -= 1
    except (struct.error, IndexError) as exc:
        raise AmqpDecodeError("a value is cut off") from exc
    if position > len(data):
        raise AmqpDecodeError("a value is cut off")
    return position


# ---------------------------------------------------------------- maps kept as bytes

EMPTY_MAP = b"\xc1\x01\x00"


def _map_body(data: bytes) -> tuple[int, bytes]:
    code = data[0]
    if code not in (0xC1, 0xD1):
        raise AmqpDecodeError("a map was expected")
    start, end = _extent(code, data, 1)
    count, start = _count(code, data, start, end)
    if count % 2:
        raise AmqpDecodeError("a map has a key without a value")
    return count, data[start:end]


def map_items(data: bytes) -> Iterator[tuple[Any, bytes]]:
    """Each key of an encoded map, decoded, with its value still encoded."""
    count, body = _map_body(data)
    position = 0
    for _ in range(count // 2):
        key, position = decode(body, position)
        if isinstance(key, (list, dict, tuple)):
            raise AmqpDecodeError("a key of a map must be one plain value")
        end = skip(body, position)
        yield key, body[position:end]
        position = end
    if position != len(body):
        raise AmqpDecodeError("a map is longer or shorter than it says")


def map_merge(data: bytes, changes: dict[Any, bytes | None]) -> bytes:
    """An encoded map with encoded values set (or, where None, taken out) by key.

    The values that stay keep their bytes, and so their AMQP types.
    """
    merged = {key: value for key, value in map_items(data) if key not in changes}
    merged.update((key, value) for key, value in changes.items() if value is not None)
    return _compound(0xC1, len(merged) * 2, b"".join(encode(k) + v for k, v in merged.items()))


# ---------------------------------------------------------------- frames

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_FRAME, SASL_FRAME = 0, 1
FRAME_HEADER = 8

OPEN, BEGIN, ATTACH, FLOW, TRANSFER = 0x10, 0x11, 0x12, 0x13, 0x14
DISPOSITION, DETACH, END, CLOSE = 0x15, 0x16, 0x17, 0x18
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
ERROR = 0x1D
ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27
SOURCE, TARGET, COORDINATOR = 0x28, 0x29, 0x30

# How many fields each performative has. All are written: some clients read them by position.
_FIELDS = {
    OPEN: 10,
    BEGIN: 8,
    ATTACH: 14,
    FLOW: 11,
    TRANSFER: 11,
    DISPOSITION: 6,
    DETACH: 3,
    END: 1,
    CLOSE: 1,
    SASL_MECHANISMS: 1,
    SASL_INIT: 3,
    SASL_OUTCOME: 2,
}

EMPTY_FRAME = _FRAME.pack(FRAME_HEADER, 2, AMQP_FRAME, 0)


def performative(code: int, fields: list[Any]) -> bytes:
    """A performative or SASL body with the missing fields at its end written as null."""
    padded = fields + [None] * (_FIELDS[code] - len(fields))
    return b"\x00\x53" + bytes((code,)) + _encode_list(padded)


def frame(channel: int, body: bytes, kind: int = AMQP_FRAME) -> bytes:
    """A whole frame around an encoded body."""
    return _FRAME.pack(FRAME_HEADER + len(body), 2, kind, channel) + body


def decode_performative(body: bytes) -> tuple[int, list[Any], int]:
    """Descriptor code, fields (padded with None) and where the payload starts."""
    value, position = decode(body)
    if not isinstance(value, Described) or not isinstance(value.value, list):
        raise AmqpDecodeError("a frame must hold a described list")
    code, fields = value.descriptor, value.value
    if not isinstance(code, ULong) or code not in _FIELDS:
        raise AmqpDecodeError(f"unknown performative {code!r}")
    if len(fields) > _FIELDS[code]:
        raise AmqpDecodeError(f"performative 0x{code:02x} has too many fields")
    return int(code), fields + [None] * (_FIELDS[code] - len(fields)), position


class FrameReader:
    """Cuts a byte stream, in whatever pieces it comes, into frames of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        """`limit` is the max-frame-size offered to the peer, in bytes."""
        self._limit = limit
        self._buffer = bytearray()
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Add bytes that arrived."""
        del self._buffer[: self._position]
        self._position = 0
        self._buffer += data

    def take(self, size: int) -> bytes | None:
        """The next `size` bytes (a protocol header) once they are all there, else None."""
        end = self._position + size
        if len(self._buffer) < end:
            return None
        taken = bytes(self._buffer[self._position : end])
        self._position = end
        return taken

    def frame(self) -> tuple[int, int, bytes] | None:
        """Kind, channel and body of the next frame once it is complete, else None.

        AmqpDecodeError if the bytes are no frame or the frame is too large.
        """
        buffer, start = self._buffer, self._position
        if len(buffer) - start < FRAME_HEADER:
            return None
        size, offset, kind, channel = _FRAME.unpack_from(buffer, start)
        if size > self._limit:
            raise AmqpDecodeError(f"a frame of {size} bytes is larger than {self._limit}")
        if offset < 2 or offset * 4 > size:
            raise AmqpDecodeError("a frame's header does not fit its size")
        if len(buffer) - start < size:
            return None
        self._position = start + size
        return kind, channel, bytes(buffer[start + offset * 4 : start + size])


# ---------------------------------------------------------------- message sections

_HEADER, _DELIVERY_ANNOTATIONS, _MESSAGE_ANNOTATIONS = 0x70, 0x71, 0x72
PROPERTIES, _APPLICATION_PROPERTIES = 0x73, 0x74
_DATA, _SEQUENCE, _VALUE, _FOOTER = 0x75, 0x76, 0x77, 0x78


@dataclass(slots=True)
class Sections:
    """A message cut into sections. Bytes are the sender's own, never decoded and re-encoded.

    `annotations` and `application` are encoded maps; `properties` is a whole section or empty;
    `body` is the body sections and the footer. `ttl` is in milliseconds.
    """

    durable: bool = False
    priority: int | None = None
    ttl: int | None = None
    annotations: bytes = EMPTY_MAP
    properties: bytes = b""
    application: bytes = EMPTY_MAP
    body: bytes = b""

    def property_fields(self) -> list[Any]:
        """The thirteen fields of the properties section, None where absent."""
        fields: Any = decode(self.properties)[0].value if self.properties else []
        if not isinstance(fields, list):
            raise AmqpDecodeError("the properties section must be a list")
        return fields + [None] * (13 - len(fields))

    def value(self) -> Any:
        """The content of an amqp-value body; AmqpDecodeError for any other kind of body."""
        code, start = _section(self.body, 0) if self.body else (0, 0)
        if code != _VALUE:
            raise AmqpDecodeError("the body must be one amqp-value")
        return decode(self.body, start)[0]


def _section(data: bytes, position: int) -> tuple[int, int]:
    """Descriptor code of the section at `position`, and where its value starts."""
    if data[position : position + 2] == b"\x00\x53" and position + 2 < len(data):
        return data[position + 2], position + 3
    if data[position : position + 2] == b"\x00\x80" and position + 10 <= len(data):
        return int(_U64.unpack_from(data, position + 2)[0]), position + 10
    raise AmqpDecodeError("a message section must start with its descriptor")


def parse_message(data: bytes, *, is_cut_off: bool = False) -> Sections:
    """Cut an encoded message into its sections; AmqpDecodeError if it is not one.

    Of a message that `is_cut_off` somewhere in its body, all but the body is read.
    """
    message = Sections()
    position = previous = 0
    while position < len(data):
        code, start = _section(data, position)
        if code < previous or not _HEADER <= code <= _FOOTER:
            raise AmqpDecodeError(f"section 0x{code:02x} is unknown or out of order")
        if code in (_DATA, _SEQUENCE, _VALUE, _FOOTER):
            if not message.body:
                message.body = data[position:]
            if is_cut_off:
                break
        elif code == previous:
            raise AmqpDecodeError(f"section 0x{code:02x} comes twice")
        end = skip(data, start)
        if code == _HEADER:
            _parse_header(message, data, start)
        elif code == _MESSAGE_ANNOTATIONS:
            message.annotations = _whole_map(data[start:end])
        elif code == PROPERTIES:
            message.properties = data[position:end]
        elif code == _APPLICATION_PROPERTIES:
            message.application = _whole_map(data[start:end])
        position, previous = end, code
    if not message.body:
        raise AmqpDecodeError("a message must have a body")
    return message


def _parse_header(message: Sections, data: bytes, start: int) -> None:
    fields = decode(data, start)[0]
    if not isinstance(fields, list):
        raise AmqpDecodeError("the header section must be a list")
    durable, priority, ttl = (fields + [None] * 3)[:3]
    message.durable = durable is True
    message.priority = priority if isinstance(priority, UByte) else None
    message.ttl = ttl if isinstance(ttl, UInt) else None


def _whole_map(data: bytes) -> bytes:
    for _ in map_items(data):
        pass
    return data


def batch_messages(data: bytes) -> list[bytes]:
    """The encoded messages in a batch (message-format 0x80013700): one in each data section."""
    found = []
    position = 0
    while position < len(data):
        code, start = _section(data, position)
        end = skip(data, start)
        if code == _DATA:
            content = decode(data, start)[0]
            if not isinstance(content, bytes):
                raise AmqpDecodeError("a data section must be binary")
            found.append(content)
        position = end
    if not found:
        raise AmqpDecodeError("a batch must hold at least one message")
    return found


def build_message(message: Sections, delivery_count: int, delivery_annotations: bytes) -> bytes:
    """The bytes a receiver gets. `delivery_annotations` is an encoded map or empty."""
    header = [
        message.durable,
        None if message.priority is None else UByte(message.priority),
        None if message.ttl is None else UInt(min(message.ttl, 0xFFFFFFFF)),
        None,
        UInt(delivery_count),
    ]
    return b"".join(
        (
            b"\x00\x53\x70" + encode(header),
            b"\x00\x53\x71" + delivery_annotations if delivery_annotations else b"",
            b"\x00\x53\x72" + message.annotations,
            message.properties,
            b"\x00\x53\x74" + message.application if message.application != EMPTY_MAP else b"",
            message.body,
        )
    )


def rebuild_message(message: Sections) -> bytes:
    """The bytes of a changed message, to be parsed again."""
    return build_message(message, 0, b"")


def value_message(properties: list[Any], application: dict[str, Any], value: Any) -> bytes:
    """An encoded message with properties, application properties and an amqp-value body."""
    return (
        b"\x00\x53\x73"
        + encode(properties)
        + b"\x00\x53\x74"
        + encode(application)
        + b"\x00\x53\x77"
        + encode(value)
    )
