"""Queue semantics over one SQLite file: what Service Bus does with a message, without AMQP.

A message here is bytes plus what the queue must know of it. Times are milliseconds since 1970.
Messages, their delivery counts, sequence counters and the history of message ids are stored; locks
are not, so a restart makes every locked message available again.

Writes collect in one transaction until Broker.commit(): call it before telling anybody the outcome.
Everything runs on one thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from local.clock import Clock

ACTIVE, DEFERRED, SCHEDULED = 0, 1, 2  # numbered as x-opt-message-state is on the wire
DEAD_LETTER = "/$deadletterqueue"
FILE_NAME = "service-bus.db"
STEP = 1000  # the most messages one timer moves before others get their turn
MAX_MESSAGE_SIZE = 256 * 1024  # bytes, of Azure's Standard tier, which infra/ deploys by default

_SCHEMA = """
create table if not exists queues (
    id integer primary key,
    name text not null unique,
    next_sequence integer not null
);
create table if not exists messages (
    id integer primary key,
    queue integer not null,
    sequence integer not null,
    state integer not null,
    enqueued_sequence integer not null,
    enqueued_at integer not null,
    due_at integer,
    ttl integer,
    expires_at integer,
    delivery_count integer not null default 0,
    reason text,
    description text,
    content blob not null
);
create index if not exists by_sequence on messages (queue, sequence, state);
create index if not exists by_due on messages (queue, due_at) where due_at is not null;
create index if not exists by_expiry on messages (queue, expires_at) where expires_at is not null;
create table if not exists history (
    queue integer not null,
    message_id text not null,
    at integer not null,
    primary key (queue, message_id)
) without rowid;
create index if not exists by_age on history (queue, at);
"""


class StateError(Exception):
    """The state folder cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How one queue behaves; times in milliseconds, None where the queue does without."""

    lock: int = 60_000
    max_delivery_count: int = 10
    ttl: int | None = None
    dead_letter_expired: bool = False
    duplicate_window: int | None = None


class Message(NamedTuple):
    """One stored message, in the order of its columns."""

    id: int
    sequence: int
    state: int
    enqueued_sequence: int
    enqueued_at: int
    due_at: int | None
    ttl: int | None
    expires_at: int | None
    delivery_count: int
    reason: str | None
    description: str | None
    content: bytes


_SELECT = f"select {', '.join(Message._fields)} from messages "  # noqa: S608 - our own names

Edit = Callable[[bytes], bytes]


@dataclass(slots=True)
class Lock:
    """A receiver's hold on one message until `until`."""

    token: uuid.UUID
    sequence: int
    until: int


