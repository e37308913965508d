"""How much may be unacknowledged: streams are written the oldest such payloads of a journal alone.

This bounds what is outstanding over all streams, since they have the journal in common, and after a
restart or a replay, since the journal knows what is acknowledged. A redelivery adds nothing: what
was written stays among the oldest until it is acknowledged.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.state.journal_port import Journal


class UnacknowledgedLimit:
    """The oldest unacknowledged payloads of one journal, up to a number. Safe between threads.

    It knows the last one and how many there are, and asks the journal only for those that follow,
    so an acknowledgement costs the same however long the journal is. All that may confirm or revoke
    goes through it.

    Args:
        journal: The payloads.
        max_payloads: Maximum number of payloads that are written and not acknowledged.

    Attributes:
        last_seq: The last payload that may be written; read from any thread without waiting.

    Raises:
        StateError: The journal cannot be read.
    """

    def __init__(self, journal: Journal, max_payloads: int) -> None:
        self.last_seq = journal.cursor
        self._journal = journal
        self._max_payloads = max_payloads
        self._payloads = 0
        self._lock = threading.Lock()
        self.extend()

    @property
    def is_reached(self) -> bool:
        """Whether as many payloads as are allowed wait to be acknowledged, written or not."""
        return self._payloads >= self._max_payloads

    def extend(self) -> None:
        """Take in what was appended to the journal.

        Raises:
            StateError: The journal cannot be read.
        """
        with self._lock:
            self._fill()

    def refresh(self) -> None:
        """Count anew, since others may have confirmed or revoked.

        Raises:
            StateError: The journal cannot be read.
        """
        with self._lock:
            self._recount(self._journal.cursor)

    def acknowledge(self, seqs: Iterable[int], *, keep_s: float) -> bool:
        """Confirm payloads as ``Journal.acknowledge`` does; return whether more may be written.

        Raises:
            StateError: The state cannot be written.
        """
        with self._lock:
            former_seq = self.last_seq
            confirmed = self._journal.acknowledge(seqs, keep_s=keep_s)
            # Those beyond were acknowledged before they were written, and are not counted.
            self._payloads -= sum(seq <= former_seq for seq in confirmed)
            self._fill()
            return self.last_seq > former_seq

    def rewind(self, *, seq: int | None, time_s: float | None) -> int:
        """Revoke confirmations as ``Journal.rewind`` does, and return the new cursor.

        Raises:
            StateError: The state cannot be written.
        """
        with self._lock:
            cursor = self._journal.rewind(seq=seq, time_s=time_s)
            self._recount(cursor)
            return cursor

    def _recount(self, cursor: int) -> None:
        # As one, since a stream reads it without the lock.
        payloads, last_seq = self._journal.count_unconfirmed(cursor, limit=self._max_payloads)
        self.last_seq, self._payloads = last_seq or cursor, payloads

    def _fill(self) -> None:
        if (room := self._max_payloads - self._payloads) > 0:
            payloads, last_seq = self._journal.count_unconfirmed(self.last_seq, limit=room)
            if payloads:
                self.last_seq = last_seq
                self._payloads += payloads
