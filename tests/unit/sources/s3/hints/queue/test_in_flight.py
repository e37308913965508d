"""Which messages are deleted, extended and left, and when."""

import pytest

from support.clock import FakeClock
from watcher.sources.s3.hints.queue.in_flight import (
    EXTENSION_MAX_S,
    HELD_MAX_S,
    MessagesInFlight,
    Receipt,
)

HOUR_S = 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def in_flight(clock: FakeClock) -> MessagesInFlight:
    return MessagesInFlight(clock)


def receipt(name: str, number: int = 1) -> Receipt:
    return Receipt(name, f"{name}/{number}")


def test_a_message_is_to_be_deleted_once_it_is_done(
    clock: FakeClock, in_flight: MessagesInFlight
) -> None:
    first = in_flight.add(receipt("a"), clock.now_s - 7)
    second = in_flight.add(receipt("b"), clock.now_s)
    assert first is not None
    assert second is not None
    assert (len(in_flight), in_flight.oldest_age_s, in_flight.done(10)) == (2, 7.0, [])
    first.done()
    assert (len(in_flight), in_flight.oldest_age_s) == (1, 0.0)
    assert in_flight.done(10) == [receipt("a")]
    second.done()
    assert in_flight.done(1) == [receipt("a")]
    in_flight.forget([receipt("a")])
    assert in_flight.done(10) == [receipt("b")]


def test_a_message_that_failed_is_forgotten(clock: FakeClock, in_flight: MessagesInFlight) -> None:
    """Its ticket counts no more, also when the message has come again."""
    first = in_flight.add(receipt("a"), clock.now_s)
    assert first is not None
    first.fail()
    assert len(in_flight) == 0
    again = in_flight.add(receipt("a", 2), clock.now_s)
    assert again is not None
    first.done()
    assert in_flight.done(10) == []
    again.done()
    again.fail()
    assert in_flight.done(10) == [receipt("a", 2)]


def test_a_message_that_comes_again_has_its_last_receipt(
    clock: FakeClock, in_flight: MessagesInFlight
) -> None:
    message = in_flight.add(receipt("a"), clock.now_s)
    assert message is not None
    assert in_flight.add(receipt("a", 2), clock.now_s) is None
    message.done()
    assert in_flight.add(receipt("a", 3), clock.now_s) is None
    assert in_flight.done(10) == [receipt("a", 3)]


def test_what_was_not_deleted_in_time_comes_again(
    clock: FakeClock, in_flight: MessagesInFlight
) -> None:
    """Then it is new: it may have been received by somebody else meanwhile."""
    message = in_flight.add(receipt("a"), clock.now_s)
    assert message is not None
    message.done()
    clock.advance(in_flight.visibility_s - 0.1)
    assert in_flight.done(10) == [receipt("a")]
    clock.advance(0.2)
    assert in_flight.done(10) == []
    assert in_flight.add(receipt("a", 2), clock.now_s) is not None


def test_a_message_is_extended_at_half_of_its_time(
    clock: FakeClock, in_flight: MessagesInFlight
) -> None:
    message = in_flight.add(receipt("a"), clock.now_s)
    assert in_flight.extension_due_s == clock.now_s + in_flight.visibility_s / 2
    assert in_flight.take_expiring() == []
    clock.advance(in_flight.visibility_s / 2)
    assert in_flight.take_expiring() == [(receipt("a"), 30)]
    assert in_flight.take_expiring() == []
    assert message is not None
    message.done()
    clock.advance(25)
    assert in_flight.take_expiring() == []
    assert in_flight.done(10) == [receipt("a")]


@pytest.mark.parametrize("visibility_s", [0.0, 1.0, 30.0, 120.0, 3600.0])
def test_extensions_follow_each_other_ever_more_rarely(
    visibility_s: float, clock: FakeClock, in_flight: MessagesInFlight
) -> None:
    """A message that waits for hours costs few requests, and never becomes visible meanwhile."""
    in_flight.visibility_s = visibility_s
    in_flight.add(receipt("a"), clock.now_s)
    begun_s, visible_s, extensions = clock.now_s, clock.now_s + visibility_s, 0
    while clock.now_s - begun_s < HOUR_S:
        clock.advance(max(0.0, in_flight.extension_due_s - clock.now_s))
        assert clock.now_s <= visible_s
        ((_, extension_s),) = in_flight.take_expiring()
        assert 1 <= extension_s <= max(EXTENSION_MAX_S, visibility_s)
        visible_s = clock.now_s + extension_s
        extensions += 1
    assert extensions <= 25


def test_after_twelve_hours_a_message_comes_again(
    clock: FakeClock, in_flight: MessagesInFlight
) -> None:
    """SQS allows no more; it is received anew then."""
    in_flight.add(receipt("a"), clock.now_s)
    begun_s = clock.now_s
    while len(in_flight):
        clock.advance(max(0.0, in_flight.extension_due_s - clock.now_s))
        for _, extension_s in in_flight.take_expiring():
            assert clock.now_s + extension_s <= begun_s + HELD_MAX_S
    assert clock.now_s >= begun_s + HELD_MAX_S - EXTENSION_MAX_S
    assert in_flight.extension_due_s == float("inf")


def test_at_the_end_what_waits_is_given_back(clock: FakeClock, in_flight: MessagesInFlight) -> None:
    """What is done is still to be deleted."""
    message = in_flight.add(receipt("a"), clock.now_s)
    late = in_flight.add(receipt("b"), clock.now_s)
    assert message is not None
    assert late is not None
    message.done()
    assert in_flight.take_all() == [receipt("b")]
    late.done()
    assert in_flight.done(10) == [receipt("a")]
