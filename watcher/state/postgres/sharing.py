"""What one server shares with the others that use its database, and its stores with each other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from watcher.state.postgres.confirmer import Confirmer
from watcher.state.postgres.following import PostgresFollowing
from watcher.state.postgres.news import PostgresNews
from watcher.state.postgres.readers import Readers
from watcher.state.postgres.requests import PostgresRequests
from watcher.state.postgres.survey import Surveyor
from watcher.state.requests import KEEP_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.state.postgres.database import Database
    from watcher.state.postgres.server_id import ServerId
    from watcher.state.survey import Survey


class OwnedStore(Protocol):
    """What a survey changes of a store."""

    @property
    def number(self) -> int:
        """Short name of the watch."""

    def note_followers(self, *, are_there: bool) -> None:
        """Note whether other servers follow the watch."""


class Sharing:
    """What the stores of one server have in common.

    Args:
        database: The database.
        server: The server.
        clock: Dates what is read, and measures what lasts.
        judges: Returns whether a server whose lease has run out is dead; see ``Confirmer``.

    Attributes:
        server: Id of the server.
        confirmer: Writes what time has confirmed.
        readers: Where its streams are.
        news: What servers tell each other.
        requests: What owners are asked to do.
        following: The watches of other servers.
    """

    def __init__(
        self, database: Database, server: ServerId, clock: Clock, judges: Callable[[], bool]
    ) -> None:
        self.server = server.id
        self.confirmer = Confirmer(database, judges)
        self.readers = Readers(database, server.id)
        self.news = PostgresNews(database.target, server.session_name)
        self.requests = PostgresRequests(database, server.id, self.news)
        self.following = PostgresFollowing(
            database,
            server.id,
            readers=self.readers,
            news=self.news,
            requests=self.requests,
            clock=clock,
        )
        self._surveyor = Surveyor(database, judges)
        self._clock = clock
        self._lock = threading.Lock()
        self._stores: WeakSet[OwnedStore] = WeakSet()
        self._forget_due_s = 0.0

    def add(self, store: OwnedStore) -> None:
        """Take a store that was opened."""
        with self._lock:
            self._stores.add(store)

    def survey(self, used_within_s: float) -> Survey:
        """Return the watches that servers share, and act on what is found; see ``StateEngine``.

        Raises:
            StateError: The database cannot be used.
        """
        with self._lock:
            survey = self._surveyor.survey(used_within_s)
            followed = {
                watch.number
                for watch in survey.watches.values()
                if any(reader.server != self.server for reader in watch.readers)
            }
            for store in self._stores:
                store.note_followers(are_there=store.number in followed)
            now_s = self._clock.monotonic()
            self.following.note_rows(
                [
                    watch.number
                    for watch in survey.watches.values()
                    if any(reader.server == self.server for reader in watch.readers)
                ],
                now_s,
            )
            if now_s >= self._forget_due_s:
                self._forget_due_s = now_s + KEEP_S
                self.requests.forget_old()
        return survey
