"""The AMQP 1.0 side of the emulator: connections, sessions, links and who gets which message.

One event-loop turn works like this: bytes that arrived change the queues and leave answers waiting,
then messages go to receivers with credit, then the store commits, and only then the answers are
written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import sqlite3
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from . import management, messages
from .codec import (
    ACCEPTED,
    AMQP_FRAME,
    AMQP_HEADER,
    ATTACH,
    BEGIN,
    CLOSE,
    COORDINATOR,
    DETACH,
    DISPOSITION,
    EMPTY_FRAME,
    END,
    ERROR,
    FLOW,
    FRAME_HEADER,
    MODIFIED,
    OPEN,
    REJECTED,
    RELEASED,
    SASL_FRAME,
    SASL_HEADER,
    SASL_INIT,
    SASL_MECHANISMS,
    SASL_OUTCOME,
    SOURCE,
    TARGET,
    TRANSFER,
    AmqpDecodeError,
    Array,
    Described,
    FrameReader,
    Symbol,
    UByte,
    UInt,
    ULong,
    UShort,
    batch_messages,
    decode_performative,
    frame,
    parse_message,
    performative,
)
from .queues import Broker, Lock, Message, Queue

log = logging.getLogger(__name__)

# Both are anonymous: what opens the queues is the token. .NET's SDK knows the first only.
MECHANISMS = ("MSSBCBS", "ANONYMOUS")
BATCH_FORMAT = 0x80013700

MAX_FRAME_SIZE = 65536
SMALLEST_FRAME_SIZE = 512  # every AMQP peer must take frames of this size
IDLE_SECONDS = 120.0
LINK_IDLE_SECONDS = 600.0  # as in Azure
# How late waiting messages notice that the wall clock was set, and that it was moved forward.
SET_SECONDS = 10.0
MOVED_SECONDS = 0.2
CHANNEL_MAX = 255
HANDLE_MAX = 255
MAX_LINKS = 1024  # of one connection
WINDOW = 2**31 - 1  # clients count transfers by delivery, so this one is never policed
SENDER_CREDIT = 1000
# Bytes a connection may make us hold: messages still arriving, answers that are not read.
MAX_HELD = 16 * 1024 * 1024
MAX_UNREAD = 16 * 1024 * 1024  # bytes a client leaves unread before it is dropped
ENVELOPE = 64 * 1024  # bytes that a request may have beside the message in it
BURST = 256 * 1024  # bytes of deliveries for a connection in one turn

# HTTP clients get the reason in the form that clients of the management API read.
_NO_HTTP = (
    b"<Error><Code>501</Code><Detail>This emulator speaks AMQP over TCP only: it has no web sockets"
    b" and no management over HTTP. Queues are those of its queue file.</Detail></Error>"
)
NO_HTTP = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_NO_HTTP), _NO_HTTP)
)
_HTTP_METHOD = re.compile(rb"GET /|PUT /|POST /|DELETE /|HEAD /")
_ADDRESS_PREFIX = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)


class AmqpError(Exception):
    """A request of the peer ends its link or connection with this error condition."""

    def __init__(self, condition: str, text: str) -> None:
        """`condition` is an AMQP error symbol; `text` says what to do."""
        super().__init__(text)
        self.condition = condition


def amqp_error(condition: str, text: str) -> Described:
    """An AMQP error with all three members: clients index them without a check."""
    return Described(ULong(ERROR), [Symbol(condition), text, {}])


def outcome(code: int, error: Described | None = None) -> Described:
    """A delivery state."""
    return Described(ULong(code), [] if error is None else [error])


@dataclass(frozen=True, slots=True)
class Node:
    """What an address names: a queue, its management node, or `$cbs` (queue is None)."""

    name: str
    queue: Queue | None
    is_request_node: bool


class Server:
    """Serves a broker's queues on one port of 127.0.0.1."""

    def __init__(
        self,
        broker: Broker,
        idle_seconds: float = IDLE_SECONDS,
        link_idle_seconds: float = LINK_IDLE_SECONDS,
    ) -> None:
        """A peer silent for twice `idle_seconds`, which peers are sent, is disconnected.

        A link on which nothing is sent, received or settled for `link_idle_seconds` is detached.
        """
        self.broker = broker
        self.idle_seconds = idle_seconds
        self.link_idle_seconds = link_idle_seconds
        self.receivers: dict[Queue, deque[Outbound]] = {}
        self.connections: set[Connection] = set()
        self.waiting: set[Connection] = set()  # connections with answers to write
        self.failed: asyncio.Future[sqlite3.Error] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._emptied = asyncio.Event()  # set when the last connection went
        self._turn_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port (a free one for 0). Raises OSError if it cannot."""
        self._listener = await self._loop.create_server(lambda: Connection(self), host, port)
        self.wake()
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Say goodbye to every client, write what is due, and close."""
        if self._listener is not None:
            self._listener.close()
        self._emptied.clear()
        for connection in list(self.connections):
            connection.close("amqp:connection:forced", "The emulator is stopping: connect again.")
        if not self.failed.done():
            self._turn()
        if self._timer is not None:
            self._timer.cancel()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), 1)
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the aborted connections go

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self.waiting.discard(connection)
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def wake(self) -> None:
        """Finish this turn once everything that arrived with it was handled."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def fail(self, error: sqlite3.Error) -> None:
        """The store does not work any more: nothing may be answered, so stop."""
        if not self.failed.done():
            self.failed.set_result(error)
        for connection in list(self.connections):
            connection.transport.abort()

    def _turn(self) -> None:
        self._turn_is_due = False
        if self.failed.done():
            return
        broker = self.broker
        try:
            deadline = broker.next_deadline()
            if deadline is not None and deadline <= broker.now():
                broker.run_timers()
            while broker.ready:
                self._hand_out(broker.ready.pop())
            broker.commit()
            deadline = broker.next_deadline()
        except sqlite3.Error as exc:
            self.fail(exc)
            return
        while self.waiting:
            self.waiting.pop().flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay = max(0.0, (deadline - broker.now()) / 1000)
            # The wall clock may be set meanwhile, so look again from time to time.
            longest = SET_SECONDS if broker.clock is None else MOVED_SECONDS
            self._timer = self._loop.call_later(min(delay, longest), self.wake)

    def _hand_out(self, queue: Queue) -> None:
        """Give the queue's messages to its receivers, in turns."""
        links = self.receivers.get(queue)
        if links is None:
            return
        passed = 0
        empty = False
        while passed < len(links):
            link = links[0]
            passed += 1
            if link.can_take():
                found = queue.receive(lock=not link.settled)
                if found is None:
                    empty = True
                    break  # the same link is the first to get the next message
                link.deliver(*found)
                passed = 0
            links.rotate(-1)
        for link in links:
            if link.drain and (empty or not link.credit):
                link.finish_drain()


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, server: Server) -> None:
        """Made by the listener for each client."""
        self.server = server
        self.transport: asyncio.Transport
        self.max_frame_size = SMALLEST_FRAME_SIZE
        self.held = 0  # bytes of messages still arriving and of answers that wait
        self.sessions: dict[int, Session] = {}
        self.is_authorized = False  # by a good token on `$cbs`
        self._reader = FrameReader(MAX_FRAME_SIZE)
        self._wants_header = True
        self._in_sasl = False
        self._opened = False
        self._closing = False
        self._paused = False
        self._starved = False  # a receiver waits for room in the buffers
        self._out: list[bytes] = []
        self._out_size = 0
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._link_timer: asyncio.TimerHandle | None = None
        self._beat_timer: asyncio.TimerHandle | None = None

    # -------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to watch for silence."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self.transport = transport
        self.server.connections.add(self)
        self._watch_silence()
        self._watch_links()

    def data_received(self, data: bytes) -> None:
        """Handle what is complete of the bytes so far."""
        self._heard_at = self._loop.time()
        self._reader.feed(data)
        try:
            while not self._closing and self._step():
                pass
        except AmqpDecodeError as exc:
            self.close("amqp:decode-error", f"The bytes sent are not AMQP 1.0: {exc}.")
        except AmqpError as exc:
            self.close(exc.condition, str(exc))
        except sqlite3.Error as exc:
            self.server.fail(exc)
        self.server.wake()

    def pause_writing(self) -> None:
        """The client reads slowly: no more deliveries for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        self.feed_receivers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; the locks of its receivers go on until they end."""
        self._closing = True
        for timer in (self._idle_timer, self._link_timer, self._beat_timer):
            if timer is not None:
                timer.cancel()
        for session in self.sessions.values():
            session.drop_links()
        self.sessions.clear()
        self.server.forget(self)

    # -------------------------------------------------------- out

    def send(self, channel: int, body: bytes, kind: int = AMQP_FRAME) -> None:
        """Write a frame once this turn is committed."""
        self.send_raw(frame(channel, body, kind))

    def send_raw(self, data: bytes) -> None:
        """Write bytes once this turn is committed."""
        self._out.append(data)
        self._out_size += len(data)
        self.server.waiting.add(self)
        self.server.wake()

    def has_room(self) -> bool:
        """Whether a delivery may be sent now; if not, the receivers are fed again later."""
        if self._paused or self._out_size > BURST:
            self._starved = True
            return False
        return not self._closing

    def flush(self) -> None:
        """Write what waits. Only after the commit."""
        data = b"".join(self._out)
        self._out.clear()
        self._out_size = 0
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > MAX_UNREAD:
            log.warning("A client that does not read its answers was disconnected.")
            self.transport.abort()
        elif self._closing:
            self.transport.close()
        elif self._starved and not self._paused:
            self.feed_receivers()

    def feed_receivers(self) -> None:
        """Let the queues of this connection's receivers hand out again."""
        self._starved = False
        for session in self.sessions.values():
            session.feed_receivers()

    def close(self, condition: str | None = None, text: str = "") -> None:
        """Close with an error, or without one as the answer to a close."""
        if self._closing:
            return
        if self._opened:
            error = None if condition is None else amqp_error(condition, text)
            self.send(0, performative(CLOSE, [error]))
        self._closing = True
        self.server.waiting.add(self)
        self.server.wake()

    # -------------------------------------------------------- in

    def _step(self) -> bool:
        """Handle the next header or frame; False if it is not complete yet."""
        if self._wants_header:
            header = self._reader.take(len(AMQP_HEADER))
            if header is not None:
                self._on_header(header)
            return header is not None
        found = self._reader.frame()
        if found is None:
            return False
        kind, channel, body = found
        if self._in_sasl != (kind == SASL_FRAME) or kind not in (AMQP_FRAME, SASL_FRAME):
            raise AmqpDecodeError(f"a frame of type {kind} has no place here")
        if body:  # an empty frame only says that the peer is alive
            code, fields, position = decode_performative(body)
            self._on_frame(channel, code, fields, body[position:])
        return True

    def _on_header(self, header: bytes) -> None:
        if header == SASL_HEADER and not self._in_sasl:
            self._in_sasl = True
            self._wants_header = False
            offered = Array(0xB3, tuple(Symbol(name) for name in MECHANISMS))
            self.send_raw(SASL_HEADER)
            self.send(0, performative(SASL_MECHANISMS, [offered]), SASL_FRAME)
        elif header == AMQP_HEADER:
            self._in_sasl = False
            self._wants_header = False
            self.send_raw(AMQP_HEADER)
        else:
            if header[0] == 0x16 or header.startswith(b"AMQP\x02"):
                log.warning(
                    "A client tried TLS: add UseDevelopmentEmulator=true to its connection string."
                    " Web sockets and the management API are not served."
                )
            is_http = _HTTP_METHOD.match(header) is not None
            # Otherwise the header that would have been understood.
            self.send_raw(NO_HTTP if is_http else SASL_HEADER)
            self._closing = True

    def _on_frame(self, channel: int, code: int, fields: list[Any], payload: bytes) -> None:
        if code == SASL_INIT and self._in_sasl:
            self._on_sasl_init(fields)
        elif self._in_sasl or (code == OPEN) == self._opened:
            raise AmqpError("amqp:illegal-state", f"Performative 0x{code:02x} came out of order.")
        elif code == OPEN:
            self._on_open(fields)
        elif code == CLOSE:
            self.close()
        elif code == BEGIN:
            self._on_begin(channel, fields)
        else:
            session = self.sessions.get(channel)
            # Clients send more on a channel after its end, and mean nothing by it.
            if session is not None and session.on_frame(code, fields, payload):
                del self.sessions[channel]

    def _on_sasl_init(self, fields: list[Any]) -> None:
        known = fields[0] in MECHANISMS
        self.send(0, performative(SASL_OUTCOME, [UByte(0 if known else 1)]), SASL_FRAME)
        self._wants_header = known
        self._closing = not known

    def _on_open(self, fields: list[Any]) -> None:
        self._opened = True
        self.max_frame_size = max(SMALLEST_FRAME_SIZE, _number(fields[2], 2**32 - 1))
        idle = UInt(int(self.server.idle_seconds * 1000))
        answer = [
            "service-bus-emulator",
            fields[1] if isinstance(fields[1], str) else None,
            UInt(MAX_FRAME_SIZE),
            UShort(CHANNEL_MAX),
            idle,
            None,
            None,
            None,
            None,
            {Symbol("product"): "service-bus-emulator"},
        ]
        self.send(0, performative(OPEN, answer))
        patience = _number(fields[4], 0) / 1000
        if patience:
            self._beat(max(patience / 2, 0.05))

    def _on_begin(self, channel: int, fields: list[Any]) -> None:
        if channel in self.sessions:
            raise AmqpError("amqp:illegal-state", f"Channel {channel} has a session already.")
        if channel > CHANNEL_MAX:
            raise AmqpError("amqp:connection:framing-error", f"Use channels up to {CHANNEL_MAX}.")
        self.sessions[channel] = Session(self, channel, fields)

    # -------------------------------------------------------- time

    def now(self) -> float:
        """The event loop's time in seconds."""
        return self._loop.time()

    def _beat(self, interval: float) -> None:
        """Show the client that this side is alive, as often as it wants."""
        self._beat_timer = self._loop.call_later(interval, self._beat, interval)
        self.send_raw(EMPTY_FRAME)

    def _watch_silence(self) -> None:
        left = self._heard_at + 2 * self.server.idle_seconds - self._loop.time()
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._watch_silence)
            return
        self.close(
            "amqp:resource-limit-exceeded",
            "Nothing came for too long: send empty frames or connect again.",
        )
        self._idle_timer = self._loop.call_later(1, self.transport.abort)

    def _watch_links(self) -> None:
        """Detach the links that were idle for too long, and look again when the next may be."""
        now = self._loop.time()
        oldest = now - self.server.link_idle_seconds
        first = now
        for session in self.sessions.values():
            first = min(first, session.detach_idle(oldest))
        self._link_timer = self._loop.call_later(first - oldest, self._watch_links)


