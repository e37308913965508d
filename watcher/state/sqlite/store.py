"""The store: index, journal and cursor of one watch in one state file.

What a watch found and what it will say about it become durable together: ``commit`` is one transaction, so after a crash either both
are there or neither, and the difference is found again. The store knows rows and bytes; what is a change is not its business.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.model import Delta, Payload, fitting
from watcher.state.index import Index
from watcher.state.sqlite.database import Database, looking_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_OLDEST = "SELECT committed_at FROM journal WHERE seq > ? ORDER BY seq LIMIT 1"
_BYTES_BETWEEN = "SELECT coalesce(sum(length(payload)), 0) FROM journal WHERE seq > ? AND seq <= ?"


class WatchStore:
    """The state file of one watch.

    Every method may raise ``StateError`` when the file cannot be read or written; then the store is of no further use.

    Attributes:
        path: The file.
        uid: Random, made with the file; the first part of every event id.
        is_new: Whether this opening has made the file.
        index: What the place held when it was last looked at; ``commit`` writes it.
        next_seq: Sequence number that the next change gets.
        cursor: Last confirmed sequence number: everything up to it is confirmed.
        journal_bytes: Bytes of the payloads behind the cursor.
        acknowledged: Payloads beyond the cursor that are confirmed too, by their sequence numbers.
        oldest_at: When the first payload beyond the cursor was committed, seconds since the epoch; None when there is none.
    """

    def __init__(self, path: Path, *, shared_memory: bool = True) -> None:
        """Open a state file as ``Database`` does.

        Args:
            path: See there.
            shared_memory: See there.

        Raises:
            StateError: See there.
        """
        self._db = Database(path, shared_memory=shared_memory)
        self.path = path
        try:
            with self._db.guarded():
                self.next_seq: int
                self.cursor: int
                self.next_seq, self.cursor = self._db.execute(
                    "SELECT next_seq, cursor FROM counters"
                ).fetchone()
                beyond = self._db.execute(
                    "SELECT seq FROM journal WHERE seq > ? AND is_acknowledged", (self.cursor,)
                )
                self.acknowledged = {seq for (seq,) in beyond.fetchall()}
                self.journal_bytes = self._bytes_between(self.cursor, self.next_seq)
                self.oldest_at = self._oldest_at()
            self.index = Index(self._db)
            uid = self.meta("uid")
            self.is_new = uid is None
            self.uid = uid or self._new_uid()
        except StateError:
            self._db.close()
            raise

    def _new_uid(self) -> str:
        uid = uuid.uuid4().hex[:16]
        self.set_meta(uid=uid)
        return uid

    @property
    def is_untidy(self) -> bool:
        """Whether ``tidy`` should be called in a while; see ``Database``."""
        return self._db.is_untidy

    def tidy(self) -> None:
        """Give back memory and disk that are not needed; see ``Database``."""
        self._db.tidy()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()

    @property
    def entries(self) -> int:
        """Rows in the index."""
        return self.index.entries

    @property
    def found_damage(self) -> bool:
        """Whether something has failed because the file is damaged."""
        return self._db.found_damage

    # What the file belongs to

    def meta(self, key: str) -> str | None:
        """Return a value kept with ``set_meta``, or None."""
        with self._db.guarded():
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, **values: str | None) -> None:
        """Keep values by key, in one transaction; None removes one."""
        with self._db.transaction():
            for key, value in values.items():
                if value is None:
                    self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # Commits

    def commit(
        self,
        delta: Delta,
        payloads: Iterable[Payload] = (),
        pending: Iterable[Payload] = (),
        *,
        changes: int = 0,
    ) -> None:
        """Make one step durable: the index and what is said about it, in one transaction.

        Args:
            delta: What changes in the index.
            payloads: For the journal, in order, taken one by one; they take the pending events with them whose ``seq`` is not above theirs.
            pending: Rendered events that wait for their batch, in order, above all of ``payloads``; read after them. Those that wait since
                earlier commits may be among them.
            changes: How many sequence numbers from ``next_seq`` on are used up.

        Raises:
            StateError: Nothing was written, and the numbers are not used up.
        """
        next_seq = self.next_seq + changes
        now_s = time.time()
        with self._db.guarded():
            with self._db.transaction():
                entries = self.index.write(delta)
                size_bytes = self._write(payloads, now_s)
                if waiting := [each for each in pending if each.seq >= self.next_seq]:
                    self._db.executemany("INSERT INTO pending VALUES (?, ?)", waiting)
                self._db.execute("UPDATE counters SET next_seq = ?", (next_seq,))
            self.index.entries, self.next_seq = entries, next_seq
            self.journal_bytes += size_bytes
            if size_bytes and self.oldest_at is None:
                self.oldest_at = now_s

    def _write(self, payloads: Iterable[Payload], now_s: float) -> int:
        """Put payloads into the journal in place of the events that they consist of, and return their bytes."""
        last_seq = size_bytes = 0

        def rows() -> Iterator[tuple[int, bytes, float]]:
            nonlocal last_seq, size_bytes
            for seq, data in payloads:
                last_seq, size_bytes = seq, size_bytes + len(data)
                yield seq, data, now_s

        self._db.executemany("INSERT INTO journal VALUES (?, ?, ?, 0)", rows())
        if last_seq:
            self._db.execute("DELETE FROM pending WHERE seq <= ?", (last_seq,))
        return size_bytes

    def confirm(self, seq: int, *, keep_s: float = 0.0) -> None:
        """Move the cursor up to ``seq``; a lower number does nothing.

        Args:
            seq: Everything up to it is confirmed.
            keep_s: How old a confirmed payload may be before it is dropped from the journal.
        """
        if seq <= self.cursor:
            return
        with self._db.guarded():
            with self._db.transaction():
                confirmed_bytes = self._advance(seq, keep_s)
            self.journal_bytes -= confirmed_bytes
            self._move_to(seq)

    def acknowledge(self, seqs: Iterable[int], *, keep_s: float = 0.0) -> None:
        """Confirm payloads wherever they stand; the cursor moves up to the first that is not confirmed.

        Args:
            seqs: Of changes; each confirms the whole payload that it is in. Those that are confirmed already do nothing.
            keep_s: See ``confirm``.
        """
        with self._db.guarded():
            cursor, acknowledged, confirmed_bytes = self.cursor, set(self.acknowledged), 0
            with self._db.transaction():
                found = {self._first("seq >= ?", seq) for seq in seqs if seq > cursor}
                rows = {seq for seq in found if seq is not None} - acknowledged
                self._db.executemany(
                    "UPDATE journal SET is_acknowledged = 1 WHERE seq = ?", [(seq,) for seq in rows]
                )
                waiting = self._first("seq > ? AND NOT is_acknowledged", cursor)
                reached = {seq for seq in acknowledged | rows if waiting is None or seq < waiting}
                if reached:
                    cursor = max(reached)
                    confirmed_bytes = self._advance(cursor, keep_s)
            self.acknowledged = (acknowledged | rows) - reached
            self.journal_bytes -= confirmed_bytes
            self._move_to(cursor)

    def expire(self, keep_s: float) -> None:
        """Drop confirmed payloads that are older than ``keep_s`` seconds."""
        with self._db.transaction():
            self._drop(self.cursor, keep_s)

    def rewind(self, *, seq: int | None = None, time_s: float | None = None) -> int:
        """Take back confirmations, as far as the journal still has what was confirmed.

        Args:
            seq: From the payload with this change on.
            time_s: From what was committed then on, seconds since the epoch.

        Returns:
            The cursor as it is then.
        """
        with self._db.guarded():
            first = (
                self._first("seq >= ?", seq)
                if time_s is None
                else self._first("committed_at >= ?", time_s)
            )
            if first is None or first > max(self.cursor, *self.acknowledged, 0):
                return self.cursor
            # A payload begins where the one before it ends; of the first that is kept, only its last change is known.
            (before,) = self._db.execute(
                "SELECT max(seq) FROM journal WHERE seq < ?", (first,)
            ).fetchone()
            cursor = min(self.cursor, first - 1 if before is None else before)
            with self._db.transaction():
                self._db.execute("UPDATE counters SET cursor = ?", (cursor,))
                self._db.execute("UPDATE journal SET is_acknowledged = 0 WHERE seq >= ?", (first,))
            self.acknowledged = {kept for kept in self.acknowledged if kept < first}
            self._move_to(cursor)
            self.journal_bytes = self._bytes_between(cursor, self.next_seq)
            return cursor

    def _move_to(self, cursor: int) -> None:
        self.cursor = cursor
        self.oldest_at = self._oldest_at()

    def _oldest_at(self) -> float | None:
        row = self._db.execute(_OLDEST, (self.cursor,)).fetchone()
        return None if row is None else float(row[0])

    def _advance(self, seq: int, keep_s: float) -> int:
        """Move the cursor within a transaction, and return how many bytes it passes."""
        passed_bytes = self._bytes_between(self.cursor, seq)
        self._db.execute("UPDATE counters SET cursor = ?", (seq,))
        self._drop(seq, keep_s)
        return passed_bytes

    def _bytes_between(self, after_seq: int, last_seq: int) -> int:
        (size_bytes,) = self._db.execute(_BYTES_BETWEEN, (after_seq, last_seq)).fetchone()
        return int(size_bytes)

    def _drop(self, confirmed: int, keep_s: float) -> None:
        kept = self._first("committed_at >= ?", time.time() - keep_s) if keep_s else None
        end = confirmed + 1 if kept is None else min(confirmed + 1, kept)
        self._db.execute("DELETE FROM journal WHERE seq < ?", (end,))

    def _first(self, condition: str, value: float | None) -> int | None:
        """Return the first payload in the journal of which a condition holds."""
        query = f"SELECT seq FROM journal WHERE {condition} ORDER BY seq LIMIT 1"  # noqa: S608 - only constants
        row = self._db.execute(query, (value,)).fetchone()
        return None if row is None else int(row[0])

    # Journal

    @property
    def depth(self) -> int:
        """Changes that are not confirmed, those that wait for their batch included."""
        return self.next_seq - 1 - self.cursor

    def read(self, after_seq: int, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads after a sequence number, in order: at most ``limit``, and no more than fit ``max_bytes`` after the first."""
        return self._read("seq > ?", (after_seq,), limit, max_bytes)

    def read_unconfirmed(self, seqs: range, *, limit: int, max_bytes: int) -> list[Payload]:
        """Return the payloads with these sequence numbers that are not confirmed, likewise."""
        first = max(seqs.start, self.cursor + 1)
        return self._read(
            "seq >= ? AND seq < ? AND NOT is_acknowledged", (first, seqs.stop), limit, max_bytes
        )

    def _read(
        self, condition: str, values: Sequence[int], limit: int, max_bytes: int
    ) -> list[Payload]:
        query = f"SELECT seq, payload FROM journal WHERE {condition} ORDER BY seq LIMIT ?"  # noqa: S608 - only constants
        with self._db.guarded():
            return fitting(map(Payload._make, self._db.execute(query, (*values, limit))), max_bytes)

    def pending(self) -> list[Payload]:
        """Return the rendered events that wait for their batch, in order."""
        with self._db.guarded():
            return [
                Payload._make(values)
                for values in self._db.execute(
                    "SELECT seq, event FROM pending ORDER BY seq"
                ).fetchall()
            ]


