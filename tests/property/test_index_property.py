"""A stream, replayed, is the place: through any changes, interrupted scans and crashes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.clock import FakeClock
from support.examples import examples
from support.memory_source import MemoryFiles
from support.reconciling import Reconciling
from support.state import ENGINES, without_sync
from watcher.errors import UnavailableError
from watcher.model import Entry, Identity
from watcher.sources.directory.renames import PendingRenames
from watcher.sources.observations import Observation, Rename, Subtree
from watcher.sources.scans import Batch, EntryBatch, unread_test
from watcher.spec import DirectorySpec, Spec

PATHS = [b"a", b"b", b"d", b"d/a", b"d/b", b"d/e/a", b"d/e/\xff", b"d0", b"x/a", b"x/b"]
IDENTITY = Identity("", "test", "file:///data")
DIRECTORIES = [b"d/", b"d/e/", b"x/", b"y/", b"y/z/"]

paths = st.sampled_from(PATHS)
directories = st.sampled_from(DIRECTORIES)
randoms = st.randoms(use_true_random=False)


@dataclass
class Disturbance:
    """What goes wrong with one scan.

    Attributes:
        breaks_after: Batches after which the place cannot be read any more; None for never.
        unread: A prefix that cannot be read; None for none.
        incomplete: Paths that are being written.
        between: What happens in the place between two batches, in turn.
    """

    breaks_after: int | None = None
    unread: bytes | None = None
    incomplete: frozenset[bytes] = frozenset()
    between: list[Callable[[], None]] = field(default_factory=list)


class Place(MemoryFiles):
    """A tree of files that changes at will and is read in any order; see ``Source``."""

    mode = "poll"

    def __init__(self) -> None:
        super().__init__()
        self.renames = PendingRenames(0.0)
        self.random: Random | None = None
        self.disturbance = Disturbance()
        self._version = 0

    def write(self, path: bytes, *, in_place: bool) -> None:
        """Give a file new content, which no other has."""
        self._version += 1
        inode = self.files[path].inode if in_place and path in self.files else self._version
        self.files[path] = Entry(path, self._version, self._version, self._version, inode)
        self.rechecked.add(path)

    def remove(self, path: bytes) -> None:
        self.files.pop(path, None)
        self.rechecked.add(path)

    def rename(self, old_path: bytes, path: bytes) -> None:
        """Rename a file or a whole directory if it is there and its new name is free or a file."""
        is_directory = old_path.endswith(b"/")
        renamed = [
            each
            for each in self.files
            if each == old_path or (is_directory and each.startswith(old_path))
        ]
        is_taken = is_directory and (
            path.startswith(old_path) or any(each.startswith(path) for each in self.files)
        )
        if not renamed or old_path == path or is_taken:
            return
        for old in renamed:
            new = path + old[len(old_path) :]
            self.files[new] = self.files.pop(old)._replace(path=new)
        self.rechecked |= {old_path, path} if not is_directory else set()
        self.renames.add(Rename(old_path, path))

    def scan(self, prefix: bytes = b"") -> Reading:
        """See ``Source``; the disturbance is over afterwards."""
        disturbance, self.disturbance = self.disturbance, Disturbance()
        return Reading(self, prefix, disturbance)

    def observe(self) -> Iterator[Observation]:
        yield from self.renames.take()
        rechecked, self.rechecked = self.rechecked, set()
        yield self.inspect(sorted(rechecked))


class Reading:
    """One disturbed reading in any order; see ``Scan``."""

    window: None = None

    def __init__(self, place: Place, prefix: bytes, disturbance: Disturbance) -> None:
        self.prefix = prefix
        self.unread: list[bytes] = []
        self._place = place
        self._disturbance = disturbance

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of two, each read when it is yielded."""
        place, disturbance = self._place, self._disturbance
        unread = disturbance.unread
        place.incomplete = set(disturbance.incomplete)
        names = [path for path in sorted(place.files) if path.startswith(self.prefix)]
        if unread is not None:
            names = [path for path in names if not path.startswith(unread)]
        if place.random is not None:
            place.random.shuffle(names)
        for number, start in enumerate(range(0, len(names), 2)):
            if number == disturbance.breaks_after:
                raise UnavailableError("it broke off")
            met = [place.files[path] for path in names[start : start + 2] if path in place.files]
            yield EntryBatch(met, repr(met).encode())
            if disturbance.between:
                disturbance.between.pop(0)()
        if unread is not None:
            self.unread.append(unread)

    def unread_test(self) -> Callable[[bytes], bool]:
        return unread_test(self.unread)

    def verification_scan(self, missing: int) -> Reading | None:
        """Return a reading in peace, where another one is wanted."""
        return Reading(self._place, self.prefix, Disturbance()) if missing > 2 else None


class Replica:
    """What a client knows who believes each event."""

    def __init__(self, files: dict[bytes, Entry]) -> None:
        self.sizes = {path: entry.size for path, entry in files.items()}
        self.seq = 0

    def take(self, data: bytes) -> None:
        """Apply one event, which must make sense where it stands."""
        event = json.loads(data)
        path, old_path, size = raw(event["uri"]), event["old_path"], event["size"]
        assert event["seq"] == self.seq + 1
        self.seq = event["seq"]
        match event["type"]:
            case "created":
                assert path not in self.sizes
            case "modified":
                assert self.sizes[path] != size
            case "deleted":
                del self.sizes[path]
                return
            case "moved":
                # The content goes with the name; a new content is reported next.
                size = self.sizes.pop(old_path.encode().replace("\ufffd".encode(), b"\xff"))
        self.sizes[path] = size


