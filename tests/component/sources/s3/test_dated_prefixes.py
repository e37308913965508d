"""Watches of prefixes with dates: what is listed, what leaves silently, and what is never invented.

The store counts requests, and time is a clock that the tests move: 2023-11-14, 22:13 at first.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import pytest

from support.clock import FakeClock
from support.s3.fault_costs import HOUR_S
from support.s3.faults import (
    Failing,
    Fault,
    Kind,
    Request,
    always,
    error,
    has_delimiter,
    other_prefix,
)
from support.s3.keys import Order
from support.s3.scanned import ScannedBucket, StartScanned, bucket, clock, start_scanned
from support.s3.simulated import Store, run_store
from watcher.cli.check import _rows
from watcher.cli.survey import survey_place
from watcher.clock import NS_PER_S
from watcher.errors import NotFoundError, WatcherError
from watcher.model import ChangeType
from watcher.spec import (
    BucketSpec,
    Conditions,
    Existing,
    Group,
    HintKind,
    Notifications,
    Spec,
)

__all__ = ["bucket", "clock", "start_scanned"]

PREFIX = "in/dt={%Y-%m-%d}/"
DAY_S = 24 * HOUR_S
MANY = 150
"""Keys that are held if they are missing."""


class DatedScene(ScannedBucket):
    """A watch of the days of a bucket."""

    @property
    def listed(self) -> list[str]:
        """The days that the last scan has listed, sorted, each as often as pages were asked for."""
        return sorted(request.prefix[-3:-1] for request in self.bucket.lists)


Start = Callable[..., DatedScene]


@pytest.fixture
def start(bucket: Store, start_scanned: StartScanned) -> Start:
    """Return what watches the days of a bucket that has some objects; see ``start_scanned``."""
    bucket.put_many("in/dt=2023-11-09/a", "in/dt=2023-11-12/a", "in/dt=2023-11-14/a", "in/x")
    return cast("Start", partial(start_scanned, kind=DatedScene, prefix=PREFIX))


def set_clock(clock: FakeClock, text: str) -> None:
    """Set the wall time alone, as a person does."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    clock.now_ns = int(moment.timestamp()) * NS_PER_S


def test_days_come_and_go(start: Start, bucket: Store) -> None:
    """The day that falls out of the window leaves the index; the next one is read an hour early."""
    scene = start()
    assert bucket.lists[0].prefix == "in/dt=2023-11-14/"
    assert scene.listed == ["12", "13", "14", "14"]
    assert (scene.rows, scene.news()) == (2, [])
    bucket.put_many("in/dt=2023-11-13/b", "in/dt=2023-11-15/b", "in/dt=2023-11-09/b", "in/y")
    # Several prefixes are read side by side.
    assert sorted(scene.scan(HOUR_S)) == [
        ("created", "in/dt=2023-11-13/b"),
        ("created", "in/dt=2023-11-15/b"),
    ]
    assert (scene.listed, scene.rows) == (["12", "13", "14", "15"], 4)
    bucket.put_many("in/dt=2023-11-12/a", "in/dt=2023-11-14/a")
    assert scene.scan() == [("modified", "in/dt=2023-11-14/a")]
    assert (scene.listed, scene.rows) == (["13", "14", "15"], 3)
    bucket.delete("in/dt=2023-11-12/a", "in/dt=2023-11-15/b")
    assert scene.scan() == [("deleted", "in/dt=2023-11-15/b")]
    assert scene.scan(DAY_S) == []
    assert (scene.listed, scene.rows) == (["14", "15", "16"], 1)
    assert scene.status.next_scan_at


def test_a_week_of_downtime(start: Start, bucket: Store, clock: FakeClock) -> None:
    """What was there is no deletion, and holds none; what came meanwhile is created, once."""
    bucket.put_many(*(f"in/dt=2023-11-14/{number}" for number in range(MANY)))
    scene = start()
    assert scene.rows == MANY + 2
    scene.end()
    bucket.put_many("in/dt=2023-11-18/missed", "in/dt=2023-11-21/a", "in/dt=2023-11-20/a")
    clock.advance(7 * DAY_S)
    scene = start()
    assert sorted(scene.news()) == [
        ("created", "in/dt=2023-11-20/a"),
        ("created", "in/dt=2023-11-21/a"),
    ]
    assert (scene.rows, scene.runner.held) == (2, 0)
    assert not scene.status.degraded


