"""The public observer of inotify(7), which may meet a directory twice. For Linux alone.

A directory that is made in a new one is met by the walk below that one and, if this has been
watched by then, by the event of its own creation as well.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyFD

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import CallbackId, Mask, WatchCallback, WatchDescriptor


class InotifyObserver(BaseObserver):
    """The observer that watchdog has for Linux, with another descriptor."""

    def __init__(self) -> None:
        self._inotify_fd = _Descriptor()
        self._inotify_fd.start()
        super().__init__(InotifyEmitter, inotify_fd=self._inotify_fd)

    def on_thread_stop(self) -> None:
        """Stop the emitters, and then the thread that reads the kernel's queue."""
        super().on_thread_stop()
        self._inotify_fd.stop()
        self._inotify_fd.join()


class _Descriptor(InotifyFD):
    def run(self) -> None:
        """Read the kernel's queue until the observer is stopped, or watchdog has lost its way.

        It raises KeyError when a directory is deleted that had left, if another one has come and
        gone in its place since. ``ObserverNotifications`` notices the end of the thread.
        """
        with suppress(KeyError):
            super().run()

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a directory; a second call for the same callback changes nothing.

        watchdog's own warns of one, with the paths of all directories that are watched. Where
        warnings are errors that ends the thread, and nothing is notified any more.

        Raises:
            OSError: See inotify_add_watch(2).
        """
        with self._lock:
            watch = self._get_or_create_watch(path, mask)
            watch.callbacks[id_] = callback
            return watch.wd