def read_summary(path: Path) -> dict[str, str | float]:
    """Return what a state file says of itself, without changing it, also while a server uses it.

    Returns:
        ``name``, ``place``, ``principal`` as text; ``entries``, ``next_seq``, ``cursor`` and ``journal_bytes`` (unconfirmed) as whole
        numbers; ``oldest_at``, when the first payload that is not confirmed was committed, and ``used_at``, seconds since the epoch, or 0.

    Raises:
        StateError: It cannot be read, or a server on a network file system has it for itself.
    """
    with looking_at(path) as db:
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        entries, next_seq, cursor = db.execute(
            "SELECT entries, next_seq, cursor FROM counters"
        ).fetchone()
        (journal_bytes,) = db.execute(_BYTES_BETWEEN, (cursor, next_seq)).fetchone()
        oldest = db.execute(_OLDEST, (cursor,)).fetchone()
    names: dict[str, str | float] = {
        key: meta.get(key, "") for key in ("name", "place", "principal")
    }
    counters = {
        "entries": entries,
        "next_seq": next_seq,
        "cursor": cursor,
        "journal_bytes": journal_bytes,
    }
    return (
        names
        | counters
        | {"oldest_at": oldest[0] if oldest else 0.0, "used_at": int(meta.get("used_at", 0))}
    )
