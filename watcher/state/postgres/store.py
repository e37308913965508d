"""The state of one watch in the database: meta data, index, journal, and what joins them.

What a scan found and the events about it become durable together. After a crash either both are
there, or neither is and the next scan finds the difference again.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from watcher.state.ids import end_seqs, format_former, new_uid, parse_former, renew, unused_ranges
from watcher.state.news import Topic
from watcher.state.postgres.arrays import text_array
from watcher.state.postgres.groups import PostgresGroups
from watcher.state.postgres.history import RECORD, RENEW
from watcher.state.postgres.index import PostgresIndex
from watcher.state.postgres.journal import PostgresJournal
from watcher.state.postgres.readers import Streams, keep_reader
from watcher.state.postgres.session import Session
from watcher.state.postgres.steps import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.clock import Clock
    from watcher.errors import StateError
    from watcher.model import Delta, Payload
    from watcher.state.postgres.database import Database
    from watcher.state.postgres.journal import Appending
    from watcher.state.postgres.openings import Opening
    from watcher.state.postgres.sharing import Sharing

AHEAD_ROWS = 100
"""Rows from which a step may be written ahead: fewer take no time worth it."""

_META = "SELECT key, value FROM watcher.meta WHERE watch = $1"
_SET_META = """
    INSERT INTO watcher.meta SELECT $1, new.* FROM unnest(?::text[], ?::text[]) AS new
    ON CONFLICT (watch, key) DO UPDATE SET value = excluded.value
