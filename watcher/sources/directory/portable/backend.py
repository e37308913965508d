"""What all sources of one server share on any system; see ``port.Backend``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchdog.observers import Observer

from watcher.filesystem.portable.files import PortableFiles
from watcher.filesystem.portable.no_mounts import NoMounts
from watcher.sources.directory.portable.notifications import ObserverNotifications

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchdog.observers.api import BaseObserver

    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.tree import Tree


def make_observer() -> BaseObserver:
    """Return the public observer that watchdog has for this system, not started.

    Raises:
        OSError: There is no further descriptor of inotify(7).
        RuntimeError: There can be no further thread.
    """
    if Observer.__module__ == "watchdog.observers.inotify":
        from watcher.sources.directory.portable.inotify_observer import InotifyObserver  # noqa: PLC0415 - for Linux

        return InotifyObserver()
    return Observer()


class PortableBackend:
    """See ``port.Backend``.

    Args:
        make_observer: Returns an observer of watchdog that has not been started.
    """

    descriptors = 0
    is_deaf = False

    def __init__(self, make_observer: Callable[[], BaseObserver] = make_observer) -> None:
        self.files = PortableFiles()
        self._make_observer = make_observer

    @staticmethod
    def mounts() -> NoMounts:
        """See ``port.Backend.mounts``."""
        return NoMounts()

    def notifications(self, tree: Tree, hints: HintQueue) -> ObserverNotifications:
        """See ``port.Backend.notifications``; each tree has an observer of its own."""
        return ObserverNotifications(tree, hints, self._make_observer)

    def close(self) -> None:
        """See ``port.Backend.close``; the observers end with their trees."""
