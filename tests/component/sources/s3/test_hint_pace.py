"""How often a watch lists a bucket that gives hints: at the backstop interval, and when it must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.clock import FakeClock
from support.s3.fault_costs import (
    HOUR_S,
    INTERVAL_S,
    PAGES,
    BucketScene,
    LastPage,
)
from support.s3.faults import Fault, always
from support.s3.feeds import ChosenFeed
from support.s3.paged import bucket, clock
from support.s3.simulated import Store
from watcher.sources.cost import JITTER, MONTH_S
from watcher.sources.s3 import hint_intake
from watcher.spec import Conditions, Group, HintKind, Notifications

__all__ = ["bucket", "clock"]

FORMER_S = 30.0
LATEST_S = FORMER_S * (1 + JITTER) + 1.0
"""By then a scan that is in turn without hints has begun."""
BACKSTOP_S = 6 * HOUR_S
HINTED: dict[str, Any] = {
    "poll_interval_s": FORMER_S,
    "backstop_interval_s": BACKSTOP_S,
    "notifications": Notifications(HintKind.WEBHOOK),
}
AUTO: dict[str, Any] = {
    "poll_interval_s": 10.0,
    "request_budget": round(PAGES * MONTH_S / INTERVAL_S),
}
"""A budget that allows a listing each quarter of an hour."""
NEW, OLD = "in/new", "in/0003"

Start = Callable[..., BucketScene]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> ChosenFeed:
    """Have buckets take their hints from a feed that misses none."""
    feed = ChosenFeed()
    monkeypatch.setattr(hint_intake, "make_feed", lambda *_: feed)
    return feed


@pytest.fixture
def start(bucket: Store, clock: FakeClock, tmp_path: Path) -> Iterator[Start]:
    """Return what opens a watch, also where another one has ended, and takes its first turn."""
    with ExitStack() as stack:

        def start_it(watch: dict[str, Any] | None = None, **spec: object) -> BucketScene:
            scene = BucketScene(tmp_path, bucket, clock, watch=watch, **HINTED | spec)
            stack.callback(scene.store.close)
            stack.callback(scene.source.close)
            scene.runner.open()
            scene.turn()
            scene.turn()
            return scene

        yield start_it


def end(scene: BucketScene) -> None:
    """End a watch as a kill does: nothing is written any more."""
    scene.source.close()
    scene.store.close()


def listings_after(scene: BucketScene, seconds: float) -> int:
    """Let time pass, and return how many listings were begun in it."""
    began = scene.listings
    scene.run(seconds)
    return scene.listings - began


@pytest.mark.usefixtures("feed")
def test_a_watch_that_is_idle_lists_at_the_backstop_interval(start: Start) -> None:
    scene = start()
    assert scene.listings == 1
    assert listings_after(scene, BACKSTOP_S * (1 - JITTER) - 1) == 0
    assert listings_after(scene, 2 * BACKSTOP_S * JITTER + 2) == 1


def test_while_the_feed_has_a_problem_the_former_interval_holds(
    start: Start, feed: ChosenFeed
) -> None:
    """From the moment at which it begins, and to that at which it is over."""
    scene = start()
    scene.run(HOUR_S)
    feed.fail("the queue is gone")
    assert scene.watch._wake.is_set()
    scene.turn()
    assert (scene.status.mode, scene.status.degraded) == (
        "poll",
        "no hints arrive: the queue is gone",
    )
    assert listings_after(scene, LATEST_S) == 1
    assert 9 <= listings_after(scene, 10 * FORMER_S) <= 11 / (1 - JITTER)
    feed.fail("")
    scene.turn()
    assert (scene.status.mode, scene.status.degraded) == ("notify", "")
    assert listings_after(scene, BACKSTOP_S / 2) <= 1


def test_a_problem_that_is_over_before_the_former_interval_causes_no_listing(
    start: Start, feed: ChosenFeed
) -> None:
    scene = start()
    scene.run(HOUR_S)
    for _ in range(10):
        feed.fail("the queue does not answer")
        scene.run(FORMER_S / 2)
        feed.fail("")
        scene.run(FORMER_S / 2)
    assert scene.listings == 1


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("down_s", [0.0, HOUR_S, BACKSTOP_S / 2])
def test_where_no_hints_are_missed_a_restart_lists_nothing(
    down_s: float, start: Start, bucket: Store, clock: FakeClock
) -> None:
    """Beyond one key, which shows that the bucket is there; the next listing is when it was."""
    scene = start({"group": Group(quiet_s=5.0)})
    due_at = scene.status.next_scan_at
    for _ in range(3):
        end(scene)
        clock.advance(down_s / 3)
        lists = len(bucket.lists)
        scene = start({"group": Group(quiet_s=5.0)})
        assert [request.query["max-keys"] for request in bucket.lists[lists:]] == ["1"]
    assert scene.status.next_scan_at == pytest.approx(due_at, abs=1.0)
    bucket.put("in/run/new")
    scene.hint("in/run/new")
    scene.run(60.0)
    assert dict(scene.counts()) == {"created": 1, "completed": 1}
    assert scene.listings == 1
    assert listings_after(scene, due_at - clock.wall() + 1) == 1


@pytest.mark.usefixtures("feed")
def test_after_the_backstop_interval_a_restart_lists(start: Start, clock: FakeClock) -> None:
    end(start())
    clock.advance(BACKSTOP_S * (1 + JITTER))
    assert start().listings == 2


@pytest.mark.usefixtures("feed")
def test_after_a_restored_backup_a_restart_lists(start: Start, clock: FakeClock) -> None:
    """The state lacks what hints have shown since the backup, and nobody shows it again."""
    scene = start()
    clock.advance(1)
    scene.store.renew_ids()
    end(scene)
    scene = start()
    assert scene.listings == 2
    end(scene)
    assert start().listings == 2


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize(
    ("watch", "spec"),
    [
        ({"conditions": Conditions(min_size=2)}, {}),
        ({"group": Group(quiet_s=5.0)}, {}),
        ({}, {"quiet_s": 1.0}),
        ({}, {"notifications": Notifications(HintKind.QUEUE, "https://sqs/other")}),
    ],
)
def test_with_another_configuration_a_restart_lists(
    watch: dict[str, Any], spec: dict[str, Any], start: Start
) -> None:
    end(start())
    assert start(watch, **spec).listings == 2


@pytest.mark.usefixtures("feed")
def test_while_entries_are_held_back_a_restart_lists(start: Start) -> None:
    """What an earlier run may have been about to report, the listing evaluates."""
    held_back = {"conditions": Conditions(marker="{name}.done")}
    end(start(held_back))
    assert start(held_back).listings == 2


@pytest.mark.usefixtures("feed")
def test_another_filter_that_is_taken_back_before_it_lists(
    start: Start, bucket: Store, clock: FakeClock, tmp_path: Path
) -> None:
    """A listing finds what the other one has left out, before hints take it for new."""
    end(start())
    marked = {"conditions": Conditions(marker="000{name}")}
    other = BucketScene(tmp_path, bucket, clock, watch=marked, **HINTED)
    other.runner.open()
    end(other)
    scene = start()
    assert scene.listings == 2
    bucket.put(OLD)
    scene.hint(OLD)
    assert dict(scene.counts()) == {"modified": 1}
    end(scene)
    assert start().listings == 2


@pytest.mark.usefixtures("feed")
def test_a_listing_that_a_crash_has_ended_is_made_by_the_next_run(
    start: Start, bucket: Store, clock: FakeClock
) -> None:
    scene = start()
    clock.advance(BACKSTOP_S * (1 + JITTER))
    bucket.on_list = always(Fault.TORN_XML)
    scene.turn()
    end(scene)
    bucket.on_list = None
    clock.advance(LATEST_S)
    began = scene.listings
    assert start().listings == began + 1


def test_where_hints_are_missed_each_start_lists_once(start: Start, clock: FakeClock) -> None:
    scene = start()
    for restarts in range(1, 4):
        end(scene)
        clock.advance(LATEST_S)
        scene = start()
        scene.run(HOUR_S)
        assert scene.listings == 1 + restarts
    assert scene.status.rescans == {"hints_missed": 1}


def test_a_crash_loop_lists_no_more_often_than_without_hints(
    start: Start, clock: FakeClock
) -> None:
    scene = start()
    begun_s = clock.monotonic()
    for _ in range(18):
        end(scene)
        clock.advance(FORMER_S / 6)
        scene = start()
    assert 2 <= scene.listings <= (clock.monotonic() - begun_s) / FORMER_S + 1


@pytest.mark.parametrize("is_failing", [False, True], ids=["listed", "scans fail"])
def test_with_a_broken_queue_a_crash_loop_keeps_to_the_budget(
    start: Start, bucket: Store, clock: FakeClock, feed: ChosenFeed, *, is_failing: bool
) -> None:
    """A run that has listed nothing yet does not know how large the bucket is."""
    scene = start(**AUTO)
    scene.run(2 * INTERVAL_S)
    feed.fail("the queue is gone")
    bucket.on_list = LastPage(Fault.TORN_XML) if is_failing else None
    scene.run(INTERVAL_S)
    began, begun_s = scene.listings, clock.monotonic()
    for _ in range(30):
        end(scene)
        clock.advance(5.0)
        scene = start(**AUTO)
        scene.run(115.0)
    took_s = clock.monotonic() - begun_s
    assert 2 <= scene.listings - began <= took_s / INTERVAL_S + 2


@pytest.mark.parametrize("cause", ["missed", "overflow", "refused"])
def test_a_listing_that_hints_have_asked_for_is_made_by_the_next_run(
    cause: str, start: Start, bucket: Store, clock: FakeClock, feed: ChosenFeed
) -> None:
    """In its turn, as without a restart; after that, a restart lists nothing."""
    scene = start(**AUTO)
    if cause == "refused":
        bucket.on_head = always(Fault.DENIED)
    feed.misses_hints = cause == "missed"
    if cause == "overflow":
        feed.inbox.overflow()
    scene.hint(OLD)
    for _ in range(3):
        end(scene)
        clock.advance(1.0)
        scene = start(**AUTO)
        assert scene.listings == 1
    assert listings_after(scene, 2 * INTERVAL_S) == 1
    end(scene)
    scene = start(**AUTO)
    assert listings_after(scene, 2 * INTERVAL_S) == 0


@pytest.mark.parametrize("cause", ["missed", "overflow", "refused"])
def test_hints_cause_no_more_listings_than_there_are_without_hints(
    cause: str, start: Start, bucket: Store, clock: FakeClock, feed: ChosenFeed
) -> None:
    """Neither their cause nor their number makes listings more frequent."""
    scene = start()
    scene.run(HOUR_S)
    if cause == "refused":
        bucket.on_head = always(Fault.DENIED)
    began, begun_s = scene.listings, clock.monotonic()
    for _ in range(24):
        feed.misses_hints = cause == "missed"
        if cause == "overflow":
            feed.inbox.overflow()
        scene.hint(OLD)
        scene.run(5.0)
    assert 3 <= scene.listings - began <= (clock.monotonic() - begun_s) / FORMER_S + 1


def test_a_group_is_completed_soon_after_its_quiet_time(
    start: Start, bucket: Store, feed: ChosenFeed
) -> None:
    """Without a listing, once all hints up to that time have arrived."""
    scene = start({"group": Group(quiet_s=5.0)})
    feed.known_s = scene.clock.monotonic()
    bucket.put_many("in/run/a", "in/run/b")
    scene.hint("in/run/a", "in/run/b")
    scene.run(60.0)
    assert dict(scene.counts()) == {"created": 2}
    feed.known_s = scene.clock.monotonic()
    scene.run(1.0)
    assert dict(scene.counts()) == {"created": 2, "completed": 1}
    assert scene.listings == 1


@pytest.mark.usefixtures("feed")
def test_a_key_that_cannot_be_looked_at_neither_fails_the_watch_nor_lists(
    start: Start, bucket: Store
) -> None:
    scene = start()
    bucket.put(NEW)
    bucket.on_head = always(Fault.RESET)
    scene.hint(NEW)
    scene.run(HOUR_S)
    assert (scene.status.state, scene.listings) == ("watching", 1)
    bucket.on_head = None
    scene.run(61.0)
    scene.hint(OLD)
    assert dict(scene.counts()) == {"created": 1}
