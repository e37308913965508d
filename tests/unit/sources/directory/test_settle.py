"""When a hinted path is due, and what is complete then, on a clock that is a parameter."""

from __future__ import annotations

import pytest

from watcher.model import Entry
from watcher.sources.directory.settle import MIN_QUEUE_PLACES, Settle, Stage

LIMIT = 1000
SETTLE_S, QUIET_S, MAX_WAIT_S, FOLLOW_S = 1.0, 5.0, 100.0, 10.0


def new_settle(settle_s: float = SETTLE_S, quiet_s: float = 0.0) -> Settle:
    return Settle(settle_s, quiet_s, MAX_WAIT_S, FOLLOW_S)


@pytest.fixture
def settle() -> Settle:
    """Return paths that settle in one second, and need no quiet."""
    return new_settle()


def entry(size: int = 1, mtime_ns: int = 1, inode: int = 1) -> Entry:
    return Entry(b"a", size, mtime_ns, mtime_ns, inode)


def taken(settle: Settle, now_s: float) -> list[bytes]:
    return list(settle.take(now_s, LIMIT))


def reported(settle: Settle, found: Entry, now_s: float, *, needs_looks: bool = False) -> bool:
    """Return whether a path that must be due now is reported as it is found."""
    hint = settle.take(now_s, LIMIT)[b"a"]
    return settle.is_complete(hint, found, now_s, SETTLE_S, needs_looks=needs_looks)


# When a path is due


def test_a_written_path_waits_until_it_rested(settle: Settle) -> None:
    for now_s in (0.0, 0.7, 1.4):
        settle.add_written(b"a", now_s)
        assert taken(settle, now_s) == []
    assert settle.due_s() == 2.4
    assert taken(settle, 2.3) == []
    assert taken(settle, 2.4) == [b"a"]
    assert (len(settle), settle.due_s(), taken(settle, 99)) == (0, None, [])


TOUCHES = ["created", "written", "closed", "attributes", "vanished"]


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_path_that_never_rests_is_due_in_the_end(touch: str) -> None:
    settle = new_settle(quiet_s=QUIET_S)
    due = []
    for tick in range(250):
        due += [tick] * len(taken(settle, tick))
        getattr(settle, f"add_{touch}")(b"a", float(tick))
    assert due == [MAX_WAIT_S, 2 * MAX_WAIT_S]


@pytest.mark.parametrize("touch", TOUCHES)
def test_every_touch_starts_the_quiet_time_anew(touch: str) -> None:
    """Each kind after each other one; and no other path is delayed."""
    for former in TOUCHES:
        settle = new_settle(quiet_s=QUIET_S)
        getattr(settle, f"add_{former}")(b"a", 0.0)
        settle.add_vanished(b"b", 0.0)
        getattr(settle, f"add_{touch}")(b"a", 2.0)
        assert taken(settle, 5.0) == [b"b"]
        assert settle.due_s() == 2.0 + QUIET_S


@pytest.mark.parametrize(
    ("touch", "due_s"),
    [("created", 1.0), ("written", 1.0), ("closed", 0.0), ("attributes", 0.0), ("vanished", 1.0)],
)
def test_without_quiet_what_is_closed_is_due_at_once(
    settle: Settle, touch: str, due_s: float
) -> None:
    getattr(settle, f"add_{touch}")(b"a", 0.0)
    assert settle.due_s() == due_s


def test_a_closed_path_is_due_at_once(settle: Settle) -> None:
    """What is written again before it was inspected waits again."""
    settle.add_written(b"a", 0.0)
    settle.add_closed(b"a", 0.2)
    assert taken(settle, 0.2) == [b"a"]
    assert settle.due_s() is None
    settle.add_closed(b"b", 0.3)
    settle.add_written(b"b", 0.3)
    assert settle.due_s() == 1.3


def test_settle_may_be_longer_than_quiet() -> None:
    settle = new_settle(settle_s=8.0, quiet_s=QUIET_S)
    settle.add_written(b"a", 0.0)
    assert settle.due_s() == 8.0
    settle.add_closed(b"a", 1.0)
    assert settle.due_s() == 1.0 + QUIET_S
    settle.add_attributes(b"a", 2.0)
    assert settle.due_s() == 2.0 + QUIET_S
    settle.add_written(b"a", 3.0)
    assert settle.due_s() == 11.0


