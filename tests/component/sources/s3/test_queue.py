"""The feed of a queue: every message is deleted once its keys were compared, and not before.

The tickets of an inbox are settled by the test, as the thread of a watch would.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.certificates import Authority
from support.clock import LeapingClock
from support.s3.faults import Answer, Fault
from support.s3.queues import (
    QUEUE_PATH,
    Call,
    StubQueue,
    on,
    record,
    refusal,
    run_queue,
    sqs_error,
)
from watcher.clock import Clock
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.filters.key_window import KeyWindow
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.hints import inbox as inbox_module
from watcher.sources.s3.hints.inbox import HintInbox
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.queue import in_flight, receiver, settler
from watcher.sources.s3.hints.queue.feed import QueueFeed
from watcher.sources.s3.hints.queue.sqs import QueueApi, QueueAttributes
from watcher.sources.s3.trust import Trust
from watcher.spec import BucketSpec, HintKind, Notifications

BUCKET = "landing"
DEADLINE_S = 30.0
PAUSES = Pauses(first_s=0.02, most_s=0.05)
A, B = record(BUCKET, "in/a"), record(BUCKET, "in/b")
FOREIGN = record("other", "in/a")

pytestmark = pytest.mark.usefixtures("credentials")


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for what happens in other threads."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests for messages wait for a second at most."""
    monkeypatch.setattr(receiver, "WAIT_S", 1)
    monkeypatch.setattr(receiver, "USELESS_PAUSES", PAUSES)


@pytest.fixture
def queue() -> Iterator[StubQueue]:
    with run_queue() as queue:
        yield queue


class Feed:
    """A feed, and the inbox that it fills."""

    def __init__(self, url: str, **fields: object) -> None:
        notifications = Notifications(HintKind.QUEUE, url)
        spec = replace(BucketSpec(BUCKET, "in/", notifications=notifications), **fields)  # type: ignore[arg-type]
        self.clock = LeapingClock()
        self.woken = threading.Event()
        keys = KeyWindow("in/", 0.0, self.clock)
        self.inbox = HintInbox(keys, lambda: None, self.clock)
        self.feed = QueueFeed(
            spec, clock=self.clock, trust=Trust(EndpointAuthorities()), pauses=PAUSES
        )

    def start(self) -> None:
        self.feed.start(self.inbox, self.woken.set)

    @property
    def keys(self) -> list[str]:
        """The keys that wait."""
        return [key.decode() for key in self.inbox.waiting()]

    def wait_for(self, *keys: str) -> None:
        wait_until(lambda: sorted(self.keys) == sorted(keys))

    def settle(self, *, is_done: bool = True) -> list[str]:
        """Take all keys, settle them as compared, or not to be inspected, and return them."""
        taken = self.inbox.take(10_000)
        for hinted in taken:
            if is_done:
                hinted.settle()
            else:
                hinted.fail()
        return [hinted.key.decode() for hinted in taken]


@pytest.fixture
def begin() -> Iterator[Callable[..., Feed]]:
    """Return what makes a feed of a queue and starts it."""
    begun: list[Feed] = []

    def begin_it(queue: StubQueue | str, *, starts: bool = True, **fields: object) -> Feed:
        begun.append(Feed(queue if isinstance(queue, str) else queue.url, **fields))
        if starts:
            begun[-1].start()
        return begun[-1]

    yield begin_it
    for each in begun:
        each.feed.stop()


