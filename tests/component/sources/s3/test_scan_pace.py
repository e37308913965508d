"""What else makes a watch list its bucket out of turn, and how often: its interval holds."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.memory_watch import IDENTITY, JOURNAL_CAP
from support.s3.fault_costs import (
    AUTO,
    FIXED,
    HOUR_S,
    INTERVAL_S,
    PAGE_KEYS,
    PAGES,
    BucketScene,
    LastPage,
    promised,
)
from support.s3.faults import Effect, Failing, Fault, Request
from support.s3.paged import bucket, clock
from support.s3.simulated import Store
from watcher.sources.cost import JITTER
from watcher.telemetry.status import State
from watcher.watch.report import report_watch
from watcher.watch.schedule import BACKOFF_MIN_S

__all__ = ["bucket", "clock"]

LATEST_S = INTERVAL_S * (1 + JITTER) + 1.0
"""By then a scan that is in turn has begun."""
RESTARTS = 6
MANY = 150
"""Keys of which most are gone: their deletions are held."""

Start = Callable[..., BucketScene]


@pytest.fixture
def start(bucket: Store, clock: FakeClock, tmp_path: Path) -> Iterator[Start]:
    """Return what opens a watch, also where another one has ended, and takes its first turn."""
    with ExitStack() as stack:

        def start_it(**spec: object) -> BucketScene:
            scene = BucketScene(tmp_path, bucket, clock, **(spec or FIXED))
            stack.callback(scene.store.close)
            stack.callback(scene.source.close)
            scene.runner.open()
            scene.turn()
            return scene

        yield start_it


def end(scene: BucketScene) -> None:
    """End a watch as a kill does: nothing is written any more."""
    scene.source.close()
    scene.store.close()


def note(scene: BucketScene) -> str:
    """Return what an operator sees beside a watch."""
    return report_watch(IDENTITY, scene.watch, scene.clock).note


def test_a_failed_scan_is_repeated_once_soon(start: Start, bucket: Store, clock: FakeClock) -> None:
    """The status has when the next one is tried, and what the failed ones have cost."""
    scene = start()
    bucket.on_list = LastPage(Fault.OTHER_PREFIX)
    began = scene.listings
    clock.advance(LATEST_S)
    assert scene.turn() <= BACKOFF_MIN_S
    clock.advance(BACKOFF_MIN_S)
    scene.turn()
    assert scene.listings == began + 2
    wait_s = scene.status.next_scan_at - clock.wall()
    assert INTERVAL_S <= wait_s <= LATEST_S
    status = scene.status
    assert status.state is State.UNAVAILABLE
    assert status.failed_requests == 2 * PAGES + 1
    assert scene.watch.totals.failed_requests == status.failed_requests
    assert re.search(r"next try in 1[56] min; failed tries took 5 LIST requests", note(scene))


def test_a_check_that_succeeds_permits_no_scan(start: Start, bucket: Store) -> None:
    """A store that answers for one key, and not for the first page, is not listed each minute."""
    scene = start()
    bucket.on_list = Failing(Fault.INTERNAL_ERROR, lambda request: not request.is_check)
    began = scene.listings
    scene.run(4 * INTERVAL_S)
    assert scene.listings - began <= 4 / (1 - JITTER) + 1


def test_every_second_scan_fails(start: Start, bucket: Store) -> None:
    """The scan that is made soon is granted again by one that was in turn, not by itself."""
    scene = start()
    fails = [False]

    def hook(request: Request) -> Effect:
        if request.begins_listing:
            fails[0] = not fails[0]
        return Fault.OTHER_PREFIX if fails[0] and request.begins_listing else None

    bucket.on_list = hook
    began = scene.listings
    scene.run(12 * INTERVAL_S)
    assert scene.listings - began <= 12 / (1 - JITTER) * 4 / 3 + 2


def test_an_outage_ends_with_a_scan_soon(start: Start, bucket: Store) -> None:
    scene = start()
    bucket.on_list = lambda _: Fault.RESET
    scene.run(3 * INTERVAL_S)
    bucket.put("in/new")
    bucket.on_list = None
    assert scene.run_until_watching(90.0) <= 60.0
    assert scene.counts() == {"created": 1}


@pytest.mark.parametrize("spec", [FIXED, AUTO])
def test_the_scan_that_ends_a_hold_is_in_turn(
    start: Start, bucket: Store, spec: dict[str, object]
) -> None:
    keys = [f"in/many/{number:04}" for number in range(MANY)]
    bucket.put_many(*keys)
    bucket.page_keys = MANY
    scene = start(**spec)
    bucket.delete(*bucket.keys)
    scene.run_until_watching(LATEST_S)
    assert scene.status.held == MANY + PAGES * PAGE_KEYS
    spent = len(bucket.lists)
    took_s = scene.run_until_watching(LATEST_S)
    assert scene.counts() == {"deleted": MANY + PAGES * PAGE_KEYS}
    assert len(bucket.lists) - spent <= promised(took_s / HOUR_S, **spec) * (1 + JITTER) + 1


def test_a_release_makes_one_scan(start: Start, bucket: Store, clock: FakeClock) -> None:
    """A person has asked for it; however often, while it fails."""
    bucket.put_many(*(f"in/many/{number:04}" for number in range(MANY)))
    bucket.page_keys = MANY
    scene = start()
    bucket.delete(*bucket.keys)
    scene.run_until_watching(LATEST_S)
    bucket.on_list = Failing(Fault.OTHER_PREFIX, lambda request: request.begins_listing)
    began = scene.listings
    for _ in range(20):
        scene.watch.release()
        scene.turn()
        clock.advance(30.0)
    assert scene.listings - began == 2
    bucket.on_list = None
    scene.run_until_watching(LATEST_S)
    assert scene.status.held == 0


def test_a_server_that_is_killed_again_and_again(start: Start, clock: FakeClock) -> None:
    """Of the watches that it starts one scans at once, and the others when that is due."""
    scene = start()
    began = scene.listings
    for _ in range(RESTARTS):
        end(scene)
        clock.advance(30.0)
        scene = start()
        assert scene.watch.is_baselined
    assert scene.listings - began == 1
    scene.run(LATEST_S)
    assert scene.listings - began == 2


def test_a_server_that_is_killed_during_the_first_scan(
    start: Start, bucket: Store, clock: FakeClock
) -> None:
    """The requests of scans that were never completed count, those before the kill as well."""
    bucket.on_list = LastPage(Fault.OTHER_PREFIX)
    scene = start()
    for _ in range(RESTARTS):
        end(scene)
        clock.advance(30.0)
        scene = start()
    assert scene.listings == 2
    assert re.search(r"not been completed: the next one is in \d+ min$", note(scene))
    bucket.on_list = None
    assert scene.run_until_watching(LATEST_S) > INTERVAL_S / 4
    assert scene.watch.is_baselined


def test_a_changed_configuration_is_read_at_once(start: Start, clock: FakeClock) -> None:
    """Its own further starts are as rare as before."""
    end(start())
    for listings in (2, 3, 3, 3):
        clock.advance(10.0)
        scene = start(poll_interval_s=2 * INTERVAL_S)
        assert scene.listings == listings
        end(scene)


def test_a_journal_that_drains_continues_the_scan(start: Start, bucket: Store) -> None:
    """Each pass reports as many changes as half a journal has, so their number bounds its cost."""
    scene = start()
    bucket.put_many(*(f"in/new/{number:04}" for number in range(3 * JOURNAL_CAP)))
    bucket.page_keys = JOURNAL_CAP
    scene.run(LATEST_S)
    passes = 0
    while scene.status.state is State.PAUSED:
        scene.store.journal.confirm(scene.store.journal.next_seq - 1)
        scene.turn()
        passes += 1
    assert scene.counts() == {"created": 3 * JOURNAL_CAP}
    assert passes <= 6


def test_a_budget_that_failed_scans_exceed_is_reported(start: Start, bucket: Store) -> None:
    """No listing was completed, so the requests of the failed ones are all that is known."""
    bucket.on_list = LastPage(Fault.OTHER_PREFIX)
    scene = start(poll_interval_s=10.0, request_budget=1000)
    assert "above the request_budget of 1,000" in scene.status.degraded
    bucket.on_list = None
    scene.run_until_watching(HOUR_S)
    assert scene.status.degraded.startswith("listing the bucket every 900 s")