@pytest.mark.parametrize(
    ("calls", "due_s", "attributes_only"),
    [
        (["attributes"], 0.0, True),
        (["recheck"], 1.0, False),
        (["recheck", "attributes"], 1.0, True),
        (["attributes", "recheck"], 1.0, True),
        (["written", "attributes"], 1.0, False),
        (["attributes", "written"], 1.0, False),
        (["closed", "attributes"], 0.0, False),
        (["recheck", "written"], 1.0, False),
    ],
)
def test_what_a_scan_meets_waits_for_its_notifications(
    settle: Settle, calls: list[str], due_s: float, *, attributes_only: bool
) -> None:
    for call in calls:
        getattr(settle, f"add_{call}")(b"a", 0.0)
    assert settle.due_s() == due_s
    assert settle.waiting_among([b"a", b"b"]) == ({b"a"} if set(calls) != {"attributes"} else set())
    assert [(path, hint.attributes_only) for path, hint in settle.take(9, LIMIT).items()] == [
        (b"a", attributes_only)
    ]


# What is complete


@pytest.mark.parametrize("touch", ["created", "written"])
def test_an_empty_file_waits_for_its_content(settle: Settle, touch: str) -> None:
    """It was created or truncated, and not closed: ``slow-command > a``."""
    getattr(settle, f"add_{touch}")(b"a", 0.0)
    assert not reported(settle, entry(size=0), 1.0)
    assert settle.due_s() == MAX_WAIT_S
    settle.add_written(b"a", 30.0)
    assert settle.due_s() == 31.0
    assert reported(settle, entry(), 31.0)
    assert settle.due_s() is None


@pytest.mark.parametrize("touch", ["created", "written"])
def test_an_empty_file_is_complete_when_it_is_closed_or_waited_long(
    settle: Settle, touch: str
) -> None:
    getattr(settle, f"add_{touch}")(b"a", 0.0)
    assert not reported(settle, entry(size=0), 1.0)
    settle.add_closed(b"a", 30.0)
    assert reported(settle, entry(size=0), 30.0)
    getattr(settle, f"add_{touch}")(b"a", 40.0)
    assert not reported(settle, entry(size=0), 41.0)
    assert taken(settle, 139.9) == []
    assert reported(settle, entry(size=0), 140.0)


def test_two_looks_must_agree(settle: Settle) -> None:
    """What a scan found is looked at until it rests; its inode may be made up anew."""
    settle.add_look(entry(), 0.0, 7.0)
    settle.add_look(entry(9), 1.0, 7.0)  # a second scan changes nothing
    assert settle.due_s() == 7.0
    for now_s, size in ((7.0, 2), (8.0, 3)):
        assert not reported(settle, entry(size), now_s, needs_looks=True)
    assert settle.due_s() == 9.0
    assert reported(settle, entry(3, inode=2), 9.0, needs_looks=True)


@pytest.mark.parametrize("found", [entry(2), entry(mtime_ns=2), entry()._replace(ctime_ns=2)])
def test_looks_agree_in_size_and_times(settle: Settle, found: Entry) -> None:
    settle.add_look(entry(), 0.0, 1.0)
    assert not reported(settle, found, 1.0)


def test_a_recheck_is_two_looks_where_nothing_notifies(settle: Settle) -> None:
    settle.add_recheck(b"a", 0.0)
    assert not reported(settle, entry(), 1.0, needs_looks=True)
    assert reported(settle, entry(), 2.0, needs_looks=True)
    settle.add_recheck(b"a", 2.0)
    assert reported(settle, entry(), 3.0)


def test_what_never_agrees_is_reported_in_the_end(settle: Settle) -> None:
    settle.add_look(entry(), 0.0, 1.0)
    for now_s in range(1, 100):
        assert not reported(settle, entry(now_s + 1), now_s)
    assert reported(settle, entry(500), MAX_WAIT_S)


