"""The database of a server: a pool of connections, transactions, and what its errors mean.

Nothing is kept in a session: a connection that is taken from the pool is as good as any other,
through PgBouncer in transaction mode too.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from watcher.clock import Clock
from watcher.errors import AwayError, FencedError, StateError
from watcher.limits.deadline import left_s
from watcher.state.meter import Failure, StateMeter
from watcher.state.postgres.connection import NotConnectedError, connect, is_usable
from watcher.state.postgres.contact import Contact
from watcher.state.postgres.sent import Sent
from watcher.state.postgres.steps import FENCED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.state.postgres.connection import Connection, Target

    Rows = list[tuple[Any, ...]]

POOL_CONNECTIONS = 8
"""Maximum number of connections for all watches of a server together."""

POOL_WAIT_S = 5.0
"""Seconds to wait for a connection while all are in use; then the database may be away."""

STOP_S = 2.0
"""Seconds that the server has for an answer once nothing waits for the database any more."""

MIN_VERSION = 150_000
"""Oldest version of the server that is tested, as libpq numbers it."""

PREPARE_AFTER = 5
"""Executions of a statement by one connection after which it is prepared there."""

_IDLE_S = 10
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_S}s'"
)
"""Begins a transaction, which the server ends if the process is paused in it.

Each statement sees what was committed before it, and so after a lock that the one before has got.
"""

_IS_READ_ONLY = """
    SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool
