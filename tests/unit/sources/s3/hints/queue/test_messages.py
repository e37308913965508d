"""Which messages of a queue are about the bucket that is watched."""

from __future__ import annotations

import pytest

from watcher.sources.s3.hints.queue.messages import is_about
from watcher.spec import BucketSpec

ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/landing"


@pytest.mark.parametrize(
    ("bucket", "named", "expected"),
    [
        ("landing", "landing", True),
        ("landing", "other", False),
        ("landing", "", False),
        ("acme:landing", "landing", True),
        ("acme:landing", "acme:landing", True),
        ("acme:landing", "acme", False),
        (ARN, "anything", True),
        ("reports-x7k2-s3alias", "anything", True),
        ("reports-x7k2--ol-s3", "anything", True),
        ("landing--use1-az5--x-s3", "landing", False),
    ],
)
def test_the_bucket_that_a_message_means(bucket: str, named: str, *, expected: bool) -> None:
    """Aliases and access points do not tell the name that messages have."""
    assert is_about(BucketSpec(bucket), named) is expected
