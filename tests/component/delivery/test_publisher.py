"""Publisher and subscriptions over a real state file: what streams read, what is confirmed."""

from collections.abc import Callable

import pytest

from support.publishing import ACK_TIMEOUT_S, KEEP_S, WINDOW_S, Bench, write
from watcher.delivery.audience import Subscriber
from watcher.delivery.position import BLOCKED_S
from watcher.delivery.publisher import CONFIRM_INTERVAL_S
from watcher.delivery.renderer import MAX_PAYLOAD_BYTES
from watcher.delivery.subscription import READ_BYTES
from watcher.errors import UnavailableError
from watcher.model import Delta, Payload
from watcher.spec import Confirm
from watcher.state.sqlite.store import SqliteStore


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def test_payloads_are_in_memory_for_streams(bench: Bench) -> None:
    """From when the first stream joins until the last one leaves; each is notified once."""
    bench.change()
    held = [bench.in_memory()]
    first, second = bench.join(), bench.join()
    bench.change(3)
    assert bench.notified == 2
    held.append(bench.in_memory())
    for subscription in (first, second):
        bench.publisher.unsubscribe(subscription)
        held.append(bench.in_memory())
    bench.change()
    assert [*held, bench.in_memory()] == [False, True, True, False, False]


def test_a_stream_reads_the_disk_until_it_has_caught_up(bench: Bench) -> None:
    bench.change(1000)
    subscription, written = bench.join(), []
    while subscription.read_from_memory() is None:
        payloads = subscription.read()
        assert sum(len(payload.data) for payload in payloads) <= READ_BYTES
        written += [payload.seq for payload in subscription.writing(payloads)]
    assert (written, subscription.read_from_memory()) == ([*range(1, 1001)], [])
    bench.change()
    payloads = bench.store.journal.read(1000, limit=9, max_bytes=1)
    assert payloads != []
    assert payloads == subscription.read_from_memory() == subscription.read()


def test_a_payload_of_the_maximum_size_is_delivered(bench: Bench) -> None:
    """Journals of earlier versions hold payloads with larger metadata than are admitted now."""
    payload = Payload(1, b"x" * MAX_PAYLOAD_BYTES)
    bench.store.commit(Delta(), [payload], changes=1)
    bench.change()
    subscription = bench.join()
    assert subscription.read() == [payload]
    assert write(subscription) == [1]
    assert write(subscription) == [2]


def test_a_write_counts_once_it_has_ended(bench: Bench) -> None:
    """A payload whose write broke off is no redelivery on the next stream."""
    first = bench.join()
    bench.change(2)
    writing = first.writing(first.read())
    assert [next(writing).seq, next(writing).seq] == [1, 2]
    del writing
    assert bench.publisher.counts()[:2] == (1, 0)
    bench.publisher.unsubscribe(first)
    assert write(bench.join()) == [1, 2]
    assert bench.publisher.counts()[:2] == (3, 1)


def test_blocked_seconds_are_counted(bench: Bench) -> None:
    """Of all streams, those that have ended too, and of a write that is still blocked."""
    bench.change()
    first, second = bench.join(), bench.join()
    for subscription in (first, second):
        next(subscription.writing(subscription.read()))
    bench.clock.advance(5.0)
    bench.publisher.unsubscribe(first)
    assert bench.publisher.counts() == (0, 0, 10.0)
    bench.clock.advance(5.0)
    assert bench.publisher.counts() == (0, 0, 15.0)


def test_the_slowest_stream_decides_what_is_confirmed(bench: Bench) -> None:
    bench.change(2)
    fast, slow = bench.join(), bench.join()
    write(fast)
    next(slow.writing(slow.read()))
    bench.clock.advance(WINDOW_S + CONFIRM_INTERVAL_S)
    bench.publisher.confirm()
    assert bench.store.journal.cursor == 0
    wakes = bench.wakes
    bench.publisher.unsubscribe(slow)
    assert bench.wakes == wakes + 1
    bench.publisher.confirm()
    assert bench.store.journal.cursor == 2


def test_stalled_streams_are_disconnected_unless_all_are(bench: Bench) -> None:
    disconnected: list[str] = []
    bench.change()
    stalled = bench.publisher.subscribe(Subscriber(lambda: None, lambda: disconnected.append("a")))
    next(stalled.writing(stalled.read()))
    bench.clock.advance(WINDOW_S + BLOCKED_S)
    assert (bench.publisher.disconnect_stalled(), disconnected) == (0, [])
    bench.publisher.subscribe(Subscriber(lambda: None, lambda: disconnected.append("b")))
    assert (bench.publisher.disconnect_stalled(), disconnected) == (1, ["a"])


def test_a_replay_rewinds_connected_streams(bench: Bench) -> None:
    """They write the replayed payloads again, which count as redelivered, while they are kept."""
    bench.change(3)
    subscription = bench.join()
    write(subscription)
    bench.clock.advance(WINDOW_S + CONFIRM_INTERVAL_S)
    bench.publisher.confirm()
    assert bench.publisher.replay(seq=2) == range(2, 4)
    assert write(subscription) == [2, 3]
    assert bench.publisher.counts()[:2] == (5, 2)
    bench.publisher.unsubscribe(subscription)
    bench.clock.advance(KEEP_S)
    bench.publisher.confirm()
    assert bench.publisher.replay(seq=1) == range(4, 4)


