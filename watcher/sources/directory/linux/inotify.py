"""The kernel's notifications, through watchdog's inotify layer.

watchdog's public observers queue events without bound, drop what they cannot follow and report no
overflow. ``InotifyFD`` below them does neither: it reads, splits and passes on every event. This
module extends it: one descriptor for the whole process (the default limit is 128 for all processes
of a user, which the pods of a node share), and for each watched tree an inbox, which the thread of
its watch empties.
"""

from __future__ import annotations

import ctypes
import os
import threading
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, cast

from watchdog.observers.inotify_c import (
    DEFAULT_EVENT_BUFFER_SIZE,
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    Watch,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
    inotify_rm_watch,
)

from watcher.limits.fair_share import FairShare

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

INBOX_EVENTS = 65_536
"""Maximum number of events in an inbox; the kernel's own queue holds 16,384 by default."""

ALL_INBOX_EVENTS = 500_000
"""The same for all inboxes of a process, about 100 MB; above, the fullest inboxes overflow."""

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

# No open and close-nowrite events, which scans would cause. EXCL_UNLINK: none of unlinked files.
_MASK = Mask(
    CREATE
    | MODIFY
    | ATTRIB
    | CLOSE_WRITE
    | MOVED_FROM
    | MOVED_TO
    | DELETE
    | DELETE_SELF
    | MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)

_UNCLOSED = CREATE | MODIFY
_WRITE = MODIFY | CLOSE_WRITE

_ALL_INBOXES = FairShare(ALL_INBOX_EVENTS)


class Event(NamedTuple):
    """An event of inotify(7), or several of one file; half as costly as watchdog's.

    Attributes:
        wd: Watch descriptor of the directory.
        mask: What happened.
        cookie: Number that both halves of a rename have in common.
        name: Name in the directory; empty if the event is about the directory itself.
    """

    wd: int
    mask: int
    cookie: int
    name: bytes


def merge(events: Iterable[Event]) -> Iterator[Event]:
    """Yield events, with one in place of consecutive ones that are about the writing of one file.

    A file that is written at once has CREATE, MODIFY and CLOSE_WRITE, in this order. The last of
    them decides, and the first ones mean the same in its mask. Equal ones are one as in the
    kernel's own queue.
    """
    last: Event | None = None
    for event in events:
        if last is None:
            last = event
        elif last[3] == event[3] and last[0] == event[0] and _continues(last, event):
            last = Event(last[0], last[1] | event[1], last[2], last[3])
        else:
            yield last
            last = event
    if last is not None:
        yield last


def _continues(last: Event, event: Event) -> bool:
    """Return whether an event of the same file goes on with what the last one began."""
    return not (last.mask & ~_UNCLOSED or event.mask & ~_WRITE) or last == event


