"""A place in memory: the part of a source that all tests of the reconciler share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from watcher.errors import NotFoundError
from watcher.model import Entry
from watcher.sources.observations import Inspection
from watcher.sources.protocol import WithoutHints, WithoutObjects, WithoutVolumes
from watcher.status_values import PartStatus


class MemoryFiles(WithoutObjects, WithoutHints, WithoutVolumes):
    """Files by path; see ``protocol.Source``.

    Attributes:
        files: The files.
        rechecked: Paths that the reconciler wants inspected again.
        incomplete: Paths of files that are still being written.
        is_stable: Whether files keep their inodes.
        remounted: Prefixes at which volumes are mounted, each with whether that has just happened.
        contents: What stands for the digests of files; other files cannot be read.
        undigested: Entries whose contents are to be read.
        attributes_only: Paths of those whose attributes alone are known to have changed.
        waiting: What waits to be inspected or cannot be read, beside what is incomplete.
        known_until: Time of the last scan, on the monotonic clock; infinite while notified.
    """

    mode = "notify"
    degraded = ""
    scan_interval_s = 1.0
    has_cheap_inspection = True
    remark = ""
    part_status: Sequence[PartStatus] = ()
    cost = None
    requests = 0
    unanswered_s = 0.0

    def __init__(self) -> None:
        self.files: dict[bytes, Entry] = {}
        self.rechecked: set[bytes] = set()
        self.incomplete: set[bytes] = set()
        self.is_stable = True
        self.remounted: dict[bytes, bool] = {}
        self.contents: dict[bytes, str] = {}
        self.undigested: list[Entry] = []
        self.attributes_only: set[bytes] = set()
        self.waiting: set[bytes] = set()
        self.known_until = float("inf")

    def mount_point(self, path: bytes) -> bytes:
        """Return the directory of a path, where ``remounted`` has it."""
        directory = path[: path.find(b"/") + 1]
        return directory if directory in self.remounted else b""

    def is_remounted(self, path: bytes) -> bool:
        return self.remounted.get(self.mount_point(path), False)

    def has_stable_inodes(self, path: bytes) -> bool:
        del path
        return self.is_stable

    def has_stable_ctimes(self, path: bytes) -> bool:
        del path
        return True

    def open(self, wake: Callable[[], None]) -> None:
        del wake

    def close(self) -> None:
        pass

    def due_in_s(self) -> float | None:
        return None

    def known_until_s(self, prefix: bytes) -> float:
        del prefix
        return self.known_until

    def unsettled(self) -> Iterable[bytes]:
        return self.incomplete | self.waiting

    def notifies(self, path: bytes) -> bool:
        del path
        return self.mode == "notify"

    def recheck(
        self, paths: Iterable[bytes], expected_ctime_ns: Mapping[bytes, int] | None = None
    ) -> None:
        del expected_ctime_ns
        self.rechecked |= set(paths)

    def without_outdated(self, entries: Sequence[Entry]) -> list[Entry]:
        return list(entries)

    def complete(self, entries: Sequence[Entry], read_ns: int | None = None) -> list[Entry]:
        del read_ns
        return [entry for entry in entries if entry.path not in self.incomplete]

    def digest(
        self, entries: Sequence[Entry], attributes_only: Collection[bytes] = ()
    ) -> list[Entry]:
        """Keep those whose content can be read, until ``digested`` yields them."""
        without = [entry for entry in entries if entry.path not in self.contents]
        self.undigested += [entry for entry in entries if entry not in without]
        self.attributes_only |= set(attributes_only)
        return without

    def learn_digests(self, entries: Sequence[Entry]) -> None:
        self.digest(entries)

    @property
    def is_digesting_idle(self) -> bool:
        return not self.undigested

    def digested(self) -> Inspection:
        """Return what was asked for, with its content as its digest."""
        entries = [each._replace(etag=self.contents[each.path]) for each in self.undigested]
        self.undigested.clear()
        return Inspection(entries, attributes_only=self.attributes_only, has_digests=True)

    def inspect(self, paths: Sequence[bytes]) -> Inspection:
        there = [self.files[path] for path in paths if path in self.files]
        return Inspection(there, [path for path in paths if path not in self.files])

    def release(self, prefix: bytes) -> None:
        """Accept that the mount named ``gone`` is gone; there is no other."""
        if prefix != b"gone":
            raise NotFoundError("no mount is missing", place=prefix.decode())
        self.part_status = ()

    def confirm_deleted(
        self,
        paths: Sequence[bytes],
        missed_before: Collection[bytes] = (),  # noqa: ARG002 - each path can be inspected
    ) -> Sequence[bytes]:
        return self.inspect(paths).gone
