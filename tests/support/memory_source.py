"""A place in memory: the part of a source that all tests of the reconciler share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from watcher.model import Entry
from watcher.sources.protocol import Inspection


class MemoryFiles:
    """Files by path; see ``protocol.Source``.

    Attributes:
        files: The files.
        rechecked: Paths that the reconciler wants inspected again.
        incomplete: Paths of files that are still being written.
        is_stable: Whether files keep their inodes.
    """

    mode = "notify"
    degraded = ""
    scan_interval_s = 1.0
    volume_id = ""
    cost = None
    requests = 0

    def __init__(self) -> None:
        self.files: dict[bytes, Entry] = {}
        self.rechecked: set[bytes] = set()
        self.incomplete: set[bytes] = set()
        self.is_stable = True

    def has_stable_inodes(self, path: bytes) -> bool:
        del path
        return self.is_stable

    def open(self, wake: Callable[[], None]) -> None:
        del wake

    def close(self) -> None:
        pass

    def due_in_s(self) -> float | None:
        return None

    def notifies(self, path: bytes) -> bool:
        del path
        return self.mode == "notify"

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        del expected_ctime_ns
        self.rechecked |= set(paths)

    def complete(self, entries: Sequence[Entry]) -> list[Entry]:
        return [entry for entry in entries if entry.path not in self.incomplete]

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        there = [self.files[path] for path in paths if path in self.files]
        return Inspection(there, [path for path in paths if path not in self.files])

    def confirm_deleted(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        return self.inspect(paths).gone
