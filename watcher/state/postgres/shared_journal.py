"""What all servers that have a watch know and read of its journal: its owner and its followers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.state.ids import unused_after
from watcher.state.postgres.payloads import Payloads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.model import Payload
    from watcher.state.journal_port import Unconfirmed
    from watcher.state.postgres.payloads import Read


class SharedJournal:
    """The part of ``journal_port.Journal`` that is the same on every server.

    Args:
        read: Returns the rows of a query on the watch.
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        unused: Ranges of sequence numbers that no change has, in order.

    Attributes:
        next_seq: Sequence number of the next change.
        cursor: Last confirmed sequence number.
        acknowledged: Sequence numbers of the payloads beyond the cursor that are confirmed.
        size_bytes: Bytes of the payloads beyond the cursor.
        oldest_at: When the first payload beyond the cursor was committed, seconds since the epoch.
        unused: Ranges of sequence numbers that no change has, in order.
    """

    def __init__(self, read: Read, *, next_seq: int, cursor: int, unused: Sequence[range]) -> None:
        self._payloads = Payloads(read)
        self.next_seq = next_seq
        self.cursor = cursor
        self.unused = unused
        self.acknowledged: set[int] = set()
        self.size_bytes = 0
        self.oldest_at: float | None = None

    @property
    def depth(self) -> int:
        """Changes beyond the cursor, including those that wait for their batch to fill."""
        return self.next_seq - 1 - self.cursor - unused_after(self.unused, self.cursor)

    def read_unconfirmed(self, seqs: range, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the unconfirmed payloads of a range, in order; see ``Journal``."""
        seqs = range(max(seqs.start, self.cursor + 1), seqs.stop)
        return self._payloads.unconfirmed(seqs, limit=limit, max_bytes=max_bytes)

    def count_unconfirmed(self, after_seq: int, *, limit: int) -> Unconfirmed:
        """Return number and end of the first unconfirmed payloads; see ``Journal``."""
        return self._payloads.count_unconfirmed(max(after_seq, self.cursor), limit=limit)

    def pending(self) -> list[Payload]:
        """Return the rendered events that wait for their batch to fill, in order."""
        return self._payloads.pending()

    def _measure(self) -> None:
        """Read how much there is beyond the cursor.

        Raises:
            StateError: The database cannot be read.
        """
        cursor = self.cursor
        self.size_bytes, self.oldest_at = self._payloads.beyond(cursor, self.next_seq, cursor)
