"""Flow control over a real state file: rates, and bounds of what is unacknowledged."""

from collections.abc import Callable
from functools import partial
from threading import Thread

import pytest

from support.publishing import ACK_TIMEOUT_S, WINDOW_S, Bench, write
from watcher.delivery.audience import Subscriber
from watcher.delivery.position import BLOCKED_S
from watcher.delivery.publisher import CONFIRM_INTERVAL_S
from watcher.delivery.subscription import Subscription, Wait
from watcher.spec import Batch, Confirm, Format

LIMIT = 3


@pytest.fixture
def limited(make: Callable[..., Bench]) -> Callable[..., Bench]:
    """Return a factory of publishers of which ``LIMIT`` payloads may be unacknowledged."""
    return partial(make, confirm=Confirm.ACK, max_unacknowledged=LIMIT)


def drain(subscription: Subscription) -> list[int]:
    """Write until there is nothing more to write now; returns the sequence numbers."""
    written: list[int] = []
    while now := write(subscription):
        written += now
    return written


# Rates


def test_a_stream_writes_as_fast_as_its_rate(make: Callable[..., Bench]) -> None:
    """From the disk and from memory alike; it is woken when it may write on."""
    bench = make(rate_per_s=2.0)
    bench.change(5)
    subscription = bench.join()
    assert drain(subscription) == [1, 2]
    assert subscription.read_from_memory() == []
    assert subscription.due_in_s() == 0.5
    bench.change(2)
    written = []
    while (due_in_s := subscription.due_in_s()) is not None:
        bench.clock.advance(due_in_s)
        written.append(drain(subscription))
    assert written == [[3], [4], [5], [6], [7], []]
    bench.change()
    payloads = subscription.read_from_memory()
    assert payloads is not None
    assert [payload.seq for payload in subscription.writing(payloads)] == [8]


def test_a_wait_that_is_over_before_it_begins_is_not_missed(make: Callable[..., Bench]) -> None:
    """The bucket fills between the reading that finds it empty and the question how long."""
    bench = make(rate_per_s=2.0)
    bench.change(3)
    subscription = bench.join()
    drain(subscription)
    bench.clock.advance(0.5)
    assert subscription.due_in_s() == 0.0
    assert drain(subscription) == [3]


def test_each_stream_has_its_rate(make: Callable[..., Bench]) -> None:
    bench = make(rate_per_s=1.0)
    bench.change(2)
    assert [drain(bench.join()), drain(bench.join())] == [[1], [1]]


def test_a_slow_rate_is_no_client_that_does_not_read(make: Callable[..., Bench]) -> None:
    """It is not disconnected, nothing counts as blocked, and time confirms what was written."""
    disconnected: list[int] = []
    bench = make(rate_per_s=1 / 3600)
    bench.change(3)
    subscription = bench.publisher.subscribe(
        Subscriber(lambda: None, lambda: disconnected.append(1))
    )
    bench.join()
    assert drain(subscription) == [1]
    bench.clock.advance(WINDOW_S + BLOCKED_S + CONFIRM_INTERVAL_S)
    assert bench.publisher.disconnect_stalled() == 0
    assert (disconnected, bench.publisher.counts().blocked_s) == ([], 0.0)
    bench.publisher.confirm()
    assert bench.store.journal.cursor == 0  # the other stream has written nothing yet
    assert bench.publisher.waiting() == {Wait.RATE: 1}
    assert bench.publisher.blockage == "changes come faster than the rate of 1/h"


def test_time_confirms_from_the_writing(make: Callable[..., Bench]) -> None:
    bench = make(rate_per_s=0.1)
    bench.change(2)
    subscription = bench.join()
    cursors = []
    for _ in range(5):
        drain(subscription)
        bench.clock.advance(10.0)
        bench.publisher.confirm()
        cursors.append(bench.store.journal.cursor)
    assert cursors == [0, 0, 1, 2, 2]


def test_redeliveries_and_new_payloads_take_turns(make: Callable[..., Bench]) -> None:
    """What nobody acknowledges leaves room for what follows, though all of it is due."""
    bench = make(confirm=Confirm.ACK, rate_per_s=1 / (2 * ACK_TIMEOUT_S))
    bench.change(4)
    subscription, written = bench.join(), []
    for _ in range(8):
        written += write(subscription)
        bench.clock.advance(2 * ACK_TIMEOUT_S)
    assert written == [1, 1, 2, 1, 3, 2, 4, 1]


def test_what_waits_is_counted(make: Callable[..., Bench]) -> None:
    """A stream that may write, or has nothing to write, does not wait."""
    bench = make(rate_per_s=1.0)
    subscription = bench.join()
    counts = [bench.publisher.waiting()]
    bench.change(2)
    counts.append(bench.publisher.waiting())
    drain(subscription)
    counts.append(bench.publisher.waiting())
    bench.clock.advance(1.0)
    counts.append(bench.publisher.waiting())
    drain(subscription)
    counts.append(bench.publisher.waiting())
    assert counts == [{}, {}, {Wait.RATE: 1}, {}, {}]


# Unacknowledged payloads