class Session:
    """One AMQP session; its channel and its handles have the same numbers on both sides."""

    def __init__(self, connection: Connection, channel: int, fields: list[Any]) -> None:
        """Answers the client's begin, whose fields these are."""
        self.connection = connection
        self.server = connection.server
        self.links: dict[int, Inbound | Outbound] = {}
        self.unsettled: dict[int, tuple[Outbound, uuid.UUID]] = {}
        self._channel = channel
        self._next_incoming_id = _number(fields[1], 0)
        self._next_outgoing_id = 1
        self._window = min(_number(fields[2], 0), WINDOW)
        self._next_delivery_id = 0
        self._backlog: deque[bytes] = deque()  # transfers that wait for the client's window
        self.send(
            BEGIN,
            [
                UShort(channel),
                UInt(self._next_outgoing_id),
                UInt(WINDOW),
                UInt(WINDOW),
                UInt(HANDLE_MAX),
                None,
                None,
                {},
            ],
        )

    def send(self, code: int, fields: list[Any]) -> None:
        """Send a performative on this session."""
        self.connection.send(self._channel, performative(code, fields))

    def has_room(self) -> bool:
        """Whether the client takes another delivery on this session now."""
        return not self._backlog and self._window > 0 and self.connection.has_room()

    def transfer(self, handle: int, tag: bytes, settled: bool, payload: bytes) -> int:
        """Send a delivery, cut to the client's frame size; its delivery id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = (delivery_id + 1) & 0xFFFFFFFF
        start, first = 0, True
        while first or start < len(payload):
            names = [UInt(delivery_id), tag, UInt(0)] if first else [None, None, None]
            head = [UInt(handle), *names, settled]
            room = (
                self.connection.max_frame_size
                - FRAME_HEADER
                - len(performative(TRANSFER, [*head, True]))
            )
            end = start + room
            body = performative(TRANSFER, [*head, end < len(payload)]) + payload[start:end]
            self._send_transfer(body)
            start, first = end, False
        return delivery_id

    def _send_transfer(self, body: bytes) -> None:
        if self._backlog or self._window <= 0:
            self._backlog.append(body)
            return
        self._window -= 1
        self._next_outgoing_id = (self._next_outgoing_id + 1) & 0xFFFFFFFF
        self.connection.send(self._channel, body)

    def feed_receivers(self) -> None:
        """Let the queues of this session's receivers hand out again."""
        for link in self.links.values():
            if isinstance(link, Outbound):
                link.feed()

    def detach_idle(self, oldest: float) -> float:
        """Detach the links not used since `oldest`; when the first of the others was used."""
        for handle, link in list(self.links.items()):
            # Tokens are renewed over `$cbs` once an hour, so Azure lets it be.
            if link.used_at <= oldest and link.node.queue is not None:
                self._drop(handle, link)
                text = link.idle_text(self.server.link_idle_seconds)
                self.send(DETACH, [handle, True, amqp_error("amqp:link:detach-forced", text)])
        return min(
            (link.used_at for link in self.links.values() if link.used_at > oldest),
            default=math.inf,
        )

    def _drop(self, handle: int, link: Inbound | Outbound) -> None:
        del self.links[handle]
        link.drop()
        self.unsettled = {id_: one for id_, one in self.unsettled.items() if one[0] is not link}

    def drop_links(self) -> None:
        """Take every link out of service."""
        for link in self.links.values():
            link.drop()
        self.links.clear()
        self.unsettled.clear()

    # -------------------------------------------------------- in

    def on_frame(self, code: int, fields: list[Any], payload: bytes) -> bool:
        """Handle one performative; True if it ended the session."""
        if code == TRANSFER:
            self._on_transfer(fields, payload)
        elif code == DISPOSITION:
            self._on_disposition(fields)
        elif code == FLOW:
            self._on_flow(fields)
        elif code == ATTACH:
            self._on_attach(fields)
        elif code == DETACH:
            self._on_detach(fields)
        elif code == END:
            self.drop_links()
            self.send(END, [None])
            return True
        return False

    def _on_attach(self, fields: list[Any]) -> None:
        name, handle = fields[0], fields[1]
        if not isinstance(name, str) or not isinstance(handle, UInt) or handle > HANDLE_MAX:
            raise AmqpError(
                "amqp:invalid-field", f"attach needs a name and a handle up to {HANDLE_MAX}."
            )
        if handle in self.links:
            raise AmqpError("amqp:session:handle-in-use", f"Handle {handle} is attached already.")
        if sum(len(s.links) for s in self.connection.sessions.values()) >= MAX_LINKS:
            raise AmqpError("amqp:resource-limit-exceeded", f"Use at most {MAX_LINKS} links.")
        client_receives = fields[2] is True
        try:
            node = self._node(fields, client_receives)
        except AmqpError as exc:
            log.warning("A link was refused: %s", exc)
            count = UInt(0) if client_receives else None
            head = [name, handle, not client_receives, fields[3], fields[4]]
            self.send(ATTACH, [*head, None, None, None, None, count, None, None, None, {}])
            self.send(DETACH, [handle, True, amqp_error(exc.condition, str(exc))])
            return
        if client_receives:
            self.links[handle] = Outbound(self, fields, node)
        else:
            self.links[handle] = Inbound(self, fields, node)

    def _node(self, fields: list[Any], client_receives: bool) -> Node:
        """What the link is attached to; AmqpError if it cannot be."""
        terminus = fields[5] if client_receives else fields[6]
        code, content = _terminus(terminus)
        if code == COORDINATOR:
            raise AmqpError(
                management.NOT_IMPLEMENTED, "This emulator has no transactions: send without one."
            )
        if code != (SOURCE if client_receives else TARGET) or not isinstance(content[0], str):
            raise AmqpError("amqp:invalid-field", "Name the queue in the address of the link.")
        filters = content[7] if client_receives else None
        if isinstance(filters, dict) and "com.microsoft:session-filter" in filters:
            raise AmqpError(
                management.NOT_IMPLEMENTED, "This emulator has no sessions: receive without one."
            )
        node = self._find(content[0])
        if node.queue is not None and not self.connection.is_authorized:
            raise AmqpError(
                "amqp:unauthorized-access",
                "Put a token signed with the emulator's key to $cbs first.",
            )
        if (
            not (client_receives or node.is_request_node or node.queue is None)
            and node.queue.dead_letters is None
        ):
            raise AmqpError(management.NOT_ALLOWED, messages.NO_SENDING)
        return node

    def _find(self, address: str) -> Node:
        name = _ADDRESS_PREFIX.sub("", address).strip("/").lower()
        if name == "$cbs":
            return Node(name, None, is_request_node=True)
        entity = name.removesuffix("/$management")
        queue = self.server.broker.find(entity)
        if queue is not None:
            return Node(name, queue, is_request_node=entity != name)
        if "/subscriptions/" in entity:
            raise AmqpError(
                management.NOT_IMPLEMENTED, "This emulator has no topics: use a queue instead."
            )
        if entity.endswith("/$transfer/$deadletterqueue"):
            raise AmqpError(
                management.NOT_IMPLEMENTED, "This emulator does not forward, so nothing is there."
            )
        raise AmqpError(
            "amqp:not-found",
            f"There is no queue {entity!r}: add it to the emulator's queue file and start again."
            " Topics are not served.",
        )

    def _link(self, handle: Any) -> Inbound | Outbound | None:
        return self.links.get(handle) if isinstance(handle, UInt) else None

    def _on_detach(self, fields: list[Any]) -> None:
        link = self._link(fields[0])
        if link is None:
            return  # the answer to our own detach
        self._drop(fields[0], link)
        self.send(DETACH, [fields[0], fields[1] is True, None])

    def _on_flow(self, fields: list[Any]) -> None:
        seen = _number(fields[0], 1)  # before our begin arrived: our first transfer id
        self._window = _distance(seen + min(_number(fields[1], 0), WINDOW), self._next_outgoing_id)
        while self._backlog and self._window > 0:
            waiting, self._backlog = self._backlog, deque()
            while waiting and self._window > 0:
                self._send_transfer(waiting.popleft())
            self._backlog = waiting
        self.feed_receivers()
        if fields[4] is None:
            if fields[9] is True:
                self.send_flow([])
            return
        link = self._link(fields[4])
        if isinstance(link, Outbound):
            link.on_flow(fields)
        elif isinstance(link, Inbound) and fields[9] is True:
            link.send_credit()

    def send_flow(self, link_fields: list[Any]) -> None:
        """Send the session's windows, and a link's state after them."""
        self.send(
            FLOW,
            [
                UInt(self._next_incoming_id),
                UInt(WINDOW),
                UInt(self._next_outgoing_id),
                UInt(WINDOW),
                *link_fields,
            ],
        )

    def _on_transfer(self, fields: list[Any], payload: bytes) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) & 0xFFFFFFFF
        link = self._link(fields[0])
        if isinstance(link, Inbound):
            link.on_transfer(fields, payload)

    def _on_disposition(self, fields: list[Any]) -> None:
        first, last, settled, state = fields[1], fields[2], fields[3] is True, fields[4]
        if fields[0] is not True or not isinstance(first, UInt):
            return  # about what the client sent, which is settled already
        if not isinstance(last, UInt):
            last = first
        if last - first < len(self.unsettled):
            ids = [i for i in range(first, last + 1) if i in self.unsettled]
        else:  # the ends of a range are the client's word: walk what is known instead
            ids = sorted(i for i in self.unsettled if first <= i <= last)
        for delivery_id in ids:
            link, token = self.unsettled[delivery_id]
            answer = link.settle(token, state)
            if answer is None and not settled:
                continue
            del self.unsettled[delivery_id]
            if not settled:
                number = UInt(delivery_id)
                self.send(DISPOSITION, [False, number, number, True, answer])

    def respond(self, node: Node, reply_to: Any, content: bytes) -> None:
        """Send the response to a request on the link it belongs to, if there is one."""
        for session in self.connection.sessions.values():
            for link in session.links.values():
                if isinstance(link, Outbound) and reply_to and link.target == reply_to:
                    link.answer(content)
                    return
        for link in self.links.values():
            if isinstance(link, Outbound) and link.node.name == node.name:
                link.answer(content)
                return
        log.warning("A request to %s was answered, but no link receives the answer.", node.name)