"""
_READ_ONLY, _DISK_FULL = "25006", "53100"

_NO_STATEMENT = {"26000", "42P05"}
"""SQLSTATEs of prepared statements that a pooler has left in another session."""

_HINTS = (
    ("28", "check user and password in the URL or the password file"),
    ("3D", "make the database first: CREATE DATABASE"),
    ("42501", "grant the role what it needs, see docs/replicas.md"),
    (_READ_ONLY, "this is a standby: name the primary, or add target_session_attrs=read-write"),
    (_DISK_FULL, "free space on the database's disk"),
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

    @property
    def place(self) -> str:
        """The database, for errors."""
        return str(self._database.target)

    def fetch(self, statement: str, *values: object) -> Rows:
        """Execute a statement and return its rows; see ``Database.fetch``."""
        return self._database.execute_on(self._connection, statement, values)


class Database:
    """A pool of connections to one database; any thread may use it.

    Args:
        target: The database.
        name: Shown for its sessions in ``pg_stat_activity``.
        meter: Measures it; one of its own if not given.

    Attributes:
        target: The database.
        meter: What operators see of it.
        is_pooled: Whether a pooler stands between; not known before the first connection.
        fenced: Steps of stores that were refused since their epochs are over.
        contact: What waits while the database is away.
        is_full: Whether a write has failed since the database's disk was full, and none has been
            tried since.
    """

    def __init__(self, target: Target, name: str, meter: StateMeter | None = None) -> None:
        self.target = target
        self.meter = meter or StateMeter(Clock())
        self.is_pooled = False
        self.fenced = 0
        self.is_full = False
        self._counting = threading.Lock()
        self.contact = Contact(self._probe, str(target))
        self._name = name
        self._slots = threading.BoundedSemaphore(POOL_CONNECTIONS)
        self._ahead = threading.BoundedSemaphore(POOL_CONNECTIONS // 2)
        self._idle: list[Connection] = []
        self._texts: dict[str, bytes] = {}
        self._prepares = True
        self._is_closed = False

    def close(self) -> None:
        """Close all connections that are not in use; may be called twice."""
        self._is_closed = True
        self._close_idle()

    def fetch(self, statement: str, *values: object) -> Rows:
        """Execute one statement, which is committed, and return its rows; none if it has none.

        Args:
            statement: ``watcher.`` in it stands for the schema.
            values: Of ``$1``, ``$2`` and so on.

        Raises:
            FencedError: The statement is a step that the fence refuses.
            AwayError: The database is away. If ``is_outcome_unknown`` returns True for the error,
                the statement may have been committed all the same.
            StateError: The statement has failed.
        """
        with self._connection() as connection:
            return self.execute_on(connection, statement, values)

    def send(self, statement: str, *values: object) -> Sent | None:
        """Send one statement without rows, which is committed whether or not its answer is taken.

        Args:
            statement: See ``fetch``.
            values: See ``fetch``.

        Returns:
            The statement, which keeps a connection until it is received or dropped; None if nothing
            was sent, since half of all connections are kept so.

        Raises:
            AwayError: See ``fetch``.
            StateError: The statement has failed.
        """
        if not self._ahead.acquire(blocking=False):
            return None
        with ExitStack() as stack:
            stack.callback(self._ahead.release)
            connection = stack.enter_context(self._connection())
            answer = connection.send(self._text(statement), values)

            def receive() -> None:
                answer()
                self._take_answer(connection)

            return Sent(receive, connection.close, stack.pop_all())

    @contextmanager
    def transaction(self, *, lock_s: float | None = None) -> Iterator[Transaction]:
        """Commit everything within, or nothing if it raises.

        Args:
            lock_s: Longest wait for a lock in seconds; None for any.

        Raises:
            FencedError: A statement within is a step that the fence refuses.
            AwayError: The database is away; see ``fetch``.
            StateError: A statement within, or the commit, has failed.
        """
        with self._connection() as connection:
            lock = "" if lock_s is None else f"; SET LOCAL lock_timeout = '{int(lock_s * 1000)}ms'"
            connection.execute((_BEGIN + lock).encode())
            try:
                yield Transaction(self, connection)
            except BaseException:
                if not connection.is_lost:
                    connection.execute(b"ROLLBACK")
                raise
            self.execute_on(connection, "COMMIT", ())

    def execute_on(self, connection: Connection, statement: str, values: Sequence[object]) -> Rows:
        """Execute a statement on a connection of the pool."""
        rows = connection.fetch(self._text(statement), values)
        self._take_answer(connection)
        return rows

    def _text(self, statement: str) -> bytes:
        text = self._texts.get(statement)
        if text is None:
            text = statement.replace("watcher.", f"{self.target.schema}.").encode()
            self._texts[statement] = text
        return text

    def _take_answer(self, connection: Connection) -> None:
        if connection.is_doubtful:
            connection.close()
            raise psycopg.OperationalError("waiting for a standby was cancelled by somebody")
        self.meter.answer()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Take a connection from the pool, and translate the errors of its use."""
        self.contact.check()
        left = left_s()
        if not self._slots.acquire(timeout=POOL_WAIT_S if left is None else min(POOL_WAIT_S, left)):
            self.meter.fail(Failure.BUSY)
            raise AwayError(
                "all connections to the database are busy",
                place=str(self.target),
                hint="is the database overloaded, or does it wait for a standby?",
            )
        connection: Connection | None = None
        try:
            connection = self._take()
            yield connection
        except psycopg.Error as error:
            if connection is not None and connection.is_lost:
                connection.close()
            failure = self._translated(error, connection)
            if isinstance(failure, AwayError):
                # The others lead to the same server.
                self._close_idle()
                if connection is not None:
                    connection.close()
            raise failure from error
        finally:
            if connection is not None:
                self._give_back(connection)
            self._slots.release()

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

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
        connection.is_over = self._is_over
        if self._prepares:
            # A pooler makes up the number of the process, since it has many.
            try:
                (pid,) = connection.execute(b"SELECT pg_backend_pid()").fetchone() or (0,)
            except psycopg.Error:
                connection.close()
                raise
            if pid != connection.info.backend_pid:
                self.is_pooled, self._prepares = True, False
        connection.prepare_threshold = PREPARE_AFTER if self._prepares else None
        return connection

    def _is_over(self, waited_s: float) -> bool:
        return left_s() == 0.0 or (self.contact.is_stopped and waited_s >= STOP_S)

    def _probe(self) -> None:
        """Make sure that the database can be reached and written.

        Raises:
            StateError: It cannot.
        """
        connection: Connection | None = None
        try:
            connection = self._connect()
            ((is_read_only,),) = self.execute_on(connection, _IS_READ_ONLY, ())
        except psycopg.Error as error:
            raise self._translated(error, connection) from error
        finally:
            if connection is not None:
                connection.close()
        if is_read_only:
            raise AwayError(
                "the database cannot be written", place=str(self.target), hint=_hint(_READ_ONLY)
            )

    def count_fenced(self) -> None:
        """Count a write that was refused since the epoch of its store is over."""
        with self._counting:
            self.fenced += 1

    def _translated(self, error: psycopg.Error, connection: Connection | None) -> StateError:
        state = error.sqlstate or ""
        self.is_full |= state == _DISK_FULL
        if state == FENCED:
            self.count_fenced()
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
        is_lost = (
            connection is None
            or connection.closed
            or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}
        )
        self.meter.fail(Failure.AWAY if is_lost else Failure.FAILED)
        verb = "cannot be reached" if connection is None else "has failed"
        code = f" ({state})" if state else ""
        kind = AwayError if is_lost or state == _READ_ONLY else StateError
        failure = kind(
            f"the database {verb}: {message}{code}",
            place=str(self.target),
            hint=_hint(state) or (_UNREACHABLE if is_lost else "see the server's log"),
        )
        failure.__cause__ = error
        return failure


def _hint(state: str) -> str:
    return next((hint for code, hint in _HINTS if state.startswith(code)), "")


def is_outcome_unknown(error: AwayError) -> bool:
    """Return whether what has failed may have been committed: it was sent, or may have been."""
    return error.__cause__ is not None and not isinstance(error.__cause__, NotConnectedError)


def is_code(error: StateError, code: str) -> bool:
    """Return whether an error was reported by the server with an SQLSTATE."""
    return getattr(error.__cause__, "sqlstate", None) == code
