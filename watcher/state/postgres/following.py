"""The watches that one server follows: refreshed, and reported to their owners, all together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.limits.deadline import limited
from watcher.state.following import Refreshed
from watcher.state.postgres.acknowledgements import find_issuers, mark
from watcher.state.postgres.arrays import int8_array
from watcher.state.postgres.followed import PostgresFollowed
from watcher.state.postgres.followed_journal import Links
from watcher.state.postgres.looks import LOOK_BY_DIGEST, LOOK_BY_NUMBERS, Look

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.state.following import Issuer
    from watcher.state.news import News
    from watcher.state.postgres.database import Database
    from watcher.state.postgres.readers import Readers
    from watcher.state.requests import Requests

OPEN_S = 8.0
"""Longest time in seconds to open a watch, or to look up ids, while the database is away."""

ORPHANED_S = 30.0
"""Seconds after which a row of this server is removed, of a watch that it does not follow: its
streams have ended before they could move."""


class PostgresFollowing:
    """The watches that a server follows; implements ``following.Following``.

    Args:
        database: The database.
        server: Id of the server.
        readers: Its rows.
        news: What servers tell each other.
        requests: What owners are asked to do.
        clock: Dates what is read.
    """

    def __init__(  # noqa: PLR0913 - what followed watches have in common
        self,
        database: Database,
        server: str,
        *,
        readers: Readers,
        news: News,
        requests: Requests,
        clock: Clock,
    ) -> None:
        self._database = database
        self._server = server
        self._readers = readers
        self._news = news
        self._links = Links(database, readers, news, requests, clock)
        self._stores: dict[int, PostgresFollowed] = {}
        self._lock = threading.Lock()
        self._reporting = threading.Lock()
        self._orphaned_since_s: dict[int, float] = {}

    def open(self, identity: Identity) -> PostgresFollowed:
        """Begin to follow a watch; see ``following.Following``."""
        database = self._database
        with limited(OPEN_S):
            rows = database.contact.repeat(
                lambda: database.fetch(LOOK_BY_DIGEST, self._server, identity.digest)
            )
            if not rows:
                raise StateError("there is no state of this watch", place=identity.place)
            look = Look(*rows[0])
            store = PostgresFollowed(self._links, identity, self._server, look, self._forget)
        with self._lock:
            former = self._stores.get(store.number)
            self._stores[store.number] = store
        if former is not None:
            former.close()
        return store

    def _forget(self, store: PostgresFollowed) -> None:
        with self._lock:
            followed = self._stores.get(store.number)
            if followed is store:
                del self._stores[store.number]
            # A later store of the watch goes on with the row.
            if followed is store or followed is None:
                self._readers.leave([store.number])

    def refresh(self, watches: Collection[int] | None = None) -> Iterator[Refreshed]:
        """Look at followed watches and yield what is new; see ``following.Following``."""
        with self._lock:
            self._stores = {
                number: store for number, store in self._stores.items() if store.failure is None
            }
            # Before a stream has joined, what is new would be yielded for nobody, and only once.
            stores = {
                number: store
                for number, store in self._stores.items()
                if store.has_joined and (watches is None or number in watches)
            }
        if not stores:
            return
        rows = self._database.fetch(LOOK_BY_NUMBERS, self._server, int8_array([*stores]))
        for look in map(Look._make, rows):
            store = stores.pop(look.watch)
            if look.version is None and store.failure is None:
                store.join_again()
            yield from store.refresh(look)
        for store in stores.values():
            store.fail()
            yield Refreshed(store)

    def report(self) -> None:
        """Write what has changed of the streams; see ``following.Following``."""
        # One at a time: what was looked up before would be written over what is so now.
        with self._reporting:
            self._report()

    def _report(self) -> None:
        readers = self._readers
        readers.remove_left()
        with self._lock:
            stores = [store for store in self._stores.values() if store.failure is None]
        positions = {
            position.watch: (store, position)
            for store in stores
            if (position := store.position()) is not None
        }
        for watch in readers.write([position for _, position in positions.values()]):
            store, position = positions[watch]
            store.accept_written(position)
        readers.write_streams()

    def issuers(self, uids: Collection[str]) -> Mapping[str, Issuer]:
        """Return the watches that have given ids; see ``following.Following``."""
        database = self._database
        with limited(OPEN_S):
            return database.contact.repeat(lambda: find_issuers(database, uids))

    def acknowledge(self, watch: int, seqs: Iterable[int]) -> None:
        """Mark payloads of any watch as acknowledged; see ``following.Following``."""
        if mark(self._database, watch, seqs):
            self._news.send([watch])

    def note_rows(self, watches: Collection[int], now_s: float) -> None:
        """Have rows of this server removed of watches that it does not follow, after a while.

        Args:
            watches: Of which watches this server has rows.
            now_s: The time, in seconds.
        """
        with self._lock:
            self._orphaned_since_s = {
                watch: self._orphaned_since_s.get(watch, now_s)
                for watch in watches
                if watch not in self._stores
            }
            self._readers.leave(
                watch
                for watch, since_s in self._orphaned_since_s.items()
                if now_s - since_s >= ORPHANED_S
            )
