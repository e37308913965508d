"""Configurations that are changed again, or taken back, before their first scan is complete.

Each is killed before each of its writes to the state in turn; the last one runs on, and must report
only what happens from then on.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from support.clock import FakeClock
from support.files import fill
from support.memory_watch import Place, Scene
from support.s3.fault_costs import simulated_time
from support.s3.fixtures import aws_environment
from support.s3.simulated import CREDENTIALS, run_store
from support.s3.versioned import run_versioned
from watcher.clock import Clock
from watcher.settings import BackendChoice
from watcher.sources.factory import Sources, open_backend
from watcher.spec import (
    AuthorizedSpec,
    BucketSpec,
    DirectorySpec,
    Filter,
    Mode,
    Spec,
)

__all__ = ["aws_environment"]

HOUR_S = 3600.0
DEADLINE_S = 30.0
NAMES = ("a.csv", "b.csv", "c.txt", "d.csv", "sub/e.csv", "sub/f.txt")
DAYS = tuple(f"in/dt=2023-11-{day}/a" for day in range(9, 15))
CSV, TXT, ALL = Filter(("*.csv",)), Filter(("*.txt",)), Filter()
NONE = Filter(("none",))


class KilledError(BaseException):
    """The process ends here."""


@dataclass
class Bench:
    """A place, and the runs of a watch of it.

    Attributes:
        path: Keeps the state.
        clock: The time.
        sources: Make what reads the place.
        put: Makes a file or an object.
        remove: Removes it for good.
        first: The configuration of the baseline, which all others are made of.
        prefix: That of what is put.
    """

    path: Path
    clock: FakeClock
    sources: Sources
    put: Callable[[str], object]
    remove: Callable[[str], object]
    first: Spec
    prefix: str = ""

    def run(self, spec: Spec, *, writes: int | None = None, added: str = "") -> list[str] | None:
        """Begin the watch and take its first turn.

        Args:
            spec: What is watched.
            writes: Writes to the state before it is killed; None to let it be.
            added: Put then, which must be the next that is reported.

        Returns:
            What was reported before, sorted, or None if it was killed.
        """
        source = self.sources.make(AuthorizedSpec(spec, None), lambda: False)
        with closing(source):
            fields = {name: getattr(spec, name) for name in ("filter", "existing")}
            place = cast("Place", source)
            scene = Scene(self.path, place, self.clock, where=spec.where, **fields)
            with closing(scene.store):
                if writes is not None:
                    kill_after(writes, scene.store)
                try:
                    scene.runner.open()
                    scene.turn()
                except KilledError:
                    return None
                assert scene.status.scans.count == 1
                found = take(scene)
                if added:
                    self.put(added)
                    assert take(scene, awaited=True) == [f"created {added}"]
                return found


def kill_after(writes: int, store: object) -> None:
    """Have all writes to a state fail after a number of them."""
    numbers = count(1)

    def dying(write: Callable[..., Any]) -> Callable[..., Any]:
        def write_or_die(*args: Any, **values: Any) -> Any:  # noqa: ANN401 - of any write
            if next(numbers) > writes:
                raise KilledError
            return write(*args, **values)

        return write_or_die

    for name in ("commit", "set_meta"):
        setattr(store, name, dying(getattr(store, name)))


def take(scene: Scene, *, awaited: bool = False) -> list[str]:
    """Return the events that are in the journal, sorted, and confirm them."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not (found := scene.store.journal.read(0, limit=100, max_bytes=1 << 20)) and awaited:
        assert time.monotonic() < deadline_s
        scene.turn(after_s=2 * HOUR_S)
    scene.store.journal.confirm(scene.store.journal.next_seq - 1)
    events = [json.loads(each.data) for each in found]
    return sorted(f"{event['type']} {event['path']}" for event in events)


