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
from watcher.sources.directory.exact_names import folded
from watcher.sources.directory.parts import PartMode
from watcher.sources.directory.portable.exchanges import Exchanges
from watcher.sources.directory.portable.inbox import CREATED, DELETED, MOVED, Inbox
from watcher.sources.directory.projected_volumes import LINK
from watcher.sources.directory.volume_hints import hint_volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, ObservedWatch

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
        self._watch: ObservedWatch | None = None
        self._exchanges = Exchanges()
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
        if self._exchanges.found_in(events, now_s):
            # Before the renames are added, which the scan is to follow.
            self._replace(now_s)
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
        observer: BaseObserver | None = None
        try:
            observer = self._make_observer()
            # In this order the error of an emitter is raised here, and not in the other thread.
            observer.start()
            self._watch = observer.schedule(
                self._inbox, path, recursive=self._tree.spec.recursive, event_filter=_EVENTS
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, scans go on
            reason = getattr(error, "strerror", None) or error
            self.failure = f"no notifications, polling instead: {reason}"
            if observer is not None:
                _end(observer)
        else:
            self.failure = ""
            self._observer = observer

    def _stop(self) -> None:
        if self._observer is not None:
            _end(self._observer, self._watch)
            self._observer = self._watch = None
        self._inbox = Inbox(lambda: None)

    def _revive(self, now_s: float) -> None:
        """Start another observer in place of one that has ended, or could not be started."""
        if self._observer is not None:
            if _is_running(self._observer):
                return
            self._replace(now_s)
        elif self.failure and now_s >= self._retry_due_s:
            self._retry(now_s)

    def _replace(self, now_s: float) -> None:
        """Start another observer in place of this one; a scan finds what none of them reported."""
        self._stop()
        self._hints.rescan(Rescan.NOTIFICATIONS_LOST)
        self._retry(now_s)

    def _retry(self, now_s: float) -> None:
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
        if path.startswith(self._root):
            return path[len(self._root) :]
        # FSEvents reports names as they are listed, in whatever case and form the root was given.
        depth = self._root.count(b"/")
        names = path.split(b"/")
        is_below = folded(b"/".join([*names[:depth], b""])) == folded(self._root)
        return b"/".join(names[depth:]) if is_below else b""

    def _on_moved(self, path: bytes, new_path: bytes, now_s: float, *, is_directory: bool) -> None:
        if not self._is_rename(path, new_path, is_directory=is_directory):
            self._on_change(DELETED, path, now_s, is_directory=is_directory)
            self._on_change(CREATED, new_path, now_s, is_directory=is_directory)
            return
        self._on_link(DELETED, path, now_s, is_admitted=True)
        self._on_link(CREATED, new_path, now_s, is_admitted=True)
        end = b"/" if is_directory else b""
        self._hints.add_rename(path + end, new_path + end, now_s)
        self._look_through_links(DELETED, path, now_s, is_directory=is_directory)
        self._look_through_links(CREATED, new_path, now_s, is_directory=is_directory)

    def _is_rename(self, path: bytes, new_path: bytes, *, is_directory: bool) -> bool:
        """Return whether what was moved counts under both names."""
        path_filter = self._tree.path_filter
        if is_directory:
            if not self._tree.spec.recursive:
                return False
            admits = path_filter.admits_directory
        else:
            admits = path_filter.admits
        return not path_filter.is_marker(new_path) and all(
            admits(each) and _name(each) != LINK and not self._tree.projected_volumes.hides(each)
            for each in (path, new_path)
        )

    def _on_change(self, kind: str, path: bytes, now_s: float, *, is_directory: bool) -> None:
        """Have a path looked at, also where links lead to it."""
        if _name(path) == LINK:
            hint_volume(self._tree, self._hints, path[: -len(LINK)], now_s)
        # Kubernetes' own files are reported only through the links to them.
        if not self._tree.projected_volumes.hides(path):
            self._look_at(kind, path, now_s, is_directory=is_directory)
        self._look_through_links(kind, path, now_s, is_directory=is_directory)

    def _look_through_links(
        self, kind: str, path: bytes, now_s: float, *, is_directory: bool
    ) -> None:
        """Have a path looked at where links lead to it."""
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
        is_admitted = path_filter.admits(path)
        self._on_link(kind, path, now_s, is_admitted=is_admitted)
        if not is_admitted:
            return
        if path_filter.is_marker(path):
            hints.add_marker(path, now_s)
        elif kind == DELETED:
            hints.add_removed(path, now_s)
        else:
            hints.add_first_look(path, now_s)

    def _on_link(self, kind: str, path: bytes, now_s: float, *, is_admitted: bool) -> None:
        """Have a link to a directory read, and what was one: it may be gone or lead elsewhere."""
        hints, tree = self._hints, self._tree
        was_link = tree.links.pop(path + b"/", None) is not None
        # An admitted path is looked at anyway, which finds a link.
        is_new = kind == CREATED and not is_admitted
        is_link = (was_link or is_new) and tree.directory_link(path) is not None
        if was_link or is_link:
            hints.add_subtree(path + b"/", now_s)
        if was_link and is_link:
            # It has a new target, and other links may lead through it.
            for prefix in tree.links:
                hints.add_subtree(prefix, now_s)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _is_running(observer: BaseObserver) -> bool:
    """Return whether all threads of an observer run: that of inotify reads the queue in a third."""
    reader: Thread | None = getattr(observer, "_inotify_fd", None)
    threads = [observer, *observer.emitters, *filter(None, [reader])]
    return all(thread.is_alive() for thread in threads)


def _end(observer: BaseObserver, watch: ObservedWatch | None = None) -> None:
    """Stop an observer; whatever watchdog raises, the watch goes on, or ends in order."""
    groups = [getattr(emitter, "_inotify", None) for emitter in observer.emitters]
    if watch is not None:
        # That of inotify raises KeyError after an exchange of directories; without its emitter
        # the observer then still closes its descriptor.
        with suppress(Exception):
            observer.unschedule(watch)
    with suppress(Exception):
        observer.stop()
    for group in filter(None, groups):
        # It was raised before the queue was closed for which the thread of the emitter waits.
        with suppress(Exception):
            group._move_event_grouper.close()  # noqa: SLF001 - nothing public closes it by now
    if observer.is_alive():
        observer.join(JOIN_S)
