"""The newest changes of watches and their rate."""

from support.clock import FakeClock
from watcher.clock import NS_PER_S
from watcher.model import Change, ChangeType, Entry
from watcher.telemetry.recent_changes import (
    RATE_S,
    RECENT_CHANGES,
    Recent,
    RecentChanges,
    newest_changes,
)


def changes(count: int) -> list[Change]:
    return [Change(ChangeType.CREATED, Entry(b"%d" % number, number, 0)) for number in range(count)]


def test_the_newest_are_kept() -> None:
    """Of many changes at once the last ones are kept, with their own sequence numbers."""
    clock = FakeClock()
    recent, at = RecentChanges(clock), clock.wall()
    recent.add(changes(1000), 1)
    assert [change.seq for change in recent.kept()] == list(range(1001 - RECENT_CHANGES, 1001))
    clock.advance(1.0)
    recent.add([Change(ChangeType.MOVED, Entry(b"b\xff", 1, 0), b"a")], 1001)
    assert [change.seq for change in recent.kept()] == list(range(1002 - RECENT_CHANGES, 1002))
    assert newest_changes([("orders", recent)], 2) == [
        Recent("orders", at + 1, 1001, "moved", "b\ufffd", "a", 1),
        Recent("orders", at, 1000, "created", "999", "", 999),
    ]


def test_the_newest_of_many_watches() -> None:
    """They come in the order of their commits, also if the wall clock was set back meanwhile."""
    clock = FakeClock()
    watches = [(f"watch {number}", RecentChanges(clock)) for number in range(4)]
    for seq, number in enumerate((0, 1, 2, 1, 0), start=1):
        watches[number][1].add(changes(1), seq)
        clock.now_s += 1
        clock.now_ns -= NS_PER_S
    newest = [(change.watch, change.seq) for change in newest_changes(watches, 3)]
    assert newest == [("watch 0", 5), ("watch 1", 4), ("watch 2", 3)]
    assert len(newest_changes(watches, 9)) == 5
    assert newest_changes([], 9) == []


def test_the_rate_is_that_of_the_last_minute() -> None:
    """Older changes do not count, with or without later ones, and with any wall clock."""
    clock = FakeClock(now_s=100.0)
    recent = RecentChanges(clock)
    for at_s, set_back_s in ((100.0, 0), (100.5, 0), (130.0, 3600)):
        clock.now_s = at_s
        clock.now_ns -= set_back_s * NS_PER_S
        recent.add(changes(RATE_S), 1)
    rates = []
    for clock.now_s in (130.0, 165.0, 100.0 + 10 * RATE_S):
        rates.append(recent.per_second())
    assert rates == [3.0, 1.0, 0.0]