def test_a_linked_file_is_followed_until_it_rests(settle: Settle) -> None:
    """O_TMPFILE: its descriptor writes on, and notifies nobody."""
    settle.add_created(b"a", 0.0)
    assert not reported(settle, entry(1), 1.0)
    assert not reported(settle, entry(2), 2.0)
    assert reported(settle, entry(2), 3.0)
    looks = []
    while (due_s := settle.due_s()) is not None:
        assert settle.waiting_among([b"a"]) == set()
        looks.append(due_s)
        assert not reported(settle, entry(2), due_s)
    assert looks == [4.0, 5.0, 7.0, 11.0, 19.0]


def test_a_followed_file_that_differs_is_reported_again(settle: Settle) -> None:
    settle.add_created(b"a", 0.0)
    assert not reported(settle, entry(1), 1.0)
    assert reported(settle, entry(1), 2.0)
    assert not reported(settle, entry(1), 3.0)
    assert not reported(settle, entry(2), 4.0)
    assert not reported(settle, entry(3), 5.0)
    assert reported(settle, entry(3), 6.0)
    settle.add_closed(b"a", 6.5)
    assert reported(settle, entry(4), 6.5)
    assert settle.due_s() is None


def test_following_ends_where_nothing_has_to_settle() -> None:
    settle = Settle(0.0, 0.0, MAX_WAIT_S, FOLLOW_S)
    settle.add_created(b"a", 0.0)
    now_s, looks = 0.0, 0
    while (due_s := settle.due_s()) is not None:
        now_s = max(now_s, due_s)
        reported(settle, entry(), now_s)
        looks += 1
    assert looks < 15
    assert now_s < 2 * FOLLOW_S


@pytest.mark.parametrize(("touch", "is_open"), [("written", True), ("closed", False)])
def test_a_file_is_renamed_while_it_is_written(
    settle: Settle, touch: str, *, is_open: bool
) -> None:
    """The new name waits for the writer that the old one waited for, since it began to wait."""
    getattr(settle, f"add_{touch}")(b"b", 0.0)
    settle.add_vanished(b"b", 0.5)
    settle.add_renamed(b"b", b"a", 0.5)
    hint = settle.take(2.0, LIMIT)[b"a"]
    expected = (Stage.WRITTEN, 0.0, 1.5) if is_open else (Stage.CLOSED, 0.5, 0.5)
    assert (hint.stage, hint.first_s, hint.due_s) == expected


# The queue


def test_a_limit_leaves_the_rest(settle: Settle) -> None:
    """The rest is taken next, in the order in which it became due."""
    settle.add_written(b"late", 0.0)
    settle.add_closed(b"first", 0.1)
    settle.add_closed(b"second", 0.2)
    assert list(settle.take(5.0, 2)) == [b"first", b"second"]
    assert taken(settle, 5.0) == [b"late"]


def test_a_busy_path_has_one_place(settle: Settle) -> None:
    for tick in range(10_000):
        settle.add_written(b"a", tick / 1000)
    assert len(settle._queue) == 1
    settle.clear()
    assert (len(settle), settle.due_s()) == (0, None)


def test_a_path_that_is_closed_often_has_few_places() -> None:
    settle = new_settle(3600.0)
    for tick in range(1000):
        settle.add_written(b"a", tick)
        settle.add_closed(b"a", tick)
        assert taken(settle, tick) == [b"a"]
    assert len(settle._queue) < 100


def test_outdated_places_do_not_pile_up() -> None:
    settle = new_settle(60.0)
    for number in range(10):
        settle.add_written(b"waits %d" % number, 0.0)
    for number in range(20 * MIN_QUEUE_PLACES):
        settle.add_written(b"%d" % (number % 50), number / 1e6)
        settle.add_closed(b"%d" % (number % 50), number / 1e6)
        if number % 50 == 0:
            settle.take(number / 1e6, LIMIT)
    assert len(settle._queue) <= 2 * MIN_QUEUE_PLACES
    assert len(taken(settle, 1.0)) <= 50
    assert sorted(taken(settle, 60.0)) == [b"waits %d" % number for number in range(10)]
