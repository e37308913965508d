"""What is said of how a queue is set up, and of where its bucket sends notifications."""

from typing import Any

import pytest

from watcher.sources.s3.hints.queue.setup import _check_notifications
from watcher.spec import BucketSpec, HintKind, Notifications

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/landing"
ARN = "arn:aws:sqs:eu-west-1:123456789012:landing"
OTHER = ARN.replace("landing", "other")
ALL = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
NONE = ["the bucket sends no notifications to it: see docs/queues.md"]


def lacks(*kinds: str) -> list[str]:
    return [
        f"the bucket does not send s3:Object{kind}:* for the prefix to it: add the event to its "
        "notifications"
        for kind in kinds
    ]


def to(arn: str, events: list[str], prefix: str = "") -> dict[str, Any]:
    rules = [{"Name": "Prefix", "Value": prefix}, {"Name": "suffix", "Value": ".csv"}]
    return {"QueueArn": arn, "Events": events, "Filter": {"Key": {"FilterRules": rules}}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, []),
        ({}, NONE),
        ({"QueueConfigurations": [to(OTHER, ALL)]}, NONE),
        ({"QueueConfigurations": [to(ARN, ALL)]}, []),
        ({"QueueConfigurations": [{"QueueArn": ARN, "Events": ALL}]}, []),
        ({"QueueConfigurations": [to(ARN, ALL, "in/")]}, []),
        ({"QueueConfigurations": [to(ARN, ALL, "in/2026/")]}, lacks("Created", "Removed")),
        ({"QueueConfigurations": [to(ARN, ALL, "out/")]}, lacks("Created", "Removed")),
        ({"QueueConfigurations": [to(ARN, ["s3:ObjectCreated:Put"])]}, lacks("Removed")),
        (
            {
                "QueueConfigurations": [
                    to(ARN, ["s3:ObjectCreated:*"]),
                    to(ARN, ["s3:ObjectRemoved:*"]),
                ]
            },
            [],
        ),
        ({"TopicConfigurations": [{"TopicArn": "arn"}]}, []),
        ({"EventBridgeConfiguration": {}}, []),
    ],
)
def test_what_a_bucket_does_not_send(found: dict[str, Any] | None, expected: list[str]) -> None:
    """What a topic or EventBridge sends on is not known."""
    spec = BucketSpec("landing", "in/", notifications=Notifications(HintKind.QUEUE, URL))
    assert list(_check_notifications(spec, found)) == expected
