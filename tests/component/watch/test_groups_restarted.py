"""Groups after a restart: after a stop or a crash, with another clock or configuration."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.clock import FakeClock
from support.watched_groups import HOUR_S, QUIET_S, Start
from watcher.spec import Filter, Group


@pytest.mark.parametrize("down_s", [10.0, HOUR_S])
def test_a_restart_goes_on_with_the_quiet_time(start: Start, down_s: float) -> None:
    """It is over when it would have been, once a scan has read everything."""
    scene = start()
    scene.put(b"run/a")
    place, clock = scene.place, scene.clock
    clock.advance(down_s)
    scene = start(place, clock=clock)
    assert scene.completed() == ({} if down_s < QUIET_S else {"run": [1, 1, 0, 0]})
    assert scene.completed(HOUR_S) == ({"run": [1, 1, 0, 0]} if down_s < QUIET_S else {})


def test_what_changed_while_down_begins_quiet_anew(start: Start) -> None:
    scene = start()
    scene.put(b"run/a")
    place, clock = scene.place, scene.clock
    clock.advance(HOUR_S)
    place.add(b"run/b")
    scene = start(place, clock=clock)
    assert scene.completed(QUIET_S - 1) == {}
    assert scene.completed(1) == {"run": [2, 2, 0, 0]}


@pytest.mark.parametrize("leap_s", [-1e8, 1e8])
def test_a_wall_clock_that_jumps_delays_and_hurries_nothing(start: Start, leap_s: float) -> None:
    """Within a run; between two, which may be far apart, no group waits longer than quiet."""
    scene = start()
    scene.put(b"run/a")
    scene.clock.now_ns += round(leap_s * 1e9)
    assert scene.completed(QUIET_S - 1) == {}
    assert scene.completed(1) == {"run": [1, 1, 0, 0]}
    scene.put(b"run/b")
    scene.clock.now_ns += round(leap_s * 1e9)
    scene = start(scene.place, clock=scene.clock)
    assert scene.completed(QUIET_S) == {"run": [2, 1, 0, 0]}


def test_another_quiet_or_minimum_applies_to_what_has_changed(start: Start) -> None:
    scene = start(group=Group(1, HOUR_S, min_entries=2))
    scene.put(b"run/a")
    scene = start(scene.place, group=Group(1, QUIET_S, min_entries=1), clock=scene.clock)
    assert scene.completed(QUIET_S - 1) == {}
    assert scene.completed(1) == {"run": [1, 1, 0, 0]}


def test_another_depth_makes_other_groups_of_what_has_changed(start: Start) -> None:
    """Entries that lie above it now count no more, also when groups are deeper again."""
    scene = start(group=Group(0, QUIET_S))
    scene.put(b"top", b"run/a", b"run/sub/b", b"old/a")
    scene = start(scene.place, group=Group(2, QUIET_S), clock=scene.clock)
    assert scene.completed(QUIET_S - 1) == {}
    assert scene.completed(1) == {"run/sub": [1, 1, 0, 0]}
    scene = start(scene.place, group=Group(0, QUIET_S), clock=scene.clock)
    assert scene.completed(HOUR_S) == {}


def test_without_groups_their_changes_are_forgotten(start: Start) -> None:
    scene = start()
    scene.put(b"run/a")
    scene = start(scene.place, group=None)
    assert scene.store.groups.changed(limit=9) == (0, [])
    assert list(scene.store.groups.changed_paths()) == []
    scene = start(scene.place)
    assert scene.completed(HOUR_S) == {}


def test_what_a_new_filter_excludes_counts_no_more(start: Start) -> None:
    scene = start()
    scene.put(b"run/a.csv", b"run/a.tmp", b"two/a.tmp")
    scene.place.files = {b"run/a.csv": scene.place.files[b"run/a.csv"]}
    scene = start(scene.place, filter=Filter(("*.csv",)), clock=scene.clock)
    assert scene.completed(QUIET_S) == {"run": [1, 1, 0, 0]}


def test_a_crash_before_the_commit_repeats_nothing_and_loses_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event and the clearing of its changes are there together, or neither is."""

    class Crash(Exception):  # noqa: N818 - no error of the program
        pass

    scene = start()
    scene.put(b"run/a")
    with monkeypatch.context() as patch:
        patch.setattr(type(scene.store.journal), "append", crash_by(Crash))
        with pytest.raises(Crash):
            scene.turn(QUIET_S)
    scene = start(scene.place, clock=scene.clock)
    assert scene.completed() == {"run": [1, 1, 0, 0]}
    scene = start(scene.place, clock=scene.clock)
    assert scene.completed(HOUR_S) == {}


def crash_by(error: type[Exception]) -> Callable[..., None]:
    """Return a function that raises an error, whatever its arguments are."""

    def crash(*_: object) -> None:
        raise error

    return crash


def test_a_new_clock_is_as_good(start: Start) -> None:
    """The monotonic clock of another process begins elsewhere."""
    scene = start()
    scene.put(b"run/a")
    clock = FakeClock(now_s=5.0, now_ns=scene.clock.now_ns)
    scene = start(scene.place, clock=clock)
    assert scene.completed(QUIET_S - 1) == {}
    assert scene.completed(1) == {"run": [1, 1, 0, 0]}
