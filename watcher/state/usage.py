"""What a running watch occupies, read from its store at every access; quotas count it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.status_values import HeldBack

if TYPE_CHECKING:
    from watcher.state.port import WatchStore


class LiveUsage:
    """The usage of an open store; never waits for the disk.

    Args:
        store: The state of the watch.
    """

    __slots__ = ("_index", "_journal")

    def __init__(self, store: WatchStore) -> None:
        self._index = store.index
        self._journal = store.journal

    @property
    def entries(self) -> int:
        """Rows in the index."""
        return self._index.entries

    @property
    def journal_bytes(self) -> int:
        """Bytes of the unconfirmed payloads."""
        return self._journal.size_bytes

    @property
    def depth(self) -> int:
        """Unconfirmed changes."""
        return self._journal.depth

    @property
    def oldest_at(self) -> float | None:
        """When the first unconfirmed payload was committed, seconds since the epoch."""
        return self._journal.oldest_at

    @property
    def held_back(self) -> HeldBack:
        """Entries in the index that conditions hold back."""
        return HeldBack.of(self._index.gates)
