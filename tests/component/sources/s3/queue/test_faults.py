"""What goes wrong with requests for a queue: each fault has its outcome, and its end is noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.logs import captured_logs
from support.s3.faults import Answer, Fault
from support.s3.queue_feeds import BUCKET, DEADLINE_S, A, B, Begin, wait_until
from support.s3.queues import (
    QUEUE_PATH,
    Call,
    StubQueue,
    on,
    record,
    refusal,
    sqs_error,
)
from watcher.errors import DeniedError, NotFoundError, WatcherError
from watcher.sources.s3.hints.queue import receiver
from watcher.sources.s3.hints.queue.sqs import QueueApi

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


@pytest.mark.sampled
@pytest.mark.parametrize("answer", PASSING.values(), ids=list(PASSING))
def test_a_fault_that_passes_is_no_problem_unless_it_lasts(
    answer: Answer, queue: StubQueue, begin: Begin
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


@pytest.mark.sampled
@pytest.mark.parametrize(("answer", "problem", "error"), LASTING.values(), ids=list(LASTING))
def test_a_queue_that_cannot_be_read_is_a_problem_at_once(
    answer: Answer,
    problem: str,
    error: type[WatcherError],
    queue: StubQueue,
    begin: Begin,
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
    begin: Begin,
) -> None:
    """That passes by itself; until then the bucket is polled."""
    feed = begin(f"http://127.0.0.1:1{QUEUE_PATH}", starts=False)
    feed.feed.verify()
    feed.start()
    wait_until(lambda: feed.feed.problem.startswith("the endpoint cannot be reached: [Errno 111]"))
    assert feed.feed.problem.endswith("check notifications.queue, the network and the proxy")


def test_one_of_ten_that_is_not_deleted_comes_again(queue: StubQueue, begin: Begin) -> None:
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
def test_a_deletion_that_fails_is_tried_again(name: str, queue: StubQueue, begin: Begin) -> None:
    feed = begin(queue)
    queue.on_call = on("DeleteMessageBatch", PASSING[name], times=3)
    queue.send(A, B)
    feed.wait_for("in/a", "in/b")
    feed.settle()
    wait_until(lambda: sorted(queue.deleted) == sorted([A, B]))
    assert feed.feed.status.errors == 3
    assert feed.feed.problem == ""


def test_messages_that_may_not_be_deleted_are_a_problem(queue: StubQueue, begin: Begin) -> None:
    """They would come again without end, each time inspected: so few are received meanwhile."""
    feed = begin(queue)
    queue.on_call = on("DeleteMessageBatch", sqs_error("AccessDenied", "no", 403))
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: feed.feed.problem)
    assert feed.woken.wait(DEADLINE_S)
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


def test_deletions_are_no_problem_once_no_message_is_left(queue: StubQueue, begin: Begin) -> None:
    """Whether they are refused still, the next message shows at once."""
    feed = begin(queue)
    queue.on_call = on("DeleteMessageBatch", sqs_error("AccessDenied", "no", 403))
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: feed.feed.problem)
    asked = queue.count("ReceiveMessage")
    wait_until(lambda: queue.count("ReceiveMessage") > asked + 2)
    assert feed.feed.problem.startswith("messages cannot be deleted: ")
    feed.woken.clear()
    queue.purge()
    feed.clock.ahead_s = queue.visibility_s
    wait_until(lambda: not feed.feed.problem)
    assert feed.woken.wait(DEADLINE_S)
    queue.send(B)
    feed.wait_for("in/b")
    feed.settle()
    wait_until(lambda: feed.feed.problem)


def test_deletions_are_a_problem_while_messages_are_hidden_in_the_queue(
    queue: StubQueue, begin: Begin
) -> None:
    """As those are that this run has given up, or another receiver has."""
    queue.attributes["ApproximateNumberOfMessagesNotVisible"] = "1"
    feed = begin(queue, starts=False)
    feed.feed.verify()
    feed.start()
    queue.on_call = on("DeleteMessageBatch", sqs_error("AccessDenied", "no", 403))
    queue.send(A)
    feed.wait_for("in/a")
    feed.settle()
    wait_until(lambda: feed.feed.problem)
    queue.purge()
    feed.clock.ahead_s = queue.visibility_s
    asked = queue.count("ReceiveMessage")
    wait_until(lambda: queue.count("ReceiveMessage") > asked + 2)
    assert feed.feed.problem


@pytest.mark.parametrize("answer", [PASSING["500"], LASTING["denied"][0]], ids=["500", "denied"])
def test_an_extension_that_fails_has_the_message_come_again(
    answer: Answer, queue: StubQueue, begin: Begin
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
    queue: StubQueue, begin: Begin
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
    queue: StubQueue, begin: Begin, credentials: Callable[[str], object]
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
    queue: StubQueue, begin: Begin, monkeypatch: pytest.MonkeyPatch
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
    queue: StubQueue, begin: Begin
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
    queue: StubQueue, begin: Begin, monkeypatch: pytest.MonkeyPatch
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
    with captured_logs() as log:
        feed = begin(queue)
        feed.wait_for("in/a")
    assert [line["event"] for line in log] == ["hints.failed"]