@pytest.mark.parametrize(
    ("existing", "expected"),
    [(Existing.SKIP, []), (Existing.REPORT, [("in/dt=2023-11-12/a", True)])],
)
def test_a_longer_lookback(
    existing: Existing, expected: list[tuple[str, bool]], start: Start, bucket: Store
) -> None:
    """What the days that it adds have held all the time was not created now."""
    scene = start(lookback_s=24 * HOUR_S, watch={"existing": existing})
    assert scene.rows == 1
    scene.end()
    bucket.put("in/dt=2023-11-13/new")
    scene = start(lookback_s=48 * HOUR_S, watch={"existing": existing})
    found = [(event["path"], event["existing"]) for event in scene.events()]
    assert sorted(found) == sorted([*expected, ("in/dt=2023-11-13/new", False)])
    assert scene.rows == 3
    bucket.put("in/dt=2023-11-12/late")
    assert scene.scan(HOUR_S) == [("created", "in/dt=2023-11-12/late")]


def test_a_shorter_lookback(start: Start, bucket: Store) -> None:
    scene = start()
    scene.end()
    scene = start(lookback_s=0.0)
    assert (scene.rows, scene.news(), scene.listed) == (1, [], ["14", "14"])
    assert not bucket.keys.isdisjoint({"in/dt=2023-11-12/a"})


def test_a_window_that_moves_while_a_scan_runs(
    start: Start, bucket: Store, clock: FakeClock
) -> None:
    """The scan goes on with the days that it began with, and takes no others for gone."""
    scene = start()
    bucket.put_many("in/dt=2023-11-12/b", "in/dt=2023-11-16/b")
    days: list[str] = []

    def move_on(request: Request) -> None:
        days.append(request.prefix[-3:-1])
        if request.prefix.endswith("14/"):
            clock.advance(DAY_S + 2 * HOUR_S)

    bucket.on_list = move_on
    set_clock(clock, "2023-11-14T23:50")
    clock.now_s += 2 * HOUR_S
    scene.turn()
    bucket.on_list = None
    assert sorted(set(days)) == ["12", "13", "14", "15"]
    assert scene.news() == [("created", "in/dt=2023-11-12/b")]
    assert scene.scan() == [("created", "in/dt=2023-11-16/b")]
    assert scene.listed == ["14", "15", "16"]
    assert scene.rows == 2


def test_what_is_found_in_a_day_that_the_scan_does_not_read_stays(
    start: Start, bucket: Store, clock: FakeClock
) -> None:
    """A key of the next day is inspected while a scan runs that began before that day's time."""
    scene = start()
    bucket.put("in/dt=2023-11-15/a")
    source, observed = scene.source, False

    def observe() -> Iterator[Any]:
        nonlocal observed
        if not observed and clock.wall() > datetime(2023, 11, 14, 23, tzinfo=UTC).timestamp():
            observed = True
            yield source.inspect([b"in/dt=2023-11-15/a"])

    source.observe = observe  # type: ignore[method-assign]
    set_clock(clock, "2023-11-14T22:59:50")
    clock.now_s += 2 * HOUR_S
    bucket.on_list = lambda _request: clock.advance(20.0)
    scene.turn()
    bucket.on_list = None
    assert observed
    assert scene.listed.count("15") == 0
    assert scene.news() == [("created", "in/dt=2023-11-15/a")]
    assert scene.scan() == []
    assert (scene.listed, scene.rows) == (["13", "14", "15"], 2)


def test_groups_forget_what_leaves(start: Start, bucket: Store) -> None:
    """Each day is a group; one that leaves before it has come to rest is never completed."""
    group = Group(depth=1, quiet_s=36 * HOUR_S)
    scene = start(watch={"group": group, "events": frozenset({ChangeType.COMPLETED})})
    bucket.put_many("in/dt=2023-11-12/b", "in/dt=2023-11-14/b")
    scene.scan(HOUR_S)
    assert scene.watch.status.groups.count == 2
    scene.scan()
    assert scene.listed == ["13", "14", "15"]
    scene.turn(35 * HOUR_S)
    scene.turn(2 * HOUR_S)
    assert scene.news() == [("completed", "in/dt=2023-11-14")]


def test_what_is_held_back_leaves_too(start: Start, bucket: Store) -> None:
    scene = start(watch={"conditions": Conditions(min_size=5)})
    bucket.put("in/dt=2023-11-12/b")
    bucket.put("in/dt=2023-11-14/b")
    assert scene.scan(HOUR_S) == []
    assert sum(scene.store.index.gates.values()) == 4
    assert scene.scan() == []
    assert sum(scene.store.index.gates.values()) == 2
    bucket.put("in/dt=2023-11-14/b", size=5)
    assert scene.scan() == [("created", "in/dt=2023-11-14/b")]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_clock_that_is_set_back_a_little(
    restarts: bool,  # noqa: FBT001 - a table
    start: Start,
    bucket: Store,
    clock: FakeClock,
) -> None:
    """The next day, which was read already, is neither gone nor created again."""
    set_clock(clock, "2023-11-14T23:05")
    scene = start()
    bucket.put("in/dt=2023-11-15/a")
    assert scene.scan(HOUR_S) == [("created", "in/dt=2023-11-15/a")]
    set_clock(clock, "2023-11-14T22:50")
    if restarts:
        scene.end()
        clock.now_s += 2 * HOUR_S
        scene = start()
        assert scene.news() == []
    else:
        clock.now_s += 2 * HOUR_S
        assert scene.scan(0.0) == []
    assert scene.listed[-1] == "15"
    assert scene.rows >= 2


