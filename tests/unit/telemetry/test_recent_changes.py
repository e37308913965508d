"""The newest changes of watches: which are kept, which are shown of many, and how many a second there were."""

from __future__ import annotations

from watcher.model import Change, ChangeType, Entry
from watcher.telemetry.recent_changes import (
    RATE_S,
    RECENT_CHANGES,
    Recent,
    RecentChanges,
    newest_changes,
)


def changes(count: int) -> list[Change]:
    """Return changes of files that are numbered."""
    return [Change(ChangeType.CREATED, Entry(b"%d" % number, number, 0)) for number in range(count)]


def test_the_newest_are_kept() -> None:
    """Of many changes at once the last ones are kept, with their own sequence numbers, and of later ones too."""
    recent = RecentChanges()
    recent.add(changes(1000), 1, at=1e9, now_s=100.0)
    assert [change.seq for change in recent.kept()] == list(range(1001 - RECENT_CHANGES, 1001))
    recent.add(
        [Change(ChangeType.MOVED, Entry(b"b\xff", 1, 0), b"a")], 1001, at=1e9 + 1, now_s=101.0
    )
    assert [change.seq for change in recent.kept()] == list(range(1002 - RECENT_CHANGES, 1002))
    assert newest_changes([("orders", recent)], 2) == [
        Recent("orders", 1e9 + 1, 1001, "moved", "b\ufffd", "a", 1),
        Recent("orders", 1e9, 1000, "created", "999", "", 999),
    ]


def test_the_newest_of_many_watches() -> None:
    """Of several watches the newest changes are shown in the order in which they came, also when the wall clock was set back meanwhile."""
    watches = [(f"watch {number}", RecentChanges()) for number in range(4)]
    for now_s, number in enumerate((0, 1, 2, 1, 0)):
        watches[number][1].add(changes(1), now_s + 1, at=1e9 - now_s, now_s=float(now_s))
    assert [(change.watch, change.seq) for change in newest_changes(watches, 3)] == [
        ("watch 0", 5),
        ("watch 1", 4),
        ("watch 2", 3),
    ]
    assert len(newest_changes(watches, 9)) == 5
    assert newest_changes([], 9) == []


def test_the_rate_is_that_of_the_last_minute() -> None:
    """What is older counts no more, whether or not anything has come since, and whatever the wall clock says."""
    recent = RecentChanges()
    for now_s, at in ((100.0, 1e9), (100.5, 1e9), (130.0, 1e9 - 3600)):
        recent.add(changes(RATE_S), 1, at=at, now_s=now_s)
    assert recent.per_second(130.0) == 3.0
    assert recent.per_second(165.0) == 1.0
    assert recent.per_second(100.0 + 10 * RATE_S) == 0.0
