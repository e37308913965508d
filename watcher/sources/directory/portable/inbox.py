"""The events of an observer, until the thread of the watch takes them."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from watchdog.events import (
    EVENT_TYPE_CREATED,
    EVENT_TYPE_DELETED,
    EVENT_TYPE_MOVED,
    FileSystemEventHandler,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchdog.events import FileSystemEvent

INBOX_EVENTS = 65_536
"""Maximum number of events in an inbox; what does not fit is found by a scan."""

CREATED, DELETED, MOVED = EVENT_TYPE_CREATED, EVENT_TYPE_DELETED, EVENT_TYPE_MOVED


class Event(NamedTuple):
    """What an observer reports.

    Attributes:
        kind: ``CREATED``, ``DELETED``, ``MOVED``, or another one.
        path: Absolute path, as the observer has it.
        new_path: Where it was moved to; else empty.
        is_directory: It is, or was, a directory.
    """

    kind: str
    path: bytes
    new_path: bytes
    is_directory: bool


class Inbox(FileSystemEventHandler):
    """The events of one tree. Thread-safe.

    Args:
        wake: Called from the observer's thread when an event has arrived; returns at once.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._overflowed = False

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Add an event; called by the observer's thread, which an exception would end."""
        # What lies in a directory that was moved is reported as well, made up by watchdog.
        if event.is_synthetic and event.event_type == MOVED:
            return
        new = Event(
            event.event_type,
            os.fsencode(event.src_path),
            os.fsencode(event.dest_path),
            event.is_directory,
        )
        with self._lock:
            is_first = not self._events
            if len(self._events) < INBOX_EVENTS:
                self._events.append(new)
            else:
                self._overflowed = True
        if is_first:
            self._wake()

    def take(self) -> tuple[list[Event], bool]:
        """Remove and return the events, and whether any were lost since the last call."""
        with self._lock:
            events, self._events = self._events, []
            overflowed, self._overflowed = self._overflowed, False
        return events, overflowed
