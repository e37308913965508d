"""The threads that read contents, beside those of the watches.

They are shared by all trees of a process, which take turns. At most one file of a tree is read at a
time, so that a file system that does not answer keeps no more than one thread.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

import structlog

from watcher.errors import UnavailableError

READERS = 4
"""Threads that read contents: more than one, so that a slow volume does not hold up the others."""


class ReadTree(Protocol):
    """A tree whose contents are read.

    Attributes:
        place: Canonical URI.
    """

    place: str

    @property
    def is_waiting(self) -> bool:
        """Whether a reader has something to do."""

    def read_turn(self) -> None:
        """Read some of the files that wait."""


class DigestReaders:
    """The threads that read contents; started when they are needed. Thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: deque[ReadTree] = deque()
        self._scheduled: set[ReadTree] = set()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._is_closed = False

    def schedule(self, tree: ReadTree) -> None:
        """Give a tree its turn, unless it waits for it or has it.

        Raises:
            UnavailableError: The process can have no more threads.
        """
        with self._condition:
            if self._is_closed or tree in self._scheduled:
                return
            self._scheduled.add(tree)
            self._waiting.append(tree)
            if self._idle == 0 and len(self._threads) < READERS:
                self._start()
            self._condition.notify()

    def close(self, timeout_s: float = 1.0) -> None:
        """End the threads; one that waits for a file system is left behind after a while."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="digests", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise UnavailableError(
                    "the server can have no more threads",
                    hint="raise the limit of its process (pids limit, ulimit -u)",
                ) from error
        else:
            self._threads.append(thread)

    def _run(self) -> None:
        while (tree := self._next()) is not None:
            try:
                tree.read_turn()
            except Exception:  # noqa: BLE001 - the other trees need the thread
                structlog.get_logger("watcher").exception("watch.failed", place=tree.place)
            self._end_turn(tree)

    def _next(self) -> ReadTree | None:
        with self._condition:
            self._idle += 1
            self._condition.wait_for(lambda: self._waiting or self._is_closed)
            self._idle -= 1
            return None if self._is_closed else self._waiting.popleft()

    def _end_turn(self, tree: ReadTree) -> None:
        with self._condition:
            if tree.is_waiting:
                self._waiting.append(tree)
            else:
                self._scheduled.discard(tree)
