"""Batches of files as a walk finds them: most are as the last scan met them, and are not read on.

The digest of a batch says whether it is: it covers all that entries are made of, and costs a tenth
of making them and comparing them with their rows. A batch must therefore be the same again when a
file before it comes or goes. So where it ends depends on the path at that place and not on their
number (content-defined chunking), as in a bucket.
"""

from __future__ import annotations

import marshal
import os
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

from watcher.sources.directory.entries import make_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from watcher.model import Entry
    from watcher.sources.directory.entries import Status

BATCH_MIN_FILES = 512
"""Minimum number of files in a batch, but for the last one."""
BATCH_MAX_FILES = 2048
"""Maximum number of files in a batch."""
_END_MASK = 511
"""One path in 512 may end a batch, which then has 1,000 files on average."""

_WITHOUT_REFERENCES = 2
"""Version of marshal's format in which equal values are equal bytes."""


class FileBatch:
    """A ``Batch`` of files, whose entries are made when they are needed.

    Args:
        paths: Paths of files.
        status: ``status_of`` each.
        linked: Entries beside them, of links and keys of projected volumes.
        admits: Returns whether a path counts; None where all do.
    """

    def __init__(
        self,
        paths: Sequence[str],
        status: Sequence[Status],
        linked: Sequence[Entry],
        admits: Callable[[bytes], bool] | None,
    ) -> None:
        self.linked = linked
        self._paths = os.fsencode("\0".join(paths))
        self._status = status
        self._admits = admits
        self._doubtful: Collection[bytes] = ()

    @cached_property
    def digest(self) -> bytes:
        """Digest of all that its entries are made of; empty if they were reduced by ``drop``."""
        if self._doubtful:
            return b""
        status = marshal.dumps([*self._status], _WITHOUT_REFERENCES)
        linked = marshal.dumps([*map(tuple, self.linked)], _WITHOUT_REFERENCES)
        digest = blake2b(self._paths, digest_size=16)
        digest.update(b"\0".join((b"", status, linked)))
        return digest.digest()

    @cached_property
    def entries(self) -> list[Entry]:
        """The entries of the files that count, in the order of the index's pages."""
        entries = [*make_entries(self._split_paths(), self._status), *self.linked]
        if (admits := self._admits) is not None:
            entries = [entry for entry in entries if admits(entry.path)]
        if doubtful := self._doubtful:
            entries = [entry for entry in entries if entry.path not in doubtful]
        entries.sort()
        return entries

    def found(self) -> Iterator[tuple[bytes, bool]]:
        """Yield the paths, each with whether it may be a link; reads nothing before it is used."""
        yield from ((path, False) for path in self._split_paths())
        yield from ((entry.path, entry.is_link) for entry in self.linked)

    def _split_paths(self) -> list[bytes]:
        return self._paths.split(b"\0") if self._status else []

    def drop(self, paths: Collection[bytes]) -> None:
        """Leave out paths of which the reading proves nothing; comes before all else."""
        self._doubtful = paths


class FileBatchBuilder:
    """Gathers the files that a walk finds.

    Args:
        admits: See ``FileBatch``.
    """

    def __init__(self, admits: Callable[[bytes], bool] | None) -> None:
        self._admits = admits
        self._paths: list[str] = []
        self._status: list[Status] = []
        self._linked: list[Entry] = []

    def add(self, path: str, status: Status) -> bool:
        """Add a file, and return whether the batch is complete with it."""
        paths = self._paths
        paths.append(path)
        self._status.append(status)
        count = len(paths)
        return count >= BATCH_MIN_FILES and (not hash(path) & _END_MASK or count >= BATCH_MAX_FILES)

    def add_linked(self, entry: Entry) -> bool:
        """Add an entry beside the files, and return whether the batch is complete with it."""
        self._linked.append(entry)
        return len(self._linked) >= BATCH_MIN_FILES

    def take(self) -> FileBatch:
        """Return the files that were added since the last call as a batch; it may be empty."""
        batch = FileBatch(self._paths, self._status, self._linked, self._admits)
        self._paths, self._status, self._linked = [], [], []
        return batch