class Link:
    """What both kinds of links are: an end of something, in use or idle."""

    _AZURE = ("", "")  # what Azure calls such a link, for its error texts

    def __init__(self, session: Session, fields: list[Any], node: Node) -> None:
        """`fields` are those of the client's attach."""
        self.node = node
        self._session = session
        self._name: str = fields[0]
        self._handle = UInt(fields[1])
        self.use()

    def use(self) -> None:
        """Something is sent, received or settled on the link, or credit is granted."""
        self.used_at = self._session.connection.now()

    def idle_text(self, seconds: float) -> str:
        """Azure's words for a link that was idle for so long."""
        code, details = self._AZURE
        return (
            f"The link '{self._name}' is force detached. Code: {code}(link{self._handle})."
            f" Details: {details}.IdleTimerExpired: Idle timeout: {timedelta(seconds=seconds)}."
        )


class Inbound(Link):
    """A link the client sends on, to a queue or to a request node."""

    _AZURE = ("publisher", "AmqpMessagePublisher")

    def __init__(self, session: Session, fields: list[Any], node: Node) -> None:
        """Answers the client's attach, whose fields these are, and grants credit."""
        super().__init__(session, fields, node)
        self._delivery_count = _number(fields[9], 0)
        self._credit = SENDER_CREDIT
        self._content = bytearray()
        self._first: list[Any] | None = None  # fields of the first transfer of this delivery
        size = ULong(session.server.broker.max_message_size)
        self._limits = size, ENVELOPE if node.is_request_node else 0
        session.send(
            ATTACH,
            [
                fields[0],
                self._handle,
                True,
                fields[3],
                fields[4],
                fields[5] or Described(ULong(SOURCE), []),
                fields[6],
                None,
                None,
                None,
                size,
                None,
                None,
                {Symbol("com.microsoft:max-message-batch-size"): size},
            ],
        )
        self.send_credit()

    def drop(self) -> None:
        """The link has ended."""
        self._forget()

    def send_credit(self) -> None:
        """Send the client how much it may send."""
        self._session.send_flow([self._handle, UInt(self._delivery_count), UInt(self._credit)])

    def on_transfer(self, fields: list[Any], payload: bytes) -> None:
        """Collect a delivery; take it in once it is complete."""
        self.use()
        if self._first is None:
            self._first = fields
        if fields[9] is True:  # aborted
            self._forget()
            self._count_delivery()
            return
        # The beginning of a message that is too large is kept: it says how to answer a request.
        taken = payload[: sum(self._limits) + 1 - len(self._content)]
        self._content += taken
        self._session.connection.held += len(taken)
        if fields[5] is True:  # more
            if self._session.connection.held > MAX_HELD:
                raise AmqpError(
                    "amqp:resource-limit-exceeded", "Too many messages were begun: finish them."
                )
            return
        first, content = self._first, bytes(self._content)
        self._forget()
        self._count_delivery()
        answer = self._take(first, content)
        if first[4] is not True and fields[4] is not True and isinstance(first[1], UInt):
            self._session.send(DISPOSITION, [True, first[1], first[1], True, answer])

    def _forget(self) -> None:
        self._session.connection.held -= len(self._content)
        self._content = bytearray()
        self._first = None

    def _count_delivery(self) -> None:
        self._delivery_count = (self._delivery_count + 1) & 0xFFFFFFFF
        self._credit -= 1
        if self._credit <= SENDER_CREDIT // 2:
            self._credit = SENDER_CREDIT
            self.send_credit()

    def _take(self, first: list[Any], content: bytes) -> Described:
        """Put a complete delivery where it belongs; its outcome."""
        try:
            if self.node.is_request_node:
                self._request(content)
            elif self.node.queue is not None:
                messages.check_size(content, *self._limits)
                contents = batch_messages(content) if first[3] == BATCH_FORMAT else [content]
                read = [(one, messages.read(one)) for one in contents]
                for one, sections in read:
                    messages.send(self.node.queue, one, sections)
        except messages.TooLargeError as exc:
            return outcome(REJECTED, amqp_error(management.TOO_LARGE, str(exc)))
        except AmqpDecodeError as exc:
            text = f"The message is not well formed: {exc}."
            return outcome(REJECTED, amqp_error("amqp:decode-error", text))
        return outcome(ACCEPTED)

    def _request(self, content: bytes) -> None:
        """Answer a request. Clients wait for the response, whatever the outcome of the delivery."""
        queue = self.node.queue
        request = parse_message(content, is_cut_off=len(content) > sum(self._limits))
        try:
            messages.check_size(content, *self._limits)
            if queue is None:
                fault, response = management.authorize(request)
                if fault is None:
                    self._session.connection.is_authorized = True
                else:
                    log.warning("A client's token was refused. %s", fault)
            else:
                response = management.handle(queue, request)
        except messages.TooLargeError as exc:
            response = management.refuse_size(request, exc)
        self._session.respond(self.node, request.property_fields()[4], response)


