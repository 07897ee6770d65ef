"""Queue semantics and their store, without AMQP: order, time, cost, and what survives."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.emulators.service_bus.queues import (
    DEFERRED,
    FILE_NAME,
    Broker,
    Lock,
    Message,
    Queue,
    QueueOptions,
    StateError,
    counts,
)

SECOND = 1000


class Clock(Broker):
    """A broker whose time is what the test says."""

    time = 1_000_000

    def now(self) -> int:
        return self.time

    def pass_time(self, milliseconds: int) -> None:
        self.time += milliseconds
        self.run_timers()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Clock]:
    options = QueueOptions(lock=60 * SECOND, max_delivery_count=3, dead_letter_expired=True)
    found = Clock(
        tmp_path,
        {"q": options, "once": QueueOptions(duplicate_window=10 * SECOND)},
    )
    yield found
    found.close()


@pytest.fixture
def queue(broker: Clock) -> Queue:
    return find(broker, "q")


def find(broker: Broker, name: str) -> Queue:
    queue = broker.find(name)
    assert queue is not None
    return queue


def take(queue: Queue) -> tuple[Message, Lock]:
    """The next message, locked."""
    found = queue.receive(lock=True)
    assert found is not None
    message, lock = found
    assert lock is not None
    return message, lock


def grave(queue: Queue) -> Message | None:
    """The first message in the dead-letter queue."""
    assert queue.dead_letters is not None
    return next(queue.dead_letters.peek(0, 1), None)


def test_an_abandoned_message_comes_before_younger_ones(queue: Queue) -> None:
    for name in (b"a", b"b", b"c"):
        queue.send(name)
    _, first = take(queue)
    take(queue)
    queue.abandon(first.token)
    assert [take(queue)[0].content for _ in range(2)] == [b"a", b"c"]


def test_two_receivers_never_have_the_same_message(queue: Queue) -> None:
    queue.send(b"a")
    take(queue)
    assert queue.receive(lock=True) is None


@pytest.mark.parametrize("settle", ["complete", "release", "abandon", "defer", "renew"])
def test_a_lock_ends_to_the_millisecond(broker: Clock, queue: Queue, settle: str) -> None:
    queue.send(b"a")
    _, lock = take(queue)
    broker.time += 60 * SECOND - 1
    assert queue.renew(lock.token) == broker.time + 60 * SECOND
    broker.time += 60 * SECOND
    assert not getattr(queue, settle)(lock.token)  # although no timer has run yet
    message, _ = take(queue)
    assert message.delivery_count == 1


def test_an_unknown_lock_settles_nothing(queue: Queue) -> None:
    queue.send(b"a")
    assert not queue.complete(uuid.uuid4())
    assert queue.receive(lock=True) is not None


def test_a_release_is_no_delivery(queue: Queue) -> None:
    queue.send(b"a")
    for _ in range(5):
        message, lock = take(queue)
        assert message.delivery_count == 0
        queue.release(lock.token)


def test_the_next_deadline_is_the_earliest_of_all(broker: Clock, queue: Queue) -> None:
    assert broker.next_deadline() is None
    start = broker.time
    queue.send(b"expires", ttl=50 * SECOND)
    assert broker.next_deadline() == start + 50 * SECOND
    queue.send(b"due", due_at=start + 40 * SECOND)
    assert broker.next_deadline() == start + 40 * SECOND
    broker.time += 1 - 25 * SECOND
    _, lock = take(queue)
    assert broker.next_deadline() == start + 35 * SECOND + 1
    queue.complete(lock.token)
    assert broker.next_deadline() == start + 40 * SECOND


def test_a_renewed_lock_moves_its_deadline(broker: Clock, queue: Queue) -> None:
    queue.send(b"a")
    _, lock = take(queue)
    broker.time += 10 * SECOND
    queue.renew(lock.token)
    assert broker.next_deadline() == broker.time + 60 * SECOND


def test_time_to_live_of_a_scheduled_message_starts_when_it_is_due(
    broker: Clock, queue: Queue
) -> None:
    queue.send(b"a", ttl=10 * SECOND, due_at=broker.time + 100 * SECOND)
    broker.pass_time(100 * SECOND)
    broker.pass_time(9 * SECOND)
    assert [message.content for message in queue.peek(0, 5)] == [b"a"]
    broker.pass_time(1 * SECOND)
    assert list(queue.peek(0, 5)) == []


def test_a_locked_message_expires_only_when_it_is_given_back(broker: Clock, queue: Queue) -> None:
    queue.send(b"a", ttl=10 * SECOND)
    _, lock = take(queue)
    broker.pass_time(20 * SECOND)
    assert grave(queue) is None
    queue.abandon(lock.token)
    assert (found := grave(queue)) is not None
    assert found.reason == "TTLExpiredException"


def test_an_expired_message_can_still_be_completed_by_who_holds_it(
    broker: Clock, queue: Queue
) -> None:
    queue.send(b"a", ttl=10 * SECOND)
    _, lock = take(queue)
    broker.pass_time(20 * SECOND)
    assert queue.complete(lock.token)
    assert grave(queue) is None


def test_deferred_and_dead_messages_do_not_expire(broker: Clock, queue: Queue) -> None:
    for name in (b"deferred", b"dead"):
        queue.send(name, ttl=10 * SECOND)
    queue.defer(take(queue)[1].token)
    queue.dead_letter(take(queue)[1].token, None, None)
    broker.pass_time(3600 * SECOND)
    assert [message.state for message in queue.peek(0, 5)] == [DEFERRED]
    assert (found := grave(queue)) is not None
    assert found.reason is None


def test_a_deferred_message_whose_lock_ends_stays_deferred(broker: Clock, queue: Queue) -> None:
    number = queue.send(b"a")
    queue.defer(take(queue)[1].token)
    assert queue.receive_deferred([number], lock=True) is not None
    assert queue.receive_deferred([number], lock=True) is None  # another receiver has it
    broker.pass_time(60 * SECOND)
    again = queue.receive_deferred([number], lock=True)
    assert again is not None
    assert again[0][0].delivery_count == 1
    assert queue.receive(lock=True) is None


def test_deferred_messages_are_received_all_or_none(queue: Queue) -> None:
    number = queue.send(b"a")
    queue.defer(take(queue)[1].token)
    assert queue.receive_deferred([number, number + 1], lock=False) is None
    assert len(queue.receive_deferred([number, number], lock=False) or []) == 1


def test_scheduled_messages_are_cancelled_all_or_none(broker: Clock, queue: Queue) -> None:
    number = queue.send(b"a", due_at=broker.time + SECOND)
    assert not queue.cancel([number, number + 1])
    assert queue.cancel([number])
    broker.pass_time(SECOND)
    assert queue.receive(lock=True) is None


def test_a_message_due_in_the_past_is_active_at_once(broker: Clock, queue: Queue) -> None:
    queue.send(b"a", due_at=broker.time)
    assert queue.receive(lock=True) is not None


def test_a_repeat_does_not_extend_the_window(broker: Clock) -> None:
    once = find(broker, "once")
    assert once.send(b"a", message_id="id") == 1
    broker.time += 6 * SECOND
    assert once.send(b"b", message_id="id") == 0
    broker.time += 4 * SECOND
    assert once.send(b"c", message_id="id") == 2


def test_other_ids_and_none_are_no_repeats(broker: Clock) -> None:
    once = find(broker, "once")
    ids = ["str 1", "ULong 1", None, None]
    assert [once.send(b"a", message_id=one) for one in ids] == [1, 2, 3, 4]


def test_forgotten_ids_leave_the_store(broker: Clock) -> None:
    once = find(broker, "once")
    for number in range(10):
        once.send(b"a", message_id=f"{number}")
        broker.time += 10 * SECOND
    assert broker.db.execute("select count(*) from history").fetchone() == (1,)


def test_an_edit_changes_what_is_stored(queue: Queue) -> None:
    queue.send(b"a")
    queue.abandon(take(queue)[1].token, lambda content: content + b"!")
    assert take(queue)[0].content == b"a!"


@pytest.mark.parametrize("count", [0, 1000])
def test_work_does_not_grow_with_the_messages_that_wait(
    broker: Clock, queue: Queue, count: int
) -> None:
    """Counts the steps SQLite takes, which, unlike time, are the same on every machine."""
    far = broker.time + 10**9
    for _ in range(count):
        queue.send(b"waiting", ttl=10**9)
        queue.send(b"scheduled", due_at=far)
    queue.send(b"now due", due_at=broker.time + SECOND)
    queue.send(b"expires", ttl=2 * SECOND)
    broker.commit()
    steps = itertools.count()
    broker.db.set_progress_handler(lambda: next(steps) and 0, 1)
    broker.pass_time(SECOND)
    broker.pass_time(SECOND)
    _, lock = take(queue)
    broker.next_deadline()
    queue.renew(lock.token)
    queue.complete(lock.token)
    queue.send(b"one more")
    broker.commit()
    assert next(steps) < 1500


def test_uncommitted_work_is_not_there_after_a_crash(tmp_path: Path) -> None:
    broker = Broker(tmp_path, {"q": QueueOptions()})
    queue = find(broker, "q")
    queue.send(b"committed")
    broker.commit()
    queue.send(b"not")
    broker.close()
    broker = Broker(tmp_path, {"q": QueueOptions()})
    assert [message.content for message in find(broker, "q").peek(0, 5)] == [b"committed"]
    broker.close()


def test_the_next_number_survives_an_empty_queue(tmp_path: Path) -> None:
    for expected in (1, 2):
        broker = Broker(tmp_path, {"q": QueueOptions()})
        queue = find(broker, "q")
        assert queue.send(b"a") == expected
        queue.receive(lock=False)
        broker.commit()
        broker.close()


def test_what_became_due_while_stopped_happens_at_the_start(tmp_path: Path) -> None:
    options = {"q": QueueOptions()}
    broker = Clock(tmp_path, options)
    find(broker, "q").send(b"due", due_at=broker.time + SECOND)
    find(broker, "q").send(b"expired", ttl=SECOND)
    broker.commit()
    broker.close()
    later = Broker(tmp_path, options)  # on today's clock, long after the other's
    assert [message.content for message in find(later, "q").peek(0, 5)] == [b"due"]
    later.close()


def test_two_brokers_cannot_share_a_folder(tmp_path: Path, broker: Clock) -> None:
    with pytest.raises(StateError, match="Another Service Bus emulator"):
        Broker(tmp_path, {})


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(StateError, match=FILE_NAME):
        Broker(tmp_path, {})


def _fill(broker: Broker) -> dict[str, dict[str, int]]:
    queue = find(broker, "q")
    for _ in range(6):
        queue.send(b"a")
    queue.send(b"later", due_at=broker.now() + 3600 * SECOND)
    tokens = [take(queue)[1].token for _ in range(4)]
    queue.defer(tokens[0])
    queue.dead_letter(tokens[1], None, None)
    queue.complete(tokens[2])
    broker.commit()
    empty = {"active": 0, "scheduled": 0, "deferred": 0, "deadLettered": 0}
    return {"q": {"active": 3, "scheduled": 1, "deferred": 1, "deadLettered": 1}, "once": empty}


def test_counts_are_read_while_the_broker_runs(tmp_path: Path, broker: Clock) -> None:
    expected = _fill(broker)
    assert counts(tmp_path / FILE_NAME) == expected


def test_counts_are_read_after_the_broker_stopped(tmp_path: Path, broker: Clock) -> None:
    expected = _fill(broker)
    broker.close()
    assert counts(tmp_path / FILE_NAME) == expected


def test_counts_of_a_missing_file_make_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        counts(tmp_path / FILE_NAME)
    assert list(tmp_path.iterdir()) == []
