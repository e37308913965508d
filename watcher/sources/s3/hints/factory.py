"""Makes the feed of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.s3.hints.queue.feed import QueueFeed
from watcher.sources.s3.hints.stream import StreamFeed
from watcher.sources.s3.hints.webhook import WebhookFeed
from watcher.spec import HintKind

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.sources.s3.hints.feed import HintFeed
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec


def make_feed(spec: BucketSpec, clock: Clock, trust: Trust) -> HintFeed | None:
    """Return the feed of a bucket, not yet started; None where it gives no hints.

    Args:
        spec: The bucket.
        clock: The clock of the server.
        trust: The authorities for certificates.
    """
    if spec.notifications is None:
        return None
    kind = spec.notifications.kind
    if kind is HintKind.WEBHOOK:
        return WebhookFeed()
    if kind is HintKind.QUEUE:
        return QueueFeed(spec, clock=clock, trust=trust)
    return StreamFeed(spec, clock=clock, trust=trust)