@pytest.mark.parametrize("confirm", Confirm)
def test_nothing_is_removed_once_nothing_is_retained(
    make: Callable[..., Bench], confirm: Confirm
) -> None:
    """A quiet watch writes nothing, until it confirms again."""
    bench = make(confirm=confirm)
    assert isinstance(bench.store, SqliteStore)
    subscription, written = bench.join(), list[str]()
    bench.store._db.connection.set_trace_callback(written.append)
    removals = []
    for _ in range(2):
        bench.change()
        write(subscription)
        bench.clock.advance(WINDOW_S + CONFIRM_INTERVAL_S)
        bench.publisher.acknowledge([bench.store.journal.next_seq - 1])
        bench.publisher.confirm()
        assert bench.store.journal.depth == 0
        for _ in range(2):
            written.clear()
            for _ in range(100):
                bench.clock.advance(KEEP_S / 10)
                bench.publisher.confirm()
            removals.append(sum("DELETE FROM journal" in statement for statement in written))
        assert bench.store.journal.read(0, limit=9, max_bytes=1) == []
    assert [bool(number) for number in removals] == [True, False, True, False]


def test_unacknowledged_payloads_are_redelivered(make: Callable[..., Bench]) -> None:
    """After their timeout, without those acknowledged meanwhile; time confirms none of them."""
    bench = make(confirm=Confirm.ACK)
    bench.change(3)
    subscription = bench.join()
    assert subscription.due_in_s() is None
    assert write(subscription) == [1, 2, 3]
    bench.publisher.acknowledge([2])
    assert (bench.store.journal.cursor, bench.publisher.due_in_s()) == (0, 0.0)
    assert subscription.due_in_s() == ACK_TIMEOUT_S
    bench.clock.advance(WINDOW_S + CONFIRM_INTERVAL_S)
    bench.publisher.confirm()
    payloads = subscription.read()
    assert (bench.store.journal.cursor, [payload.seq for payload in payloads]) == (0, [1, 3])
    bench.publisher.acknowledge([3])
    assert [payload.seq for payload in subscription.writing(payloads)] == [1]
    bench.publisher.acknowledge([1])
    assert (write(subscription), bench.store.journal.cursor) == ([], 3)


def test_the_state_is_tidied_up_after_use(bench: Bench) -> None:
    """The publisher asks for its turn until nothing has happened for a while."""
    start_s = bench.clock.monotonic()
    bench.change()
    assert bench.publisher.due_in_s() == 0.0
    turns = 0
    while (due_in_s := bench.publisher.due_in_s()) is not None:
        bench.clock.advance(due_in_s)
        bench.publisher.confirm_if_due()
        turns += 1
    assert turns == 2
    assert bench.clock.monotonic() == start_s + CONFIRM_INTERVAL_S
    bench.change()
    assert bench.publisher.due_in_s() == CONFIRM_INTERVAL_S


def test_streams_that_catch_up_together_read_the_journal_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited before the first stream is in no memory until one of them has read it."""
    bench.change(3)
    read, readings = bench.store.journal.read, list[int]()

    def count(after_seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        readings.append(after_seq)
        return read(after_seq, limit=limit, max_bytes=max_bytes)

    monkeypatch.setattr(bench.store.journal, "read", count)
    first, second, third = bench.join(), bench.join(), bench.join()
    assert first.read_from_memory() is None
    assert write(first) == write(second) == [1, 2, 3]
    assert [payload.seq for payload in third.read_from_memory() or ()] == [1, 2, 3]
    assert readings == [0]


# Where other servers have the watch, or had it


def test_a_stream_that_was_passed_ends(bench: Bench) -> None:
    """It would miss what was confirmed meanwhile; one that has written nothing misses nothing."""
    bench.change(2)
    first, second = bench.join(), bench.join()
    assert write(first) == [1, 2]
    bench.change(2)
    bench.store.journal.confirm(4)
    with pytest.raises(UnavailableError, match="has passed this one"):
        first.read()
    with pytest.raises(UnavailableError):
        first.read_from_memory()
    bench.change()
    assert write(second) == [5]


def test_a_stream_that_is_passed_on_its_way_to_another_publisher_ends(bench: Bench) -> None:
    """Also one that has been written nothing: it was there before what was confirmed."""
    stream = bench.join()
    bench.change()
    bench.store.journal.confirm(1)
    moved = Bench(bench.store, bench.clock).publisher.subscribe(Subscriber(lambda: None), stream)
    with pytest.raises(UnavailableError):
        moved.read()


def test_a_stream_that_is_passed_between_reading_and_writing_writes_no_gap(bench: Bench) -> None:
    bench.change(3)
    stream = bench.join()
    writing = stream.writing(stream.read())
    assert next(writing).seq == 1
    bench.change()
    bench.store.journal.confirm(3)
    assert [*writing] == []
    with pytest.raises(UnavailableError):
        stream.read()


def test_what_consumers_acknowledge_passes_no_stream(make: Callable[..., Bench]) -> None:
    bench = make(confirm=Confirm.ACK)
    bench.change(3)
    stream = bench.join()
    writing = stream.writing(stream.read())
    assert next(writing).seq == 1
    bench.publisher.acknowledge([1, 2])
    assert [payload.seq for payload in writing] == [3]


def test_a_stream_goes_on_at_another_publisher(bench: Bench) -> None:
    """It is where it was, and what it was written is counted once."""
    bench.change(2)
    former = bench.join()
    assert write(former) == [1, 2]
    next_one = Bench(bench.store, bench.clock)
    stream = next_one.publisher.subscribe(Subscriber(lambda: None), former)
    bench.publisher.unsubscribe(former)
    next_one.change()
    assert write(stream) == [3]
    assert (bench.publisher.counts()[0], next_one.publisher.counts()[0]) == (2, 1)
    bench.clock.advance(WINDOW_S + 1)
    next_one.publisher.confirm()
    assert bench.store.journal.cursor == 3
    next_one.publisher.unsubscribe(stream)
    assert next_one.publisher.counts()[0] == 1
