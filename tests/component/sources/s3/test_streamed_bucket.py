"""A bucket whose store streams its notifications: what is found, and when the bucket is listed."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from support.client import wait_until
from support.clock import FakeClock
from support.s3.fault_costs import HOUR_S, INTERVAL_S, BucketScene
from support.s3.faults import error
from support.s3.listen import REMOVED, ListenStub
from support.s3.simulated import Store
from support.s3.watched import BACKSTOP_S, KEYS, Begin, Watched
from watcher.model import Rescan
from watcher.sources.cost import JITTER
from watcher.sources.s3.hints import factory
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.stream import StreamFeed
from watcher.spec import HintKind, Notifications

NEW, OLD = "in/0042-new", KEYS[42]
STREAM = Notifications(HintKind.STREAM)
SOON = Pauses(first_s=0.01, most_s=0.02, refused_s=0.05)


@pytest.fixture
def stub(store: Store, monkeypatch: pytest.MonkeyPatch) -> ListenStub:
    """Have the store of the test stream, and be asked again soon."""
    monkeypatch.setattr(factory, "StreamFeed", partial(StreamFeed, pauses=SOON))
    return ListenStub(store.bucket).attach(store)


@pytest.fixture(autouse=True)
def _credentials(credentials: object) -> None:
    assert credentials


@pytest.fixture
def watched(begin: Begin) -> Watched:
    """Watch the bucket by a stream, before anything was listed."""
    return begin(notifications=STREAM)


def observe_until(watched: Watched, is_met: Callable[[], bool], what: str) -> None:
    def observe() -> bool:
        watched.observe()
        return is_met()

    wait_until(observe, what)


def list_missed(watched: Watched) -> None:
    """Wait until hints were missed, and list the bucket."""
    observe_until(watched, lambda: watched.rescan_reason == Rescan.HINTS_MISSED, "a stream begins")
    watched.scan()


def test_what_is_streamed_is_compared_at_once(
    store: Store, stub: ListenStub, watched: Watched
) -> None:
    """The bucket is listed once as the stream begins; then keys are looked at as they come."""
    list_missed(watched)
    lists = len(store.lists)
    store.put(NEW)
    store.delete(OLD)
    stub.wait().announce(NEW)
    stub.wait().announce(OLD, event=REMOVED)
    observe_until(watched, lambda: len(watched.reported) == 2, "both changes are found")
    assert watched.reported == [("created", NEW), ("deleted", OLD)]
    assert all(request.query["max-keys"] == "1" for request in store.lists[lists:])
    assert (watched.source.mode, watched.source.degraded) == ("notify", "")
    assert watched.source.scan_interval_s == BACKSTOP_S
    status = watched.source.hint_status
    assert status is not None
    assert (status.kind, status.messages, status.keys, status.problem) == ("stream", 2, 2, "")


def test_what_a_broken_stream_has_missed_is_listed(
    store: Store, stub: ListenStub, watched: Watched
) -> None:
    """Nothing is lost of what happens while there is no stream."""
    list_missed(watched)
    stub.wait().cut()
    stub.wait().is_over.wait()
    store.put(NEW)
    stub.wait(2)
    list_missed(watched)
    assert watched.reported == [("created", NEW)]


def test_a_store_without_streams_is_polled_and_says_so(
    store: Store, stub: ListenStub, watched: Watched
) -> None:
    """It is listed as often as without notifications, until it streams."""
    list_missed(watched)
    stub.answer = error(501, "NotImplemented", "no such request")
    stub.wait().cut()
    source = watched.source
    wait_until(lambda: source.mode == "poll", "the problem is known")
    assert source.degraded.startswith("no hints arrive: the store streams no notifications")
    assert source.scan_interval_s == 30.0
    assert source.hint_status is not None
    assert "NotImplemented" in source.hint_status.problem
    store.put(NEW)
    stub.answer = None
    list_missed(watched)
    assert watched.reported == [("created", NEW)]
    assert (source.mode, source.degraded, source.scan_interval_s) == ("notify", "", BACKSTOP_S)


def test_streams_that_end_cause_no_more_listings_than_polling(
    tmp_path: Path, store: Store, stub: ListenStub
) -> None:
    """Twenty streams in an hour are each followed by a listing when the interval allows it."""
    scene = BucketScene(
        tmp_path,
        store,
        FakeClock(),
        notifications=STREAM,
        poll_interval_s=INTERVAL_S,
        backstop_interval_s=24 * INTERVAL_S,
    )
    with closing(scene.runner):
        feed = cast("StreamFeed", scene.source._hints._feed)
        scene.runner.open()
        for number in range(1, 21):
            stub.wait(number).announce(KEYS[number])
            wait_until(lambda: feed.misses_hints, "a stream has begun")
            scene.run(HOUR_S / 20)
            stub.wait(number).cut()
            stub.wait(number).is_over.wait()
        listings = scene.status.scans.count
        assert 3 <= listings <= HOUR_S / (INTERVAL_S * (1 - JITTER)) + 1
        stub.wait(21).announce(KEYS[0])
        wait_until(lambda: feed.misses_hints, "a stream has begun")
        scene.run(6 * HOUR_S - INTERVAL_S)
        # The thread of the stream may see late that it has lasted; polling would list 23 times.
        assert 1 <= scene.status.scans.count - listings <= 3
