"""A reconciler on a place in memory, and the changes that it reports."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.clock import FakeClock
from support.memory_source import MemoryFiles
from support.state import open_store, without_sync
from watcher.changes.detector import Appearance, ChangeDetector, Rule
from watcher.changes.reconciler import Interrupted, Reconciler
from watcher.delivery.outbox import Outbox
from watcher.model import ChangeType, Entry
from watcher.sources.observations import Observation
from watcher.sources.scans import Batch, unread_test
from watcher.spec import Compare, Conditions, DirectorySpec, Spec


def many(count: int, prefix: bytes = b"") -> list[bytes]:
    """Return different paths, in order."""
    return [prefix + b"%04d" % number for number in range(count)]


class MemoryBatch:
    """Some entries, which record that they were read; see ``scans.Batch``."""

    def __init__(self, place: MemoryPlace, entries: list[Entry]) -> None:
        self.digest = repr(entries).encode() if place.has_digests else b""
        self._place = place
        self._entries = entries

    @property
    def entries(self) -> list[Entry]:
        self._place.read.append(b"".join(entry.path for entry in self._entries).decode())
        return self._entries


class MemoryScan:
    """A reading of a place in memory in batches of three; see ``scans.Scan``."""

    window: None = None

    def __init__(self, place: MemoryPlace, prefix: bytes) -> None:
        self.prefix = prefix
        self.unread: list[bytes] = []
        self._place = place

    def __iter__(self) -> Iterator[Batch]:
        """Yield ``twice``, then the files; call ``meanwhile`` after the first batch of them."""
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

    def unread_test(self) -> Callable[[bytes], bool]:
        return unread_test(self.unread)

    def verification_scan(self, missing: int) -> MemoryScan | None:
        return MemoryScan(self._place, self.prefix) if missing > self._place.believed else None


class MemoryPlace(MemoryFiles):
    """A source that reads a dictionary; see ``protocol.Source``.

    Attributes:
        unread: Prefixes that cannot be read.
        ready: The next observations.
        meanwhile: Called once, during a scan.
        has_digests: Whether batches have digests.
        believed: Number of missing entries above which a scan must be verified.
        twice: Entries that a scan yields before the others.
        read: The batches that were read, each as its paths in a row.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mode = "poll"
        self.unread: list[bytes] = []
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
        """Rename a file, or all files below a prefix."""
        for old in [
            old
            for old in self.files
            if old == old_path or (old.startswith(old_path) and old_path.endswith(b"/"))
        ]:
            new = path + old[len(old_path) :]
            self.files[new] = self.files.pop(old)._replace(path=new)

    def scan(self, prefix: bytes = b"") -> MemoryScan:
        return MemoryScan(self, prefix)

    def observe(self) -> Iterator[Observation]:
        while self.ready:
            yield self.ready.popleft()


class Bench:
    """A reconciler over a place in memory and a real state file."""

    def __init__(self, path: Path) -> None:
        self.place = MemoryPlace()
        self.interrupt_at: int | None = None
        self._path = path
        self._reported_seq = 0
        self._open(Conditions())

    def restart(self, conditions: Conditions, *, oldest_ns: int | None = None) -> None:
        """Begin anew on the same state, with conditions; entries before ``oldest_ns`` are old."""
        self.store.close()
        self._open(conditions, oldest_ns)

    def _open(self, conditions: Conditions, oldest_ns: int | None = None) -> None:
        self.store = open_store(self._path)
        without_sync(self.store)
        self.detector = ChangeDetector(
            frozenset(ChangeType),
            self.store.index.new_rows,
            is_too_old=None if oldest_ns is None else lambda entry: entry.mtime_ns < oldest_ns,
        )
        self.compare(Compare())
        outbox = Outbox(
            Spec(DirectorySpec("/data")),
            self.store,
            clock=FakeClock(),
            publish=lambda *_: None,
        )
        self.reconciler = Reconciler(
            self.place,
            self.store.index,
            self.detector,
            outbox,
            self._checkpoint,
            FakeClock(),
            conditions=conditions,
        )

    def _checkpoint(self, count: int) -> None:
        if self.interrupt_at is not None and count >= self.interrupt_at:
            raise Interrupted

    def compare(self, compare: Compare) -> None:
        """Compare these attributes from now on."""
        self.detector.rule = Rule(compare, self.place.has_stable_inodes)

    def scan(self) -> str:
        """Scan and return the changes."""
        self.reconciler.scan(is_baseline=False)
        return self.changes()

    def baseline(self, *paths: bytes) -> None:
        """Make files and record them silently."""
        self.place.put(*paths)
        self.detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self.reconciler.scan(is_baseline=True)
        self.detector.appearance = lambda _path: Appearance.NEW
        assert self.changes() == ""

    def apply(self, *observations: Observation) -> str:
        """Apply observations and return the changes."""
        for observation in observations:
            self.reconciler.apply(observation)
        return self.changes()

    def changes(self) -> str:
        """Return the changes since the last call."""
        return ", ".join(
            " ".join(filter(None, [event["type"], event["old_path"], event["path"]]))
            for event in self.events()
        )

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        payloads = self.store.journal.read(self._reported_seq, limit=10_000, max_bytes=1 << 30)
        self._reported_seq = self.store.journal.next_seq - 1
        return [json.loads(payload.data) for payload in payloads]
