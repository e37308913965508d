"""Reads how a queue is set up, and whether its bucket sends to it; once, for people."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.errors import WatcherError
from watcher.formatting import human_age
from watcher.sources.cost import longest_interval_s
from watcher.sources.s3.client import make_client
from watcher.sources.s3.diagnosis import Diagnosis
from watcher.sources.s3.hints.queue.sqs import QueueApi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.sources.s3.hints.queue.sqs import QueueAttributes
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec

VISIBILITY_MIN_S = 10
"""Visibility timeout in seconds below which messages come again while they are looked at."""
DELIVERIES_MIN = 5
"""Deliveries after which a message may become a dead letter: fewer, and an outage of the store of a
few minutes makes it one."""

_ALL_KINDS = ("s3:ObjectCreated:", "s3:ObjectRemoved:")
"""Beginnings of the names of the events that a watch is for."""


@dataclass(frozen=True, slots=True)
class QueueSetup:
    """A queue as it is set up.

    Attributes:
        url: Its URL.
        backlog: Messages that wait.
        in_flight: Messages that somebody has received and not deleted.
        visibility_s: Seconds for which a received message is invisible.
        retention_s: Seconds for which a message is kept.
        dead_letters: Which messages become dead letters; empty for none.
        warnings: What is better set up otherwise, each with what to do.
    """

    url: str
    backlog: int
    in_flight: int
    visibility_s: int
    retention_s: int
    dead_letters: str
    warnings: Sequence[str]


def read_queue_setup(spec: BucketSpec, clock: Clock, trust: Trust) -> QueueSetup:
    """Read the attributes of the queue of a bucket, and where the bucket sends notifications.

    Args:
        spec: The bucket; its ``notifications`` name a queue.
        clock: The time.
        trust: The authorities for certificates.

    Raises:
        NotFoundError: There is no such queue.
        DeniedError: The queue may not be read.
        UnavailableError: It cannot be read now.
    """
    with closing(QueueApi(spec, clock=clock, trust=trust)) as api:
        attributes = api.attributes()
    dead_letters, deliveries = _read_redrive(attributes)
    warnings = [
        *_check_times(spec, attributes),
        *_check_dead_letters(deliveries),
        *_check_notifications(spec, _read_notifications(spec, clock, trust)),
    ]
    return QueueSetup(
        str(api.queue),
        attributes.backlog,
        attributes.in_flight,
        attributes.visibility_s,
        attributes.retention_s,
        dead_letters,
        warnings,
    )


def _read_redrive(attributes: QueueAttributes) -> tuple[str, int | None]:
    """Return which messages become dead letters, and after how many deliveries; None for none."""
    try:
        policy = json.loads(attributes.dead_letters or "null")
        deliveries = int(policy["maxReceiveCount"])
        name = str(policy["deadLetterTargetArn"]).rpartition(":")[2]
    except (ValueError, TypeError, KeyError):
        return "", None
    return f"after {deliveries:,} deliveries, to {name}", deliveries


def _check_times(spec: BucketSpec, attributes: QueueAttributes) -> Iterator[str]:
    if attributes.visibility_s < VISIBILITY_MIN_S:
        yield (
            f"its visibility timeout is {human_age(attributes.visibility_s)}, so messages come "
            "again while they are looked at: raise it to a minute"
        )
    if attributes.retention_s < longest_interval_s(spec):
        yield (
            f"it keeps messages for {human_age(attributes.retention_s)} only, so the bucket is "
            "listed at each start: raise MessageRetentionPeriod to four days"
        )


def _check_dead_letters(deliveries: int | None) -> Iterator[str]:
    if deliveries is None:
        yield "it has no dead-letter queue: a message that cannot be read comes again and again"
    elif deliveries < DELIVERIES_MIN:
        yield (
            f"a message becomes a dead letter after {deliveries} deliveries, as in an outage of "
            "the store: raise maxReceiveCount to 20"
        )


def _read_notifications(spec: BucketSpec, clock: Clock, trust: Trust) -> Mapping[str, Any] | None:
    """Return the notification configuration of a bucket; None where it cannot be read."""
    try:
        with Diagnosis(spec, trust).translated():
            client = make_client(
                spec, connections=1, slow_down=lambda _: None, clock=clock, trust=trust
            )
            with closing(client):
                return client.get_bucket_notification_configuration(Bucket=spec.bucket)
    except WatcherError:
        return None


def _check_notifications(spec: BucketSpec, found: Mapping[str, Any] | None) -> Iterator[str]:
    queue = spec.queue
    if found is None or queue is None or "EventBridgeConfiguration" in found:
        # A rule of EventBridge may send to the queue.
        return
    name = queue.path.rpartition("/")[2]
    ours = [
        each
        for each in found.get("QueueConfigurations", ())
        if each["QueueArn"].endswith(queue.arn or f":{name}")
    ]
    if not ours and found.get("TopicConfigurations"):
        # The topic may send to the queue.
        return
    if not ours:
        yield "the bucket sends no notifications to it: see docs/queues.md"
        return
    matching = [each for each in ours if _covers(each, spec.prefix)]
    for kind in _ALL_KINDS:
        if not any(event.startswith(kind) for each in matching for event in each["Events"]):
            what = f"{kind}* for the prefix" if spec.prefix else f"{kind}*"
            yield f"the bucket does not send {what} to it: add the event to its notifications"


def _covers(configuration: Mapping[str, Any], prefix: str) -> bool:
    """Return whether a configuration sends the keys with a prefix, whatever their ends."""
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    asked = [rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"]
    return all(prefix.startswith(value) for value in asked)
