"""The feed of a queue: every message is deleted once its keys were compared, and not before."""

from __future__ import annotations

import threading

import pytest

from support.s3.faults import Answer
from support.s3.queue_feeds import BUCKET, DEADLINE_S, A, B, Begin, wait_until
from support.s3.queues import (
    Call,
    StubQueue,
    on,
    record,
)
from watcher.sources.s3.hints import inbox as inbox_module
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.queue import in_flight, receiver, settler

HOUR_S = 3600.0
FOREIGN = record("other", "in/a")


def test_a_message_is_deleted_once_its_keys_were_compared(queue: StubQueue, begin: Begin) -> None:
    feed = begin(queue)
    queue.send(A, B, record(BUCKET, "in/c", "in/d"))
    feed.wait_for("in/a", "in/b", "in/c", "in/d")
    assert feed.feed.status.oldest_age_s > 0
    assert queue.deleted == []
    feed.settle()
    wait_until(lambda: not queue.bodies)
    status = feed.feed.status
    assert (status.kind, status.messages, status.rejected, status.errors) == ("queue", 3, 0, 0)
    assert (status.problem, status.oldest_age_s) == ("", 0.0)
    assert feed.feed.known_until_s() <= feed.clock.monotonic()


def test_deletions_are_gathered(queue: StubQueue, begin: Begin) -> None:
    """Ten cost as much as one."""
    feed = begin(queue)
    keys = [f"in/{number}" for number in range(35)]
    queue.send(*(record(BUCKET, key) for key in keys))
    feed.wait_for(*keys)
    feed.settle()
    wait_until(lambda: not queue.bodies)
    assert queue.count("DeleteMessageBatch") <= 8


@pytest.mark.parametrize(
    "body",
    [
        '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing"}',
        record(BUCKET, "out/a"),
        '{"Records": []}',
        '{"Type": "Notification", "Message": "{\\"Event\\": \\"s3:TestEvent\\"}"}',
    ],
)
def test_what_is_of_no_use_to_anybody_is_deleted(body: str, queue: StubQueue, begin: Begin) -> None:
    queue.send(body)
    feed = begin(queue)
    wait_until(lambda: queue.deleted == [body])
    assert (feed.keys, feed.feed.complaint, feed.feed.status.rejected) == ([], "", 0)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (FOREIGN, "one about the bucket 'other'"),
        ("<Records/>", "one that cannot be read (the message is not JSON"),
        ("", "one that cannot be read (the message is not JSON"),
        ('{"hello": "world"}', "one that cannot be read ("),
        (
            '{"Type": "SubscriptionConfirmation", "TopicArn": "a", "SubscribeURL": "https://x"}',
            "one of SNS that asks to visit its SubscribeURL",
        ),
    ],
)
def test_what_is_for_somebody_else_is_left(
    body: str, complaint: str, queue: StubQueue, begin: Begin
) -> None:
    """It comes again and again, and is counted once; hints arrive all the same."""
    feed = begin(queue)
    queue.send(body)
    for _ in range(3):
        wait_until(lambda: not queue.visible)
        queue.expire()
    wait_until(lambda: feed.feed.status.messages == 4)
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: queue.bodies == [body])
    assert feed.feed.status.rejected == 1
    assert feed.feed.problem == ""
    assert feed.feed.complaint.startswith(f"a message is left in the queue, {complaint}")
    feed.clock.ahead_s = 301.0
    assert feed.feed.complaint == ""


