"""The history of a database: tells one that was restored, or has failed over, from what it was.

An asynchronous standby that is promoted may lack the last commits, and a restored backup lacks all
since it was made. Either would count events again from where it was, and give ids twice. PostgreSQL
begins a new timeline whenever a standby is promoted or a backup recovered, a cluster that is made
anew has another system identifier, and a table that is restored from a dump another OID. These
three are the fingerprint of a history. It is computed within the statements and transactions that
need it: behind a pooler, two statements may reach two servers.

Ids of a watch are valid under one fingerprint, which ``watch.history`` keeps. An opening under
another one renews them. A store that is open when the history changes knows more: if the database
has its last step, nothing of the watch was lost, and its ids stay valid. If not, the store ends. No
step is written in between, since each compares the number of the one before (``steps``).
"""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakSet

import structlog

from watcher.errors import HistoryError, StateError

FINGERPRINT = """(
    SELECT concat_ws('-', system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8),
        pg_class.oid)
    FROM pg_control_system(), pg_catalog.pg_class
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'counters' AND nspname || '.' = 'watcher.'
)"""
"""The fingerprint of the present history, as an expression; fails on a standby.

``pg_control_checkpoint()`` has the timeline only since the first checkpoint after a promotion. The
OID is read from the tables of the catalog: a constant ``regclass`` stays in prepared statements.
"""

RENEW = f"""
    UPDATE watcher.watch SET uid = ?, former_ids = ?, ids_renewed_at = ?, history = {FINGERPRINT}
    WHERE id = $1
"""  # noqa: S608 - only constants
"""Writes the ids of a watch that are valid from now on; see ``steps.Part``."""

RECORD = f"UPDATE watcher.watch SET history = {FINGERPRINT} WHERE id = $1"  # noqa: S608 - only constants
"""Records that the ids of a watch are valid under the present history; see ``steps.Part``."""


class OpenStore(Protocol):
    """What the comparison needs of an open store."""

    @property
    def failure(self) -> StateError | None:
        """Why the store is of no further use; None while it can be used."""

    @property
    def history(self) -> str:
        """Fingerprint of the history in which the database had all steps of the store."""

    def verify_history(self, history: str) -> None:
        """Make sure that the database has all steps, and record that; waits while it is away.

        Raises:
            HistoryError: It has other steps; the store is of no further use.
            StateError: The store is closed, or was fenced.
        """


class OpenStores:
    """The open stores of a server, each compared with the database whenever its history changes.

    Any thread may use it.

    Args:
        place: The database, for the log.
    """

    def __init__(self, place: str) -> None:
        self._stores: WeakSet[OpenStore] = WeakSet()
        self._lock = threading.Lock()
        self._history = ""
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("watcher").bind(state=place)

    def add(self, store: OpenStore) -> None:
        """Take a store that was opened."""
        with self._lock:
            self._stores.add(store)

    def note(self, history: str) -> None:
        """Take the present fingerprint and return at once; a thread compares what it must."""
        with self._lock:
            has_changed = self._history not in {"", history}
            self._history = history
            if self._thread is None and (has_changed or self._outdated()):
                self._thread = threading.Thread(
                    target=self._compare, args=(has_changed,), name="state-history", daemon=True
                )
                self._thread.start()

    def _outdated(self) -> list[OpenStore]:
        return [
            store
            for store in self._stores
            if store.history != self._history
            and (store.failure is None or isinstance(store.failure, HistoryError))
        ]

    def _compare(self, has_changed: bool) -> None:  # noqa: FBT001 - an argument of a thread
        kept = lost = 0
        compared: set[OpenStore] = set()
        while True:
            with self._lock:
                history = self._history
                store = next((each for each in self._outdated() if each not in compared), None)
                if store is None:
                    self._thread = None
                    break
                compared.add(store)
            try:
                store.verify_history(history)
                kept += 1
            except HistoryError:
                lost += 1
                with self._lock:
                    self._stores.discard(store)
            except StateError:
                # Closed or fenced, or the database is away: then the next call of ``note`` begins
                # anew.
                continue
        if has_changed or kept or lost:
            self._log.warning("state.failover", history=history, kept=kept, lost=lost, hint=_HINT)


_HINT = (
    "the database has failed over or was restored; watches whose last commits it lacks are opened "
    "again with new ids"
)
