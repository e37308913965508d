"""Groups that come to rest, on a clock that the test moves: each is completed once, and counted."""

from __future__ import annotations

import pytest

from support.memory_watch import JOURNAL_CAP, Place
from support.watched_groups import COMPLETED, HOUR_S, QUIET_S, SCAN_S, Start
from watcher.delivery.timestamps import rfc3339
from watcher.errors import UnavailableError
from watcher.model import ChangeType
from watcher.spec import Batch, BucketSpec, Existing, Group
from watcher.state.sqlite.store import SqliteStore
from watcher.status_values import WaitingGroup, WaitingGroups
from watcher.telemetry.status import State


def test_a_group_is_completed_once_it_has_rested(start: Start) -> None:
    """It has its path, the total size, the newest time, and how it has changed since."""
    scene = start()
    scene.put(b"run/a", b"run/sub/b", size=10)
    scene.turn(after_s=QUIET_S / 2)
    newest_ns = scene.clock.now_ns
    scene.put(b"run/a", size=30)
    assert scene.completed(QUIET_S - 1) == {}
    scene.turn(after_s=1)
    (event,) = scene.news()
    assert (event["path"], event["name"], event["uri"]) == ("run", "run", "file:///data/run")
    assert (event["size"], event["group"]) == (
        40,
        {"entries": 2, "created": 2, "modified": 0, "deleted": 0},
    )
    assert event["mtime"] == rfc3339(newest_ns)
    assert scene.completed(HOUR_S) == {}


def test_each_rest_counts_what_changed_since_the_last_one(start: Start) -> None:
    scene = start()
    scene.put(b"old/a", b"old/new", b"old/short")
    scene.remove(b"old/b", b"old/short")
    assert scene.completed(QUIET_S) == {"old": [3, 1, 1, 1]}
    scene.put(b"old/new")
    assert scene.completed(QUIET_S) == {"old": [3, 0, 1, 0]}


def test_nothing_net_is_no_completion(start: Start) -> None:
    """What came and went again, and groups that were there before the watch."""
    scene = start()
    scene.put(b"old/x", b"run/x")
    scene.remove(b"old/x", b"run/x")
    assert scene.completed(QUIET_S) == {}
    assert scene.store.groups.changed(limit=9) == (0, [])


def test_an_emptied_group_is_forgotten(start: Start) -> None:
    """When it is filled again, its entries are created."""
    scene = start()
    scene.remove(b"old/a", b"old/b", b"old/c")
    assert scene.completed(QUIET_S) == {}
    scene.put(b"old/a")
    assert scene.completed(QUIET_S) == {"old": [1, 1, 0, 0]}


def test_existing_groups_are_completed_where_they_are_reported(start: Start) -> None:
    scene = start(existing=Existing.REPORT)
    assert scene.completed(QUIET_S) == {"old": [3, 3, 0, 0]}


def test_too_few_entries_wait_for_more(start: Start) -> None:
    """Also those of an earlier run; what changed before counts."""
    group = Group(1, QUIET_S, min_entries=3)
    scene = start(group=group)
    scene.put(b"run/a", b"run/b")
    assert scene.completed(QUIET_S) == {}
    scene = start(scene.place, group=group)
    assert scene.completed(HOUR_S) == {}
    scene.put(b"run/c")
    assert scene.completed(QUIET_S) == {"run": [3, 3, 0, 0]}


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0, {"": [6, 3, 0, 0]}),
        (1, {"run": [2, 2, 0, 0]}),
        (2, {"run/sub": [1, 1, 0, 0]}),
        (3, {}),
    ],
)
def test_depth_says_what_makes_a_group(
    start: Start, depth: int, expected: dict[str, list[int]]
) -> None:
    """Entries above it belong to none."""
    scene = start(group=Group(depth, QUIET_S))
    scene.put(b"top", b"run/a", b"run/sub/b")
    assert scene.completed(QUIET_S) == expected


def test_a_prefix_counts_from_its_last_slash(start: Start) -> None:
    """The path of a group is the beginning of its keys."""
    place = Place(0)
    scene = start(place, where=BucketSpec("b", prefix="in/da"), group=Group(1, QUIET_S))
    place.mode, place.known_until = "poll", scene.clock.monotonic()
    scene.put(b"in/data1/x", b"in/data2/y", b"in/day")
    assert scene.completed(QUIET_S) == {}
    place.known_until = scene.clock.monotonic()
    assert scene.completed(SCAN_S) == {"in/data1": [1, 1, 0, 0], "in/data2": [1, 1, 0, 0]}


def test_other_events_may_be_beside_it(start: Start) -> None:
    scene = start(events=COMPLETED | {ChangeType.DELETED})
    scene.put(b"old/new")
    scene.remove(b"old/a")
    scene.turn(QUIET_S)
    found = [(event["type"], event["path"], event["group"] is None) for event in scene.news()]
    assert found == [("deleted", "old/a", True), ("completed", "old", False)]


@pytest.mark.parametrize("waiting", [b"run/b", b"run/", b"run/sub/", b""])
def test_a_group_rests_once_nothing_waits_in_it(start: Start, waiting: bytes) -> None:
    """Quiet begins anew while a file is written, and while a part of it cannot be read."""
    scene = start()
    scene.put(b"run/a")
    scene.place.waiting = {waiting}
    assert scene.completed(QUIET_S) == {}
    scene.turn(QUIET_S - 1)
    scene.place.waiting = set()
    assert scene.completed(0.5) == {}
    assert scene.completed(0.5) == {"run": [1, 1, 0, 0]}


