"""A bucket whose notifications go to a queue, on moto: directly, by SNS, and by EventBridge."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, TypeAlias
from uuid import uuid4

import boto3
import pytest

from support.client import wait_until
from support.reconciling import Reconciling
from support.s3.fixtures import RealBucket
from support.s3.simulated import REGION
from support.state import open_store
from watcher.clock import Clock
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.queue import receiver
from watcher.sources.s3.hints.queue.in_flight import MessagesInFlight
from watcher.sources.s3.hints.queue.setup import read_queue_setup
from watcher.sources.s3.trust import Trust
from watcher.spec import BucketSpec, HintKind, Notifications, Spec
from watcher.state.port import WatchStore

Way: TypeAlias = Literal["direct", "SNS", "SNS, raw", "EventBridge"]

ACCOUNT = "123456789012"
EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
KEYS = [
    "in/a.csv",
    "in/a b+c%2Bd%.csv",
    "in/é ü/日本.csv",
    "in/a&b=c;d.csv",
    "in/+ +",
    "in/'\"<>",
]

pytestmark = pytest.mark.parametrize("s3_server", ["moto_server"], indirect=True)


class QueuedBucket:
    """A bucket that sends its notifications to a queue, and what watches it."""

    def __init__(self, bucket: RealBucket, way: Way) -> None:
        self.bucket = bucket
        self._name = f"queue-{uuid4().hex[:12]}"
        self.sqs = self._client("sqs")
        self.url = self.sqs.create_queue(
            QueueName=self._name, Attributes={"VisibilityTimeout": "1"}
        )["QueueUrl"]
        self._arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self._name}"
        notify = {
            "direct": lambda: {"QueueConfigurations": [{"QueueArn": self._arn, "Events": EVENTS}]},
            "SNS": self._notify_topic,
            "SNS, raw": lambda: self._notify_topic(is_raw=True),
            "EventBridge": self._notify_event_bus,
        }[way]()
        bucket.client.put_bucket_notification_configuration(
            Bucket=bucket.name, NotificationConfiguration=notify
        )

    @property
    def notifications(self) -> Notifications:
        return Notifications(HintKind.QUEUE, self.url)

    @property
    def left(self) -> int:
        """Number of messages in the queue, those in flight included.

        The two numbers are counted one after the other, and what becomes visible in between is in
        neither: such a moment is not seen twice.
        """
        return max(self._count("", "NotVisible"), self._count("", "NotVisible"))

    @property
    def visible(self) -> int:
        """Number of messages that a request for messages would receive."""
        return self._count("")

    def _count(self, *kinds: str) -> int:
        names: Any = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(map(int, answer["Attributes"].values()))

    def _notify_topic(self, *, is_raw: bool = False) -> Any:  # noqa: ANN401 - a configuration
        with closing(self._client("sns")) as sns:
            topic = sns.create_topic(Name=self._name)["TopicArn"]
            sns.subscribe(
                TopicArn=topic,
                Protocol="sqs",
                Endpoint=self._arn,
                Attributes={"RawMessageDelivery": str(is_raw).lower()},
            )
        return {"TopicConfigurations": [{"TopicArn": topic, "Events": EVENTS}]}

    def _notify_event_bus(self) -> Any:  # noqa: ANN401 - a configuration
        with closing(self._client("events")) as events:
            pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [self.bucket.name]}}}
            events.put_rule(Name=self._name, EventPattern=json.dumps(pattern))
            events.put_targets(Rule=self._name, Targets=[{"Id": "queue", "Arn": self._arn}])
        return {"EventBridgeConfiguration": {}}

    def _client(self, service: str) -> Any:  # noqa: ANN401 - stubs have S3 only
        make: Any = boto3.client
        server = self.bucket.server
        return make(
            service,
            region_name=REGION,
            endpoint_url=server.endpoint_url,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )


class QueueWatch:
    """Watches a bucket by its queue; the bucket is listed once, at the start."""

    def __init__(self, queued: QueuedBucket, state: WatchStore) -> None:
        self._queued = queued
        self._state = state
        self._woken = threading.Event()
        self.source = queued.bucket.open(prefix="in/", notifications=queued.notifications)
        self.source.close()
        self.source.verify_hints()
        self.source.open(self._woken.set)
        spec = BucketSpec(queued.bucket.name, "in/", endpoint_url=queued.bucket.server.endpoint_url)
        self._reconciler = Reconciling(self.source, state, Spec(spec))
        self._reconciler.record_existing()

    def observe(self) -> None:
        """Compare what hints lead to with the index."""
        for observation in self.source.observe():
            self._reconciler.apply(observation)

    def wait_for(self, *changes: tuple[str, str]) -> None:
        """Observe until all of these changes have come, and check that no others have."""

        def have_come() -> bool:
            self.observe()
            return len(self.reported) >= len(changes)

        wait_until(have_come, "all changes are reported")
        assert self.reported == sorted(changes)

    def wait_left(self, messages: int) -> None:
        """Observe until the queue holds this number of messages."""

        def has_them() -> bool:
            self.observe()
            return self._queued.left == messages

        wait_until(has_them, f"{messages} messages are left")

    @property
    def reported(self) -> list[tuple[str, str]]:
        """Type and key of all changes, sorted."""
        payloads = self._state.journal.read(0, limit=10_000, max_bytes=1 << 30)
        events = [json.loads(payload.data) for payload in payloads]
        return sorted((event["type"], event["path"]) for event in events)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests for messages wait for a second at most."""
    monkeypatch.setattr(receiver, "WAIT_S", 1)
    monkeypatch.setattr(receiver, "USELESS_PAUSES", Pauses(0.05, 0.05))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[WatchStore]:
    with closing(open_store(tmp_path / "state.db")) as state:
        yield state


