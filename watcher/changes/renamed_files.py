"""Applies the renames of files that the kernel has paired to the index.

A rename proves that a file has moved only if it fits the row of the old path. A name decides anew
whether a file may be reported: what was not reported has not moved, and neither has what may not be
reported where it arrives. Whatever is uncertain is inspected again at both paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes.detector import with_digest_of
from watcher.model import Gate
from watcher.sources.observations import Inspection, Rename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from watcher.changes.detector import ChangeDetector
    from watcher.changes.gates import Gates
    from watcher.model import ChangeSet, Entry, Row
    from watcher.sources.protocol import Source
    from watcher.state.port import Index


class RenamedFiles:
    """The renames in one place. For one thread.

    Args:
        source: Inspects the paths.
        index: The entries last reported.
        detector: Decides what a rename is to be reported as.
        gates: Decides which entries are held back.
        commit: Commits a difference.
        compare: Compares an inspection with the index, and commits the difference.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that a rename concerns
        self,
        source: Source,
        index: Index,
        detector: ChangeDetector,
        gates: Gates,
        commit: Callable[[ChangeSet], None],
        compare: Callable[[Inspection], None],
    ) -> None:
        self._source = source
        self._index = index
        self._detector = detector
        self._gates = gates
        self._commit = commit
        self._compare = compare

    def follow(self, renames: Sequence[Rename]) -> None:
        """Commit renames of files; those that do not fit the index are inspected later.

        Raises:
            UnavailableError: The place cannot be read now.
            StateError: The state cannot be written.
        """
        if self._gates.is_active:
            # As the keys of a dictionary they are in order, and soon found.
            of_markers = dict.fromkeys(filter(self._gates.is_marker_moved, renames))
            if of_markers:
                self._follow_markers(list(of_markers))
                renames = [each for each in renames if each not in of_markers]
            if not renames:
                return
        old_paths, paths = [each.old_path for each in renames], [each.path for each in renames]
        rows = self._index.rows(old_paths + paths)
        found = {entry.path: entry for entry in self._source.inspect(paths).entries}
        pairs: list[tuple[Row, Entry]] = []
        uncertain: list[bytes] = []
        held_back = self._gates.would_hold_back(found.values()) if self._gates.is_active else ()
        for old_path, path in zip(old_paths, paths, strict=True):
            row, entry = rows.get(old_path), found.get(path)
            # What was not reported has not moved, and what may not be reported has not arrived.
            is_gated = path in held_back or (row is not None and row.gate)
            if row is None or entry is None or is_gated or not self._is_same_file(row.entry, entry):
                uncertain += [old_path, path]
            else:
                pairs.append((row, self._renamed(row, entry)))
        self._commit(self._detector.move(pairs, rows))
        self._source.recheck(path for path in uncertain if path in rows or path in found)

    def follow_directory(self, rename: Rename) -> None:
        """Commit the renames of all files below a directory; scans of both prefixes must follow.

        Raises:
            UnavailableError: The place cannot be read now.
            StateError: The state cannot be written.
        """
        if self._gates.is_active:
            # Markers first of all, since the entries are to find them there.
            for rows in self._index.gated_under(rename.old_path):
                paths = [row.entry.path for row in rows if row.gate == Gate.MARKER]
                self._follow_markers(_below(rename, paths))
        for page in self._index.paths_under(rename.old_path):
            self.follow(_below(rename, (path for _, path in page)))

    def _follow_markers(self, renames: Sequence[Rename]) -> None:
        """Rename markers: what was there is gone, and what arrives is met anew."""
        found = self._source.inspect(
            [path for each in renames for path in (each.old_path, each.path)]
        )
        markers = [entry for entry in found.entries if self._gates.is_marker(entry.path)]
        others = [entry.path for entry in found.entries if not self._gates.is_marker(entry.path)]
        self._compare(Inspection(markers, found.gone))
        self._source.recheck(others)

    def _is_same_file(self, old: Entry, entry: Entry) -> bool:
        """Return whether a file can be the one that the kernel has renamed."""
        if self._source.has_stable_inodes(entry.path):
            # Inodes are reused: one proves a rename only together with the kernel's pair.
            return old.inode == entry.inode
        # The rename has changed the ctime.
        return (old.size, old.mtime_ns) == (entry.size, entry.mtime_ns)

    def _renamed(self, row: Row, entry: Entry) -> Entry:
        """Return a renamed entry: as it was reported while it is written to, else as it is.

        What was written to it is also compared later where its content must be read for that.
        """
        is_content = self._detector.rule.is_content
        if (row.entry.size, row.entry.mtime_ns) == (entry.size, entry.mtime_ns):
            return with_digest_of(row, entry) if is_content else entry
        if is_content:
            self._source.recheck([entry.path])
        elif self._source.complete([entry]):
            return entry
        return row.entry._replace(path=entry.path)


def _below(rename: Rename, paths: Iterable[bytes]) -> list[Rename]:
    """Return the renames of files below a directory that was renamed."""
    start = len(rename.old_path)
    return [Rename(path, rename.path + path[start:]) for path in paths]
