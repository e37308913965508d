"""Hinted paths are due neither too early nor too late, and the queue stays small."""

from __future__ import annotations

from itertools import pairwise

import pytest

from watcher.sources.directory.settle import CAP_MIN_S, MIN_QUEUE_PLACES, Settle

LIMIT = 100


@pytest.fixture
def settle() -> Settle:
    """Return paths that settle in one second."""
    return Settle(1.0)


def taken(settle: Settle, now_s: float) -> list[bytes]:
    return list(settle.take(now_s, LIMIT))


def test_a_written_path_waits_until_quiet(settle: Settle) -> None:
    for now_s in (0.0, 0.5, 1.4):
        settle.add_written(b"a", now_s)
        assert taken(settle, now_s) == []
    assert settle.due_s() == 2.4
    assert taken(settle, 2.3) == []
    assert taken(settle, 2.4) == [b"a"]
    assert (len(settle), settle.due_s(), taken(settle, 99)) == (0, None, [])


@pytest.mark.parametrize(
    ("settle_s", "cap_s"), [(0.5, CAP_MIN_S), (0.0, CAP_MIN_S), (60.0, 1200.0)]
)
def test_a_path_that_is_never_quiet_is_due_at_a_capped_interval(
    settle_s: float, cap_s: float
) -> None:
    settle = Settle(settle_s)
    tick_s = max(settle_s, 0.5) / 2
    times = []
    for tick in range(int(3 * cap_s / tick_s)):
        if settle.take(tick * tick_s, LIMIT):
            times.append(tick * tick_s)
        settle.add_written(b"a", tick * tick_s)
    assert all(later - earlier <= cap_s + tick_s for earlier, later in pairwise([0.0, *times]))
    assert len(times) >= (2 if settle_s else 100)


def test_a_closed_path_is_due_at_once(settle: Settle) -> None:
    """Its former place in the queue is outdated."""
    settle.add_written(b"a", 0.0)
    settle.add_closed(b"a", 0.2)
    assert taken(settle, 0.2) == [b"a"]
    assert settle.due_s() is None
    settle.add_closed(b"b", 0.3)
    settle.add_written(b"b", 0.3)
    assert settle.due_s() == 1.3


@pytest.mark.parametrize(
    ("calls", "attributes_only", "due_s"),
    [
        (["attributes"], True, 0.0),
        (["attributes", "recheck"], True, 1.0),
        (["recheck", "attributes"], True, 1.0),
        (["recheck", "recheck"], False, 1.0),
        (["recheck", "written"], False, 1.0),
        (["recheck", "closed", "recheck"], False, 0.0),
        (["attributes", "attributes"], True, 0.0),
        (["written", "attributes"], False, 1.0),
        (["attributes", "written"], False, 1.0),
        (["attributes", "closed"], False, 0.0),
        (["closed", "attributes"], False, 0.0),
    ],
)
def test_attributes_weigh_least(
    settle: Settle, calls: list[str], due_s: float, *, attributes_only: bool
) -> None:
    """They are inspected at once, unless the content may have changed too."""
    for call in calls:
        getattr(settle, f"add_{call}")(b"a", 0.0)
    assert settle.due_s() == due_s
    assert settle.waiting_among([b"a", b"b"]) == ({b"a"} if set(calls) != {"attributes"} else set())
    assert [(path, hint.attributes_only) for path, hint in settle.take(9, LIMIT).items()] == [
        (b"a", attributes_only)
    ]


def test_a_limit_leaves_the_rest(settle: Settle) -> None:
    """Paths are taken in the order in which they became due."""
    settle.add_written(b"late", 0.0)
    settle.add_closed(b"first", 0.1)
    settle.add_closed(b"second", 0.2)
    assert list(settle.take(5.0, 2)) == [b"first", b"second"]
    assert taken(settle, 5.0) == [b"late"]


def test_a_busy_path_has_one_place(settle: Settle) -> None:
    for tick in range(1000):
        settle.add_written(b"a", tick / 1000)
    assert len(settle._queue) == 1
    settle.clear()
    assert (len(settle), settle.due_s()) == (0, None)


def test_a_path_that_is_closed_often_has_few_places() -> None:
    settle = Settle(3600.0)
    for tick in range(1000):
        settle.add_written(b"a", tick)
        settle.add_closed(b"a", tick)
        assert taken(settle, tick) == [b"a"]
    assert len(settle._queue) < 100


def test_outdated_places_do_not_pile_up() -> None:
    settle = Settle(60.0)
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
