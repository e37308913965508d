"""What tests of servers that share a watch have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from watcher.model import Delta, Payload
from watcher.state.following import FollowedStore, Refreshed
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.store import PostgresStore


def commit(store: PostgresStore, *seqs: int) -> None:
    """Append payloads."""
    store.commit(Delta(), [Payload(seq, b"%d" % seq) for seq in seqs], changes=len(seqs))


def note(store: FollowedStore, seq: int) -> None:
    """Note the position of the streams, as a publisher does."""
    store.begin_confirming()
    store.journal.confirm(seq)


@contextmanager
def joining(store: FollowedStore, streams: int = 1) -> Iterator[None]:
    """Join a stream, and count it at the end of the block."""
    with store.join():
        yield
        store.note_streams(streams)


def join(store: FollowedStore, streams: int = 1) -> None:
    """Join a stream, and count it."""
    with joining(store, streams):
        pass


def refreshed(engine: PostgresEngine) -> list[Refreshed]:
    """Return what is new of all followed watches; streams are rewound at once."""
    found = []
    for each in engine.following.refresh():
        if each.rewound_to is not None:
            each.store.resume()
        found.append(each)
    return found


def seqs_of(found: list[Refreshed]) -> list[int]:
    """Return the sequence numbers of payloads that were yielded."""
    return [payload.seq for each in found for payload in each.payloads]


def cursor_of(database: Database) -> int:
    """Return the cursor of the only watch, as the database has it."""
    ((cursor,),) = database.fetch("SELECT cursor FROM watcher.counters")
    return int(cursor)


def readers_of(database: Database) -> list[tuple[int, int]]:
    """Return streams and confirmed sequence number of all readers."""
    return [
        (streams, confirmed)
        for streams, confirmed in database.fetch("SELECT streams, confirmed FROM watcher.reader")
    ]


def report(engine: PostgresEngine, store: FollowedStore, seq: int) -> None:
    """Note the position of the streams, and write it."""
    note(store, seq)
    engine.following.report()
