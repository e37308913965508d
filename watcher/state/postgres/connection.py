"""A connection to PostgreSQL: what a URL names, and sessions that are never sent a cancel."""

from __future__ import annotations

import re
import select
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import pq, waiting
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.raw_cursor import RawCursor
from psycopg.types.numeric import Int8Dumper

from watcher.errors import StateError
from watcher.limits.turns import release
from watcher.state.postgres.arrays import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.abc import RV, PQGen

WAIT_INTERVAL_S = 0.1
"""Seconds after which a wait looks for signals, as in psycopg."""

CHECK_S = 0.25
"""Seconds after which a wait asks whether it is over."""

CONNECT_S, TCP_USER_MS = "3", "5000"
"""Seconds to wait for a connection, and milliseconds for an answer of the other kernel."""

_DEFAULTS = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": TCP_USER_MS,
    "client_encoding": "UTF8",
}
"""Parameters of a connection that a URL may give otherwise."""

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Target:
    """Which database a URL names, and what in it.

    Attributes:
        parameters: Of a connection, for libpq; the password may be among them.
        schema: The schema of the tables.
    """

    parameters: dict[str, str] = field(repr=False)
    schema: str = "watcher"

    def __str__(self) -> str:
        """Return the URL without user, password and parameters."""
        hosts = self.parameters.get("host") or self.parameters.get("hostaddr") or "localhost"
        ports = self.parameters.get("port", "").split(",")
        named = hosts.split(",")
        if len(ports) < len(named):
            ports = [ports[0]] * len(named)
        where = ",".join(
            host + (f":{port}" if port else "") for host, port in zip(named, ports, strict=False)
        )
        return f"postgresql://{where}/{self.parameters.get('dbname', '')}"


def parse_url(url: str) -> Target:
    """Return what a URL names; nothing is connected.

    Raises:
        StateError: It is no URL of a database; the message does not repeat it.
    """
    hint = "the form is postgresql://USER@HOST:5432/DATABASE?sslmode=verify-full"
    try:
        stem, _, text = url.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        schema = query.pop("schema", "watcher")
        given = conninfo_to_dict(f"{stem}?{urlencode(query, quote_via=quote)}")
    except (psycopg.Error, ValueError):
        # The cause is left out: it may repeat the URL, and with it the password.
        raise StateError(
            "the URL of the database cannot be understood", place="--state", hint=hint
        ) from None
    if not _SCHEMA.fullmatch(schema):
        raise StateError(
            f"schema={schema!r} is no plain name in lower case", place="--state", hint=hint
        )
    return Target({key: str(value) for key, value in given.items() if value is not None}, schema)


class NotConnectedError(psycopg.OperationalError):
    """There is no connection, so nothing was sent."""


class NoAnswerError(psycopg.OperationalError):
    """The server has not answered as long as somebody waited; the session was ended."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that never sends a cancel.

    Attributes:
        is_doubtful: Whether a commit was cancelled by somebody while it waited for a standby: the
            server reports a success, and whether a standby has it is not known.
        is_over: Takes the seconds for which an answer was waited for; returns whether to give up.
    """

    is_doubtful = False
    is_over: Callable[[float], bool] = staticmethod(lambda _: False)
    _cursor: psycopg.Cursor[tuple[Any, ...]] | None = None

    def fetch(self, text: bytes, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows; none if it has none.

        One cursor serves all statements: to make one takes longer than what it does.

        Args:
            text: The statement.
            values: Of ``$1``, ``$2`` and so on.

        Raises:
            psycopg.Error: It has failed.
        """
        cursor = self._only_cursor()
        cursor.execute(text, values)
        # Not its description, which would be made for nothing.
        result = cursor.pgresult
        return cursor.fetchall() if result is not None and result.nfields else []

    def send(self, text: bytes, values: Sequence[object]) -> Callable[[], None]:
        """Send a statement without rows, whole, and return what waits for its answer.

        Nothing else may be executed before that was called.

        Args:
            text: The statement.
            values: Of ``$1``, ``$2`` and so on.

        Raises:
            psycopg.Error: It has failed, or was not sent.
        """
        execution = self._only_cursor()._execute_gen(text, values)  # noqa: SLF001 - psycopg offers both at once, or neither outside of a transaction
        asked = self.wait(_sending(execution))
        return lambda: self.wait(_answering(execution, asked)) if asked is not None else None

    def _only_cursor(self) -> psycopg.Cursor[tuple[Any, ...]]:
        if self._cursor is None:
            self._cursor = self.cursor(binary=True)
        return self._cursor

    def wait(
        self,
        gen: PQGen[RV],
        interval: float = WAIT_INTERVAL_S,
        timeout: float | None = None,
    ) -> RV:
        """Wait for an answer; interrupted, end the session, where psycopg would cancel."""
        release()
        waited_s, portion_s = 0.0, CHECK_S if timeout is None else timeout
        while True:
            try:
                return waiting.wait(gen, self.pgconn.socket, interval=interval, timeout=portion_s)
            except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - what such a wait ends with
                waited_s += portion_s
                if timeout is not None:
                    raise
                if self.is_over(waited_s):
                    self.close()
                    raise NoAnswerError(f"no answer for {waited_s:.0f} s") from error
            except KeyboardInterrupt:
                self.close()
                raise

    @property
    def is_lost(self) -> bool:
        """Whether no statement can follow: it is closed, or the last one has had no whole answer.

        libpq may have dropped the socket before it says that the connection is of no use.
        """
        statuses = {pq.TransactionStatus.ACTIVE, pq.TransactionStatus.UNKNOWN}
        return self.closed or self.info.transaction_status in statuses

    def cancel(self) -> None:
        """End the session instead."""
        self.close()

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Take what the server remarks."""
        # The text is in the server's language.
        self.is_doubtful |= notice.source_function == "SyncRepWaitForLSN"


def connect(target: Target, name: str) -> Connection:
    """Connect to a database; each statement is committed by itself.

    Args:
        target: The database.
        name: Shown for the session in ``pg_stat_activity``.

    Raises:
        NotConnectedError: It cannot be reached, or refuses the connection.
    """
    parameters = {**_DEFAULTS, **target.parameters, "application_name": name}
    try:
        connection = Connection.connect(
            make_conninfo(**parameters), autocommit=True, cursor_factory=RawCursor
        )
    except psycopg.OperationalError as error:
        raise NotConnectedError(str(error)) from error
    for kind in KINDS:
        connection.adapters.register_dumper(kind, _dumper(kind.oid))
    # Numbers of one type, whatever their size: the statement is then prepared once.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.add_notice_handler(connection.note)
    return connection


def _sending(execution: PQGen[None]) -> PQGen[waiting.Wait | None]:
    """Go on with an execution until it only waits for an answer.

    Returns:
        What it waits for; None if it has ended.
    """
    try:
        asked = next(execution)
        while asked != waiting.Wait.R:
            asked = execution.send((yield asked))
    except StopIteration:
        return None
    return asked


def _answering(execution: PQGen[None], asked: waiting.Wait) -> PQGen[None]:
    """Go on with an execution that waits for an answer."""
    with suppress(StopIteration):
        while True:
            asked = execution.send((yield asked))


def is_usable(connection: Connection) -> bool:
    """Return whether an idle connection is open: all that comes on one is its end."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _dumper(type_oid: int) -> type[Dumper]:
    class ArrayDumper(Dumper):
        """Passes an array that is in binary form already."""

        format = pq.Format.BINARY
        oid = type_oid

        def dump(self, obj: bytes) -> bytes:
            return obj

    return ArrayDumper
