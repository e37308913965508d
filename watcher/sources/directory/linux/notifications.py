"""The notifications of one tree: whether the kernel gives any, and why it does not."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from watcher.sources.directory.linux.events import EventReader
from watcher.sources.directory.linux.inotify import Inbox
from watcher.sources.directory.linux.watch_table import WatchTable
from watcher.sources.directory.parts import PartMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.linux.inotify import Inotify
    from watcher.sources.directory.parts import Parts
    from watcher.sources.directory.tree import Tree

_WATCH_LIMIT = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENOMEM})


class InotifyNotifications:
    """See ``port.Notifications``.

    Args:
        tree: The tree.
        hints: Receives what is notified.
        inotify: Returns the process's inotify descriptor; raises OSError if there is none.

    Attributes:
        failure: See ``port.Notifications``.
        reader: Reads them; None while there are none.
    """

    is_exact = True

    def __init__(self, tree: Tree, hints: HintQueue, inotify: Callable[[], Inotify]) -> None:
        self.failure = ""
        self.reader: EventReader | None = None
        self._tree = tree
        self._hints = hints
        self._inotify = inotify

    @property
    def is_active(self) -> bool:
        """See ``port.Notifications.is_active``."""
        return self.reader is not None

    def start(self, parts: Parts, wake: Callable[[], None]) -> None:
        """See ``port.Notifications.start``."""
        is_of_use = any(part.mode is PartMode.NOTIFIED for part in parts)
        if not is_of_use or self.reader is not None or self.failure:
            return
        try:
            watches = WatchTable(self._inotify(), Inbox(wake))
        except OSError as error:
            self.failure = f"no notifications, polling instead: {error.strerror}"
            return
        self.reader = EventReader(self._tree, self._hints, watches, parts)

    def watch(self, prefix: bytes, directory: int) -> None:
        """See ``port.Notifications.watch``."""
        if self.reader is None:
            return
        try:
            self.reader.watch(prefix, directory)
        except OSError as error:
            if error.errno in _WATCH_LIMIT:
                self.failure = (
                    "the limit of watches is reached, polling instead; "
                    "raise fs.inotify.max_user_watches"
                )

    def unwatch(self, prefix: bytes) -> None:
        """See ``port.Notifications.unwatch``."""
        if self.reader is not None:
            self.reader.watches.drop(prefix)

    def read(self, now_s: float) -> None:
        """See ``port.Notifications.read``."""
        if self.reader is not None:
            self.reader.read(now_s)

    def expire_renames(self, now_s: float) -> None:
        """See ``port.Notifications.expire_renames``."""
        if self.reader is not None:
            self.reader.expire_renames(now_s)

    def close(self) -> None:
        """See ``port.Notifications.close``."""
        self.failure = ""
        if self.reader is not None:
            self.reader.close()
            self.reader = None
