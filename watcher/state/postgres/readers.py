"""Where the streams of one server are, in the watches that it follows: written for their owners.

A reader is a row: what a server has read of a watch. It is made by the join of a stream, which
locks the counters of the watch, so that no confirmation is written between the reading of the
cursor and the row. Later positions are written once a second, those of all watches together.

A row has a version, from a counter of the watch that each join and each replay raises. A position
is written for the version under which it was looked up. So what was looked up before a stream
joined, or before a replay, is refused by the database, however late it comes there.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from watcher.state.postgres.arrays import int8_array
from watcher.state.postgres.steps import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.state.postgres.database import Database

_JOIN = """
    WITH locked AS (
        UPDATE watcher.counters SET readings = readings + 1 WHERE watch = $1
        RETURNING watch, cursor, next_seq, rewinds, readings
    ), joined AS (
        INSERT INTO watcher.reader (watch, server, streams, confirmed, version)
        SELECT watch, $2::uuid, $3, cursor, readings FROM locked
        ON CONFLICT (watch, server) DO UPDATE SET streams = reader.streams + 1,
            confirmed = least(reader.confirmed, excluded.confirmed), version = excluded.version
        RETURNING version
    )
    SELECT cursor, next_seq, rewinds, version FROM locked, joined
"""
"""One statement, so that a process which is paused holds no lock. The row of the counters is as it
was left by the last transaction that had locked it."""

# Statements that change rows of several watches lock them in the order of their numbers, each with
# its counters first, as steps do which change all rows of one watch. So none waits in a circle.
_REPORT = """
    WITH locked AS MATERIALIZED (
        SELECT new.* FROM unnest($2::int8[], $3::int8[], $4::int8[], $5::int8[])
            AS new (watch, version, streams, confirmed)
        JOIN watcher.reader USING (watch, version) WHERE server = $1
        ORDER BY watch FOR NO KEY UPDATE OF reader
    )
    UPDATE watcher.reader SET streams = locked.streams,
        confirmed = greatest(reader.confirmed, locked.confirmed)
    FROM locked
    WHERE reader.watch = locked.watch AND server = $1 AND reader.version = locked.version
    RETURNING reader.watch
"""
_REMOVE = """
    WITH locked AS MATERIALIZED (
        SELECT watch FROM watcher.reader WHERE server = $1 AND watch = ANY($2::int8[])
        ORDER BY watch FOR UPDATE
    )
    DELETE FROM watcher.reader USING locked WHERE reader.watch = locked.watch AND server = $1
"""
_REPORT_STREAMS = """
    WITH locked AS MATERIALIZED (
        SELECT new.* FROM unnest($1::int8[], $2::int8[], $3::int8[]) AS new (watch, epoch, streams)
        JOIN watcher.counters USING (watch, epoch)
        ORDER BY watch FOR NO KEY UPDATE OF counters
    )
    UPDATE watcher.counters SET streams = locked.streams FROM locked
    WHERE counters.watch = locked.watch AND counters.epoch = locked.epoch
"""
_REWIND = """
    UPDATE watcher.reader SET confirmed = least(confirmed, ?), version = version + 1
    WHERE watch = $1
"""
_KEEP = """
    INSERT INTO watcher.reader (watch, server, streams, confirmed, version)
    SELECT $1, ?::uuid, ?, ?, readings + 1 FROM watcher.counters WHERE watch = $1
    ON CONFLICT (watch, server) DO UPDATE SET streams = excluded.streams,
        confirmed = excluded.confirmed, version = excluded.version
"""


def rewind_readers(cursor: int) -> Part:
    """Return the part of a replay that takes all readers back; it raises ``readings`` by one."""
    return Part(_REWIND, (cursor,))


def keep_reader(server: str, streams: int, confirmed_seq: int) -> Part:
    """Return the part of a release that makes streams of the owner those of a follower.

    The step has to raise ``readings`` by one.

    Args:
        server: Id of the server that has the streams.
        streams: Their number.
        confirmed_seq: Up to here all of them have the journal.
    """
    return Part(_KEEP, (server, streams, confirmed_seq))


class Joined(NamedTuple):
    """What the join of a stream has found.

    Attributes:
        cursor: Last confirmed sequence number.
        next_seq: Sequence number of the next change.
        rewinds: How often confirmations were revoked.
        version: Of the row that was made.
    """

    cursor: int
    next_seq: int
    rewinds: int
    version: int


class Position(NamedTuple):
    """Up to where the streams of a watch are.

    Attributes:
        watch: Number of the watch.
        version: Of its row when they were looked up.
        streams: Their number.
        confirmed: Up to here all of them have the journal; 0 if that is not known.
    """

    watch: int
    version: int
    streams: int
    confirmed: int


class Streams(NamedTuple):
    """How many streams an owner has.

    Attributes:
        watch: Number of the watch.
        epoch: Of the owner's opening.
        streams: Their number.
    """

    watch: int
    epoch: int
    streams: int


class Readers:
    """The rows of one server. Any thread may use it.

    Args:
        database: The database.
        server: Id of the server.
    """

    def __init__(self, database: Database, server: str) -> None:
        self._database = database
        self._server = server
        self._left: set[int] = set()
        self._owned: dict[int, Streams] = {}
        self._leaving = threading.Lock()
        self._removing = threading.Lock()

    def join(self, watch: int, streams: int = 1) -> Joined | None:
        """Add a stream to the row of a watch, making the row at the cursor if there is none.

        Args:
            watch: Number of the watch.
            streams: Number of streams of a row that is made.

        Returns:
            None if there is no such watch.

        Raises:
            StateError: The database cannot be written.
        """
        with self._removing, self._leaving:
            self._left.discard(watch)
        rows = self._database.contact.repeat(
            lambda: self._database.fetch(_JOIN, watch, self._server, streams)
        )
        return Joined(*rows[0]) if rows else None

    def leave(self, watches: Iterable[int]) -> None:
        """Have ``remove_left`` remove the rows of watches, unless a stream joins again before."""
        with self._leaving:
            self._left.update(watches)

    def remove_left(self) -> None:
        """Remove the rows of watches that have no streams here any more.

        Raises:
            StateError: The database cannot be written; they are removed the next time.
        """
        with self._removing:
            # A stream that joins meanwhile waits: its row is made afterwards.
            with self._leaving:
                left = [*self._left]
            if left:
                self._database.fetch(_REMOVE, self._server, int8_array(left))
                with self._leaving:
                    self._left.difference_update(left)

    def write(self, positions: Sequence[Position]) -> set[int]:
        """Write positions; return the watches whose row has the version and could be written.

        Raises:
            StateError: The database cannot be written.
        """
        if not positions:
            return set()
        columns = [int8_array(values) for values in zip(*positions, strict=True)]
        return {watch for (watch,) in self._database.fetch(_REPORT, self._server, *columns)}

    def note_streams(self, streams: Streams) -> None:
        """Take the number of streams of a watch that this server owns; returns at once."""
        self._owned[streams.watch] = streams

    def write_streams(self) -> None:
        """Write the numbers that were noted, but of watches that were opened elsewhere since.

        Raises:
            StateError: The database cannot be written; they are written the next time.
        """
        noted = list(self._owned.values())
        if not noted:
            return
        columns = [int8_array(values) for values in zip(*noted, strict=True)]
        self._database.fetch(_REPORT_STREAMS, *columns)
        for streams in noted:
            if self._owned.get(streams.watch) is streams:
                self._owned.pop(streams.watch, None)