def raw(uri: str) -> bytes:
    """Return the path that a URI names; the one byte that is no text is escaped."""
    return uri.removeprefix("file:///data/").encode().replace(b"%FF", b"\xff")


class Watching(RuleBasedStateMachine):
    """A place, its index and a client of its stream, on one engine of state."""

    engine_name: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._closing = ExitStack()
        directory = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        engine = ENGINES[self.engine_name](directory, FakeClock())
        self._engine = self._closing.enter_context(engine)
        self.place = Place()
        self.start()

    def start(self) -> None:
        """Begin anew on the state file; what was begun before is left as a crash leaves it."""
        store = self._closing.enter_context(closing(self._engine.open(IDENTITY)))
        without_sync(store)
        self.store = store
        self.reconciler = Reconciling(self.place, store, Spec(DirectorySpec("/data")))

    def teardown(self) -> None:
        self._closing.close()

    @initialize(standing=st.sets(paths))
    def baseline(self, standing: set[bytes]) -> None:
        """Record what is there; the client knows it by other means."""
        for path in sorted(standing):
            self.place.write(path, in_place=False)
        self.reconciler.record_existing()
        self.replica = Replica(self.place.files)

    @rule(path=paths, in_place=st.booleans())
    def write(self, path: bytes, *, in_place: bool) -> None:
        self.place.write(path, in_place=in_place)

    @rule(path=paths)
    def remove(self, path: bytes) -> None:
        self.place.remove(path)

    @rule(old_path=paths, path=paths)
    def rename(self, old_path: bytes, path: bytes) -> None:
        """Rename a file, onto another perhaps."""
        self.place.rename(old_path, path)

    @rule(old_path=directories, path=directories)
    def rename_directory(self, old_path: bytes, path: bytes) -> None:
        self.place.rename(old_path, path)

    @rule()
    def lose_hints(self) -> None:
        """Lose the hints that were not yet followed."""
        self.place.rechecked.clear()
        self.place.renames.clear()

    @rule()
    def observe(self) -> None:
        """Follow the hints."""
        for observation in self.place.observe():
            self.reconciler.apply(observation)

    @rule(prefix=directories)
    def compare_subtree(self, prefix: bytes) -> None:
        self.reconciler.apply(Subtree(prefix))

    @rule(
        random=randoms,
        breaks_after=st.none() | st.integers(0, 3),
        unread=st.none() | directories,
        incomplete=st.frozensets(paths, max_size=2),
        between=st.lists(
            st.tuples(st.sampled_from(["write", "remove", "rename"]), paths, paths), max_size=4
        ),
    )
    def disturbed_scan(
        self,
        random: Random,
        breaks_after: int | None,
        unread: bytes | None,
        incomplete: frozenset[bytes],
        between: list[tuple[str, bytes, bytes]],
    ) -> None:
        """Scan while the place changes, is in part unreadable, or breaks off."""
        self.place.random = random
        steps: list[Callable[[], None]] = [
            lambda step=step: self._change(*step)  # type: ignore[misc]
            for step in between
        ]
        self.place.disturbance = Disturbance(breaks_after, unread, incomplete, steps)
        try:
            self.reconciler.scan(is_baseline=False)
        except UnavailableError:
            assert breaks_after is not None
        self.place.random = None

    def _change(self, kind: str, path: bytes, other: bytes) -> None:
        if kind == "write":
            self.place.write(path, in_place=True)
        elif kind == "remove":
            self.place.remove(path)
        else:
            self.place.rename(path, other)

    @rule()
    def crash(self) -> None:
        """Lose everything but the files and the state file."""
        self.lose_hints()
        self.start()

    @precondition(lambda self: self.store.journal.depth > 0)
    @rule()
    def confirm(self) -> None:
        self.store.journal.confirm(self.replica.seq)

    @rule()
    def compare(self) -> None:
        """After an undisturbed scan the client knows the place; a second scan reports nothing."""
        self.reconciler.scan(is_baseline=False)
        self.read_stream()
        assert self.replica.sizes == {path: entry.size for path, entry in self.place.files.items()}
        assert self.store.index.entries == len(self.place.files)
        self.reconciler.scan(is_baseline=False)
        assert self.store.journal.next_seq == self.replica.seq + 1

    @invariant()
    def read_stream(self) -> None:
        """Each event fits what a client knows from those before it; no number is left out."""
        if hasattr(self, "replica"):
            for payload in self.store.journal.read(self.replica.seq, limit=1000, max_bytes=1 << 30):
                self.replica.take(payload.data)


class WatchingOnSqlite(Watching):
    engine_name = "sqlite"


class WatchingOnPostgres(Watching):
    engine_name = "postgres"


TestWatchingOnSqlite = pytest.mark.filterwarnings("error")(WatchingOnSqlite.TestCase)
TestWatchingOnSqlite.settings = settings(max_examples=examples(80), stateful_step_count=30)
TestWatchingOnPostgres = pytest.mark.filterwarnings("error")(WatchingOnPostgres.TestCase)
TestWatchingOnPostgres.settings = settings(max_examples=examples(30), stateful_step_count=30)


def test_every_engine_is_watched() -> None:
    assert {machine.engine_name for machine in Watching.__subclasses__()} == set(ENGINES)
