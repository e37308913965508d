"""Learns the digests of entries that were recorded without: has their contents read, bit by bit.

Each opening of the place is followed by one pass through the index. What could not be read is tried
again by the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.model import Row
    from watcher.sources.protocol import Source
    from watcher.state.port import Index


class DigestLearning:
    """The pass through the index of one watch. For one thread.

    Args:
        source: Reads the contents, and observes the entries with their digests.
        index: The entries last reported.

    Attributes:
        learnt: Entries with unknown contents in the last pass.
    """

    def __init__(self, source: Source, index: Index) -> None:
        self.learnt = 0
        self._source = source
        self._index = index
        self._pages: Iterator[list[Row]] | None = None

    @property
    def is_active(self) -> bool:
        """Whether a pass goes on."""
        return self._pages is not None

    def begin(self) -> None:
        """Begin a pass, in place of one that goes on."""
        self._pages, self.learnt = self._index.rows_under(b""), 0

    def advance(self) -> bool:
        """Have the next contents read whose digests are not known, when no others are read.

        Returns:
            Whether the pass goes on at once.

        Raises:
            StateError: The index cannot be read.
        """
        if self._pages is None or not self._source.is_digesting_idle:
            return False
        page = next(self._pages, None)
        if page is None:
            self._pages = None
            return False
        undigested = [row.entry for row in page if not row.entry.etag and not row.gate]
        self.learnt += len(undigested)
        self._source.learn_digests(undigested)
        return self._source.is_digesting_idle