def test_a_message_is_deleted_once_its_keys_were_compared(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
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


def test_deletions_are_gathered(queue: StubQueue, begin: Callable[..., Feed]) -> None:
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
def test_what_is_of_no_use_to_anybody_is_deleted(
    body: str, queue: StubQueue, begin: Callable[..., Feed]
) -> None:
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
            "a request of SNS to confirm a subscription",
        ),
    ],
)
def test_what_is_for_somebody_else_is_left(
    body: str, complaint: str, queue: StubQueue, begin: Callable[..., Feed]
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
    assert feed.feed.complaint.startswith(f"a message is left in the queue, such as {complaint}")
    feed.clock.ahead_s = 301.0
    assert feed.feed.complaint == ""


def test_foreign_messages_do_not_make_requests_follow_each_other(
    queue: StubQueue, begin: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
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


def test_a_message_whose_keys_cannot_be_inspected_is_left(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
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


def test_a_message_that_comes_twice_is_one(queue: StubQueue, begin: Callable[..., Feed]) -> None:
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


def test_the_time_of_messages_whose_keys_wait_is_extended(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
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


def test_messages_that_wait_are_given_back_at_the_end(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
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


def test_an_answer_that_comes_after_the_end_is_given_back(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
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


def test_a_feed_can_be_started_again(queue: StubQueue, begin: Callable[..., Feed]) -> None:
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
    queue: StubQueue, begin: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
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
    queue: StubQueue, begin: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages about one key are one key in the inbox, but each of them waits."""
    monkeypatch.setattr(in_flight, "IN_FLIGHT_MAX", 20)
    feed = begin(queue)
    queue.send(*[A] * 100)
    wait_until(lambda: queue.in_flight == 20)
    while queue.bodies:
        assert queue.in_flight <= 20
        feed.settle()


# Faults

PASSING = {
    "500": sqs_error("InternalFailure", status=500),
    "503": sqs_error("ServiceUnavailable", status=503),
    "throttled": sqs_error("RequestThrottled"),
    "throttled by the query protocol": sqs_error("ThrottlingException", status=400),
    "too many in flight": sqs_error("OverLimit", status=403),
    "web page": Answer(b"<html>sign in</html>"),
    "torn JSON": Answer(b'{"Messages": [{"MessageId": "1", "Bo'),
    "a list": Answer(b"[]"),
    "reset": Answer(fault=Fault.RESET),
    "torn": Answer(b'{"Messages": []}', fault=Fault.CUT_BODY),
    "redirect": Answer(status=307, headers={"Location": "http://127.0.0.1:1/"}),
    "unknown": sqs_error("Surprise", status=418),
}
LASTING = {
    "gone": (sqs_error("QueueDoesNotExist"), "there is no such queue (", NotFoundError),
    "gone by the query protocol": (
        sqs_error("AWS.SimpleQueueService.NonExistentQueue"),
        "there is no such queue (",
        NotFoundError,
    ),
    "denied": (sqs_error("AccessDeniedException"), "the queue refuses access (", DeniedError),
    "denied by the query protocol": (
        sqs_error("AccessDenied", status=403),
        "the queue refuses access (",
        DeniedError,
    ),
    "key of KMS": (sqs_error("KmsAccessDenied"), "the encryption key of the queue", DeniedError),
    "wrong key": (
        sqs_error("InvalidClientTokenId", status=403),
        "the queue does not accept the credentials (",
        DeniedError,
    ),
    "wrong signature": (
        sqs_error("SignatureDoesNotMatch", status=403),
        "the queue does not accept the credentials (",
        DeniedError,
    ),
}


@pytest.mark.parametrize("answer", PASSING.values(), ids=list(PASSING))
def test_a_fault_that_passes_is_no_problem_unless_it_lasts(
    answer: Answer, queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    """One failure is none; two in a row are, with a line that says so, until the next answer."""
    queue.send(A)
    queue.on_call = on("ReceiveMessage", answer, times=1)
    feed = begin(queue)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: queue.deleted == [A])
    assert (feed.feed.problem, feed.woken.is_set()) == ("", False)
    assert feed.feed.status.errors == 1
    queue.on_call = on("ReceiveMessage", answer)
    wait_until(lambda: feed.feed.problem)
    assert feed.woken.wait(DEADLINE_S)
    assert feed.feed.problem.startswith(
        ("the queue ", "the answer ", "the connection ", "too many")
    )
    assert "store" not in feed.feed.problem
    assert "endpoint_url" not in feed.feed.problem
    assert feed.feed.known_until_s() == float("-inf")
    feed.woken.clear()
    queue.on_call = lambda _: None
    queue.send(B)
    feed.wait_for("in/b")
    wait_until(lambda: not feed.feed.problem)
    assert feed.woken.wait(DEADLINE_S)
    assert not feed.feed.misses_hints


@pytest.mark.parametrize(("answer", "problem", "error"), LASTING.values(), ids=list(LASTING))
def test_a_queue_that_cannot_be_read_is_a_problem_at_once(
    answer: Answer,
    problem: str,
    error: type[WatcherError],
    queue: StubQueue,
    begin: Callable[..., Feed],
) -> None:
    """A new watch does not start; one that runs goes on when the queue can be read again.

    What was sent to a queue that was gone is lost, so the place is listed then.
    """
    queue.on_call = on("GetQueueAttributes", answer)
    feed = begin(queue, starts=False)
    with pytest.raises(error) as refusal_of_start:
        feed.feed.verify()
    assert str(refusal_of_start.value).startswith(f"{queue.url}: {problem}")
    assert refusal_of_start.value.hint
    queue.on_call = on("ReceiveMessage", answer)
    feed.start()
    wait_until(lambda: feed.feed.problem.startswith(problem))
    tries = queue.count("ReceiveMessage")
    wait_until(lambda: queue.count("ReceiveMessage") > tries + 3)
    queue.on_call = lambda _: None
    queue.send(A)
    feed.wait_for("in/a")
    wait_until(lambda: not feed.feed.problem)
    assert feed.feed.misses_hints is (error is NotFoundError)
    assert feed.feed.take_missed() is (error is NotFoundError)
    assert not feed.feed.misses_hints


def test_a_queue_that_cannot_be_reached_does_not_keep_a_watch_from_its_start(
    begin: Callable[..., Feed],
) -> None:
    """That passes by itself; until then the bucket is polled."""
    feed = begin(f"http://127.0.0.1:1{QUEUE_PATH}", starts=False)
    feed.feed.verify()
    feed.start()
    wait_until(lambda: feed.feed.problem.startswith("the endpoint cannot be reached: [Errno 111]"))
    assert feed.feed.problem.endswith("check notifications.queue, the network and the proxy")


def test_one_of_ten_that_is_not_deleted_comes_again(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    def refuse_the_first(answer: Answer) -> Answer:
        del answer
        return Answer(
            b'{"Successful": [], "Failed": [%s]}'
            % repr(refusal("0", "InternalError")).replace("'", '"').replace("True", "true").encode()
        )

    feed = begin(queue)
    queue.on_call = on("DeleteMessageBatch", refuse_the_first(Answer()), times=1)
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: feed.feed.status.errors == 1)
    assert queue.bodies == [A]
    queue.expire()
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: queue.deleted == [A])
    assert feed.feed.problem == ""


@pytest.mark.parametrize("name", ["500", "throttled", "reset", "torn JSON"])
def test_a_deletion_that_fails_is_tried_again(
    name: str, queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    feed = begin(queue)
    queue.on_call = on("DeleteMessageBatch", PASSING[name], times=3)
    queue.send(A, B)
    feed.wait_for("in/a", "in/b")
    feed.settle()
    wait_until(lambda: sorted(queue.deleted) == sorted([A, B]))
    assert feed.feed.status.errors == 3
    assert feed.feed.problem == ""


def test_messages_that_may_not_be_deleted_are_a_problem(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    """They would come again without end, each time inspected: so few are received meanwhile."""
    feed = begin(queue)
    queue.on_call = on("DeleteMessageBatch", sqs_error("AccessDenied", "no", 403))
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: feed.feed.problem)
    assert feed.woken.is_set()
    assert feed.feed.problem == (
        "messages cannot be deleted: the queue refuses access (AccessDenied: no); allow "
        "sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:GetQueueAttributes"
    )
    before = queue.count("ReceiveMessage")
    queue.send(B)
    wait_until(lambda: queue.count("ReceiveMessage") > before + 1)
    assert queue.calls[-1].parameters.get("MaxNumberOfMessages", 1) == 1
    queue.on_call = lambda _: None
    wait_until(lambda: not feed.feed.problem)


@pytest.mark.parametrize("answer", [PASSING["500"], LASTING["denied"][0]], ids=["500", "denied"])
def test_an_extension_that_fails_has_the_message_come_again(
    answer: Answer, queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    """That is no problem: its keys still wait, and it is deleted once they were compared."""
    queue.visibility_s = 1.0
    queue.on_call = on("ChangeMessageVisibilityBatch", answer)
    feed = begin(queue, starts=False)
    feed.feed.verify()
    feed.start()
    queue.send(A)
    wait_until(lambda: feed.feed.status.messages == 2)
    assert feed.keys == ["in/a"]
    feed.settle()
    wait_until(lambda: queue.deleted == [A])
    assert feed.feed.status.errors > 0
    assert feed.feed.problem == ""


def test_attributes_that_may_not_be_read_are_not_needed_later(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    queue.on_call = on("GetQueueAttributes", sqs_error("AccessDenied", status=403))
    feed = begin(queue)
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: queue.deleted == [A])
    assert feed.feed.status.backlog is None
    assert feed.feed.problem == ""


def test_expired_credentials_are_renewed(
    queue: StubQueue, begin: Callable[..., Feed], credentials: Callable[[str], object]
) -> None:
    """Those of a shared file are, which something else renews."""
    feed = begin(queue)
    wait_until(lambda: queue.count("ReceiveMessage"))

    def refuse_the_first(call: Call) -> Answer | None:
        expired = sqs_error("ExpiredToken", "The security token has expired", 403)
        return expired if call.access_key == "FIRST" else None

    credentials("SECOND")
    queue.on_call = refuse_the_first
    wait_until(lambda: queue.calls[-1].access_key == "SECOND")
    queue.send(A)
    feed.wait_for("in/a")
    assert feed.feed.problem == ""


def test_a_receipt_that_hangs_is_a_failure(
    queue: StubQueue, begin: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The messages in its answer come again after their visibility timeout."""
    monkeypatch.setattr("watcher.sources.s3.sdk.READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(receiver, "WAIT_S", 0)
    slow = Answer(b"{}", delay_s=DEADLINE_S)
    queue.on_call = on("ReceiveMessage", slow, times=2)
    feed = begin(queue)
    wait_until(lambda: feed.feed.problem)
    assert feed.feed.problem.startswith("the endpoint does not answer in time; check notifications")
    queue.send(A)
    feed.wait_for("in/a")


def test_an_answer_that_is_too_large_is_smaller_the_next_time(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    """Ten messages of a megabyte are more than an answer may have, and one is not."""
    feed = begin(queue, starts=False)
    large = record(BUCKET, *(f"in/{number}" for number in range(900)))
    large = large.replace("in/", "in/" + "é" * 500)
    queue.send(*(large + " " * number for number in range(10)))
    feed.start()
    wait_until(lambda: feed.feed.status.errors)
    queue.expire()
    wait_until(lambda: len(feed.keys) == 900)
    asked = [
        call.parameters["MaxNumberOfMessages"]
        for call in queue.calls
        if "MaxNumberOfMessages" in call.parameters
    ]
    assert asked[:2] == [10, 1]


def test_a_program_error_does_not_silence_a_feed(
    queue: StubQueue, begin: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [True]
    receive = QueueApi.receive

    def break_once(api: QueueApi, **options: int) -> object:
        if broken:
            broken.pop()
            raise ZeroDivisionError
        return receive(api, **options)

    monkeypatch.setattr(QueueApi, "receive", break_once)
    queue.send(A)
    with capture_logs() as log:
        feed = begin(queue)
        feed.wait_for("in/a")
    assert [line["event"] for line in log] == ["hints.failed"]


# What it costs, and what it knows


def test_the_backlog_is_asked_for_more_often_while_messages_come(
    queue: StubQueue, begin: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
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


def test_the_age_is_that_of_the_oldest_message(
    queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    feed = begin(queue)
    queue.send(A, sent_s_ago=3600.0)
    queue.send(B)
    feed.wait_for("in/a", "in/b")
    assert 3600.0 <= feed.feed.status.oldest_age_s < 3600.0 + DEADLINE_S
    known_s = feed.clock.monotonic() - feed.feed.known_until_s()
    assert known_s >= 3600.0
    feed.settle()
    wait_until(lambda: feed.clock.monotonic() - feed.feed.known_until_s() < DEADLINE_S)


@pytest.mark.parametrize(("retention_s", "is_missed"), [(60, True), (21_600, False)])
def test_a_queue_that_keeps_messages_for_a_short_time_may_have_lost_some(
    retention_s: int, *, is_missed: bool, queue: StubQueue, begin: Callable[..., Feed]
) -> None:
    queue.retention_s = retention_s
    feed = begin(queue, backstop_interval_s=6 * 3600.0)
    wait_until(lambda: feed.feed.status.backlog is not None)
    assert feed.feed.take_missed() is is_missed


# Address and credentials


def test_requests_are_signed_for_the_region_of_the_queue(
    queue: StubQueue, aws_environment: pytest.MonkeyPatch, begin: Callable[..., Feed]
) -> None:
    """The host names it, else the configuration, else the environment.

    The endpoint that the server has for queues goes before the host.
    """
    aws_environment.setenv("AWS_REGION", "ap-south-1")
    aws_environment.setenv("AWS_ENDPOINT_URL_SQS", queue.url.removesuffix(QUEUE_PATH))
    begin(f"https://sqs.eu-west-1.amazonaws.com{QUEUE_PATH}", starts=False).feed.verify()
    begin(queue, starts=False, region="eu-north-1").feed.verify()
    begin(queue, starts=False).feed.verify()
    assert [call.region for call in queue.calls] == ["eu-west-1", "eu-north-1", "ap-south-1"]
    urls = [call.parameters["QueueUrl"] for call in queue.calls]
    assert urls == [f"https://sqs.eu-west-1.amazonaws.com{QUEUE_PATH}", queue.url, queue.url]


def test_the_endpoint_of_a_store_is_not_that_of_its_queue(
    queue: StubQueue, aws_environment: pytest.MonkeyPatch, begin: Callable[..., Feed]
) -> None:
    aws_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    begin(queue, starts=False, endpoint_url="http://127.0.0.1:1").feed.verify()
    assert queue.count("GetQueueAttributes") == 1


def test_no_request_goes_to_a_metadata_address(
    begin: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to one is refused once it is connected, as for buckets."""
    monkeypatch.setattr(
        "watcher.sources.s3.connections.is_metadata_address", lambda host: host == "127.0.0.1"
    )
    with run_queue() as queue:
        url = queue.url.replace("127.0.0.1", "localhost")
        with pytest.raises(DeniedError, match="metadata address"):
            begin(url, starts=False).feed.verify()
        assert queue.calls == []


def test_a_queue_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    """Its authority is named as that of a store, and the error says how."""
    authority = Authority(tmp_path)
    with run_queue(tls=authority.issue("queue")) as queue:
        spec = BucketSpec(BUCKET, notifications=Notifications(HintKind.QUEUE, queue.url))
        endpoint = queue.url.removesuffix(QUEUE_PATH)

        def ask(*endpoint_ca: str) -> QueueAttributes:
            trust = Trust(EndpointAuthorities(endpoint_ca))
            with closing(QueueApi(spec, clock=Clock(), trust=trust)) as api:
                return api.attributes()

        assert ask(f"{endpoint}={authority.certificate}") == QueueAttributes()
        with pytest.raises(UnavailableError, match=f"--endpoint-ca {endpoint}=FILE"):
            ask()
