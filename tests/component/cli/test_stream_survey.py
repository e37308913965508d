"""The survey of a bucket whose store is to stream notifications: it is asked whether it does."""

import json
from collections.abc import Iterator

import pytest

from support.clock import FakeClock
from support.s3.faults import Answer, error
from support.s3.fixtures import aws_environment
from support.s3.listen import ListenStub
from support.s3.simulated import CREDENTIALS, Store, run_store
from watcher.cli.survey import Survey, survey_place
from watcher.config.schema import parse_spec

__all__ = ["aws_environment"]

LISTING = b"<?xml version='1.0'?><ListBucketResult></ListBucketResult>"


@pytest.fixture
def store(aws_environment: pytest.MonkeyPatch) -> Iterator[Store]:
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    with run_store() as store:
        store.put_many("in/a", "in/b")
        yield store


def survey(store: Store) -> Survey:
    bucket = {"bucket": store.bucket, "endpoint_url": store.endpoint_url}
    text = json.dumps({"s3": bucket | {"notifications": {"stream": True}}})
    return survey_place(parse_spec(text.encode()), FakeClock(), lambda _: None)


@pytest.mark.parametrize("vendor", ["minio", "rustfs"])
def test_a_store_that_streams(vendor: str, store: Store) -> None:
    """One request is sent, and ended at its first line."""
    stub = ListenStub(store.bucket, vendor).attach(store)
    found = survey(store)
    assert (found.mode, found.reason) == ("notify", "hints by stream, and a listing every 6 h")
    assert (found.matching, stub.asked) == (2, 1)
    assert stub.wait().is_over.wait(30.0)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(LISTING), "the answer is a listing"),
        (Answer(b"<html></html>"), "the answer is a web page"),
        (error(501, "NotImplemented"), "does not know this request"),
        (error(403, "AccessDenied"), "allow s3:ListenBucketNotification"),
        (error(500, "InternalError"), "cannot be opened"),
    ],
)
def test_a_store_that_streams_nothing(answer: Answer, problem: str, store: Store) -> None:
    """What the watch would be degraded with is what the survey says."""
    ListenStub(store.bucket, answer=answer).attach(store)
    found = survey(store)
    assert found.mode == "poll"
    assert found.reason.startswith("no hints arrive: ")
    assert problem in found.reason
    assert found.matching == 2
