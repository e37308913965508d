"""The survey of a bucket with a queue: how the queue is set up, without taking a message of it."""

import json
from collections.abc import Iterator

import pytest

from support.clock import FakeClock
from support.s3.fixtures import aws_environment
from support.s3.queues import StubQueue, on, record, run_queue, sqs_error
from support.s3.simulated import CREDENTIALS, Store, run_store
from watcher.cli.check import _rows
from watcher.cli.survey import Survey, survey_place
from watcher.config.schema import parse_spec
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError

__all__ = ["aws_environment"]


@pytest.fixture
def queue(aws_environment: pytest.MonkeyPatch) -> Iterator[StubQueue]:
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    with run_queue() as queue:
        yield queue


@pytest.fixture
def store() -> Iterator[Store]:
    with run_store() as store:
        store.put_many("in/a", "in/b")
        yield store


def survey(store: Store, queue: StubQueue) -> Survey:
    bucket = {"bucket": store.bucket, "endpoint_url": store.endpoint_url}
    text = json.dumps({"s3": bucket | {"notifications": {"queue": queue.url}}})
    return survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)


def test_the_survey_of_a_queue(store: Store, queue: StubQueue) -> None:
    """No message is received, so none is kept from the server that reads it."""
    queue.send(record(store.bucket, "in/a"), "junk")
    queue.visibility_s = 5
    queue.retention_s = 3600
    found = survey(store, queue)
    assert found.matching == 2
    rows = [text for _, text in _rows(found)]
    begin = rows.index(queue.url)
    assert rows[begin + 1 : begin + 6] == [
        "2 messages wait, 0 are in flight",
        "visible again after 5 s, kept for 1 h",
        (
            "warning: its visibility timeout is 5 s, so messages come again while they are looked "
            "at: raise it to a minute"
        ),
        (
            "warning: it keeps messages for 1 h only, so the bucket is listed at each start: raise "
            "MessageRetentionPeriod to four days"
        ),
        "warning: it has no dead-letter queue: a message that cannot be read comes again and again",
    ]
    assert {call.action for call in queue.calls} == {"GetQueueAttributes"}


@pytest.mark.parametrize(
    ("deliveries", "warnings"),
    [
        (20, []),
        (
            2,
            [
                (
                    "a message becomes a dead letter after 2 deliveries, as in an outage of the "
                    "store: raise maxReceiveCount to 20"
                )
            ],
        ),
    ],
)
def test_dead_letters(deliveries: int, warnings: list[str], store: Store, queue: StubQueue) -> None:
    arn = "arn:aws:sqs:eu-west-1:123456789012:landing-dead"
    queue.attributes["RedrivePolicy"] = json.dumps(
        {"deadLetterTargetArn": arn, "maxReceiveCount": str(deliveries)}
    )
    found = survey(store, queue).queue
    assert found is not None
    assert found.dead_letters == f"after {deliveries} deliveries, to landing-dead"
    assert found.warnings == warnings


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("QueueDoesNotExist", NotFoundError),
        ("AccessDenied", DeniedError),
        ("RequestThrottled", UnavailableError),
    ],
)
def test_a_queue_that_cannot_be_read_is_an_error(
    code: str, error: type[WatcherError], store: Store, queue: StubQueue
) -> None:
    queue.on_call = on("GetQueueAttributes", sqs_error(code))
    with pytest.raises(error, match=code):
        survey(store, queue)
