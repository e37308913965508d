"""Fixtures of the tests of queues: a stub, and feeds that read it."""

from collections.abc import Iterator

import pytest

from support.s3.queue_feeds import PAUSES, Begin, Feed
from support.s3.queues import StubQueue, run_queue
from watcher.sources.s3.hints.queue import receiver


@pytest.fixture(autouse=True)
def _short_waits(credentials: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests for messages wait for a second at most, and credentials to sign them."""
    assert credentials
    monkeypatch.setattr(receiver, "WAIT_S", 1)
    monkeypatch.setattr(receiver, "USELESS_PAUSES", PAUSES)


@pytest.fixture
def queue() -> Iterator[StubQueue]:
    with run_queue() as queue:
        yield queue


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return what makes a feed of a queue and starts it."""
    begun: list[Feed] = []

    def begin_it(queue: StubQueue | str, *, starts: bool = True, **fields: object) -> Feed:
        begun.append(Feed(queue if isinstance(queue, str) else queue.url, **fields))
        if starts:
            begun[-1].start()
        return begun[-1]

    yield begin_it
    for each in begun:
        each.feed.stop()