def change_again(bench: Bench, *specs: Spec, added: str) -> None:
    """Make the baseline, begin each spec and kill it at each of its writes, and let the last be."""
    assert bench.run(bench.first) == []
    baseline = bench.path.with_name("baseline")
    shutil.copytree(bench.path, baseline)
    for writes in count():
        shutil.rmtree(bench.path)
        shutil.copytree(baseline, bench.path)
        runs = [bench.run(spec, writes=writes) for spec in specs[:-1]]
        assert not any(runs), f"{runs} in {writes} writes"
        last = bench.run(specs[-1], added=bench.prefix + added)
        assert last == [], f"{last} after {writes} writes"
        if None not in runs:
            assert writes > 1
            assert bench.run(specs[-1]) == []
            return
        bench.remove(bench.prefix + added)


def open_sources(clock: Clock) -> Sources:
    return Sources(clock, open_backend(BackendChoice.AUTO))


@pytest.fixture(params=[Mode.POLL, Mode.NOTIFY])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Return a directory that is watched in each mode."""
    root, state = tmp_path / "root", tmp_path / "state"
    state.mkdir()
    fill(root, *NAMES)
    where = DirectorySpec(str(root), mode=request.param, settle_s=0.0, poll_interval_s=10.0)
    clock = FakeClock()
    with closing(open_sources(clock)) as sources:
        yield Bench(
            state,
            clock,
            sources,
            lambda name: fill(root, name),
            lambda name: (root / name).unlink(),
            Spec(where),
        )


@pytest.mark.sampled
@pytest.mark.parametrize(
    "filters",
    [(CSV, TXT, CSV), (CSV, NONE, CSV), (ALL, CSV, ALL), (CSV, TXT, ALL), (CSV, NONE, TXT, CSV)],
    ids=["back", "narrower", "wider", "on", "twice"],
)
def test_filter_of_a_directory(directory: Bench, filters: tuple[Filter, ...]) -> None:
    directory.first, *specs = (replace(directory.first, filter=each) for each in filters)
    change_again(directory, *specs, added="new.csv")


def test_directory_without_its_subdirectories(directory: Bench) -> None:
    where = cast("DirectorySpec", directory.first.where)
    flat = replace(directory.first, where=replace(where, recursive=False))
    change_again(directory, flat, directory.first, added="new.csv")


@pytest.fixture
def bucket(aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """Return a bucket with objects of some days, on 2023-11-14."""
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    with (
        run_store() as store,
        simulated_time() as clock,
        closing(open_sources(clock)) as sources,
    ):
        store.put_many(*DAYS)
        where = BucketSpec(
            store.bucket,
            "in/dt={%Y-%m-%d}/",
            endpoint_url=store.endpoint_url,
            poll_interval_s=1000.0,
            lookback_s=96 * HOUR_S,
        )
        state = tmp_path / "state"
        state.mkdir()
        yield Bench(
            state, clock, sources, store.put, store.delete, Spec(where), "in/dt=2023-11-14/"
        )


@pytest.mark.parametrize("lookbacks_h", [(72, 48, 72), (96, 24, 72)])
def test_lookback(bucket: Bench, lookbacks_h: tuple[float, ...]) -> None:
    where = cast("BucketSpec", bucket.first.where)
    bucket.first, *specs = (
        replace(bucket.first, where=replace(where, lookback_s=hours * HOUR_S))
        for hours in lookbacks_h
    )
    change_again(bucket, *specs, added="new")


@pytest.fixture
def versions(aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """Return a bucket with versions, watched as one of objects."""
    with (
        run_versioned() as store,
        simulated_time() as clock,
        closing(open_sources(clock)) as sources,
    ):
        for name, value in store.environment().items():
            aws_environment.setenv(name, value)
        for name in (*NAMES, *NAMES):
            store.put(name)
        where = BucketSpec(store.bucket, endpoint_url=store.endpoint_url, poll_interval_s=1000.0)
        state = tmp_path / "state"
        state.mkdir()

        def remove(key: str) -> None:
            for version in store.versions(key):
                store.delete_version(key, version.version_id)

        yield Bench(state, clock, sources, store.put, remove, Spec(where))


@pytest.mark.parametrize("is_first", [False, True])
def test_versions(versions: Bench, is_first: bool) -> None:  # noqa: FBT001 - a table
    where = cast("BucketSpec", versions.first.where)
    versions.first = replace(versions.first, where=replace(where, versions=is_first))
    other = replace(versions.first, where=replace(where, versions=not is_first))
    change_again(versions, other, versions.first, added="new.csv")
