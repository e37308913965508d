"""The newest changes of a watch: which are kept, and how many a second there were."""

from __future__ import annotations

from watcher.model import Change, ChangeType, Entry
from watcher.recent import RATE_S, RECENT_CHANGES, RecentChanges


def changes(count: int) -> list[Change]:
    """Return changes of files that are numbered."""
    return [Change(ChangeType.CREATED, Entry(b"%d" % number, number, 0)) for number in range(count)]


def test_the_newest_are_kept() -> None:
    """Of many changes at once the last ones are kept, with their own sequence numbers, and of later ones too."""
    recent = RecentChanges()
    recent.add(changes(1000), 1, 100.0)
    kept = recent.newest()
    assert [change.seq for change in kept] == list(range(1001 - RECENT_CHANGES, 1001))
    assert (kept[-1].path, kept[-1].size, kept[-1].at) == ("999", 999, 100.0)
    recent.add([Change(ChangeType.MOVED, Entry(b"b\xff", 1, 0), b"a")], 1001, 101.0)
    last = recent.newest()[-1]
    assert (last.seq, last.type, last.path, last.old_path) == (1001, "moved", "b\ufffd", "a")
    assert len(recent.newest()) == RECENT_CHANGES


def test_the_rate_is_that_of_the_last_minute() -> None:
    """What is older counts no more, whether or not anything has come since."""
    recent = RecentChanges()
    for now in (100.0, 100.5, 130.0):
        recent.add(changes(RATE_S), 1, now)
    assert recent.per_second(130.0) == 3.0
    assert recent.per_second(165.0) == 1.0
    assert recent.per_second(100.0 + 10 * RATE_S) == 0.0
