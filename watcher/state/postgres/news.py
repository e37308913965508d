"""News between the servers of one database, by LISTEN and NOTIFY; see ``news``.

A notification in a transaction would have the commits of the whole database wait for each other, so
news are sent by a connection of their own, those of some time together. Another connection listens.
A pooler may swallow what it would have to deliver, without an error: each server sends news to
itself when it begins to listen, and looks by itself until they have come.
"""

from __future__ import annotations

import select
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import structlog

from watcher.state.news import Topic
from watcher.state.postgres.connection import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from watcher.state.postgres.connection import Connection, Target

GATHER_S = 0.002
"""Shortest time in seconds between two sendings; news that come meanwhile are sent together."""

PROBE_S = 1.0
"""Seconds to wait for the news that a server sends to itself."""

PROBE_AGAIN_S = 30.0
"""Seconds after which it is tried again whether news are delivered."""

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0
"""Seconds between two attempts to connect: at first, and after some of them."""

STOP_S = 2.0
"""Longest wait in seconds for the threads to end."""

PAYLOAD_BYTES = 7000
"""Maximum size in bytes of a notification; PostgreSQL takes 8,000."""

_NOTIFY = b"SELECT pg_notify($1, $2)"
_PROBE = "probe"


class PostgresNews:
    """The news of one database; implements ``news.News``.

    Args:
        target: The database; its schema has news of its own.
        session_name: Of the sessions of this server.
    """

    def __init__(self, target: Target, session_name: str) -> None:
        self._target = target
        self._session_name = session_name
        self._channel = f"{target.schema}_news"
        self._sender = uuid.uuid4().hex[:12]
        self._subscribers: list[tuple[Topic | None, Callable[[AbstractSet[int]], None]]] = []
        self._waiting: dict[str, set[int]] = {}
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        self._is_probed = False
        self._is_stopped = threading.Event()
        # Wakes the thread that listens: the other end is closed.
        self._stop_wait: socket.socket | None = None
        self._stop_send: socket.socket | None = None
        self._was_reported = False
        self._is_delivered = False
        self._threads = [
            threading.Thread(target=self._run_sender, name="news-sender", daemon=True),
            threading.Thread(target=self._run_listener, name="news-listener", daemon=True),
        ]
        self._log = structlog.get_logger("watcher").bind(state=str(target))

    @property
    def is_delivered(self) -> bool:
        """Whether news of other servers arrive; if not, they are found by looking only."""
        return self._is_delivered

    def start(self) -> None:
        """Begin to listen and to send."""
        self._stop_wait, self._stop_send = socket.socketpair()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both; what was not sent is lost. May be called twice, or without a start."""
        self._is_stopped.set()
        self._has_news.set()
        if self._stop_send is not None:
            self._stop_send.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOP_S)

    def send(self, watches: Iterable[int], topic: Topic = Topic.WATCH) -> None:
        """Have all other servers look at watches; returns at once."""
        with self._lock:
            self._waiting.setdefault(topic, set()).update(watches)
        self._has_news.set()

    def subscribe(
        self, notify: Callable[[AbstractSet[int]], None], topic: Topic | None = None
    ) -> None:
        """Have a function called with the numbers of watches; see ``news.News``."""
        self._subscribers.append((topic, notify))

    def _connect(self) -> Connection:
        connection = connect(self._target, self._session_name)
        # A pooler would lose what is prepared, and it is not known yet whether there is one.
        connection.prepare_threshold = None
        return connection

    # Sending

    def _run_sender(self) -> None:
        connection: Connection | None = None
        pause_s = FIRST_PAUSE_S
        while not self._is_stopped.is_set():
            self._has_news.wait()
            self._has_news.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            try:
                connection = connection or self._connect()
                for payload in self._payloads(waiting):
                    connection.fetch(_NOTIFY, (self._channel, payload))
            except psycopg.Error:
                # The first ones after an outage find a connection that has ended in it.
                self._keep(waiting)
                _close(connection)
                connection = None
                self._is_stopped.wait(pause_s)
                pause_s = min(MAX_PAUSE_S, 2 * pause_s)
            else:
                pause_s = FIRST_PAUSE_S
                # Longer than a switch of threads, shorter than anybody notices.
                time.sleep(GATHER_S)
        _close(connection)

    def _keep(self, unsent: dict[str, set[int]]) -> None:
        """Keep news to be sent with the next ones, since it is not known that they were."""
        with self._lock:
            for topic, watches in unsent.items():
                self._waiting.setdefault(topic, set()).update(watches)
        self._has_news.set()

    def _payloads(self, waiting: dict[str, set[int]]) -> Iterator[str]:
        """Yield the texts of notifications: sender, topic, and numbers up to a size."""
        for topic, watches in waiting.items():
            text = ""
            for watch in sorted(watches):
                if len(text) >= PAYLOAD_BYTES:
                    yield f"{self._sender} {topic} {text[:-1]}"
                    text = ""
                text += f"{watch},"
            if text or topic == _PROBE:
                yield f"{self._sender} {topic} {text[:-1]}"

    # Listening

    def _run_listener(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._is_stopped.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {self._channel}".encode())
                    # What was sent before is lost.
                    self._notify(frozenset(), None)
                    pause_s = FIRST_PAUSE_S
                    self._listen(connection)
            except psycopg.Error:
                self._is_delivered = False
            self._is_stopped.wait(pause_s)
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)
        if self._stop_wait is not None:
            self._stop_wait.close()

    def _listen(self, connection: Connection) -> None:
        """Take news, until nothing has shown for some time that they are delivered.

        Raises:
            psycopg.Error: The connection is lost.
        """
        self._is_probed = False
        with self._lock:
            self._waiting.setdefault(_PROBE, set())
        self._has_news.set()
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if self._stop_wait is not None:
            poll.register(self._stop_wait, select.POLLIN | select.POLLHUP)
        begun_s = time.monotonic()
        while not self._is_stopped.is_set():
            self._take(connection)
            waited_s = time.monotonic() - begun_s
            if self._is_probed:
                self._is_delivered, wait_s = True, None
            elif waited_s < PROBE_S:
                wait_s = PROBE_S - waited_s
            else:
                # Also when a busy machine has halted this thread until it is to be tried again.
                self._note_undelivered()
                if waited_s >= PROBE_AGAIN_S:
                    return
                wait_s = PROBE_AGAIN_S - waited_s
            poll.poll(None if wait_s is None else wait_s * 1000 + 1)

    def _take(self, connection: Connection) -> None:
        """Take what has come; a burst of news is one call for each topic."""
        found: dict[Topic, set[int]] = {}
        connection.pgconn.consume_input()
        while notification := connection.pgconn.notifies():
            self._read(notification.extra.decode(), found)
        for topic, watches in found.items():
            self._notify(watches, topic)

    def _read(self, payload: str, found: dict[Topic, set[int]]) -> None:
        sender, _, text = payload.partition(" ")
        topic, _, numbers = text.partition(" ")
        if sender == self._sender:
            if topic == _PROBE:
                self._is_probed = True
            return
        # Later versions may have more topics.
        with suppress(ValueError):
            watches = {int(number) for number in numbers.split(",")}
            found.setdefault(Topic(topic), set()).update(watches)

    def _notify(self, watches: AbstractSet[int], topic: Topic | None) -> None:
        for wanted, notify in self._subscribers:
            if topic is None or wanted in {None, topic}:
                notify(watches)

    def _note_undelivered(self) -> None:
        self._is_delivered = False
        if not self._was_reported:
            self._was_reported = True
            self._log.warning(
                "state.polling",
                error="the database does not deliver notifications",
                hint="connect to PostgreSQL itself, or to a pooler in session mode; until then "
                "servers learn by asking, up to 0.25 s late",
            )


def _close(connection: Connection | None) -> None:
    if connection is not None:
        with suppress(psycopg.Error):
            connection.close()
