"""The hints of one tree from a public observer of watchdog; see ``port.Notifications``."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
)

from watcher.filesystem.paths import real_path
from watcher.model import Rescan
from watcher.sources.directory.parts import PartMode
from watcher.sources.directory.portable.inbox import CREATED, DELETED, MOVED, Inbox
from watcher.sources.directory.projected_volumes import LINK

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.parts import Parts
    from watcher.sources.directory.portable.inbox import Event
    from watcher.sources.directory.tree import Tree

JOIN_S = 5.0
"""Seconds to wait for the end of an observer's thread; it is a daemon, and is left behind then."""

EVENTS_PER_CHECK = 1000
"""Events after which the limits on waiting hints are enforced."""

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""Not DirModifiedEvent, which comes beside each of these for the directory above."""


class ObserverNotifications:
    """See ``port.Notifications``.

    Args:
        tree: The tree.
        hints: Receives what is notified.
        make_observer: Returns an observer that has not been started.

    Attributes:
        failure: See ``port.Notifications``.
    """

    is_exact = False

    def __init__(
        self, tree: Tree, hints: HintQueue, make_observer: Callable[[], BaseObserver]
    ) -> None:
        self.failure = ""
        self._tree = tree
        self._hints = hints
        self._make_observer = make_observer
        self._observer: BaseObserver | None = None
        self._inbox = Inbox(lambda: None)
        self._root = b""
        self._wake: Callable[[], None] = lambda: None
        self._retry_due_s = 0.0

    @property
    def is_active(self) -> bool:
        """See ``port.Notifications.is_active``."""
        return self._observer is not None

    def start(self, parts: Parts, wake: Callable[[], None]) -> None:
        """See ``port.Notifications.start``."""
        is_of_use = parts.at(b"").mode is PartMode.NOTIFIED
        if is_of_use and self._observer is None and not self.failure:
            self._wake = wake
            self._start()

    def watch(self, prefix: bytes, directory: int) -> None:
        """See ``port.Notifications.watch``; the observer has the whole tree."""

    def unwatch(self, prefix: bytes) -> None:
        """See ``port.Notifications.unwatch``; the observer has the whole tree."""

    def read(self, now_s: float) -> None:
        """See ``port.Notifications.read``."""
        self._revive(now_s)
        events, overflowed = self._inbox.take()
        remaining = iter(events)
        while portion := list(islice(remaining, EVENTS_PER_CHECK)):
            for event in portion:
                self._on_event(event, now_s)
            self._hints.enforce_limits(now_s)
        if overflowed:
            self._hints.rescan(Rescan.NOTIFICATIONS_LOST)

    def expire_renames(self, now_s: float) -> None:
        """See ``port.Notifications.expire_renames``; an observer reports whole ones."""

    def close(self) -> None:
        """See ``port.Notifications.close``."""
        self.failure = ""
        self._stop()

    def _start(self) -> None:
        # FSEvents reports paths without links, whatever the path was that it was given.
        path = real_path(self._tree.spec.path)
        self._root = os.fsencode(path.rstrip("/") + "/")
        self._inbox = Inbox(self._wake)
        observer = self._make_observer()
        try:
            # In this order the error of an emitter is raised here, and not in the other thread.
            observer.start()
            observer.schedule(
                self._inbox, path, recursive=self._tree.spec.recursive, event_filter=_EVENTS
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, scans go on
            reason = getattr(error, "strerror", None) or error
            self.failure = f"no notifications, polling instead: {reason}"
            _end(observer)
        else:
            self.failure = ""
            self._observer = observer

    def _stop(self) -> None:
        if self._observer is not None:
            _end(self._observer)
            self._observer = None
        self._inbox = Inbox(lambda: None)

    def _revive(self, now_s: float) -> None:
        """Start another observer in place of one that has ended, or could not be started."""
        if self._observer is not None:
            if self._observer.is_alive() and all(
                emitter.is_alive() for emitter in self._observer.emitters
            ):
                return
            self._stop()
            self.failure = "notifications have ended, polling instead"
            self._hints.rescan(Rescan.NOTIFICATIONS_LOST)
        elif not self.failure or now_s < self._retry_due_s:
            return
        self._retry_due_s = now_s + self._tree.spec.poll_interval_s
        self._start()

    # Events

    def _on_event(self, event: Event, now_s: float) -> None:
        path, new_path = self._relative(event.path), self._relative(event.new_path)
        if event.kind == MOVED and path and new_path:
            self._on_moved(path, new_path, now_s, is_directory=event.is_directory)
        elif event.kind == MOVED:
            if path:
                self._on_change(DELETED, path, now_s, is_directory=event.is_directory)
            if new_path:
                self._on_change(CREATED, new_path, now_s, is_directory=event.is_directory)
        elif path:
            self._on_change(event.kind, path, now_s, is_directory=event.is_directory)

    def _relative(self, path: bytes) -> bytes:
        """Return a path relative to the root; empty if it is not below it."""
        return path[len(self._root) :] if path.startswith(self._root) else b""

    def _on_moved(self, path: bytes, new_path: bytes, now_s: float, *, is_directory: bool) -> None:
        admits = self._tree.path_filter.admits
        if is_directory:
            admits = self._tree.path_filter.admits_directory
        if not admits(path) or not admits(new_path) or self._tree.path_filter.is_marker(new_path):
            self._on_change(DELETED, path, now_s, is_directory=is_directory)
            self._on_change(CREATED, new_path, now_s, is_directory=is_directory)
        elif not is_directory:
            self._forget_link(path, now_s)
            self._forget_link(new_path, now_s)
            self._hints.add_rename(path, new_path, now_s)
        elif self._tree.spec.recursive:
            self._hints.add_rename(path + b"/", new_path + b"/", now_s)

    def _on_change(self, kind: str, path: bytes, now_s: float, *, is_directory: bool) -> None:
        """Have a path looked at, also where links lead to it."""
        if path.rpartition(b"/")[2] == LINK:
            # A projected volume was turned.
            self._hints.add_subtree(path[: -len(LINK)], now_s)
            self._hints.check_links(now_s)
        if self._tree.projected_volumes.hides(path):
            return
        self._look_at(kind, path, now_s, is_directory=is_directory)
        for link in list(self._tree.links.values()):
            # Nothing is read below a link that leads upwards.
            if path.startswith(link.target) and not link.prefix.startswith(link.target):
                alias = link.prefix + path[len(link.target) :]
                self._look_at(kind, alias, now_s, is_directory=is_directory)

    def _look_at(self, kind: str, path: bytes, now_s: float, *, is_directory: bool) -> None:
        hints, path_filter = self._hints, self._tree.path_filter
        if is_directory:
            if not self._tree.spec.recursive or not path_filter.admits_directory(path):
                return
            if kind == DELETED:
                hints.add_vanished(path + b"/", now_s)
            else:
                hints.add_subtree(path + b"/", now_s)
            return
        self._forget_link(path, now_s)
        if not path_filter.admits(path):
            return
        if path_filter.is_marker(path):
            hints.add_marker(path, now_s)
        elif kind == DELETED:
            hints.add_removed(path, now_s)
        else:
            hints.add_first_look(path, now_s)

    def _forget_link(self, path: bytes, now_s: float) -> None:
        """Have what was a link to a directory read again: it may be gone or lead elsewhere."""
        if self._tree.links.pop(path + b"/", None) is not None:
            self._hints.add_subtree(path + b"/", now_s)


def _end(observer: BaseObserver) -> None:
    """Stop an observer; whatever watchdog raises, the watch goes on, or ends in order."""
    with suppress(Exception):
        observer.stop()
    if observer.is_alive():
        observer.join(JOIN_S)
