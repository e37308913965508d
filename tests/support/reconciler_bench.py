"""A reconciler on a place in memory, and what it has told."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING

from support.clock import FakeClock
from support.memory_source import MemoryFiles
from support.state import open_store
from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.reconciler import Interrupted, Reconciler
from watcher.delivery.outbox import Outbox
from watcher.model import ChangeType, Entry
from watcher.spec import DirectorySpec, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from watcher.sources.protocol import Batch, Observation


class MemoryBatch:
    """Some entries, with a note that they were read; see ``protocol.Batch``."""

    def __init__(self, place: MemoryPlace, entries: list[Entry]) -> None:
        self.unsettled = [entry.path for entry in entries if entry.path in place.unsettled]
        self.digest = repr(entries).encode() if place.has_digests else b""
        self._place = place
        self._entries = [entry for entry in entries if entry.path not in place.unsettled]

    @property
    def entries(self) -> list[Entry]:
        """See ``protocol.Batch``."""
        self._place.read.append(b"".join(entry.path for entry in self._entries).decode())
        return self._entries


class MemoryScan:
    """A reading of a place in memory, three entries at a time; see ``protocol.Scan``."""

    def __init__(self, place: MemoryPlace, prefix: bytes) -> None:
        self.prefix = prefix
        self.unread: list[bytes] = []
        self._place = place

    def __iter__(self) -> Iterator[Batch]:
        """Yield what was met a moment before, then what is there; what happens meanwhile happens before the second batch of that."""
        place = self._place
        if place.twice:
            yield MemoryBatch(place, place.twice)
        names = sorted(
            path
            for path in place.files
            if path.startswith(self.prefix) and not path.startswith(tuple(place.unread))
        )
        for start in range(0, len(names), 3):
            present = [
                place.files[path] for path in names[start : start + 3] if path in place.files
            ]
            yield MemoryBatch(place, present)
            if place.meanwhile is not None:
                meanwhile, place.meanwhile = place.meanwhile, None
                meanwhile()
        self.unread += place.unread

    def verification_scan(self, missing: int) -> MemoryScan | None:
        """Return another reading, if the place wants more than so many missing entries to be looked for twice."""
        return MemoryScan(self._place, self.prefix) if missing > self._place.believed else None


class MemoryPlace(MemoryFiles):
    """A source that reads a dictionary; see ``protocol.Source``."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = "poll"
        self.unread: list[bytes] = []
        self.unsettled: set[bytes] = set()
        self.ready: deque[Observation] = deque()
        self.meanwhile: Callable[[], None] | None = None
        self.has_digests = False
        self.believed = 1000
        self.twice: list[Entry] = []
        self.read: list[str] = []

    def put(self, *paths: bytes, **values: int | str | bool) -> None:
        """Make files, or change values of those that are there."""
        for path in paths:
            entry = self.files.get(
                path, Entry(path, size=1, mtime_ns=1, ctime_ns=1, inode=len(self.files) + 1)
            )
            self.files[path] = Entry(**(entry._asdict() | values))

    def rename(self, old_path: bytes, path: bytes) -> None:
        """Rename a file, or all files below a directory."""
        for old in [
            old
            for old in self.files
            if old == old_path or (old.startswith(old_path) and old_path.endswith(b"/"))
        ]:
            new = path + old[len(old_path) :]
            self.files[new] = self.files.pop(old)._replace(path=new)

    def scan(self, prefix: bytes = b"", *, settled_only: bool = True) -> MemoryScan:
        """See ``protocol.Source``."""
        del settled_only
        return MemoryScan(self, prefix)

    def observe(self) -> Iterator[Observation]:
        """See ``protocol.Source``."""
        while self.ready:
            yield self.ready.popleft()


class Bench:
    """A reconciler over a place in memory and a real state file."""

    def __init__(self, path: Path) -> None:
        self.place = MemoryPlace()
        self.store = open_store(path)
        self.detector = ChangeDetector(frozenset(ChangeType), self.store.index.new_row)
        outbox = Outbox(
            Spec(DirectorySpec("/data")),
            self.store,
            time_ns=lambda: 0,
            clock=lambda: 0.0,
            committed=lambda: None,
        )
        self.interrupt_at: int | None = None
        self.reconciler = Reconciler(
            self.place,
            self.store.index,
            self.detector,
            outbox,
            self._checkpoint,
            FakeClock(),
        )
        self._told = 0

    def _checkpoint(self, count: int) -> None:
        if self.interrupt_at is not None and count >= self.interrupt_at:
            raise Interrupted

    def scan(self) -> str:
        """Scan and return what was told."""
        self.reconciler.scan(is_baseline=False)
        return self.told()

    def baseline(self, *paths: bytes) -> None:
        """Make files and record them silently."""
        self.place.put(*paths)
        self.detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self.reconciler.scan(is_baseline=True)
        self.detector.appearance = lambda _path: Appearance.NEW
        assert self.told() == ""

    def apply(self, *observations: Observation) -> str:
        """Apply observations and return what was told."""
        for observation in observations:
            self.reconciler.apply(observation)
        return self.told()

    def told(self) -> str:
        """Return the changes since the last call."""
        payloads = self.store.journal.read(self._told, limit=10_000, max_bytes=1 << 30)
        self._told = self.store.journal.next_seq - 1
        events = [json.loads(payload.data) for payload in payloads]
        return ", ".join(
            " ".join(filter(None, [event["type"], event["old_path"], event["path"]]))
            for event in events
        )