def test_foreign_messages_do_not_make_requests_follow_each_other(
    queue: StubQueue, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue full of them answers at once, so there are pauses, ever longer ones."""
    pauses: list[int] = []

    class NotedPauses(Pauses):
        def after_failures(self, failures: int) -> float:
            pauses.append(failures)
            return 0.0

    monkeypatch.setattr(receiver, "USELESS_PAUSES", NotedPauses())
    queue.send(*[FOREIGN] * 45)
    begin(queue)
    wait_until(lambda: len(pauses) == 5)
    assert pauses == [1, 2, 3, 4, 5]


def test_a_message_whose_keys_cannot_be_inspected_is_left(queue: StubQueue, begin: Begin) -> None:
    """It is received again after its visibility timeout, and then it may succeed."""
    feed = begin(queue)
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle(is_done=False)
    queue.send(B)
    feed.wait_for("in/b")
    feed.settle()
    wait_until(lambda: queue.deleted == [B])
    assert queue.extensions == []
    queue.expire()
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: queue.deleted == [B, A])


def test_a_message_that_comes_twice_is_one(queue: StubQueue, begin: Begin) -> None:
    """The visibility timeout may pass meanwhile; the last receipt handle deletes it."""
    feed = begin(queue)
    queue.send(A)
    feed.wait_for("in/a")
    queue.expire()
    wait_until(lambda: feed.feed.status.messages == 2)
    feed.settle()
    wait_until(lambda: queue.deleted == [A])
    (deletion,) = [call for call in queue.calls if call.action == "DeleteMessageBatch"]
    assert [entry["ReceiptHandle"] for entry in deletion.parameters["Entries"]] == ["message-1/2"]


def test_the_time_of_messages_whose_keys_wait_is_extended(queue: StubQueue, begin: Begin) -> None:
    """An object may have to rest for longer than the visibility timeout; nobody else gets it."""
    queue.visibility_s = 1.0
    feed = begin(queue, starts=False)
    feed.feed.verify()
    feed.start()
    queue.send(*[A] * 12)
    feed.wait_for("in/a")
    wait_until(lambda: len(queue.extensions) >= 24)
    assert feed.feed.status.messages == 12
    feed.settle()
    wait_until(lambda: not queue.bodies)


def test_messages_that_wait_are_given_back_at_the_end(queue: StubQueue, begin: Begin) -> None:
    """The next owner of the queue need not wait for their visibility timeout."""
    feed = begin(queue)
    queue.send(*(record(BUCKET, f"in/{number}") for number in range(12)))
    wait_until(lambda: len(feed.keys) == 12)
    (first,) = feed.inbox.take(1)
    first.settle()
    feed.feed.stop()
    wait_until(lambda: len(queue.visible) == 11)
    assert set(queue.extensions) == {0}
    assert len(queue.deleted) == 1
    feed.feed.stop()


def test_an_answer_that_comes_after_the_end_is_given_back(queue: StubQueue, begin: Begin) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        if call.action == "ReceiveMessage" and call.number == 1:
            held.set()
            assert let_go.wait(DEADLINE_S)

    queue.on_call = hold
    queue.send(A, B)
    feed = begin(queue)
    assert held.wait(DEADLINE_S)
    feed.feed.stop()
    let_go.set()
    wait_until(lambda: queue.extensions == [0, 0])
    assert feed.keys == []
    assert feed.feed.status.messages == 0


def test_a_feed_can_be_started_again(queue: StubQueue, begin: Begin) -> None:
    """Tickets of the time before settle nothing any more; the message comes again."""
    feed = begin(queue)
    queue.send(A)
    feed.wait_for("in/a")
    feed.feed.stop()
    feed.start()
    wait_until(lambda: feed.feed.status.messages == 2)
    feed.settle()
    wait_until(lambda: queue.deleted == [A])


def test_a_full_inbox_is_not_filled(
    queue: StubQueue, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No message is received that would have to wait, until there is room."""
    monkeypatch.setattr(inbox_module, "WAITING_KEYS_MAX", 5)
    feed = begin(queue)
    keys = [f"in/{number}" for number in range(30)]
    queue.send(*(record(BUCKET, key) for key in keys))
    wait_until(lambda: len(feed.keys) == 5)
    wait_until(lambda: len(queue.visible) == 20)
    seen: set[str] = set()
    while queue.bodies:
        assert len(feed.keys) <= 5
        seen |= set(feed.settle())
    assert seen == set(keys)
    assert feed.feed.status.messages == 30


def test_no_more_messages_are_in_flight_than_may_be(
    queue: StubQueue, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages about one key are one key in the inbox, but each of them waits."""
    monkeypatch.setattr(in_flight, "IN_FLIGHT_MAX", 20)
    feed = begin(queue)
    queue.send(*[A] * 100)
    wait_until(lambda: queue.in_flight == 20)
    while queue.bodies:
        assert queue.in_flight <= 20
        feed.settle()


def test_the_backlog_is_asked_for_more_often_while_messages_come(
    queue: StubQueue, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "BUSY_S", 0.05)
    queue.on_call = on("ReceiveMessage", Answer(b"{}", delay_s=0.3))
    queue.send(A, B)
    feed = begin(queue)
    wait_until(lambda: feed.feed.status.backlog == 2)
    queue.on_call = lambda _: None
    feed.wait_for("in/a", "in/b")
    feed.settle()
    wait_until(lambda: feed.feed.status.backlog == 0)
    asked = queue.count("GetQueueAttributes")
    wait_until(lambda: queue.count("ReceiveMessage") > 4)
    assert queue.count("GetQueueAttributes") <= asked + 1


def test_an_answer_without_messages_shows_that_none_wait(queue: StubQueue, begin: Begin) -> None:
    """The backlog need not be asked for."""
    queue.on_call = on("ReceiveMessage", Answer(b"{}", delay_s=0.3))
    queue.send(A, B)
    feed = begin(queue)
    wait_until(lambda: feed.feed.status.backlog == 2)
    queue.on_call = lambda _: None
    feed.wait_for("in/a", "in/b")
    feed.settle()
    wait_until(lambda: feed.feed.status.backlog == 0)
    assert queue.count("GetQueueAttributes") == 1


def test_the_age_is_that_of_the_oldest_message(queue: StubQueue, begin: Begin) -> None:
    feed = begin(queue)
    queue.send(A, sent_s_ago=3600.0)
    queue.send(B)
    feed.wait_for("in/a", "in/b")
    assert 3600.0 <= feed.feed.status.oldest_age_s < 3600.0 + DEADLINE_S
    known_s = feed.clock.monotonic() - feed.feed.known_until_s()
    assert known_s >= 3600.0
    feed.settle()
    wait_until(lambda: feed.clock.monotonic() - feed.feed.known_until_s() < DEADLINE_S)


@pytest.mark.parametrize(
    ("spec", "needs_s"),
    [
        ({"backstop_interval_s": 6 * HOUR_S}, 6.6 * HOUR_S),
        ({"backstop_interval_s": 6 * HOUR_S, "request_budget": 300_000}, 26.4 * HOUR_S),
        ({"poll_interval_s": HOUR_S}, 1.1 * HOUR_S),
    ],
    ids=["backstop", "budget", "poll_interval"],
)
def test_a_queue_that_keeps_messages_for_a_short_time_may_have_lost_some(
    spec: dict[str, float], needs_s: float, queue: StubQueue, begin: Begin
) -> None:
    """Those that come right after a listing, and wait until just before the next one."""
    for retention_s, is_missed in ((round(needs_s) - 1, True), (round(needs_s) + 1, False)):
        queue.retention_s = retention_s
        feed = begin(queue, starts=False, **spec)
        feed.feed.verify()
        assert feed.feed.take_missed() is is_missed