def test_the_oldest_unacknowledged_payloads_are_written(limited: Callable[..., Bench]) -> None:
    """Each acknowledgement lets one more through, in any order, and wakes all streams."""
    bench = limited()
    bench.change(9)
    first, second = bench.join(), bench.join()
    assert drain(first) == drain(second) == [1, 2, 3]
    assert bench.publisher.waiting() == {Wait.ACKNOWLEDGEMENTS: 2}
    notified = bench.notified
    bench.publisher.acknowledge([2])
    assert bench.notified == notified + 2
    assert drain(first) == drain(second) == [4]
    bench.publisher.acknowledge([2, 99])
    assert drain(first) == []
    bench.publisher.acknowledge([3, 4])
    bench.publisher.acknowledge([1])
    assert drain(first) == drain(second) == [5, 6, 7]
    bench.publisher.acknowledge([5, 6, 7])
    assert drain(first) == [8, 9]
    assert bench.publisher.waiting() == {}
    bench.change(2)
    assert drain(first) == [10]


def test_a_payload_that_is_acknowledged_before_it_is_written(limited: Callable[..., Bench]) -> None:
    """It is never written, and makes room only when it is among the oldest."""
    bench = limited()
    bench.change(9)
    subscription = bench.join()
    payloads = subscription.read()
    bench.publisher.acknowledge([2, 5, 9])
    assert [payload.seq for payload in subscription.writing(payloads)] == [1, 3]
    assert drain(subscription) == [4]
    bench.publisher.acknowledge([1])
    assert drain(subscription) == [6]
    bench.publisher.acknowledge([3, 4, 6])
    assert drain(subscription) == [7, 8]


def test_redeliveries_are_within_the_bound(limited: Callable[..., Bench]) -> None:
    bench = limited()
    bench.change(5)
    subscription = bench.join()
    assert drain(subscription) == [1, 2, 3]
    bench.clock.advance(ACK_TIMEOUT_S)
    bench.publisher.acknowledge([2])
    assert drain(subscription) == [1, 3, 4]
    bench.clock.advance(ACK_TIMEOUT_S)
    assert drain(subscription) == [1, 3, 4]


@pytest.mark.parametrize("kept", [True, False])
def test_the_bound_holds_after_a_restart(limited: Callable[..., Bench], *, kept: bool) -> None:
    """What was outstanding comes again, and nothing else, whether or not a stream was there."""
    bench = limited()
    bench.change(9)
    if kept:
        drain(bench.join())
    bench.publisher.acknowledge([2, 4])
    again = limited()
    assert drain(again.join()) == [1, 3, 5]


def test_the_bound_holds_in_a_replay(limited: Callable[..., Bench]) -> None:
    """What the replay brings back comes first; what was outstanding, after it is acknowledged."""
    bench = limited()
    bench.change(7)
    subscription = bench.join()
    drain(subscription)
    bench.publisher.acknowledge([1, 2])
    assert drain(subscription) == [4, 5]
    bench.publisher.acknowledge([4])
    payloads = subscription.read()
    assert [payload.seq for payload in payloads] == [6]
    assert bench.publisher.replay(seq=1) == range(1, 3)
    assert [*subscription.writing(payloads)] == []
    assert drain(subscription) == [1, 2, 3]
    bench.publisher.acknowledge([1, 2, 3])
    assert drain(subscription) == [4, 5, 6]
    bench.publisher.acknowledge([6])
    assert drain(subscription) == [7]
    assert bench.publisher.replay(seq=6) == range(4, 4)  # the cursor stays
    assert drain(subscription) == [4, 5, 6]


def test_the_bound_counts_payloads(limited: Callable[..., Bench]) -> None:
    """With batches each has several changes, any of which acknowledges it; ids may be renewed."""
    bench = limited(batch=Batch(2, 5.0))
    subscription = bench.join()
    bench.change(5)
    bench.outbox.renew_ids()
    bench.change(5)
    seqs = drain(subscription)
    assert len(seqs) == LIMIT
    bench.publisher.acknowledge([seqs[0] - 1, seqs[2]])
    assert len(drain(subscription)) == 2


def test_events_of_another_format_are_taken_over(limited: Callable[..., Bench]) -> None:
    """They leave at once when the watch is opened with its new configuration."""
    bench = limited(batch=Batch(9, 5.0))
    bench.change(2)
    again = limited(batch=Batch(9, 5.0), format=Format.CLOUDEVENTS)
    assert drain(again.join()) == [2]


def test_threads_agree_on_the_bound(limited: Callable[..., Bench]) -> None:
    """Changes, acknowledgements and readings at the same time never let more through."""
    bench, count = limited(), 200
    subscription = bench.join()

    def make_changes() -> None:
        for _ in range(count):
            bench.change()

    writer = Thread(target=make_changes)
    writer.start()
    outstanding: list[int] = []
    done = 0
    while done < count:
        outstanding += drain(subscription)
        assert len(outstanding) <= LIMIT
        if outstanding:
            acknowledging = Thread(target=bench.publisher.acknowledge, args=([outstanding.pop()],))
            acknowledging.start()
            drained = drain(subscription)
            acknowledging.join()
            outstanding += drained
            done += 1
            assert len(outstanding) <= LIMIT
    writer.join()
    assert bench.store.journal.depth == 0