class Inbox(WatchCallback):
    """The events of one tree, in the kernel's order, until its thread takes them. Thread-safe.

    Args:
        wake: Called from the reading thread when an event has arrived; returns at once.
        all_inboxes: The common bound on the inboxes of the process.

    Attributes:
        watch: The one watch of all directories that have no other inbox: of a hundred thousand
            directories, each with its own, they would take 50 MB.
    """

    def __init__(self, wake: Callable[[], None], all_inboxes: FairShare = _ALL_INBOXES) -> None:
        self._wake = wake
        self._all_inboxes = all_inboxes
        self._is_closed = False
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._overflowed = False
        self.watch = _watch_for([self])

    def take(self) -> tuple[list[Event], bool]:
        """Remove and return the events, and whether any were lost since the last call."""
        with self._lock:
            events, self._events = self._events, []
            overflowed, self._overflowed = self._overflowed, False
            self._all_inboxes.admit(self, 0)
        return events, overflowed

    def close(self) -> None:
        """Drop all events, also those that arrive later."""
        with self._lock:
            self._is_closed = True
        self.take()

    def put(self, run: list[Event]) -> None:
        """Add consecutive events; called by the reading thread."""
        with self._lock:
            if self._is_closed:
                return
            events = self._events
            is_first = not events
            new = run
            if events and len(both := [*merge((events[-1], run[0]))]) == 1:
                events[-1], new = both[0], run[1:]
            room = INBOX_EVENTS - len(events)
            if len(new) > room:
                self._overflowed = True
                new = new[:room]
            events += new
            if not self._all_inboxes.admit(self, len(events)):
                self._overflowed = True
                events.clear()
                self._all_inboxes.admit(self, 0)
        if is_first:
            # For later events the thread is awake or about to be.
            self._wake()

    def on_event(self, event: InotifyEvent) -> None:
        """Add an event; called by the reading thread."""
        self.put([Event(event.wd, event.mask, event.cookie, event.name)])

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Add the end of a watch, in its order among the events; called by the reading thread."""
        self.put([Event(wd, IGNORED, 0, b"")])

    def on_queue_overflow(self) -> None:
        """Mark events as lost by the kernel; called by the reading thread."""
        with self._lock:
            self._overflowed = True
        self._wake()


class Inotify(InotifyFD):
    """The inotify descriptor of the process, and the thread that reads it."""

    def run(self) -> None:
        """Pass on the kernel's events, consecutive ones of a directory at once.

        So a hundred inboxes of one directory cost this thread little more than one.
        """
        while self.should_keep_running():
            buffer = self._read_event_buffer(DEFAULT_EVENT_BUFFER_SIZE)
            events = merge(map(Event._make, self._parse_event_buffer(buffer)))
            for wd, run in groupby(events, _watch_of):
                if wd is None:
                    for wd_, mask, cookie, name in run:
                        self.handle_event(
                            InotifyEvent(WatchDescriptor(wd_), Mask(mask), cookie, name)
                        )
                else:
                    self._put(wd, list(run))

    def _put(self, wd: int, run: list[Event]) -> None:
        with self._lock:
            watch = self._watch_for_wd.get(WatchDescriptor(wd))
            inboxes = (
                [cast("Inbox", callback) for callback in watch.callbacks.values()] if watch else []
            )
        # Outside the lock: a woken thread may watch and unwatch at once.
        for inbox in inboxes:
            inbox.put(run)

    def watch(self, path: bytes, inbox: Inbox) -> int:
        """Watch one directory, without its subdirectories; a second call changes nothing.

        Args:
            path: Path of the directory; a symbolic link is not followed.
            inbox: Receives its events from now on.

        Returns:
            The watch descriptor: the same for the same directory, never reused for another.

        Raises:
            OSError: See inotify_add_watch(2): ENOSPC at the limit of watches, EACCES, ENOENT,
                ENOTDIR.
        """
        with self._lock:
            wd = inotify_add_watch(self._inotify_fd, path, _MASK)
            if wd == -1:
                error = ctypes.get_errno()
                raise OSError(error, os.strerror(error), path)
            watch = self._watch_for_wd.setdefault(wd, inbox.watch)
            if _id_of(inbox) not in watch.callbacks:
                self._watch_for_wd[wd] = _watch_for([*watch.callbacks.values(), inbox])
            return wd

    def __len__(self) -> int:
        """Return the number of watched directories."""
        return len(self._watch_for_wd)

    def unwatch(self, wds: Collection[int], inbox: Inbox) -> None:
        """Stop watching for an inbox; descriptors that the kernel has ended are ignored."""
        with self._lock:
            for wd in map(WatchDescriptor, wds):
                watch = self._watch_for_wd.get(wd)
                if watch is None or _id_of(inbox) not in watch.callbacks:
                    continue
                others = [each for each in watch.callbacks.values() if each is not inbox]
                if others:
                    self._watch_for_wd[wd] = _watch_for(others)
                else:
                    del self._watch_for_wd[wd]
                    inotify_rm_watch(self._inotify_fd, wd)


def _watch_for(inboxes: Iterable[WatchCallback]) -> Watch:
    """Return the watch of any directory whose events some inboxes receive; it never changes."""
    watch = Watch(WatchDescriptor(-1), _MASK, b"")
    watch.callbacks = {_id_of(inbox): inbox for inbox in inboxes}
    return watch


def _id_of(inbox: WatchCallback) -> CallbackId:
    return CallbackId(id(inbox))


def _watch_of(event: Event) -> int | None:
    """Return the watch of an event; None if the event ends the watch or concerns all watches."""
    return None if event.mask & (IGNORED | _OVERFLOW) else event.wd