def test_what_waits_elsewhere_does_not_matter(start: Start) -> None:
    scene = start()
    scene.put(b"run/a")
    scene.place.waiting = {b"run2/a", b"ru", b"old/"}
    assert scene.completed(QUIET_S) == {"run": [1, 1, 0, 0]}


def test_what_comes_and_goes_begins_quiet_anew(start: Start) -> None:
    """A file that was never complete, if something else has changed."""
    scene = start()
    scene.put(b"run/a")
    scene.turn(QUIET_S - 1)
    scene.place.hints = [b"run/never", b"run2/never"]
    scene.turn()
    assert scene.completed(QUIET_S - 1) == {}
    assert scene.completed(1) == {"run": [1, 1, 0, 0]}


def test_polled_groups_rest_by_a_scan_that_began_after_their_time(start: Start) -> None:
    scene = start()
    place = scene.place
    place.mode, place.known_until = "poll", scene.clock.monotonic()
    scene.put(b"run/a")
    place.known_until = scene.clock.monotonic() + QUIET_S - 0.1
    assert scene.completed(HOUR_S) == {}
    place.known_until = scene.clock.monotonic()
    assert scene.completed(SCAN_S) == {"run": [1, 1, 0, 0]}


def test_a_watch_sleeps_until_a_group_is_due(start: Start) -> None:
    """It neither sleeps past the time, nor looks again and again at what cannot rest yet."""
    scene = start()
    scene.place.scan_interval_s = 2 * HOUR_S
    scene.turn(after_s=SCAN_S)
    scene.put(b"run/a")
    scene.place.waiting = {b"run/b"}
    begun_s, turns, sleep_s = scene.clock.monotonic(), 0, 0.0
    while not (found := scene.completed(sleep_s)):
        turns += 1
        if scene.clock.monotonic() >= begun_s + QUIET_S:
            scene.place.waiting = set()
        sleep_s = min(scene.turn(), HOUR_S)
    assert found == {"run": [1, 1, 0, 0]}
    assert scene.clock.monotonic() == pytest.approx(begun_s + 2 * QUIET_S)
    assert turns <= 2 * QUIET_S + 10  # the state file is tidied once a second


def test_the_status_has_the_groups_that_wait(start: Start) -> None:
    """In the order in which they are due, at most once a second; none when all are completed."""
    scene = start(group=Group(1, QUIET_S, min_entries=2))
    scene.put(b"run/a", b"run/b", b"few/a")
    until = scene.clock.wall() + QUIET_S
    scene.turn(after_s=1)
    first = [WaitingGroup("few", until), WaitingGroup("run", until)]
    assert scene.status.groups == WaitingGroups(2, first)
    scene.turn(QUIET_S)
    assert scene.status.groups == WaitingGroups(1, [WaitingGroup("few", 0.0)])
    scene.put(b"few/b")
    scene.turn(QUIET_S)
    assert scene.status.groups == WaitingGroups(0, [])


def test_nothing_rests_while_a_place_cannot_be_read(start: Start) -> None:
    """It is completed once a scan has read everything again."""
    scene = start()
    scene.put(b"run/a")
    scene.place.error = UnavailableError("it is gone")
    scene.turn(after_s=SCAN_S)
    assert scene.status.state is State.UNAVAILABLE
    assert scene.completed(HOUR_S) == {}
    scene.place.error = None
    assert scene.completed(HOUR_S) == {"run": [1, 1, 0, 0]}


def test_nothing_rests_while_deletions_are_held(start: Start) -> None:
    place = Place(0)
    place.add(*(b"old/%04d" % number for number in range(400)))
    scene = start(place)
    scene.put(b"run/a")
    kept = {path: entry for path, entry in place.files.items() if path == b"run/a"}
    place.files, files = kept, place.files
    scene.turn(after_s=SCAN_S)
    assert scene.runner.held
    place.scan_interval_s = 2 * HOUR_S
    place.files = files
    assert scene.runner.held
    assert scene.completed() == {}
    assert scene.completed(HOUR_S) == {"run": [1, 1, 0, 0]}


def test_a_full_journal_delays_groups_and_loses_none(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.watch.groups.CHECK_GROUPS", 1)
    scene = start(events=COMPLETED | {ChangeType.CREATED})
    names = [b"run%02d/a" % number for number in range(JOURNAL_CAP - 1)]
    scene.put(*names)
    scene.turn(QUIET_S)
    found = scene.news()
    assert len(found) < 2 * len(names)
    for _ in range(3 * len(names)):
        scene.store.journal.confirm(scene.store.journal.next_seq - 1)
        scene.turn(SCAN_S)
        found += scene.news()
    completed = [event["path"] for event in found if event["type"] == "completed"]
    assert sorted(completed) == [name[:-2].decode() for name in names]


def test_many_groups_rest_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several commits and batches, each once."""
    monkeypatch.setattr("watcher.watch.groups.CHECK_GROUPS", 4)
    scene = start(batch=Batch(3, 1.0))
    scene.put(*(b"run%d/a" % number for number in range(9)))
    scene.turn(QUIET_S)
    scene.turn(1.0)
    assert sorted(event["path"] for event in scene.news()) == [f"run{each}" for each in range(9)]


def test_a_watch_without_groups_never_asks_for_any(start: Start) -> None:
    """Its commits write nothing about them, and neither its turns nor its scans read any."""
    statements: list[str] = []
    scene = start(group=None)
    assert isinstance(scene.store, SqliteStore)
    scene.store._db.connection.set_trace_callback(statements.append)
    scene.put(b"run/a", b"run/b")
    scene.remove(b"run/b", b"old/a")
    scene.turn(SCAN_S)
    assert len(scene.news()) == 4
    assert any("entry" in each for each in statements)
    assert not any("group" in each.replace("GROUP BY", "") for each in statements)
