"""A place in memory, with the part of the source protocol that every test of the reconciler needs the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.protocol import Inspection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from watcher.model import Entry


class MemoryFiles:
    """Files by path; looks see them as they are, hints are only kept.

    Attributes:
        files: What is there.
        rechecked: Paths that the reconciler wants inspected again.
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

    def open(self, wake: Callable[[], None]) -> None:
        """See ``protocol.Source``."""

    def close(self) -> None:
        """See ``protocol.Source``."""

    def due_in_s(self) -> float | None:
        """See ``protocol.Source``."""
        return None

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        """See ``protocol.Source``."""
        del expected_ctime_ns
        self.rechecked |= set(paths)

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        """See ``protocol.Source``."""
        there = [self.files[path] for path in paths if path in self.files]
        return Inspection(there, [path for path in paths if path not in self.files])

    def confirm_deleted(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """See ``protocol.Source``."""
        return self.inspect(paths).gone
