"""Notifications of the kernel, through watchdog's inotify layer. With ``directory.py``'s import of this, the only importer of watchdog.

watchdog's observers queue events without bound, drop what they cannot follow, and tell nobody of an overflow; its ``InotifyFD`` below
them does neither: it reads, splits and hands over every event of the kernel. We plug in there: one descriptor for the whole process
(a node has 128 for all pods of a user), and an inbox for each watched directory tree, which the tree's own thread empties in order.
"""

from __future__ import annotations

import ctypes
import os
import threading
from itertools import groupby
from typing import TYPE_CHECKING, cast

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    Watch,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
)

from watcher.limits.fair_share import FairShare

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


INBOX_EVENTS = 65_536
"""Events that wait in an inbox before it overflows; the kernel's own queue holds 16,384 by default."""

ALL_INBOX_EVENTS = 500_000
"""Events that wait in all inboxes of a process, some 100 MB, before those overflow that hold most of them."""

CREATE = InotifyConstants.IN_CREATE
MODIFY = InotifyConstants.IN_MODIFY
ATTRIB = InotifyConstants.IN_ATTRIB
CLOSE_WRITE = InotifyConstants.IN_CLOSE_WRITE
MOVED_FROM = InotifyConstants.IN_MOVED_FROM
MOVED_TO = InotifyConstants.IN_MOVED_TO
DELETE = InotifyConstants.IN_DELETE
DELETE_SELF = InotifyConstants.IN_DELETE_SELF
MOVE_SELF = InotifyConstants.IN_MOVE_SELF
UNMOUNT = InotifyConstants.IN_UNMOUNT
IGNORED = InotifyConstants.IN_IGNORED
ISDIR = InotifyConstants.IN_ISDIR
_OVERFLOW = InotifyConstants.IN_Q_OVERFLOW

# Without open and close-nowrite: our own scans would notify us of themselves. EXCL_UNLINK: nothing of files that have no name any more.
_MASK = Mask(
    CREATE | MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE | DELETE_SELF | MOVE_SELF
    | InotifyConstants.IN_ONLYDIR | InotifyConstants.IN_DONT_FOLLOW | InotifyConstants.IN_EXCL_UNLINK
)  # fmt: skip

_CROWD = FairShare(ALL_INBOX_EVENTS)


class Inbox(WatchCallback):
    """The events of one directory tree, in the kernel's order, until its thread takes them. Safe between two threads.

    Args:
        wake: Called from the reading thread when an event has come; returns at once.
        fair_share: Other inboxes.
    """

    def __init__(self, wake: Callable[[], None], fair_share: FairShare = _CROWD) -> None:
        self._wake = wake
        self._fair_share = fair_share
        self._is_closed = False
        self._lock = threading.Lock()
        self._events: list[InotifyEvent] = []
        self._overflowed = False

    def take(self) -> tuple[list[InotifyEvent], bool]:
        """Remove and return the events, and whether others were lost since the last call."""
        with self._lock:
            events, self._events = self._events, []
            overflowed, self._overflowed = self._overflowed, False
            self._fair_share.admit(self, 0)
        return events, overflowed

    def close(self) -> None:
        """Drop what is there, and what is still on its way."""
        with self._lock:
            self._is_closed = True
        self.take()

    def put(self, run: list[InotifyEvent]) -> None:
        """Keep events that came one after the other; called by the reading thread."""
        with self._lock:
            if self._is_closed:
                return
            events = self._events
            is_first = not events
            # The kernel merges what repeats as long as it waits there.
            new = run[1:] if events and events[-1] == run[0] else run
            room = INBOX_EVENTS - len(events)
            if len(new) > room:
                self._overflowed = True
                new = new[:room]
            events += new
            if not self._fair_share.admit(self, len(events)):
                self._overflowed = True
                events.clear()
                self._fair_share.admit(self, 0)
        if is_first:
            # For those that follow the thread is awake, or about to be.
            self._wake()

    def on_event(self, event: InotifyEvent) -> None:
        """Keep an event; called by the reading thread."""
        self.put([event])

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Keep the end of a watch, in its order among the events; called by the reading thread."""
        self.on_event(InotifyEvent(wd, IGNORED, 0, b""))

    def on_queue_overflow(self) -> None:
        """Note that the kernel dropped events; called by the reading thread."""
        with self._lock:
            self._overflowed = True
        self._wake()


class Inotify(InotifyFD):
    """The inotify descriptor of the process and the thread that reads it."""

    def run(self) -> None:
        """Hand over what the kernel tells, a run of one directory's events at a time: for a hundred who watch it as soon as for one."""
        while self.should_keep_running():
            for wd, run in groupby(self.read_events(), _heard_of):
                if wd is None:
                    for event in run:
                        self.handle_event(event)
                else:
                    self._attach_raw_body(wd, list(run))

    def _attach_raw_body(self, wd: WatchDescriptor, run: list[InotifyEvent]) -> None:
        with self._lock:
            watch = self._watch_for_wd.get(wd)
            inboxes = (
                [cast("Inbox", callback) for callback in watch.callbacks.values()] if watch else []
            )
        # Outside of the lock, since those who are woken may want to watch and unwatch.
        for inbox in inboxes:
            inbox.put(run)

    def watch(self, path: bytes, inbox: Inbox) -> int:
        """Watch one directory, not what is below it; watching it again changes nothing.

        Args:
            path: Of a directory; a symbolic link is not followed.
            inbox: Gets its events from now on.

        Returns:
            The watch descriptor: the same for the same directory, never used again for another.

        Raises:
            OSError: As inotify_add_watch(2): ENOSPC at the limit of watches, EACCES, ENOENT, ENOTDIR.
        """
        with self._lock:
            wd = inotify_add_watch(self._inotify_fd, path, _MASK)
            if wd == -1:
                error = ctypes.get_errno()
                raise OSError(error, os.strerror(error), path)
            watch = self._watch_for_wd.setdefault(wd, Watch(wd, _MASK, path))
            watch.callbacks[CallbackId(id(inbox))] = inbox
            return wd

    def __len__(self) -> int:
        """Return how many directories are watched."""
        return len(self._watch_for_wd)

    def unwatch(self, wds: Collection[int], inbox: Inbox) -> None:
        """Stop watching; descriptors that ended on their own are passed over."""
        ours = CallbackId(id(inbox))
        with self._lock:
            for wd in map(WatchDescriptor, wds):
                watch = self._watch_for_wd.get(wd)
                if watch is not None and ours in watch.callbacks:
                    self._remove_callback(wd, ours)


def _heard_of(event: InotifyEvent) -> WatchDescriptor | None:
    """Return the watch whose directory an event is about; None when it is about the watch itself, or about all."""
    return None if event.mask & (IGNORED | _OVERFLOW) else event.wd
