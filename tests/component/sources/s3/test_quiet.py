"""Lists a bucket whose objects grow, as gateways over file systems do, and waits for their rest.

Each is reported once, as it is in the end, and for none is a request sent that a watch without
``quiet`` would not send.
"""

from contextlib import suppress
from typing import Any, TypeAlias

import pytest

from support.clock import FakeClock
from support.s3.faults import Failing, Fault
from support.s3.simulated import Store
from support.s3.watched import KEYS, Begin
from watcher.changes.detector import Appearance
from watcher.errors import WatcherError

POLL_S = 30.0
QUIET_S = 2 * POLL_S
NEW = "in/0042-new"
OLD = KEYS[42]

Change: TypeAlias = tuple[str, str, int | None]


class Quiet:
    """A bucket that is watched with ``quiet`` at a fixed interval."""

    def __init__(
        self, store: Store, begin: Begin, existing: Appearance = Appearance.IGNORED_EXISTING
    ) -> None:
        self.clock = FakeClock()
        self.store = store
        self._begin = begin
        self.start(existing)

    def start(self, existing: Appearance) -> None:
        """Watch, as a new process does; the first listing meets what exists."""
        self.watched = self._begin(quiet_s=QUIET_S, clock=self.clock, existing=existing, workers=1)

    def poll(self, *, after_s: float = POLL_S) -> list[Change]:
        """List once, and return the changes: type, key and size."""
        self.clock.advance(after_s)
        known = len(self.watched.events)
        with suppress(WatcherError):
            self.watched.scan()
        assert self.watched.listings == 1
        return [
            (event["type"], event["path"], event["size"]) for event in self.watched.events[known:]
        ]

    def grow(self, key: str, *sizes: int, **values: Any) -> None:  # noqa: ANN401 - of an object
        """Let an object grow from one listing to the next, in which it is not reported."""
        for size in sizes:
            self.store.put(key, size=size, **values)
            assert self.poll() == []


@pytest.fixture
def quiet(store: Store, begin: Begin) -> Quiet:
    """Watch the store with ``quiet``."""
    return Quiet(store, begin)


# Gateways keep the etag of a file that is written to, or have none.
@pytest.mark.sampled
@pytest.mark.parametrize("values", [{}, {"etag": "same"}, {"etag": ""}, {"mtime_ns": 10**18}])
@pytest.mark.parametrize(("key", "change"), [(NEW, "created"), (OLD, "modified")])
def test_an_object_that_grows_is_reported_once_at_rest(
    key: str, change: str, values: dict[str, Any], quiet: Quiet
) -> None:
    quiet.grow(key, 10, 20, 30, 40, **values)
    # The page is as it was at the last listing, and the batch still not taken for known.
    assert [quiet.poll(), quiet.poll(), quiet.poll()] == [[], [(change, key, 40)], []]


def test_quiet_shorter_than_the_interval(quiet: Quiet) -> None:
    """Then the next listing decides."""
    quiet.grow(NEW, 10, 20)
    assert quiet.poll(after_s=QUIET_S) == [("created", NEW, 20)]


def test_others_are_not_delayed(quiet: Quiet) -> None:
    """Neither neighbours on the page of an object that always grows, nor deletions."""
    quiet.grow(NEW, 1, 2, 3)
    quiet.store.put(f"{NEW}er")
    quiet.store.delete(OLD)
    expected: list[list[Change]] = [
        [("deleted", OLD, 1)],
        [],
        [("created", f"{NEW}er", 1)],
        [],
    ]
    for size, changes in enumerate(expected, 4):
        quiet.store.put(NEW, size=size)
        assert quiet.poll() == changes


@pytest.mark.parametrize(("key", "changes"), [(NEW, []), (OLD, [("deleted", OLD, 1)])])
def test_an_object_that_goes_before_it_rests(key: str, changes: list[Change], quiet: Quiet) -> None:
    """It is deleted as what was reported of it, if anything; when it is back, it rests anew."""
    quiet.grow(key, 10, 20)
    quiet.store.delete(key)
    assert quiet.poll(after_s=QUIET_S) == changes
    quiet.grow(key, 20)
    assert [quiet.poll(), quiet.poll()] == [[], [("created", key, 20)]]


def test_an_object_that_becomes_what_it_was(quiet: Quiet) -> None:
    """Nothing is reported, and a state that comes back rests anew."""
    former = quiet.store.delete(OLD)
    quiet.grow(OLD, 10, etag="other", mtime_ns=10**18)
    quiet.store.restore(former)
    assert [quiet.poll() for _ in range(3)] == [[]] * 3
    quiet.grow(OLD, 10, etag="other", mtime_ns=10**18)
    assert [quiet.poll(), quiet.poll()] == [[], [("modified", OLD, 10)]]


@pytest.mark.usefixtures("_once")
def test_listings_that_fail(quiet: Quiet) -> None:
    """What they have not met rests on; only listings that see an object at rest report it."""
    last = KEYS[-1]
    quiet.grow(last, 10)
    quiet.store.on_list = Failing(Fault.INTERNAL_ERROR, lambda request: request.continues)
    assert [quiet.poll() for _ in range(4)] == [[]] * 4
    quiet.store.on_list = None
    assert quiet.poll() == [("modified", last, 10)]


def test_a_restart_lets_objects_rest_anew(quiet: Quiet) -> None:
    """Nothing is lost, and nothing that was not seen at rest is reported."""
    quiet.grow(NEW, 10)
    quiet.grow(OLD, 10)
    quiet.clock.advance(QUIET_S)
    quiet.start(Appearance.NEW)
    assert quiet.watched.events == []
    quiet.store.put(NEW, size=20)
    assert [quiet.poll() for _ in range(3)] == [
        [],
        [("modified", OLD, 10)],
        [("created", NEW, 20)],
    ]


def test_what_grows_when_a_watch_starts(store: Store, begin: Begin) -> None:
    """Skipped it is recorded as it is, and modified at rest."""
    store.put(NEW, size=1)
    quiet = Quiet(store, begin)
    quiet.grow(NEW, 10, 20)
    assert [quiet.poll(), quiet.poll()] == [[], [("modified", NEW, 20)]]


def test_existing_objects_are_reported_at_rest(store: Store, begin: Begin) -> None:
    """All of them as existing, when two listings agree on them."""
    store.put(NEW)
    quiet = Quiet(store, begin, Appearance.EXISTING)
    quiet.grow(NEW, 10)
    assert quiet.poll() == [("created", key, 1) for key in KEYS]
    assert quiet.poll() == [("created", NEW, 10)]
    assert all(event["existing"] for event in quiet.watched.events)
