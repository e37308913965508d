"""The contact to the database: what waits while it is away, and learns when it is back.

One of the threads that wait tries to reach it, less and less often; the others sleep until it has.
So a thousand watches are one client to a database that is starting.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

import structlog

from watcher.errors import AwayError, StateError
from watcher.limits.deadline import left_s

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

FIRST_PAUSE_S, MAX_PAUSE_S = 0.02, 0.5
"""Seconds between two attempts to reach the database: at first, and after some of them."""

REPEATS_LOGGED = 10
"""Failures of one operation, while the database can be reached, after which a warning is logged."""


class Contact:
    """Whether the database can be reached. Any thread may use it.

    Args:
        probe: Reaches the database and makes sure that it can be written, or raises ``StateError``.
        place: The database, for errors.
    """

    def __init__(self, probe: Callable[[], None], place: str) -> None:
        self._probe = probe
        self._place = place
        self._probing = threading.Lock()
        self._changed = threading.Condition()
        self._answers = 0
        self._waiting = 0
        self._problem: StateError | None = None
        self._since_s = 0.0
        self._is_stopped = False
        self._log = structlog.get_logger("watcher").bind(state=place)
        self.is_given_up = False
        """Whether nothing is tried any more: waiting was stopped, and the database is away."""

    @property
    def is_stopped(self) -> bool:
        """Whether nothing waits any more."""
        return self._is_stopped

    def away_s(self) -> float:
        """Return how long something has waited for the database, in seconds; 0 if nothing does."""
        return 0.0 if self._problem is None else time.monotonic() - self._since_s

    def stop(self) -> None:
        """Let nothing wait any more, since the server stops."""
        with self._changed:
            self._is_stopped = True
            self.is_given_up |= self._problem is not None
            self._changed.notify_all()

    def check(self) -> None:
        """Try nothing while somebody tries to reach the database already.

        Raises:
            AwayError: The database is away.
        """
        if self.is_given_up:
            raise self._stopped()
        problem = self._problem
        if problem is not None and self._probing.locked():
            raise AwayError(
                f"the database has been away for {self.away_s():.0f} s: {problem.message}",
                place=self._place,
                hint=problem.hint,
            )

    def repeat(self, attempt: Callable[[], Result]) -> Result:
        """Return what an attempt returns, repeated while the database is away.

        Args:
            attempt: Does no harm if it is done again.

        Raises:
            AwayError: The deadline of the thread has passed, or the server stops.
            StateError: The attempt has failed otherwise.
        """
        failures = 0
        while True:
            try:
                return attempt()
            except AwayError as error:
                failures += 1
                self.wait(error, failures)

    def wait(self, error: AwayError, failures: int) -> None:
        """Return when the database was reached after an operation has failed.

        Args:
            error: Why it has failed.
            failures: How many times it has, one after the other. An operation that fails although
                the database can be reached is repeated less and less often.

        Raises:
            AwayError: The deadline of the thread has passed, or the server stops.
        """
        with self._changed:
            self._waiting += 1
        try:
            self._wait(error, failures)
        finally:
            with self._changed:
                self._waiting -= 1
                if not self._waiting:
                    # Nobody will learn when it is back.
                    self._problem = None

    def _wait(self, error: AwayError, failures: int) -> None:
        answers = self._answers
        if failures == REPEATS_LOGGED:
            # Each attempt may end its session at the database, which nothing else would show.
            hint = "see the database's log"
            self._log.warning("state.repeated", failures=failures, error=str(error), hint=hint)
        if failures > 1:
            self._pause(min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 10)), error)
        while self._answers == answers:
            self._check(error)
            if self._probing.acquire(blocking=False):
                try:
                    self._reach(error)
                finally:
                    self._probing.release()
                    with self._changed:
                        self._changed.notify_all()
                return
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._answers != answers or self._is_stopped or not self._probing.locked()
                    ),
                    left_s(),
                )

    def _reach(self, error: AwayError) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._probe()
            except StateError as problem:
                self._note(problem)
            else:
                self._note(None)
                return
            self._pause(pause_s, error)
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)

    def _pause(self, pause_s: float, error: AwayError) -> None:
        left = left_s()
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopped, pause_s if left is None else min(pause_s, left)
            )
        self._check(error)

    def _check(self, error: AwayError) -> None:
        if self._is_stopped:
            self.is_given_up = True
            raise self._stopped() from error
        if left_s() == 0.0:
            raise error

    def _stopped(self) -> AwayError:
        return AwayError(
            "the server stops while the database is away", place=self._place, hint="connect again"
        )

    def _note(self, problem: StateError | None) -> None:
        """Take note of what came of an attempt to reach the database."""
        with self._changed:
            if problem is None:
                self._answers += 1
                self._changed.notify_all()
            elif self._problem is None:
                self._since_s = time.monotonic()
            self._problem = problem
