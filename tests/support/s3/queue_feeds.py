"""Runs the feed of a queue without a watch: a test settles the tickets, as a watch would."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from support import client
from support.clock import LeapingClock
from support.s3.queues import record
from watcher.filters.key_window import KeyWindow
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.hints.inbox import HintInbox
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.queue.feed import QueueFeed
from watcher.sources.s3.trust import Trust
from watcher.spec import BucketSpec, HintKind, Notifications

Begin: TypeAlias = "Callable[..., Feed]"

BUCKET = "landing"
DEADLINE_S = 30.0
PAUSES = Pauses(first_s=0.02, most_s=0.05)
A, B = record(BUCKET, "in/a"), record(BUCKET, "in/b")


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for what happens in the threads of a feed."""
    client.wait_until(lambda: bool(is_so()), "a feed has done it", DEADLINE_S, pause_s=0.005)


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
