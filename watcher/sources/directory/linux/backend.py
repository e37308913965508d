"""What all sources of one server share on Linux; see ``port.Backend``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from watcher.filesystem.linux.files import LinuxFiles
from watcher.filesystem.linux.mount_monitor import MountMonitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.linux.inotify import Inotify
    from watcher.sources.directory.linux.notifications import InotifyNotifications
    from watcher.sources.directory.tree import Tree


class LinuxBackend:
    """See ``port.Backend``.

    Args:
        inotify: Returns the inotify descriptor of the process; raises OSError if there is none.
            None has one made and closed here.
        monitor: The mount table; None for that of the process.
    """

    def __init__(
        self,
        inotify: Callable[[], Inotify] | None = None,
        monitor: MountMonitor | None = None,
    ) -> None:
        self.files = LinuxFiles()
        self._lock = threading.Lock()
        self._own: Inotify | None = None
        self._inotify = inotify or self._open_own
        self._monitor = monitor or MountMonitor()

    def mounts(self) -> MountMonitor:
        """See ``port.Backend.mounts``; all trees share one."""
        return self._monitor

    def notifications(self, tree: Tree, hints: HintQueue) -> InotifyNotifications:
        """See ``port.Backend.notifications``."""
        from watcher.sources.directory.linux.notifications import InotifyNotifications  # noqa: PLC0415 - watchdog

        return InotifyNotifications(tree, hints, self._inotify)

    def close(self) -> None:
        """See ``port.Backend.close``."""
        self._monitor.close()
        with self._lock:
            inotify, self._own = self._own, None
        if inotify is not None:
            inotify.stop()
            inotify.join()

    @property
    def descriptors(self) -> int:
        """See ``port.Backend.descriptors``."""
        inotify = self._own
        return 0 if inotify is None else len(inotify)

    @property
    def is_deaf(self) -> bool:
        """See ``port.Backend.is_deaf``."""
        inotify = self._own
        return inotify is not None and not inotify.is_alive()

    def _open_own(self) -> Inotify:
        with self._lock:
            if self._own is None:
                from watcher.sources.directory.linux.inotify import Inotify  # noqa: PLC0415 - watchdog

                inotify = Inotify()
                inotify.start()
                self._own = inotify
            return self._own