class Outbound(Link):
    """A link the client receives on, from a queue or from a request node."""

    _AZURE = ("consumer", "AmqpMessageConsumer")

    def __init__(self, session: Session, fields: list[Any], node: Node) -> None:
        """Answers the client's attach, whose fields these are."""
        super().__init__(session, fields, node)
        self.target = _terminus(fields[6])[1][0]
        self.settled = fields[3] == 1
        self.credit = 0
        self.drain = False
        self._delivery_count = 0
        self._answers: deque[bytes] = deque()
        if node.queue is not None and not node.is_request_node:
            session.server.receivers.setdefault(node.queue, deque()).append(self)
        session.send(
            ATTACH,
            [
                fields[0],
                self._handle,
                False,
                fields[3],
                fields[4],
                fields[5],
                fields[6] or Described(ULong(TARGET), []),
                None,
                None,
                UInt(0),
                ULong(session.server.broker.max_message_size),
                None,
                None,
                {},
            ],
        )

    def drop(self) -> None:
        """The link has ended; locks it holds go on until they end."""
        queue = self.node.queue
        if queue is not None and not self.node.is_request_node:
            self._session.server.receivers[queue].remove(self)
        self._session.connection.held -= sum(map(len, self._answers))
        self._answers.clear()
        self.credit = 0

    def on_flow(self, fields: list[Any]) -> None:
        """Take the client's credit, drain and echo."""
        self.use()
        seen = _number(fields[5], 0)  # before our attach arrived: none
        self.credit = _distance(seen + min(_number(fields[6], 0), WINDOW), self._delivery_count)
        self.drain = fields[8] is True
        if fields[9] is True and not self.drain:
            self._send_state(drain=False)
        self.feed()

    def feed(self) -> None:
        """Send what waits, or let the queue hand out again."""
        if self.node.is_request_node:
            while self._answers and self.can_take():
                content = self._answers.popleft()
                self._session.connection.held -= len(content)
                self._transfer(b"answer", content, settled=True)
            if self.drain:
                self.finish_drain()
        elif self.node.queue is not None and (self.credit or self.drain):
            self._session.server.broker.ready.add(self.node.queue)
            self._session.server.wake()

    def can_take(self) -> bool:
        """Whether a message may be delivered on this link now."""
        return self.credit > 0 and self._session.has_room()

    def deliver(self, message: Message, lock: Lock | None) -> None:
        """Send a message of the queue; without a lock it is settled already."""
        tag = (uuid.uuid4() if lock is None else lock.token).bytes_le
        content = messages.deliver(message, lock)
        delivery_id = self._transfer(tag, content, settled=lock is None)
        if lock is not None:
            self._session.unsettled[delivery_id] = (self, lock.token)

    def answer(self, content: bytes) -> None:
        """Send the answer to a request, once the client has credit for it."""
        self._session.connection.held += len(content)
        if self._session.connection.held > MAX_HELD:
            raise AmqpError(
                "amqp:resource-limit-exceeded",
                f"Too many answers wait on {self.node.name}: read them and grant credit.",
            )
        self._answers.append(content)
        self.feed()

    def finish_drain(self) -> None:
        """Give the credit that found no message back."""
        self._delivery_count = (self._delivery_count + self.credit) & 0xFFFFFFFF
        self.credit = 0
        self.drain = False
        self._send_state(drain=True)

    def settle(self, token: uuid.UUID, state: Any) -> Described | None:
        """Do what the client decided about a message; the outcome to answer, None if undecided."""
        self.use()
        queue = self.node.queue
        code = _descriptor(state)
        if queue is None or code not in (ACCEPTED, RELEASED, MODIFIED, REJECTED):
            return None
        fields = state.value if isinstance(state.value, list) else []
        if code == ACCEPTED:
            done = queue.complete(token)
        elif code == RELEASED:
            done = queue.release(token)
        elif code == MODIFIED:
            _, put_aside, changes = (fields + [None] * 3)[:3]
            edit = messages.property_edit(changes if isinstance(changes, dict) else {})
            act = queue.defer if put_aside is True else queue.abandon
            done = act(token, edit)
        elif queue.dead_letters is None:
            text = "A message in a dead-letter queue cannot be dead-lettered again."
            return outcome(REJECTED, amqp_error(management.NOT_ALLOWED, text))
        else:
            done = _dead_letter(queue, token, fields)
        if not done:
            text = "The lock has ended or the message was settled: receive it again."
            return outcome(REJECTED, amqp_error(management.LOCK_LOST, text))
        return outcome(code)

    def _transfer(self, tag: bytes, content: bytes, *, settled: bool) -> int:
        self.use()
        self.credit -= 1
        self._delivery_count = (self._delivery_count + 1) & 0xFFFFFFFF
        return self._session.transfer(self._handle, tag, settled, content)

    def _send_state(self, *, drain: bool) -> None:
        state = [self._handle, UInt(self._delivery_count), UInt(self.credit), None, drain]
        self._session.send_flow(state)


