"""Groups through any history: each is completed once it rests, with what changed, and never twice.

The place is in memory and the state is real, so that thousands of turns and crashes are cheap;
real files and objects have groups in the histories of ``test_directory_property`` and
``test_bucket_property``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from property.groups import GroupModel
from support import memory_watch
from support.clock import FakeClock
from support.examples import examples
from support.memory_watch import Place, Scene
from support.state import ENGINES, without_sync
from support.wiring import PowerFailure
from watcher.errors import UnavailableError
from watcher.model import ChangeType, Entry
from watcher.sources.observations import Observation, Rename, Renames
from watcher.sources.scans import Batch
from watcher.spec import Batch as BatchSpec
from watcher.spec import BucketSpec, DirectorySpec, Group

EXAMPLES = examples(15)
STEPS = 30
QUIET_S = 60.0
SCAN_S = 2 * Place.scan_interval_s
ROUNDS = 4
"""Quiet times after which everything is read and completed that can be."""
NAMES = ["top", "one/a", "one/b", "one/sub/c", "two/sub/b"]
JUMPS_NS = [-(10**17), 10**17]

Operation: TypeAlias = tuple[str, int, int, bool]

numbers = st.integers(0, len(NAMES) - 1)
operations = st.tuples(
    st.sampled_from(["put", "remove", "rename"]), numbers, numbers, st.booleans()
)


class PolledOrNotified(Place):
    """A place that knows when it was last scanned, and notifies of renames as the kernel does."""

    def __init__(self, clock: FakeClock, *, is_polled: bool) -> None:
        super().__init__(0)
        self.mode = "poll" if is_polled else "notify"
        self.known_until = float("-inf") if is_polled else float("inf")
        self.renames: list[Rename] = []
        self._clock = clock

    def observe(self) -> Iterator[Observation]:
        renames, self.renames = self.renames, []
        if renames:
            yield Renames(renames)
        yield from super().observe()

    def __iter__(self) -> Iterator[Batch]:
        yield from super().__iter__()
        if self.mode == "poll":
            self.known_until = self._clock.monotonic()


class Grouping(RuleBasedStateMachine):
    """A place, the watch of it turn by turn, and a client of its stream.

    Args:
        where: What is watched; a bucket is polled.
        engine: Name of the engine of state.
    """

    def __init__(self, where: DirectorySpec | BucketSpec, engine: str) -> None:
        super().__init__()
        self._where = where
        self._base = "in/" if isinstance(where, BucketSpec) else ""
        self._closing = ExitStack()
        directory = self._closing.enter_context(tempfile.TemporaryDirectory())
        self._clock = FakeClock()
        opening = ENGINES[engine](Path(directory), self._clock)
        self._engine = self._closing.enter_context(opening)
        self._place = PolledOrNotified(self._clock, is_polled=bool(self._base))
        self._versions = count(1)
        self._seq = 0
        self._changed_s: dict[str | None, float] = {}

    def teardown(self) -> None:
        """Let everything rest, compare, and remove the state."""
        try:
            self.rest()
        finally:
            self._scene.store.close()
            self._closing.close()

    @initialize(
        depth=st.sampled_from([0, 1, 1, 2]),
        min_entries=st.sampled_from([1, 1, 2]),
        is_batched=st.booleans(),
        there=st.sets(numbers),
    )
    def begin(self, depth: int, min_entries: int, there: set[int], *, is_batched: bool) -> None:
        """Record what is there, which the client knows."""
        self._group = Group(depth, QUIET_S, min_entries)
        self._batch = BatchSpec(3, 0.0) if is_batched else BatchSpec()
        self.model = GroupModel(depth, self._base)
        for number in there:
            self._put(self._path(number))
        self.model.begin({path.decode(): entry.size for path, entry in self._place.files.items()})
        self._start()

    def _start(self) -> None:
        """Start on the kept state, as a new process does."""
        self._place.hints.clear()
        self._place.renames.clear()
        store = self._engine.open(memory_watch.IDENTITY)
        without_sync(store)
        self._scene = Scene(
            Path(),
            self._place,
            self._clock,
            store=store,
            where=self._where,
            group=self._group,
            batch=self._batch,
            events=frozenset(ChangeType),
        )
        self._scene.runner.open()
        self._turn()

    def _turn(self, after_s: float = 0.0) -> None:
        """Take a turn, and check the events that it has made."""
        self._scene.turn(after_s)
        self._take_news()

    def _take_news(self) -> None:
        journal = self._scene.store.journal
        for payload in journal.read(self._seq, limit=1000, max_bytes=1 << 24):
            event = json.loads(payload.data)
            for each in event.get("events", [event]):
                self._take(each)
            self._seq = payload.seq
        journal.confirm(self._seq, keep_s=1e9)

    def _take(self, event: dict[str, object]) -> None:
        path, now_s = str(event["path"]), self._clock.monotonic()
        if event["type"] == "completed":
            assert now_s - self._changed_s[path] >= QUIET_S, event
            assert event["group"]["entries"] >= self._group.min_entries, event  # type: ignore[index]
        else:
            for each in (path, event["old_path"]):
                if each is not None:
                    self._changed_s[self.model.group_of(str(each))] = now_s
        self.model.take(event)

    def _path(self, number: int) -> bytes:
        return f"{self._base}{NAMES[number]}".encode()

    def _put(self, path: bytes, inode: int = 0) -> None:
        version = next(self._versions)
        self._place.files[path] = Entry(path, version, version, version, inode or version)

    # Rules

    @rule(
        steps=st.lists(operations, max_size=4),
        seconds=st.sampled_from([0.0, SCAN_S, SCAN_S, QUIET_S / 2, QUIET_S + SCAN_S]),
    )
    def operate(self, steps: list[Operation], seconds: float) -> None:
        """Change some files, each with a hint or found by a scan only, and take a turn later."""
        for kind, number, other, is_hinted in steps:
            path = self._path(number)
            if kind == "rename":
                self._rename(path, self._path(other), is_hinted=is_hinted)
            elif kind == "put":
                self._put(path)
            else:
                self._place.files.pop(path, None)
            if is_hinted and kind != "rename" and path not in self._place.hints:
                self._place.hints.append(path)
        self._turn(seconds)

    def _rename(self, old_path: bytes, path: bytes, *, is_hinted: bool) -> None:
        """Rename a file, perhaps over another one."""
        if old_path == path or old_path not in self._place.files:
            return
        self._place.files[path] = self._place.files.pop(old_path)._replace(path=path)
        if is_hinted and not self._base:
            self._place.renames.append(Rename(old_path, path))

    @rule(number=numbers)
    def wait(self, number: int) -> None:
        """Let something wait in a group, or nothing any more."""
        self._place.waiting = set() if self._place.waiting else {self._path(number)}

    @rule()
    def fail(self) -> None:
        """Make the place unreadable, or readable again."""
        self._place.error = None if self._place.error else UnavailableError("it is gone")

    @rule(jump_ns=st.sampled_from(JUMPS_NS))
    def jump(self, jump_ns: int) -> None:
        """Set the wall clock."""
        self._clock.now_ns += jump_ns

    @rule(
        commits=st.integers(0, 4),
        seconds=st.sampled_from([SCAN_S, QUIET_S]),
        is_committed=st.booleans(),
    )
    def crash(self, commits: int, seconds: float, *, is_committed: bool) -> None:
        """Take a turn in which power fails, before or after a commit, and begin again."""
        store = self._scene.store
        commit, left = store.commit, iter(range(commits))

        def failing(*arguments: object, **options: object) -> None:
            is_last = next(left, None) is None
            if is_last and not is_committed:
                raise PowerFailure
            commit(*arguments, **options)  # type: ignore[arg-type]
            if is_last:
                raise PowerFailure

        store.commit = failing  # type: ignore[method-assign]
        with suppress(PowerFailure):
            self._scene.turn(seconds)
        self._restart()

    @rule()
    def restart(self) -> None:
        """End as a killed process does, and begin again."""
        self._restart()

    def _restart(self) -> None:
        self._scene.store.close()
        self._place.error = None
        self._start()

    @rule()
    def rest(self) -> None:
        """Let everything be read and rest: then the client knows all, and no group is left."""
        self._place.error, self._place.waiting = None, set()
        for _ in range(ROUNDS):
            self._turn(QUIET_S + SCAN_S)
        files = {path.decode(): entry.size for path, entry in self._place.files.items()}
        assert self.model.sizes == files
        unfinished = self.model.unfinished()
        assert all(self.model.entries(group) < self._group.min_entries for group in unfinished), (
            unfinished
        )
        known = {
            path.decode() for path in self._scene.store.groups.known(map(str.encode, unfinished))
        }
        assert known == set(unfinished)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "where",
    [DirectorySpec("/data"), BucketSpec("landing", "in/")],
    ids=["directory", "bucket"],
)
def test_each_group_is_completed_once_it_rests(
    where: DirectorySpec | BucketSpec, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through crashes at every commit, outages and jumps of the wall clock."""
    monkeypatch.setattr(memory_watch, "JOURNAL_CAP", 6)
    monkeypatch.setattr("watcher.watch.groups.CHECK_GROUPS", 1)
    monkeypatch.setattr("watcher.watch.runner.GROUP_COMMIT_S", 0.0)
    run_state_machine_as_test(
        # Whatever makes a machine will do, although the annotation asks for a class.
        partial(Grouping, where, engine),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES if engine == "sqlite" else -(-EXAMPLES // 3),
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
