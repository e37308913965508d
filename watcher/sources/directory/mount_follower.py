"""Follows the mounts of one tree while it is watched, and polls the parts that cannot notify.

A change of the mount table leads to a scan of the parts in which other volumes are mounted since.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watcher.errors import NotFoundError
from watcher.sources.directory.part_finder import PartFinder
from watcher.sources.directory.parts import PartMode
from watcher.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from watcher.clock import Clock
    from watcher.filesystem.mounts import Mount
    from watcher.filesystem.port import Mounts
    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.directory.part_finder import Reading
    from watcher.sources.directory.parts import Part, Parts
    from watcher.sources.directory.port import Notifications
    from watcher.sources.directory.tree import Tree


class MountFollower:
    """The mounts of one tree, followed from ``open`` to ``close``. For one thread.

    Args:
        tree: The tree.
        hints: Receives the parts that are to be scanned.
        notifications: Those of the tree; started when a part is mounted that has some.
        mounts: What is mounted.
        clock: The time.

    Attributes:
        finder: Finds the parts.
    """

    def __init__(
        self,
        tree: Tree,
        hints: HintQueue,
        notifications: Notifications,
        mounts: Mounts,
        clock: Clock,
    ) -> None:
        self.finder = PartFinder(tree, mounts)
        self._spec = tree.spec
        self._hints = hints
        self._notifications = notifications
        self._clock = clock
        self._remounted: set[bytes] = set()
        self._scanned_s: dict[bytes, float] = {}
        self._polls_due_s = 0.0
        self._wake: Callable[[], None] = _nothing

    @property
    def parts(self) -> Parts:
        """The root and the mounts below it, each with how it is watched."""
        return self.finder.parts

    def open(self, wake: Callable[[], None]) -> None:
        """Find the parts of the tree, which is open, and have its thread woken by changes.

        Raises:
            WatcherError: See ``Root.held``.
        """
        self._wake = wake
        self.finder.open(wake)
        self._notifications.start(self.parts, wake)

    def close(self) -> None:
        """Follow the mounts no more."""
        self.finder.close(self._wake)
        self._remounted.clear()
        self._scanned_s.clear()

    def mount_at(self, path: bytes) -> Mount | None:
        """Return the mount that holds a path; None if it is unknown."""
        return self.finder.mount_at(path)

    def notifies(self, path: bytes) -> bool:
        """Return whether every change at a path is notified, and not only found by scans."""
        return self._is_exact and self.finder.part_at(path).mode is PartMode.NOTIFIED

    @property
    def _is_exact(self) -> bool:
        return self._notifications.is_active and self._notifications.is_exact

    def is_remounted(self, path: bytes) -> bool:
        """See ``protocol.Source.is_remounted``."""
        return any(map(path.startswith, self._remounted))

    def known_until_s(self, prefix: bytes) -> float:
        """See ``protocol.Source.known_until_s``; what cannot be read is not looked at."""
        if not self._is_exact or self._notifications.failure:
            parts = list(self.parts)
        else:
            parts = [part for part in self.parts if part.mode is PartMode.POLLED]
        return min(
            (
                self._scanned_s.get(part.point, float("-inf"))
                for part in parts
                if not part.is_file and part.mode is not PartMode.UNREAD and _meet(part, prefix)
            ),
            default=float("inf"),
        )

    def end_scan(self, prefix: bytes, begun_s: float) -> None:
        """Note that everything at a prefix has been read since the last mount there.

        Args:
            prefix: What was scanned.
            begun_s: When the scan began.
        """
        self._scanned_s |= {
            part.point: begun_s for part in self.parts if part.prefix.startswith(prefix)
        }
        self._remounted = {each for each in self._remounted if not each.startswith(prefix)}

    def accept(self) -> None:
        """See ``protocol.Source.accept_volumes``."""
        self._note_changed(self.parts.accept())

    def release(self, prefix: bytes, place: str) -> None:
        """See ``protocol.Source.release``; the place is named in the error."""
        self.follow()
        if prefix not in self.parts.missing:
            missing = ", ".join(repr(os.fsdecode(point)) for point in self.parts.missing)
            raise NotFoundError(
                f"no mount is missing at {os.fsdecode(prefix)!r}",
                place=place,
                hint=f"these are: {missing}" if missing else "all mounts are there",
            )
        self._note_changed(self.parts.release(prefix))

    def follow(self) -> Reading:
        """Find the parts again if the mount table has changed; return the state that they are in.

        Raises:
            WatcherError: See ``Root.held``.
        """
        self._note_changed(self.finder.refresh())
        return self.finder.reading

    def doubtful(self, found: Iterable[tuple[bytes, bool]], since: Reading) -> set[bytes]:
        """Return the paths of a reading that prove nothing, and recheck them if that may help.

        Args:
            found: The paths, each with whether it may be a link.
            since: The state of the mounts when the reading began.

        Raises:
            WatcherError: See ``Root.held``.
        """
        self.follow()
        unread, changed = self.finder.doubts(found, since)
        self._hints.recheck(changed, self._clock.monotonic())
        return unread | changed

    def due_s(self) -> float:
        """Return when ``poll`` is due next, on the monotonic clock; infinite without mounts."""
        return self._polls_due_s if len(self.parts) else float("inf")

    def poll(self, now_s: float, mode: Mode) -> None:
        """Look at the polled parts if they are due.

        Args:
            now_s: The time.
            mode: How the root is watched: where it is polled, scans read all parts.
        """
        if now_s < self._polls_due_s:
            return
        self._polls_due_s = now_s + self._spec.poll_interval_s
        if any(part.is_file for part in self.parts):
            # Nothing notifies that a mounted file was replaced where it comes from.
            self.finder.forget()
        if mode is Mode.NOTIFY:
            for part in self.parts:
                if part.mode is PartMode.POLLED:
                    self._look_at(part, now_s)

    def _note_changed(self, parts: Iterable[Part]) -> None:
        """Scan the parts in which other volumes are mounted, or watch them no longer."""
        now_s = self._clock.monotonic()
        for part in parts:
            self._notifications.unwatch(part.prefix)
            if part.mode is not PartMode.UNREAD:
                self._remounted.add(part.prefix)
                self._look_at(part, now_s)
        self._notifications.start(self.parts, self._wake)

    def _look_at(self, part: Part, now_s: float) -> None:
        if part.is_file:
            self._hints.recheck([part.point], now_s)
        else:
            self._hints.add_subtree(part.prefix, now_s)


def _meet(part: Part, prefix: bytes) -> bool:
    """Return whether a part holds a prefix, or something under it."""
    return part.prefix.startswith(prefix) or prefix.startswith(part.prefix)


def _nothing() -> None:
    """Do nothing: the function that wakes a tree before it is opened."""