def _dead_letter(queue: Queue, token: uuid.UUID, fields: list[Any]) -> bool:
    """Dead-letter as a rejected outcome says: reason, description and properties in its error."""
    error = fields[0].value if fields and isinstance(fields[0], Described) else []
    info = error[2] if isinstance(error, list) and len(error) > 2 else None
    changes = dict(info) if isinstance(info, dict) else {}
    texts = [changes.pop(key, None) for key in ("DeadLetterReason", "DeadLetterErrorDescription")]
    reason, description = (None if text is None else str(text) for text in texts)
    return queue.dead_letter(token, reason, description, messages.property_edit(changes))


def _descriptor(value: Any) -> int | None:
    """The descriptor code of a described value, None for anything else."""
    if isinstance(value, Described) and isinstance(value.descriptor, ULong):
        return int(value.descriptor)
    return None


def _terminus(value: Any) -> tuple[int | None, list[Any]]:
    """Descriptor and fields of a source or target, padded to the eleven a source has."""
    fields = value.value if isinstance(value, Described) and isinstance(value.value, list) else []
    return _descriptor(value), fields + [None] * (11 - len(fields))


def _number(value: Any, default: int) -> int:
    return value if isinstance(value, (UInt, UShort)) else default


def _distance(end: int, start: int) -> int:
    """How far a 32-bit serial number is ahead of another; 0 if it is behind."""
    ahead = (end - start) & 0xFFFFFFFF
    return ahead if ahead < 2**31 else 0