@pytest.mark.parametrize("back_to", ["2023-11-14T23:59", "2023-11-14T01:00"])
def test_a_clock_that_is_set_back_before_a_restart(
    back_to: str, start: Start, clock: FakeClock
) -> None:
    """A day that has left does not come back, as it does not while the watch goes on."""
    reported = {"watch": {"existing": Existing.REPORT}}
    set_clock(clock, "2023-11-14T22:00")
    scene = start(**reported)
    assert sorted(scene.news()) == [
        ("created", "in/dt=2023-11-12/a"),
        ("created", "in/dt=2023-11-14/a"),
    ]
    set_clock(clock, "2023-11-15T00:00")
    assert (scene.scan(), scene.rows) == ([], 1)
    scene.end()
    set_clock(clock, back_to)
    clock.now_s += 2 * HOUR_S
    scene = start(**reported)
    assert (scene.news(), scene.rows) == ([], 1)
    scene.end()
    set_clock(clock, back_to)
    scene = start(**reported, lookback_s=72 * HOUR_S)
    assert [event["existing"] for event in scene.events()] == [True]


@pytest.mark.parametrize("wrong", ["2023-11-15T12:00", "2036-02-01T12:00"])
def test_a_clock_that_is_right_only_after_a_restart(
    wrong: str, start: Start, bucket: Store, clock: FakeClock
) -> None:
    """While the store refuses what is asked, nothing is known of the time, and nothing is lost."""
    set_clock(clock, "2023-11-14T12:00")
    scene = start()
    scene.end()
    bucket.put("in/dt=2023-11-13/missed")
    set_clock(clock, wrong)
    bucket.on_list = always(error(403, "RequestTimeTooSkewed"))
    with pytest.raises(WatcherError):
        start()
    bucket.on_list = Failing(
        error(403, "RequestTimeTooSkewed"), lambda request: request.query["max-keys"] != "1"
    )
    scene = start()
    assert (scene.news(), scene.rows) == ([], 2)
    scene.end()
    bucket.on_list = None
    set_clock(clock, "2023-11-14T12:30")
    scene = start()
    assert (scene.news(), scene.rows) == ([("created", "in/dt=2023-11-13/missed")], 3)


def test_a_clock_that_is_set_back_far(start: Start, bucket: Store, clock: FakeClock) -> None:
    """The days before are read again; what they have held all the time was not created now."""
    set_clock(clock, "2024-02-01T12:00")
    scene = start()
    assert scene.rows == 0
    set_clock(clock, "2023-11-14T12:00")
    clock.now_s += 2 * HOUR_S
    assert scene.scan(0.0) == []
    assert scene.rows == 2
    bucket.put("in/dt=2023-11-14/b")
    assert scene.scan() == [("created", "in/dt=2023-11-14/b")]


def test_days_of_many_pages(start: Start, bucket: Store) -> None:
    """They are listed side by side, in parts once the order of the store is known."""
    bucket.page_keys = 10
    keys = [f"in/dt=2023-11-{day}/{number:03}" for day in (12, 13, 14) for number in range(100)]
    bucket.put_many(*keys)
    scene = start()
    assert scene.rows == 302
    assert scene.source._strategy.is_ordered
    scene.source._strategy.split_keys = [key.encode() for key in keys[9::10]]
    bucket.put(keys[50])
    bucket.delete(keys[150])
    assert scene.scan(HOUR_S) == [("modified", keys[50]), ("deleted", keys[150])]
    begun = [request for request in bucket.lists if request.begins_range]
    assert begun
    assert all(request.query["start-after"].startswith(request.prefix) for request in begun)


def test_most_keys_of_several_days_are_gone(start: Start, bucket: Store) -> None:
    """They are held as in any bucket, and a second scan of the same days agrees."""
    keys = [f"in/dt=2023-11-{day}/{number:03}" for day in (13, 14) for number in range(MANY)]
    bucket.put_many(*keys)
    scene = start()
    bucket.delete(*keys)
    assert scene.scan(HOUR_S) == []
    assert scene.runner.held == 2 * MANY
    assert len(scene.scan()) == MANY * 2
    assert scene.rows == 1


