"""A watch of the last days of a bucket reports what a plain model of these days says, always."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.clock import FakeClock
from support.examples import examples
from support.s3.fault_costs import simulated_time
from support.s3.faults import Failing, Fault
from support.s3.fixtures import aws_environment
from support.s3.scanned import INTERVAL_S, ScannedBucket
from support.s3.simulated import CREDENTIALS, Store, run_store
from watcher.telemetry.status import State

__all__ = ["aws_environment"]

Step: TypeAlias = tuple[str, int, str]
"""What happens, a number of days or hours, and a name."""

PREFIX = "in/dt={%Y-%m-%d}/"
LOOKBACK = timedelta(hours=30)
HOUR_S = 3600.0
FAULTS = [Fault.INTERNAL_ERROR, Fault.TORN_XML, Fault.DENIED, Fault.RESET]

names = st.sampled_from(["a", "b", "c/d"])
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "delete"]), st.integers(-3, 2), names)
    | st.tuples(st.sampled_from(["wait", "wait", "restart", "fail"]), st.integers(1, 40), names),
    min_size=4,
    max_size=24,
)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Store]:
    with run_store() as store:
        yield store


class Model:
    """What is known of a bucket by someone who looks at some days of it, now and then.

    Attributes:
        known: Etags of the objects of these days, by key.
    """

    def __init__(self, bucket: Store) -> None:
        self._bucket = bucket
        self.known: dict[str, str] = {}

    def look(self, now_s: float, *, remembers: bool = True) -> list[tuple[str, str]]:
        """Return how the days of a moment differ from what is known of them, and know them."""
        now = datetime.fromtimestamp(now_s, UTC)
        first, last = (now - LOOKBACK).date(), (now + timedelta(hours=1)).date()
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        starts = tuple(f"in/dt={day.isoformat()}/" for day in days)
        objects = {key: self._bucket.get(key) for key in self._bucket.keys}
        there = {key: each.etag for key, each in objects.items() if each and key.startswith(starts)}
        known = {key: etag for key, etag in self.known.items() if key.startswith(starts)}
        if remembers:
            self.known = there
        return sorted(
            [("created", key) for key in there.keys() - known.keys()]
            + [("deleted", key) for key in known.keys() - there.keys()]
            + [("modified", key) for key in there if known.get(key, there[key]) != there[key]]
        )


class History:
    """A watch of a bucket, and the model beside it.

    Args:
        bucket: The store.
        directory: Keeps the state.
        clock: Time of both.
    """

    def __init__(self, bucket: Store, directory: Path, clock: FakeClock) -> None:
        self._bucket = bucket
        self._directory = directory
        self._clock = clock
        self._model = Model(bucket)
        self._scene = self._start()
        self._scene.turn()
        assert (self._scene.news(), self._model.look(clock.wall())) == ([], [])

    def take(self, what: str, number: int, name: str) -> None:
        """Take a step."""
        day = datetime.fromtimestamp(self._clock.wall(), UTC).date() + timedelta(days=number)
        key = f"in/dt={day.isoformat()}/{name}"
        match what:
            case "put":
                self._bucket.put(key)
            case "delete":
                self._bucket.delete(key)
            case "wait":
                self._clock.advance(number * HOUR_S)
                self.scan()
            case "restart":
                self._scene.end()
                self._clock.advance(number * HOUR_S)
                self._scene = self._start()
                self.scan()
            case _:
                self._fail(FAULTS[number % len(FAULTS)], number)

    def scan(self) -> None:
        """List the bucket, and compare what is reported with the model."""
        self._clock.advance(HOUR_S)
        expected = self._model.look(self._clock.wall())
        self._scene.turn()
        assert sorted(self._scene.news()) == expected
        assert (self._scene.rows, self._scene.runner.held) == (len(self._model.known), 0)

    def end(self) -> None:
        self._bucket.on_list = None
        self._scene.end()

    def _start(self) -> ScannedBucket:
        scene = ScannedBucket(
            self._directory,
            self._bucket,
            self._clock,
            prefix=PREFIX,
            lookback_s=LOOKBACK.total_seconds(),
            poll_interval_s=INTERVAL_S,
        )
        scene.seen = scene.store.journal.next_seq - 1
        scene.runner.open()
        return scene

    def _fail(self, fault: Fault, number: int) -> None:
        """Have the listing of one of the days fail, and come back."""
        end = f"{number % 10}/"
        self._bucket.on_list = Failing(fault, lambda request: request.prefix.endswith(end))
        self._clock.advance(HOUR_S)
        then = self._model.look(self._clock.wall(), remembers=False)
        self._scene.turn()
        found = self._scene.news()
        self._bucket.on_list = None
        if self._scene.status.state is State.UNAVAILABLE:
            self._scene.run_until_watching(3 * HOUR_S)
        found += self._scene.news()
        now = self._model.look(self._clock.wall())
        assert len(found) == len(set(found))
        assert set(now) <= set(found) <= {*now, *then}


@settings(
    max_examples=examples(12),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
def test_any_history(
    bucket: Store, aws_environment: pytest.MonkeyPatch, history: list[Step]
) -> None:
    """Whatever leaves the window is forgotten; within it nothing is lost, invented or doubled."""
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    bucket.delete(*bucket.keys)
    with tempfile.TemporaryDirectory() as directory, simulated_time() as clock:
        watched = History(bucket, Path(directory), clock)
        try:
            for step in history:
                watched.take(*step)
            watched.scan()
        finally:
            watched.end()