"""
_NOTE_NODE = "UPDATE watcher.watch SET node = ? WHERE id = $1"
_REMOVE_META = "DELETE FROM watcher.meta WHERE watch = $1 AND key = ANY(?::text[])"


class PostgresStore:
    """The state of one watch; implements ``port.WatchStore``.

    Args:
        database: The database.
        opening: What the opening of the watch has found; nobody has written it since.
        clock: Dates what is written.
        sharing: What it has in common with other stores of the server.

    Attributes:
        number: Short name of the watch.
        document_version: Number of the configuration that was kept when it was opened.
        uid: Random; the first part of the id of every event from now on.
        former_uids: The first parts of ids before the last renewals, each with the number after its
            last.
        ids_renewed_at: When the ids were last renewed, seconds since the epoch; 0 for never.
        is_new: Whether this opening has made the state.
        history: Fingerprint of the history in which the database had all steps of the store.
        index: What the place held when it was last read.
        groups: The groups that have changed.
        journal: What was found and is not yet confirmed.

    Raises:
        StateError: The state cannot be read.
    """

    is_untidy = False
    """Whether ``tidy`` has work to do: the database vacuums its tables by itself."""

    def __init__(
        self, database: Database, opening: Opening, clock: Clock, sharing: Sharing
    ) -> None:
        self._clock = clock
        self._sharing = sharing
        # Until a survey shows that there are none.
        self._has_followers = not opening.is_new
        self.number = opening.permission.watch
        self.document_version = opening.document_version
        self._node = opening.node
        self._session = Session(database, opening.permission)
        self._former = parse_former(opening.former_ids)
        self.former_uids = end_seqs(self._former)
        self.uid = opening.uid
        self.ids_renewed_at = opening.ids_renewed_at
        self.is_new = opening.is_new
        self.history = opening.history
        self.journal = PostgresJournal(
            self._session,
            clock,
            sharing.confirmer,
            self._announce,
            next_seq=opening.next_seq,
            cursor=opening.cursor,
            unused=unused_ranges(self._former),
        )
        self._deferring = 0
        self.index = PostgresIndex(self._session, entries=opening.entries, next_id=opening.next_id)
        self.groups = PostgresGroups(self._session)
        self._meta: dict[str, str] = dict(self._session.read(_META))

    @property
    def failure(self) -> StateError | None:
        """Why the store is of no further use; None while it can be used."""
        return self._session.failure

    def verify_history(self, history: str) -> None:
        """Make sure that the database has all steps, and record that the ids stay valid.

        Args:
            history: Fingerprint of its present history.

        Raises:
            HistoryError: The database has other steps; the store is of no further use.
            StateError: The store is closed, or was fenced.
        """
        self._session.write({}, [Part(RECORD)])
        self.history = history

    def note_streams(self, streams: int) -> None:
        """Note the number of streams, for other servers; ``Following.report`` writes it."""
        epoch = self._session.permission.epoch
        self._sharing.readers.note_streams(Streams(self.number, epoch, streams))

    def begin_confirming(self) -> None:
        """Do nothing: the cursor follows from each confirmation."""

    def note_followers(self, *, are_there: bool) -> None:
        """Note whether other servers follow the watch, and want to know what is committed."""
        were_there, self._has_followers = self._has_followers, are_there
        if not were_there:
            # What was committed before that was known.
            self._announce()

    def _announce(self) -> None:
        """Have followers look at the journal."""
        if self._has_followers:
            self._sharing.news.send([self.number], Topic.JOURNAL)

    def tidy(self) -> None:
        """Do nothing: the database vacuums its tables by itself."""

    def release(self, streams: int = 0, confirmed_seq: int | None = None) -> None:
        """Close the state, and let any server own the watch; see ``port.WatchStore``.

        Raises:
            StateError: The database cannot be written; the server still owns the watch.
        """
        if self._session.failure is not None:
            return
        try:
            parts = []
            if streams:
                cursor = self.journal.cursor
                confirmed = cursor if confirmed_seq is None else max(cursor, confirmed_seq)
                parts.append(keep_reader(self._sharing.server, streams, confirmed))
            self._session.write({"owner": None, "streams": 0, "readings": 1}, parts)
        finally:
            self._session.close()
        self._sharing.news.send([self.number])

    def close(self) -> None:
        """Close the state; may be called twice."""
        self._session.close()

    def note_node(self, node: str | None) -> None:
        """Keep on which node alone the place can be seen; see ``port.WatchStore``.

        Raises:
            StateError: The database cannot be written.
        """
        if node != self._node:
            with self._session.guarded():
                self._session.write({}, [Part(_NOTE_NODE, (node,))])
                self._node = node

    def meta(self, key: str) -> str | None:
        """Return the value that ``set_meta`` has kept, or None."""
        # A scan asks for several, and only this store writes them.
        with self._session.guarded():
            return self._meta.get(key)

    def set_meta(self, **values: str | None) -> None:
        """Keep values by key, in one step; None removes a key."""
        kept = {key: value for key, value in values.items() if value is not None}
        parts = []
        if kept:
            parts.append(Part(_SET_META, (text_array(kept), text_array(kept.values()))))
        if len(kept) < len(values):
            parts.append(Part(_REMOVE_META, (text_array(values.keys() - kept.keys()),)))
        with self._session.guarded():
            self._session.write({}, parts)
            self._meta = {
                key: value for key, value in (self._meta | values).items() if value is not None
            }
        self._announce()

    def commit(
        self,
        delta: Delta,
        payloads: Iterable[Payload] = (),
        pending: Iterable[Payload] = (),
        *,
        changes: int = 0,
    ) -> None:
        """Make one step durable; see ``port.WatchStore``.

        Raises:
            FencedError: The watch was opened elsewhere since, and nothing was written.
            HistoryError: The database has other steps than this store, and nothing was written.
            AwayError: The database is away, and nothing waits for it any more.
            StateError: The step has failed, and no sequence number is used.
        """
        with self._session.guarded():
            counters = self.index.counters(delta)
            counters["next_seq"] = self.journal.next_seq + changes
            appending = self.journal.append(payloads, pending)
            if delta.groups is None and not appending.has_more:
                parts = [*self.index.parts(delta), *appending.first, *appending.end()]
                may_be_ahead = self._deferring and not changes and len(delta.upserts) >= AHEAD_ROWS
                write = self._session.write_ahead if may_be_ahead else self._session.write
                write(counters, parts)
            else:
                self._session.write_in_order(counters, lambda: self._in_order(delta, appending))
            self.index.accept(delta, counters["entries"])
            self.journal.accept(appending, counters["next_seq"])
        self._announce()

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """Let the server write rows while the next ones are found; see ``port.WatchStore``."""
        self._deferring += 1
        try:
            yield
        finally:
            self._deferring -= 1
            if not self._deferring:
                self.index.end_scan()
                self._session.settle()

    def _in_order(self, delta: Delta, appending: Appending) -> Iterator[Part]:
        appending.restart()
        yield from self.index.parts(delta)
        if delta.groups is not None:
            yield from self.groups.parts(delta.groups)
        yield from appending.first
        yield from appending.rest()
        yield from appending.end()

    def renew_ids(self, *, above_seq: int = 0) -> None:
        """Give the events from now on ids that no event has had; see ``port.WatchStore``.

        Args:
            above_seq: A sequence number that may have been used.

        Raises:
            StateError: Nothing was written.
        """
        with self._session.guarded():
            former = renew(self._former, self.uid, self.journal.next_seq, above_seq)
            uid, now_s = new_uid(), self._clock.wall()
            self._session.write(
                {"next_seq": former[-1].next_seq},
                [Part(RENEW, (uid, format_former(former), now_s))],
            )
            self.uid, self.ids_renewed_at = uid, now_s
            self._former, self.former_uids = former, end_seqs(former)
            self.journal.leap(unused_ranges(former))
        self._announce()