@pytest.fixture(params=["direct", "SNS", "SNS, raw", "EventBridge"])
def queued(request: pytest.FixtureRequest, bucket: RealBucket) -> Iterator[QueuedBucket]:
    queued = QueuedBucket(bucket, request.param)
    with closing(queued.sqs):
        yield queued


@pytest.fixture
def begin(queued: QueuedBucket, state: WatchStore) -> Iterator[Callable[[], QueueWatch]]:
    """Return what begins to watch the bucket, again on the same state."""
    watches: list[QueueWatch] = []

    def begin_it() -> QueueWatch:
        watches.append(QueueWatch(queued, state))
        return watches[-1]

    yield begin_it
    for watch in watches:
        watch.source.close()


def upload_in_parts(bucket: RealBucket, key: str) -> None:
    at: Any = {"Bucket": bucket.name, "Key": key}
    upload = bucket.client.create_multipart_upload(**at)["UploadId"]
    part = bucket.client.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"x")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    bucket.client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)


def test_every_kind_of_change_of_every_key_is_found(
    queued: QueuedBucket, begin: Callable[[], QueueWatch]
) -> None:
    """Nothing is listed; messages about other keys are deleted too, until there is none."""
    bucket = queued.bucket
    bucket.put("in/old")
    watch = begin()
    bucket.put(*KEYS, "out/a.csv")
    upload_in_parts(bucket, "in/parts")
    source: Any = {"Bucket": bucket.name, "Key": KEYS[1]}
    bucket.client.copy_object(Bucket=bucket.name, Key="in/copy of é+%", CopySource=source)
    created = [("created", key) for key in (*KEYS, "in/parts", "in/copy of é+%")]
    watch.wait_for(*created)
    bucket.put(KEYS[2], body=b"more")
    bucket.delete("in/old", KEYS[1], "out/a.csv")
    changes = [("modified", KEYS[2]), ("deleted", "in/old"), ("deleted", KEYS[1])]
    watch.wait_for(*created, *changes)
    watch.wait_left(0)
    status = watch.source.hint_status
    assert status is not None
    assert (status.problem, status.rejected, status.errors) == ("", 0, 0)
    assert watch.source.degraded == ""


@pytest.mark.parametrize("queued", ["direct"], indirect=True)
def test_what_comes_between_commit_and_deletion_comes_again(
    queued: QueuedBucket, begin: Callable[[], QueueWatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that ends there deletes nothing; the next one does, and reports nothing twice."""
    with monkeypatch.context() as patch:
        patch.setattr(MessagesInFlight, "finish", lambda *_: None)
        first = begin()
        queued.bucket.put("in/a", "in/b")
        first.wait_for(("created", "in/a"), ("created", "in/b"))
        first.source.close()
    # One more is that with which S3 tries the queue.
    wait_until(lambda: queued.visible == 3, "the messages are given back")
    second = begin()
    second.wait_left(0)
    assert second.reported == [("created", "in/a"), ("created", "in/b")]


# What moto answers for EventBridge lacks its configuration.
@pytest.mark.parametrize("queued", ["direct", "SNS", "SNS, raw"], indirect=True)
def test_the_setup_of_a_queue_lacks_no_notifications(
    queued: QueuedBucket, aws_environment: pytest.MonkeyPatch
) -> None:
    """Whichever way they go, as far as the bucket says; what is short is the time of the queue."""
    spec = BucketSpec(
        queued.bucket.name,
        "in/",
        endpoint_url=queued.bucket.server.endpoint_url,
        notifications=queued.notifications,
    )
    for name, value in queued.bucket.server.environment().items():
        aws_environment.setenv(name, value)
    found = read_queue_setup(spec, Clock(), Trust(EndpointAuthorities()))
    assert (found.url, found.visibility_s, found.dead_letters) == (queued.url, 1, "")
    assert [warning.partition(" ")[0] for warning in found.warnings] == ["its", "it"]


@pytest.mark.parametrize("queued", ["direct"], indirect=True)
def test_a_queue_of_two_buckets_is_read_by_one_watch(
    queued: QueuedBucket, begin: Callable[[], QueueWatch]
) -> None:
    """What is about the other bucket stays, and degrades the watch."""
    server = queued.bucket.server
    other = server.make_bucket()
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queued.url.rpartition('/')[2]}"
    configuration: Any = {"QueueConfigurations": [{"QueueArn": arn, "Events": EVENTS}]}
    queued.bucket.client.put_bucket_notification_configuration(
        Bucket=other, NotificationConfiguration=configuration
    )
    watch = begin()
    queued.bucket.client.put_object(Bucket=other, Key="in/a", Body=b"x")
    queued.bucket.put("in/b")
    watch.wait_for(("created", "in/b"))
    watch.wait_left(1)
    status = watch.source.hint_status
    assert status is not None
    assert status.rejected == 1
    assert f"one about the bucket '{other}'" in watch.source.degraded