def test_a_store_without_order(start: Start) -> None:
    with run_store(order=Order.RANDOM) as store:
        store.page_keys = 10
        store.put_many(
            *(f"in/dt=2023-11-{day}/{number}" for day in (12, 13, 14) for number in range(50))
        )
        scene = start(store)
        assert scene.rows == 150
        store.put("in/dt=2023-11-13/new")
        store.delete("in/dt=2023-11-12/7")
        assert sorted(scene.scan(HOUR_S)) == [
            ("created", "in/dt=2023-11-13/new"),
            ("deleted", "in/dt=2023-11-12/7"),
        ]


def test_a_policy_that_pins_the_days(start: Start, bucket: Store) -> None:
    """LIST with the prefixes of the window is all that a watch needs, beside HEAD."""
    bucket.page_keys = 5
    bucket.put_many(*(f"in/dt=2023-11-13/{number:02}" for number in range(50)))
    pinned = [f"in/dt=2023-11-{day}/" for day in range(12, 17)]
    bucket.on_list = Failing(
        Fault.DENIED,
        lambda request: (
            all(map(other_prefix, pinned))
            and (request.prefix not in pinned or has_delimiter(request))
        ),
    )
    scene = start()
    bucket.delete("in/dt=2023-11-13/07", "in/dt=2023-11-14/a")
    assert sorted(scene.scan(HOUR_S)) == [
        ("deleted", "in/dt=2023-11-13/07"),
        ("deleted", "in/dt=2023-11-14/a"),
    ]


def test_no_day_has_an_object(start: Start, bucket: Store) -> None:
    """An empty day is no missing bucket, and a missing bucket is no empty day."""
    bucket.delete(*bucket.keys)
    scene = start()
    assert scene.rows == 0
    bucket.put("in/dt=2023-11-14/a")
    assert scene.scan(HOUR_S) == [("created", "in/dt=2023-11-14/a")]
    bucket.delete("in/dt=2023-11-14/a")
    assert scene.scan() == [("deleted", "in/dt=2023-11-14/a")]
    scene.end()
    bucket.on_list = always(Fault.NO_BUCKET)
    with pytest.raises(NotFoundError):
        start()


def test_a_day_that_cannot_be_listed_hides_nothing(start: Start, bucket: Store) -> None:
    """The scan fails as a whole: no row leaves, and nothing is deleted."""
    scene = start()
    bucket.delete("in/dt=2023-11-14/a")
    bucket.on_list = Failing(
        error(500, "InternalError"), lambda request: request.prefix.endswith("13/")
    )
    scene.turn(HOUR_S)
    assert scene.news() == []
    bucket.on_list = None
    scene.turn(DAY_S)
    assert scene.status.scans.count == 2
    assert scene.news() == [("deleted", "in/dt=2023-11-14/a")]
    assert scene.rows == 0


def test_the_cost_counts_each_prefix(start: Start) -> None:
    cost = start().source.cost
    assert cost is not None
    assert cost.requests_per_poll == 3


def test_a_check_shows_what_is_listed_now(bucket: Store, clock: FakeClock) -> None:
    """Each prefix takes a request at least, also an empty one."""
    bucket.put_many("in/dt=2023-11-09/a", "in/dt=2023-11-12/a", "in/dt=2023-11-14/a", "in/x")
    where = BucketSpec(bucket.bucket, PREFIX, endpoint_url=bucket.endpoint_url)
    survey = survey_place(Spec(where), clock, lambda _: None)
    assert survey.prefixes == [f"in/dt=2023-11-{day}/" for day in (12, 13, 14)]
    assert (survey.matching, survey.cost and survey.cost.requests_per_poll) == (2, 3)
    assert ("prefixes", "in/dt=2023-11-12/") in _rows(survey)
    assert survey_place(Spec(replace(where, prefix="in/")), clock, lambda _: None).prefixes == []


def test_hints_about_days_that_are_not_read_are_settled(
    start: Start, bucket: Store, clock: FakeClock
) -> None:
    """Only keys of the window are looked at; the window goes on between two listings."""
    scene = start(notifications=Notifications(HintKind.WEBHOOK), backstop_interval_s=1000 * HOUR_S)
    bucket.put_many("in/dt=2023-11-09/h", "in/dt=2023-11-14/h", "in/dt=2023-11-15/h", "in/h")
    hinted = [key.encode() for key in bucket.keys if key.endswith("h")]
    scene.source.hint(hinted)
    scene.settle_hints()
    assert scene.news() == [("created", "in/dt=2023-11-14/h")]
    clock.advance(HOUR_S)
    bucket.log.clear()
    scene.source.hint(hinted)
    scene.settle_hints()
    assert scene.news() == [("created", "in/dt=2023-11-15/h")]
    asked = sorted({request.key for request in bucket.log if request.kind is Kind.HEAD})
    assert asked == ["in/dt=2023-11-14/h", "in/dt=2023-11-15/h"]
    assert not bucket.lists