class Broker:
    """Every queue of one state folder, each with its dead-letter queue."""

    def __init__(
        self,
        folder: Path,
        queues: Mapping[str, QueueOptions],
        max_message_size: int = MAX_MESSAGE_SIZE,
        clock: Clock | None = None,
    ) -> None:
        """Open or create the state in `folder`; StateError if it is in use or unreadable.

        `max_message_size` is the limit of one message, and of one batch, in bytes. `clock` may be
        moved while the broker runs; without it the time is this machine's.
        """
        self.max_message_size = max_message_size
        self.clock = clock
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = (folder / "service-bus.lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._lock_file.close()
            raise StateError(
                f"Another Service Bus emulator uses {folder}: stop it or give another --state."
            ) from exc
        # No other process should write to it, so do not wait long for one that does.
        self.db = sqlite3.connect(folder / FILE_NAME, timeout=1, isolation_level=None)
        try:
            self.db.execute("pragma journal_mode = wal")
            self.db.execute("pragma synchronous = normal")  # survives kill -9, not a power cut
            self.db.executescript(_SCHEMA)
        except sqlite3.Error as exc:
            self.close()
            raise StateError(
                f"{folder / FILE_NAME} cannot be used ({exc}): delete it to start empty."
            ) from exc
        self.ready: set[Queue] = set()  # queues that got something to deliver
        self._counters: set[Queue] = set()
        self._queues: dict[str, Queue] = {}
        for name, options in queues.items():
            dead_letters = Queue(self, name.lower() + DEAD_LETTER, options, None)
            for queue in (Queue(self, name.lower(), options, dead_letters), dead_letters):
                self._queues[queue.name] = queue
        self.run_timers()
        self.commit()

    def find(self, name: str) -> Queue | None:
        """The queue or dead-letter queue of that name in any case, or None."""
        return self._queues.get(name.lower())

    def now(self) -> int:
        """Wall-clock time in milliseconds."""
        ahead = 0 if self.clock is None else self.clock.ahead()
        return time.time_ns() // 1_000_000 + 1000 * ahead

    def write(self, sql: str, values: Iterable[Any]) -> sqlite3.Cursor:
        """Run one changing statement inside the transaction of this turn."""
        if not self.db.in_transaction:
            self.db.execute("begin immediate")
        return self.db.execute(sql, tuple(values))

    def counter_moved(self, queue: Queue) -> None:
        """Store the queue's next sequence number with the next commit."""
        self._counters.add(queue)

    def commit(self) -> None:
        """Make everything since the last commit durable."""
        for queue in self._counters:
            self.write(
                "update queues set next_sequence = ? where id = ?", (queue.next_sequence, queue.id)
            )
        self._counters.clear()
        if self.db.in_transaction:
            self.db.execute("commit")

    def next_deadline(self) -> int | None:
        """When run_timers next has something to do."""
        deadlines = [when for queue in self._queues.values() if (when := queue.next_deadline())]
        return min(deadlines, default=None)

    def run_timers(self) -> None:
        """Do what has become due: locks that end, scheduled messages, messages that expire."""
        now = self.now()
        for queue in self._queues.values():
            queue.run_timers(now)

    def close(self) -> None:
        """Close the store; what was not committed is lost."""
        self.db.close()
        self._lock_file.close()


class Queue:
    """One queue or dead-letter queue."""

    def __init__(
        self, broker: Broker, name: str, options: QueueOptions, dead_letters: Queue | None
    ) -> None:
        """Load what is stored; a queue without `dead_letters` is itself a dead-letter queue."""
        self.name = name
        self.options = options
        self.dead_letters = dead_letters
        self._broker = broker
        self.max_message_size = broker.max_message_size
        broker.db.execute("insert or ignore into queues values (null, ?, 1)", (name,))
        stored: tuple[int, int] = broker.db.execute(
            "select id, next_sequence from queues where name = ?", (name,)
        ).fetchone()
        self.id, self.next_sequence = stored
        # Sequence numbers waiting for a receiver, lowest first; some may be gone from the store.
        self._ready = [
            row[0]
            for row in broker.db.execute(
                "select sequence from messages where queue = ? and state = ? order by sequence",
                (self.id, ACTIVE),
            )
        ]
        self._locks: dict[uuid.UUID, Lock] = {}
        self._locked: set[int] = set()
        self._lock_ends: list[tuple[int, uuid.UUID]] = []
        self._next_due = self._first_after("due_at", 0)
        self._next_expiry = self._first_after("expires_at", 0)
        if self._ready:
            broker.ready.add(self)

    # -------------------------------------------------------- in

    def send(
        self,
        content: bytes,
        *,
        message_id: str | None = None,
        ttl: int | None = None,
        due_at: int | None = None,
    ) -> int:
        """Take a message in, or drop it if its id came before; the sequence number, 0 if dropped.

        `message_id` must differ for ids of different AMQP types. `due_at` in the past is now.
        """
        now = self._broker.now()
        if message_id is not None and self._is_duplicate(message_id, now):
            return 0
        ttl = self.clip(ttl)
        waits = due_at is not None and due_at > now
        expires_at = None if ttl is None or waits else now + ttl
        sequence = self._take_sequence()
        self._broker.write(
            "insert into messages (queue, sequence, state, enqueued_sequence, enqueued_at, due_at,"
            " ttl, expires_at, content) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.id,
                sequence,
                SCHEDULED if waits else ACTIVE,
                sequence,
                now,
                due_at if waits else None,
                ttl,
                expires_at,
                content,
            ),
        )
        if waits:
            self._next_due = _earlier(self._next_due, due_at)
        else:
            self._next_expiry = _earlier(self._next_expiry, expires_at)
            self._make_ready(sequence)
        return sequence

    def clip(self, ttl: int | None) -> int | None:
        """The time to live that a message sent with `ttl` gets here."""
        return _earlier(ttl, self.options.ttl)

    def starts_at(self, due_at: int | None) -> int:
        """When a message sent now becomes active."""
        return max(self._broker.now(), due_at or 0)

    def cancel(self, sequences: Iterable[int]) -> bool:
        """Take scheduled messages out; False, and nothing done, if one is not there."""
        found = [self._find(sequence) for sequence in sequences]
        if any(message is None or message.state != SCHEDULED for message in found):
            return False
        for message in found:
            self._delete(message)
        return True

    # -------------------------------------------------------- out

    def receive(self, *, lock: bool) -> tuple[Message, Lock | None] | None:
        """The next message, locked or (lock=False) removed; None if there is none."""
        now = self._broker.now()
        while self._ready:
            message = self._find(heapq.heappop(self._ready))
            if message is None or message.state != ACTIVE:
                continue
            if message.expires_at is not None and message.expires_at <= now:
                self._expire(message)
            else:
                return message, self._hand_out(message, now, lock)
        return None

    def receive_deferred(
        self, sequences: Iterable[int], *, lock: bool
    ) -> list[tuple[Message, Lock | None]] | None:
        """Deferred messages by sequence number; None, and nothing done, if one is not there."""
        now = self._broker.now()
        self.run_timers(now)
        found = []
        for sequence in dict.fromkeys(sequences):
            message = self._find(sequence)
            if message is None or message.state != DEFERRED or sequence in self._locked:
                return None
            found.append(message)
        return [(message, self._hand_out(message, now, lock)) for message in found]

    def peek(self, from_sequence: int, count: int) -> Iterator[Message]:
        """Up to `count` messages in any state, from a sequence number on, none of them changed."""
        rows = self._broker.db.execute(
            _SELECT + "where queue = ? and sequence >= ? order by sequence limit ?",
            (self.id, from_sequence, count),
        )
        return (Message(*row) for row in rows)

    # -------------------------------------------------------- settle: False means the lock is lost

    def renew(self, token: uuid.UUID) -> int | None:
        """Start the lock anew; when it ends now, or None if it was lost."""
        lock = self._held(token)
        if lock is None:
            return None
        self._set_lock_end(lock, self._broker.now())
        return lock.until

    def complete(self, token: uuid.UUID) -> bool:
        """Remove the message."""
        message = self._unlock(token)
        if message is None:
            return False
        self._delete(message)
        return True

    def release(self, token: uuid.UUID) -> bool:
        """Give the message back as if it had not been delivered."""
        message = self._unlock(token)
        if message is None:
            return False
        self._give_back(message)
        return True

    def abandon(self, token: uuid.UUID, edit: Edit | None = None) -> bool:
        """Give the message back as a failed delivery; at the limit it is dead-lettered."""
        message = self._unlock(token)
        if message is None:
            return False
        self._fail(self._edited(message, edit))
        return True

    def defer(self, token: uuid.UUID, edit: Edit | None = None) -> bool:
        """Put the message aside, to be received by sequence number only."""
        message = self._unlock(token)
        if message is None:
            return False
        message = self._edited(message, edit)
        self._broker.write(
            "update messages set state = ?, expires_at = null where id = ?", (DEFERRED, message.id)
        )
        return True

    def dead_letter(
        self,
        token: uuid.UUID,
        reason: str | None,
        description: str | None,
        edit: Edit | None = None,
    ) -> bool:
        """Move the message to the dead-letter queue; a dead-letter queue raises ValueError."""
        if self.dead_letters is None:
            raise ValueError("A message in a dead-letter queue cannot be dead-lettered again.")
        message = self._unlock(token)
        if message is None:
            return False
        self._bury(self._edited(message, edit), reason, description)
        return True

    # -------------------------------------------------------- time

    def next_deadline(self) -> int | None:
        """When run_timers next has something to do."""
        ends = self._lock_ends
        while ends and self._is_stale(*ends[0]):
            heapq.heappop(ends)
        lock_end = ends[0][0] if ends else None
        return _earlier(lock_end, _earlier(self._next_due, self._next_expiry))

    def run_timers(self, now: int) -> None:
        """End locks, activate scheduled messages and expire old ones that are due at `now`."""
        while self._lock_ends and self._lock_ends[0][0] <= now:
            until, token = heapq.heappop(self._lock_ends)
            if not self._is_stale(until, token):
                self._end_lock(token)
        if self._next_due is not None and self._next_due <= now:
            self._next_due = self._sweep("due_at", now, self._activate)
        if self._next_expiry is not None and self._next_expiry <= now:
            self._next_expiry = self._sweep("expires_at", now, self._expire)

    def _sweep(self, column: str, now: int, act: Callable[[Message], None]) -> int | None:
        """Act on what is due and not locked, by index; returns when the next is due."""
        due = self._broker.db.execute(
            f"select sequence from messages where queue = ? and {column} <= ?"  # noqa: S608
            f" order by {column} limit ?",
            (self.id, now, STEP + len(self._locked)),
        ).fetchall()
        free = [sequence for (sequence,) in due if sequence not in self._locked][:STEP]
        for sequence in free:
            message = self._find(sequence)
            if message is not None:
                act(message)
        return now if len(free) == STEP else self._first_after(column, now)

    def _first_after(self, column: str, now: int) -> int | None:
        row = self._broker.db.execute(
            f"select min({column}) from messages where queue = ? and {column} > ?",  # noqa: S608
            (self.id, now),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def _is_stale(self, until: int, token: uuid.UUID) -> bool:
        lock = self._locks.get(token)
        return lock is None or lock.until != until

    # -------------------------------------------------------- steps

    def _is_duplicate(self, message_id: str, now: int) -> bool:
        window = self.options.duplicate_window
        if window is None:
            return False
        oldest = now - window
        self._broker.write("delete from history where queue = ? and at <= ?", (self.id, oldest))
        added = self._broker.write(
            "insert or ignore into history values (?, ?, ?)", (self.id, message_id, now)
        )
        return added.rowcount == 0

    def _take_sequence(self) -> int:
        sequence = self.next_sequence
        self.next_sequence += 1
        self._broker.counter_moved(self)
        return sequence

    def _find(self, sequence: int) -> Message | None:
        row = self._broker.db.execute(
            _SELECT + "where queue = ? and sequence = ?", (self.id, sequence)
        ).fetchone()
        return None if row is None else Message(*row)

    def _make_ready(self, sequence: int) -> None:
        heapq.heappush(self._ready, sequence)
        self._broker.ready.add(self)

    def _hand_out(self, message: Message, now: int, lock: bool) -> Lock | None:
        if not lock:
            self._delete(message)
            return None
        held = Lock(uuid.uuid4(), message.sequence, 0)
        self._locks[held.token] = held
        self._locked.add(message.sequence)
        self._set_lock_end(held, now)
        return held

    def _set_lock_end(self, lock: Lock, now: int) -> None:
        lock.until = now + self.options.lock
        heapq.heappush(self._lock_ends, (lock.until, lock.token))

    def _held(self, token: uuid.UUID) -> Lock | None:
        """The lock, if it has not ended; one that ended this moment ends here."""
        lock = self._locks.get(token)
        if lock is not None and lock.until <= self._broker.now():
            self._end_lock(token)
            return None
        return lock

    def _unlock(self, token: uuid.UUID) -> Message | None:
        """Let go of the lock and return its message, or None if the lock was lost."""
        lock = self._held(token)
        if lock is None:
            return None
        del self._locks[token]
        self._locked.discard(lock.sequence)
        return self._find(lock.sequence)

    def _end_lock(self, token: uuid.UUID) -> None:
        lock = self._locks.pop(token)
        self._locked.discard(lock.sequence)
        message = self._find(lock.sequence)
        if message is not None:
            self._fail(message)

    def _fail(self, message: Message) -> None:
        """Count a failed delivery, then give back or dead-letter."""
        count = message.delivery_count + 1
        self._broker.write(
            "update messages set delivery_count = ? where id = ?", (count, message.id)
        )
        if self.dead_letters is not None and count >= self.options.max_delivery_count:
            self._bury(
                message,
                "MaxDeliveryCountExceeded",
                f"Message could not be consumed after {count} delivery attempts.",
            )
        else:
            self._give_back(message)

    def _give_back(self, message: Message) -> None:
        if message.state != ACTIVE:
            return  # a deferred message stays deferred
        if message.expires_at is not None and message.expires_at <= self._broker.now():
            self._expire(message)
        else:
            self._make_ready(message.sequence)

    def _edited(self, message: Message, edit: Edit | None) -> Message:
        if edit is None:
            return message
        content = edit(message.content)
        self._broker.write("update messages set content = ? where id = ?", (content, message.id))
        return message._replace(content=content)

    def _activate(self, message: Message) -> None:
        now = self._broker.now()
        sequence = self._take_sequence()  # as if it had been sent now
        expires_at = None if message.ttl is None else now + message.ttl
        self._broker.write(
            "update messages set sequence = ?, state = ?, enqueued_at = ?, due_at = null,"
            " expires_at = ? where id = ?",
            (sequence, ACTIVE, now, expires_at, message.id),
        )
        self._next_expiry = _earlier(self._next_expiry, expires_at)
        self._make_ready(sequence)

    def _expire(self, message: Message) -> None:
        if self.dead_letters is not None and self.options.dead_letter_expired:
            self._bury(message, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._delete(message)

    def _bury(self, message: Message, reason: str | None, description: str | None) -> None:
        grave = self.dead_letters
        assert grave is not None  # noqa: S101 - callers check; this is for the type checker
        sequence = grave._take_sequence()
        self._broker.write(
            "update messages set queue = ?, sequence = ?, state = ?, due_at = null,"
            " expires_at = null, reason = ?, description = ? where id = ?",
            (grave.id, sequence, ACTIVE, reason, description, message.id),
        )
        grave._make_ready(sequence)

    def _delete(self, message: Message | None) -> None:
        if message is not None:
            self._broker.write("delete from messages where id = ?", (message.id,))


def _earlier(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def counts(path: Path) -> dict[str, dict[str, int]]:
    """How many messages each stored queue holds, read from the state file at `path`.

    Opens the file read-only, also while an emulator runs on it; locked messages count as active.
    Raises FileNotFoundError if there is no such file, sqlite3.Error if it is another kind of file.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    found: dict[str, dict[str, int]] = {}
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        for (name,) in db.execute("select name from queues order by id"):
            if not name.endswith(DEAD_LETTER):
                found[name] = {"active": 0, "scheduled": 0, "deferred": 0, "deadLettered": 0}
        rows = db.execute(
            "select name, state, count(*) from messages join queues on queues.id = messages.queue"
            " group by messages.queue, state"
        )
        labels = {ACTIVE: "active", DEFERRED: "deferred", SCHEDULED: "scheduled"}
        for name, state, count in rows:
            if name.endswith(DEAD_LETTER):
                found[name.removesuffix(DEAD_LETTER)]["deadLettered"] += count
            else:
                found[name][labels[state]] += count
    return found
