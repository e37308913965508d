"""The database of a server: a pool of connections, transactions, and what its errors mean.

Nothing is kept in a session: a connection that is taken from the pool is as good as any other,
through PgBouncer in transaction mode too.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from watcher.errors import FencedError, StateError
from watcher.state.postgres.connection import NotConnectedError, connect, is_usable
from watcher.state.postgres.steps import FENCED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.state.postgres.connection import Connection, Target

    Rows = list[tuple[Any, ...]]

POOL_CONNECTIONS = 8
"""Maximum number of connections for all watches of a server together."""

POOL_WAIT_S = 30.0
"""Seconds to wait for a connection while all are in use."""

MIN_VERSION = 150_000
"""Oldest version of the server that is tested, as libpq numbers it."""

PREPARE_AFTER = 5
"""Executions of a statement by one connection after which it is prepared there."""

_IDLE_S = 10
_BEGIN = f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_S}s'"
"""Begins a transaction, which the server ends if the process is paused in it."""

_NO_STATEMENT = {"26000", "42P05"}
"""SQLSTATEs of prepared statements that a pooler has left in another session."""

_HINTS = (
    ("28", "check user and password in the URL or the password file"),
    ("3D", "make the database first: CREATE DATABASE"),
    ("42501", "grant the role what it needs, see docs/replicas.md"),
    ("25006", "this is a standby: name the primary, or add target_session_attrs=read-write"),
    ("53100", "free space on the database's disk"),
    ("53", "raise max_connections, or use PgBouncer"),
    ("55P03", "another server holds the watch; it is freed soon"),
    ("57", "the database is being stopped or started; it is tried again"),
    ("58", "check the database's disk"),
    ("XX", "see the database's log"),
)
"""What to do, by the beginning of an SQLSTATE."""

_UNREACHABLE = "check host, port, user and database; is it running?"


class Transaction:
    """An open transaction.

    Args:
        database: Whose it is.
        connection: The connection that has begun it.
    """

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection

    def fetch(self, statement: str, *values: object) -> Rows:
        """Execute a statement and return its rows; see ``Database.fetch``."""
        return self._database.execute_on(self._connection, statement, values)


class Database:
    """A pool of connections to one database; any thread may use it.

    Args:
        target: The database.
        name: Shown for its sessions in ``pg_stat_activity``.

    Attributes:
        target: The database.
        is_pooled: Whether a pooler stands between; not known before the first connection.
        fenced: Steps of stores that were refused since their epochs are over.
    """

    def __init__(self, target: Target, name: str) -> None:
        self.target = target
        self.is_pooled = False
        self.fenced = 0
        self._counting = threading.Lock()
        self._name = name
        self._slots = threading.BoundedSemaphore(POOL_CONNECTIONS)
        self._idle: list[Connection] = []
        self._texts: dict[str, bytes] = {}
        self._prepares = True
        self._is_closed = False

    def close(self) -> None:
        """Close all connections that are not in use; may be called twice."""
        self._is_closed = True
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def fetch(self, statement: str, *values: object) -> Rows:
        """Execute one statement, which is committed, and return its rows; none if it has none.

        Args:
            statement: ``watcher.`` in it stands for the schema.
            values: Of ``$1``, ``$2`` and so on.

        Raises:
            FencedError: The statement is a step of a store whose epoch is over.
            StateError: The statement has failed. If ``is_outcome_unknown`` returns True for it, it
                may have been committed all the same.
        """
        with self._connection() as connection:
            return self.execute_on(connection, statement, values)

    @contextmanager
    def transaction(self, *, lock_s: float | None = None) -> Iterator[Transaction]:
        """Commit everything within, or nothing if it raises.

        Args:
            lock_s: Longest wait for a lock in seconds; None for any.

        Raises:
            FencedError: A statement within is a step of a store whose epoch is over.
            StateError: A statement within, or the commit, has failed.
        """
        with self._connection() as connection:
            lock = "" if lock_s is None else f"; SET LOCAL lock_timeout = '{int(lock_s * 1000)}ms'"
            connection.execute((_BEGIN + lock).encode())
            try:
                yield Transaction(self, connection)
            except BaseException:
                if not connection.closed:
                    connection.execute(b"ROLLBACK")
                raise
            self.execute_on(connection, "COMMIT", ())

    def execute_on(self, connection: Connection, statement: str, values: Sequence[object]) -> Rows:
        """Execute a statement on a connection of the pool."""
        text = self._texts.get(statement)
        if text is None:
            text = statement.replace("watcher.", f"{self.target.schema}.").encode()
            self._texts[statement] = text
        cursor = connection.execute(text, values, binary=True)
        if connection.is_doubtful:
            connection.close()
            raise psycopg.OperationalError("waiting for a standby was cancelled by somebody")
        return cursor.fetchall() if cursor.description is not None else []

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Take a connection from the pool, and translate the errors of its use."""
        if not self._slots.acquire(timeout=POOL_WAIT_S):
            raise StateError(
                "all connections to the database are busy",
                place=str(self.target),
                hint="is the database overloaded, or does it wait for a standby?",
            )
        connection: Connection | None = None
        try:
            connection = self._take()
            yield connection
        except psycopg.Error as error:
            raise self._translated(error, connection) from error
        finally:
            if connection is not None:
                self._give_back(connection)
            self._slots.release()

    def _take(self) -> Connection:
        if self._is_closed:
            raise StateError("the database was closed", place=str(self.target))
        while self._idle:
            with suppress(IndexError):
                connection = self._idle.pop()
                if is_usable(connection):
                    return connection
                connection.close()
        return self._connect()

    def _give_back(self, connection: Connection) -> None:
        if (
            self._is_closed
            or connection.closed
            or connection.info.transaction_status is not pq.TransactionStatus.IDLE
        ):
            connection.close()
            return
        connection.prepare_threshold = PREPARE_AFTER if self._prepares else None
        self._idle.append(connection)

    def _connect(self) -> Connection:
        connection = connect(self.target, self._name)
        if self._prepares:
            # A pooler makes up the number of the process, since it has many.
            (pid,) = connection.execute(b"SELECT pg_backend_pid()").fetchone() or (0,)
            if pid != connection.info.backend_pid:
                self.is_pooled, self._prepares = True, False
        connection.prepare_threshold = PREPARE_AFTER if self._prepares else None
        return connection

    def _translated(self, error: psycopg.Error, connection: Connection | None) -> StateError:
        state = error.sqlstate or ""
        if state == FENCED:
            with self._counting:
                self.fenced += 1
            return FencedError(
                "the watch was taken over: its state was opened elsewhere since",
                place=str(self.target),
                hint="connect again",
            )
        if state in _NO_STATEMENT:
            self._prepares = False
        # libpq's words about a connection that has failed go on with advice, on further lines.
        line = str(error).partition("\n")[0].removeprefix("connection failed: ")
        message = error.diag.message_primary or line or type(error).__name__
        is_lost = connection is None or connection.closed or connection.broken
        hint = next((hint for code, hint in _HINTS if state.startswith(code)), "")
        verb = "cannot be reached" if connection is None else "has failed"
        code = f" ({state})" if state else ""
        failure = StateError(
            f"the database {verb}: {message}{code}",
            place=str(self.target),
            hint=hint or (_UNREACHABLE if is_lost else "see the server's log"),
        )
        failure.__cause__ = error
        return failure


def is_outcome_unknown(error: StateError) -> bool:
    """Return whether what has failed may have been committed: its connection was lost meanwhile."""
    cause = error.__cause__
    return (
        isinstance(cause, psycopg.OperationalError)
        and not isinstance(cause, NotConnectedError)
        and (cause.sqlstate is None or cause.sqlstate.startswith(("08", "57P")))
    )


def is_code(error: StateError, code: str) -> bool:
    """Return whether an error was reported by the server with an SQLSTATE."""
    return getattr(error.__cause__, "sqlstate", None) == code
