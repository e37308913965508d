"""Where requests for a queue go, and how they are signed and secured."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from support.certificates import Authority
from support.s3.queue_feeds import BUCKET, Begin
from support.s3.queues import (
    QUEUE_PATH,
    StubQueue,
    run_queue,
)
from watcher.clock import Clock
from watcher.errors import DeniedError, UnavailableError
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.hints.queue.sqs import QueueApi, QueueAttributes
from watcher.sources.s3.trust import Trust
from watcher.spec import BucketSpec, HintKind, Notifications


def test_requests_are_signed_for_the_region_of_the_queue(
    queue: StubQueue, aws_environment: pytest.MonkeyPatch, begin: Begin
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
    queue: StubQueue, aws_environment: pytest.MonkeyPatch, begin: Begin
) -> None:
    aws_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    begin(queue, starts=False, endpoint_url="http://127.0.0.1:1").feed.verify()
    assert queue.count("GetQueueAttributes") == 1


def test_no_request_goes_to_a_metadata_address(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
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
