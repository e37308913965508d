"""Requests to the owners of watches, and their answers, as rows; see ``requests``."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from watcher.errors import (
    ConfigError,
    ConflictError,
    DeniedError,
    LimitError,
    NotFoundError,
    StateError,
    UnavailableError,
    WatcherError,
)
from watcher.limits.deadline import left_s, limited
from watcher.state.news import Topic
from watcher.state.postgres.arrays import int8_array
from watcher.state.requests import ANSWER_S, KEEP_S, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from watcher.state.news import News
    from watcher.state.postgres.database import Database
    from watcher.state.requests import RequestKind

POLL_S, POLL_WITHOUT_NEWS_S = 1.0, 0.25
"""Seconds between two looks for an answer, of which there may have been no news."""

_ASK = """
    INSERT INTO watcher.request (watch, kind, argument)
    SELECT watch, $2, $3 FROM unnest($1::int8[]) AS asked (watch) RETURNING id
"""
_TAKE_ANSWER = """
    DELETE FROM watcher.request WHERE id = $1 AND answer IS NOT NULL RETURNING answer
"""
_WITHDRAW = "DELETE FROM watcher.request WHERE id = $1 AND epoch IS NULL RETURNING id"
_TAKE = """
    UPDATE watcher.request SET epoch = counters.epoch FROM watcher.counters
    WHERE counters.watch = request.watch AND owner = $1::uuid AND answer IS NULL
    RETURNING id, request.watch, kind, argument, counters.epoch
"""
_ANSWER = "UPDATE watcher.request SET answer = $2 WHERE id = $1"
_FORGET = """
    DELETE FROM watcher.request WHERE asked_at < clock_timestamp() - $1 * interval '1 second'
"""

_ERRORS: Mapping[str, type[WatcherError]] = {
    kind.__name__: kind
    for kind in (
        ConfigError,
        ConflictError,
        DeniedError,
        LimitError,
        NotFoundError,
        StateError,
        UnavailableError,
    )
}
"""The errors that an owner can answer with, by the names of their classes."""


class PostgresRequests:
    """The requests of one server; implements ``requests.Requests``.

    Args:
        database: The database.
        server: Id of the server.
        news: What servers tell each other.
    """

    def __init__(self, database: Database, server: str, news: News) -> None:
        self._database = database
        self._server = server
        self._news = news
        self._changed = threading.Condition()
        self._changes = 0
        self._lock = threading.Lock()
        # By request, the epoch in which it was taken.
        self._taken: dict[int, int] = {}
        self._unwritten: dict[int, tuple[int, str]] = {}
        news.subscribe(self._note_news, Topic.WATCH)

    # For those who ask

    def ask(
        self, watch: int, kind: RequestKind, argument: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Have the owner of a watch do something; see ``requests.Requests``."""
        with limited(ANSWER_S):
            seen = self._changes
            ((request,),) = self._send([watch], kind, argument)
            try:
                answer = self._await_answer(request, seen)
            except StateError:
                # Whether it was withdrawn is not known; it is forgotten after a while.
                with suppress(StateError):
                    self._withdraw(request)
                raise
        if answer is None:
            if self._withdraw(request):
                raise UnavailableError(
                    "no server owns the watch now, and nothing was done", hint="try it again"
                )
            raise UnavailableError(
                "the owner of the watch has not answered; it may be done later",
                hint="try it again",
            )
        if "error" in answer:
            error = _ERRORS.get(answer["error"], UnavailableError)
            raise error(
                str(answer.get("message", "")),
                place=str(answer.get("place", "")),
                hint=str(answer.get("hint", "")),
            )
        return dict(answer.get("answer") or {})

    def post(
        self, watches: Iterable[int], kind: RequestKind, argument: Mapping[str, Any] | None = None
    ) -> None:
        """Have the owners of watches do something, without waiting for it."""
        with limited(ANSWER_S):
            self._send([*watches], kind, argument)

    def _send(
        self, watches: Sequence[int], kind: RequestKind, argument: Mapping[str, Any] | None
    ) -> list[tuple[int]]:
        rows = self._database.fetch(
            _ASK, int8_array(watches), str(kind), json.dumps(argument or {})
        )
        self._news.send(watches)
        return [(request,) for (request,) in rows]

    def _await_answer(self, request: int, seen: int) -> Mapping[str, Any] | None:
        """Return the answer to a request, or None if none comes in time."""
        while True:
            for (answer,) in self._database.fetch(_TAKE_ANSWER, request):
                found: Mapping[str, Any] = json.loads(answer)
                return found
            left = left_s()
            if left is None or left <= 0:
                return None
            pause_s = POLL_S if self._news.is_delivered else POLL_WITHOUT_NEWS_S
            with self._changed:
                if self._changes == seen:
                    self._changed.wait(min(pause_s, left))
                seen = self._changes

    def _withdraw(self, request: int) -> bool:
        with limited(1.0):
            return bool(self._database.fetch(_WITHDRAW, request))

    def _note_news(self, watches: AbstractSet[int]) -> None:
        _ = watches
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    # For owners

    def take(self) -> Sequence[Request]:
        """Return the requests for watches that this server owns; see ``requests.Requests``."""
        self._write_answers()
        rows = sorted(self._database.fetch(_TAKE, self._server))
        with self._lock:
            former, self._taken = self._taken, {row[0]: row[4] for row in rows}
            unwritten = set(self._unwritten)
        return [
            Request(request, watch, kind, json.loads(argument))
            for request, watch, kind, argument, epoch in rows
            if former.get(request) != epoch and request not in unwritten
        ]

    def answer(self, request: Request, answer: Mapping[str, Any] | None = None) -> None:
        """Answer a request that was carried out; see ``requests.Requests``."""
        self._answer(request, {"answer": answer or {}})

    def refuse(self, request: Request, error: WatcherError) -> None:
        """Answer a request that cannot be carried out; see ``requests.Requests``."""
        names = [kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS]
        self._answer(
            request,
            {
                "error": names[0] if names else UnavailableError.__name__,
                "message": error.message,
                "place": error.place,
                "hint": error.hint,
            },
        )

    def _answer(self, request: Request, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self._unwritten[request.id] = (request.watch, json.dumps(answer))
        self._write_answers()

    def _write_answers(self) -> None:
        with self._lock:
            unwritten = dict(self._unwritten)
        for request, (watch, text) in unwritten.items():
            self._database.fetch(_ANSWER, request, text)
            with self._lock:
                self._unwritten.pop(request, None)
            self._news.send([watch])

    def forget_old(self) -> None:
        """Remove the requests that are older than ``KEEP_S``, answered or not.

        Raises:
            StateError: The database cannot be written.
        """
        self._database.fetch(_FORGET, KEEP_S)
