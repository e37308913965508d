"""The hints of one tree: what is to be inspected or scanned, and when. Time is a parameter.

Every uncertainty ends in the scan of a subtree, or of the whole tree after an overflow. The queue
is bounded: too many hints are replaced by one scan of the whole tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.limits.fair_share import FairShare
from watcher.limits.turns import portion
from watcher.model import Rescan
from watcher.sources.directory.projected_volumes import DOTS
from watcher.sources.directory.renames import PendingRenames
from watcher.sources.directory.settle import Settle
from watcher.sources.directory.unread import Unread
from watcher.sources.observations import LinksChanged, Rename, Renames, Subtree
from watcher.sources.scans import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from watcher.model import Entry
    from watcher.sources.directory.renames import RenameKey
    from watcher.sources.directory.settle import Hint
    from watcher.spec import DirectorySpec

HINTS_MAX = 100_000
"""Maximum number of paths and subtrees that wait in one tree; above, the whole tree is scanned."""

ALL_HINTS_MAX = 250_000
"""The same for all trees of a process, about 100 MB; above, the trees with most are scanned."""

RENAME_GRACE_S = 0.05
"""Seconds for which the first half of a rename waits; the kernel queues the second right after."""

DOTS_GRACE_S = 0.5
"""Seconds after which a new directory whose name begins with ``..`` is scanned as an ordinary one,
unless the link ``..data`` has appeared beside it; Kubernetes needs milliseconds for that."""

_ALL_TREES = FairShare(ALL_HINTS_MAX)


@dataclass(frozen=True, slots=True)
class DuePaths:
    """Single paths that are to be inspected now, with what is known of each."""

    hints: dict[bytes, Hint]

    @property
    def attributes_only(self) -> set[bytes]:
        """Paths whose notifications named nothing but attributes."""
        return {path for path, hint in self.hints.items() if hint.attributes_only}

    @property
    def expected_ctime_ns(self) -> dict[bytes, int | None]:
        """Paths that no notification named, as ``Inspection.expected_ctime_ns``."""
        return {
            path: hint.expected_ctime_ns
            for path, hint in self.hints.items()
            if not hint.is_notified
        }


Request = DuePaths | Renames | Subtree | LinksChanged


class HintQueue:
    """Collects hints and yields them as requests once they are due. For one thread.

    Args:
        spec: How long a path settles, and how often the targets of links are checked and what could
            not be read is read again.
        all_trees: What the trees of the process have in common: the bound on their hints.
    """

    def __init__(self, spec: DirectorySpec, all_trees: FairShare = _ALL_TREES) -> None:
        self._settle_s = spec.settle_s
        self._link_interval_s = spec.poll_interval_s
        self._all_trees = all_trees
        self._paths = Settle(
            spec.settle_s, spec.quiet_s, spec.max_wait_s, follow_s=spec.poll_interval_s
        )
        self._renames = PendingRenames(RENAME_GRACE_S)
        self._subtrees: dict[bytes, float] = {}
        self._unread = Unread(spec.poll_interval_s)
        self._has_links = False
        self._links_due_s = 0.0
        self._links_checked_s = float("-inf")
        self._rescan_reason: Rescan | None = None
        self._overfull_until_s: float | None = None
        self._is_left_out = False

    # Single paths

    def add_written(self, path: bytes, now_s: float) -> None:
        """Add a path that was written to: inspected once it rested."""
        self._paths.add_written(path, now_s)

    def add_created(self, path: bytes, now_s: float) -> None:
        """Add a path at which something was created or linked: inspected once it rested."""
        self._paths.add_created(path, now_s)

    def add_removed(self, path: bytes, now_s: float) -> None:
        """Add a path that vanished: inspected once it had the time to come back."""
        self._paths.add_vanished(path, now_s)

    def add_closed(self, path: bytes, now_s: float) -> None:
        """Add a path that was closed by its writer or renamed into place: inspected when quiet."""
        self._paths.add_closed(path, now_s)

    def add_attributes(self, path: bytes, now_s: float) -> None:
        """Add a path whose attributes changed: inspected when quiet."""
        self._paths.add_attributes(path, now_s)

    def add_marker(self, path: bytes, now_s: float) -> None:
        """Add a marker that came, changed or left, which counts at once: inspected now."""
        self._paths.add_urgent(path, now_s)

    def add_first_look(self, path: bytes, now_s: float) -> None:
        """Add a path that may have changed; see ``Settle.add_first_look``."""
        self._paths.add_first_look(path, now_s)

    def recheck(
        self,
        paths: Iterable[bytes],
        now_s: float,
        expected_ctime_ns: Mapping[bytes, int] | None = None,
    ) -> None:
        """Add paths that are to be inspected again once they rested; see ``Source.recheck``."""
        expected = expected_ctime_ns or {}
        for path in paths:
            self._paths.add_recheck(path, now_s, expected.get(path))

    def waiting_among(self, paths: Iterable[bytes]) -> set[bytes]:
        """Return those of the paths that wait because their content may be changing."""
        return self._paths.waiting_among(paths)

    def look_again(self, entries: Sequence[tuple[Entry, float]], now_s: float) -> None:
        """Have entries that differ from the index inspected again, as far as there is room.

        For the others the whole tree is scanned once half of the room is free.

        Args:
            entries: The entries, each with the seconds for which it has to rest.
            now_s: The time.
        """
        count = len(self._paths) + len(self._subtrees)
        room = max(0, HINTS_MAX - count)
        if not self._all_trees.admit(self, count + min(len(entries), room)):
            self._all_trees.admit(self, count)
            room = 0
        self._is_left_out |= len(entries) > room
        for entry, rest_s in entries[:room]:
            self._paths.add_look(entry, now_s, rest_s)

    def is_complete(
        self, hint: Hint, entry: Entry, now_s: float, rest_s: float, *, needs_looks: bool
    ) -> bool:
        """Return whether the entry at a due path is to be reported; see ``Settle.is_complete``."""
        return self._paths.is_complete(hint, entry, now_s, rest_s, needs_looks=needs_looks)

    @property
    def rest_s(self) -> float:
        """Seconds for which a path rests that nobody closed."""
        return self._paths.rest_s

    # Renames

    def add_rename_from(self, key: RenameKey, path: bytes, now_s: float) -> None:
        """Add the first half of a rename; a directory's path ends in ``/``."""
        self._renames.leave(key, path, now_s)

    def pair_rename(self, key: RenameKey) -> bytes | None:
        """Return the former path of what a second half names; None if it is from outside."""
        return self._renames.arrive(key)

    def add_rename(self, old_path: bytes, path: bytes, now_s: float) -> None:
        """Add a whole rename; the new path of a file waits on if its writer has it open."""
        self._renames.add(Rename(old_path, path))
        if not path.endswith(b"/"):
            # The old name is inspected in any case: two files may have exchanged their names.
            self._paths.add_renamed(old_path, path, now_s)

    def expire_renames(self, now_s: float) -> list[bytes]:
        """Remove and return the paths of what was renamed to a place outside the tree."""
        return self._renames.expire(now_s)

    # Subtrees, links and what cannot be read

    def add_subtree(self, prefix: bytes, now_s: float) -> None:
        """Add a directory that is to be scanned with all below it, at once if its name is ordinary.

        Kubernetes makes a directory of its own, ``..TIME``, and then the link by which it is known.
        """
        is_dotted = prefix[:-1].rpartition(b"/")[2].startswith(DOTS)
        self._subtrees[prefix] = now_s + (DOTS_GRACE_S if is_dotted else 0.0)

    def add_vanished(self, prefix: bytes, now_s: float) -> None:
        """Add a directory that left: its subtree is scanned once it had the time to come back."""
        self._subtrees.setdefault(prefix, now_s + self._paths.rest_s)

    def note_links(self, entries: Iterable[Entry]) -> None:
        """Check the targets of links from now on if there are any: changes there notify nobody."""
        self._has_links = self._has_links or any(entry.is_link for entry in entries)

    def check_links(self, now_s: float) -> None:
        """Check the targets of links at once."""
        self._links_due_s = now_s

    @property
    def unread(self) -> Unread:
        """What could not be read: each is read again after ``poll_interval``."""
        return self._unread

    def set_unread(self, prefix: bytes, unread: Collection[bytes], now_s: float) -> None:
        """Replace what could not be read at or below a prefix, after a scan of it."""
        self._unread.replace(prefix, unread, now_s)

    def add_unread(self, path: bytes, now_s: float) -> None:
        """Add a single path that could not be inspected."""
        self._unread.add(path, now_s)

    @property
    def links_checked_s(self) -> float:
        """When the targets of links were last checked; infinity where there are none."""
        return self._links_checked_s if self._has_links else float("inf")

    def unsettled(self) -> Iterator[bytes]:
        """Yield the paths and prefixes that wait or could not be read; empty for the whole tree."""
        if (
            self._rescan_reason is not None
            or self._overfull_until_s is not None
            or self._is_left_out
            or self._unread.is_overfull
        ):
            yield b""
        yield from self._paths.unsettled()
        yield from self._renames.unsettled()
        yield from self._subtrees
        yield from self._unread.paths

    # The whole tree

    def rescan(self, reason: Rescan) -> None:
        """Replace all hints by a scan of the whole tree, which finds by itself what they name."""
        self._clear()
        self._rescan_reason = reason

    def enforce_limits(self, now_s: float) -> None:
        """Replace too many hints by a scan of the whole tree, due when they would have been."""
        count = len(self._paths) + len(self._subtrees)
        if count > HINTS_MAX or not self._all_trees.admit(self, count):
            self._clear_counted()
            # Never put off, or a tree that is always overfull would not be scanned at all.
            if self._overfull_until_s is None:
                self._overfull_until_s = now_s + self._settle_s

    def clear(self) -> None:
        """Forget everything, except that there are links."""
        self._clear()
        self._rescan_reason = self._overfull_until_s = None
        self._unread.clear()

    def _clear(self) -> None:
        self._clear_counted()
        self._renames.clear()

    def _clear_counted(self) -> None:
        self._paths.clear()
        self._subtrees.clear()
        self._is_left_out = False
        self._all_trees.admit(self, 0)

    # Output

    def due_s(self) -> float:
        """Return when the next request is due; infinity if nothing waits."""
        times = [
            *self._subtrees.values(),
            self._paths.due_s(),
            self._renames.due_s(),
            self._overfull_until_s,
            self._unread.due_s(),
            self._links_due_s if self._has_links else None,
        ]
        return min((time_s for time_s in times if time_s is not None), default=float("inf"))

    def take(self, now_s: float) -> Iterator[Request]:
        """Remove and yield what is due, in order; hints may be added meanwhile."""
        self.enforce_limits(now_s)
        if self._overfull_until_s is not None and now_s >= self._overfull_until_s:
            self._overfull_until_s = None
            self.rescan(Rescan.MANY_HINTS)
        if self._rescan_reason is not None:
            reason, self._rescan_reason = self._rescan_reason, None
            # Notified since: the scan alone would report them as deleted and created.
            yield from self._renames.take()
            yield Subtree(b"", reason)
            return
        yield from self._renames.take()
        self._retry_unread(now_s)
        yield from self._take_subtrees(now_s)
        if self._has_links and self._links_due_s <= now_s:
            self._links_checked_s = now_s
            self._links_due_s = now_s + self._link_interval_s
            yield LinksChanged()
        while due := self._paths.take(now_s, portion(BATCH_ENTRIES)):
            yield DuePaths(due)
        if self._is_left_out and len(self._paths) <= HINTS_MAX // 2:
            self._is_left_out = False
            yield Subtree(b"", Rescan.MANY_HINTS)

    def _retry_unread(self, now_s: float) -> None:
        for path in self._unread.take(now_s):
            if path.endswith(b"/"):
                self._subtrees.setdefault(path, now_s)
            else:
                self._paths.add_recheck(path, now_s)

    def _take_subtrees(self, now_s: float) -> Iterator[Subtree]:
        scanned: bytes | None = None
        for prefix in sorted(prefix for prefix, due_s in self._subtrees.items() if due_s <= now_s):
            # The scan of an earlier one reads events, which may have dropped all that wait.
            if self._subtrees.pop(prefix, None) is None:
                continue
            # Sorted, a directory comes right after the one above it, whose scan reads it too.
            if scanned is None or not prefix.startswith(scanned):
                scanned = prefix
                yield Subtree(prefix)
