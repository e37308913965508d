"""Decides whether a file is complete, by what is seen of it and of its writers.

Notifications report when a writer has closed a file. Where nothing notifies, two looks at it must
agree, far enough apart that the second one does not come from a cache (``attribute_cache``). Of the
clocks, only the one that the kernel here stamps files with is compared with file times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.clock import NS_PER_S
from watcher.sources.directory.attribute_cache import CACHE_S, asks_server, rest_s
from watcher.sources.directory.settle import EMPTY_REST_S, OPEN_STAGES, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.clock import Clock
    from watcher.model import Entry
    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.mount_follower import MountFollower
    from watcher.sources.directory.settle import Hint
    from watcher.sources.directory.tree import Tree


class Completeness:
    """The rules of one tree for complete files. For one thread.

    Args:
        tree: Asked for the writers of empty files.
        hints: Keeps the paths that wait.
        mounts: Which mount holds a path, and whether writes there are notified.
        clock: The time.

    Attributes:
        batch_begun_ns: Wall time when the reading of the present batch of a scan began: quiet by
            then means quiet when read.
    """

    def __init__(self, tree: Tree, hints: HintQueue, mounts: MountFollower, clock: Clock) -> None:
        self.batch_begun_ns = 0
        self._tree = tree
        self._hints = hints
        self._mounts = mounts
        self._clock = clock

    def sort_out(self, entries: Iterable[Entry], now_s: float) -> list[Entry]:
        """Return the entries of a batch that are complete; the paths of the others wait.

        Args:
            entries: Entries that differ from the index.
            now_s: The time.
        """
        entries = list(entries)
        now_ns = self._clock.wall_ns()
        waiting = self._hints.waiting_among(entry.path for entry in entries)
        complete: list[Entry] = []
        deferred: list[tuple[Entry, float]] = []
        for entry in entries:
            if entry.path not in waiting:
                entry_rest_s = self._rest_s(entry)
                if self._is_rested(entry, entry_rest_s, now_ns):
                    complete.append(entry)
                else:
                    deferred.append((entry, entry_rest_s))
        if deferred:
            self._hints.look_again(deferred, now_s)
        return complete

    def is_complete(self, hint: Hint, entry: Entry, now_s: float) -> bool:
        """Return whether the entry at a due path is to be reported; else the path waits on."""
        if _is_projected(entry):
            return True
        needs_looks = not self._mounts.notifies(entry.path)
        if entry.size == 0 and not needs_looks:
            # A link shows nothing about the writer of its target, which has to be looked at.
            needs_looks = entry.is_link and hint.stage in OPEN_STAGES
            self._ask_for_writer(hint, entry)
        return self._hints.is_complete(
            hint, entry, now_s, self._rest_s(entry), needs_looks=needs_looks
        )

    def asks_server(self, path: bytes) -> bool:
        """Return whether a look at a path must, and can, get past the caches of the kernel."""
        return not self._mounts.notifies(path) and asks_server(self._mounts.mount_at(path))

    def _is_rested(self, entry: Entry, entry_rest_s: float, now_ns: int) -> bool:
        """Return whether the one look of a scan shows that a file is complete."""
        if _is_projected(entry):
            return True
        if not self._mounts.notifies(entry.path):
            return entry_rest_s == 0 and not asks_server(self._mounts.mount_at(entry.path))
        # The target of a link may be anywhere; of a file here, the kernel's clock is ours.
        if entry.is_link:
            return False
        if entry.size and not self._is_fresh(entry, entry_rest_s, now_ns):
            return True
        is_written = self._tree.is_being_written(entry)
        if is_written is None:
            return not self._is_fresh(entry, entry_rest_s, now_ns)
        return not is_written and not self._is_fresh(entry, self._tree.spec.quiet_s, now_ns)

    def _is_fresh(self, entry: Entry, age_s: float, now_ns: int) -> bool:
        """Return whether a file changed in the seconds before the batch was read.

        A time in the future proves nothing.
        """
        oldest_ns = self.batch_begun_ns - int(age_s * NS_PER_S)
        return oldest_ns < entry.ctime_ns <= now_ns or oldest_ns < entry.mtime_ns <= now_ns

    def _rest_s(self, entry: Entry) -> float:
        """Return the seconds between two looks at a file that must agree."""
        if not self._mounts.notifies(entry.path):
            unknown_s = CACHE_S if self._tree.files.knows_mounts else 0.0
            mount = self._mounts.mount_at(entry.path)
            return rest_s(mount, self._tree.spec, entry.size, unknown_s)
        return self._hints.rest_s if entry.size else max(self._hints.rest_s, EMPTY_REST_S)

    def _ask_for_writer(self, hint: Hint, entry: Entry) -> None:
        """Record whether somebody has an empty file open, where notifications do not show it."""
        if entry.is_link or hint.stage not in {*OPEN_STAGES, Stage.FOUND}:
            return
        is_written = self._tree.is_being_written(entry)
        if hint.stage is Stage.FOUND and is_written:
            hint.stage, hint.look = Stage.WRITTEN, None
        elif hint.stage is not Stage.FOUND and is_written is False:
            hint.stage = Stage.CLOSED


def _is_projected(entry: Entry) -> bool:
    """Return whether it is a key of a ConfigMap or Secret, which is replaced as a whole."""
    return entry.is_link and bool(entry.etag)
