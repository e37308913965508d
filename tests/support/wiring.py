"""Real parts for tests: the kernel's notifications, and an outbox that may lose power."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from watcher.delivery.outbox import Outbox
from watcher.errors import NotFoundError
from watcher.filesystem.linux.files import LinuxFiles
from watcher.model import ChangeSet
from watcher.sources.directory.linux.events import EventReader
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.linux.notifications import InotifyNotifications
from watcher.sources.directory.root import Root
from watcher.sources.directory.source import DirectorySource
from watcher.spec import AuthorizedSpec, DirectorySpec

JOIN_DEADLINE_S = 10.0


class PowerFailure(BaseException):
    """Everything stops here; what was committed is on disk."""


class FallibleOutbox(Outbox):
    """The outbox, until power fails after ``commits_left`` commits; None for never."""

    commits_left: int | None = None

    def commit(self, found: ChangeSet) -> None:
        """Commit, unless power fails."""
        if self.commits_left is not None:
            if self.commits_left == 0:
                raise PowerFailure
            self.commits_left -= 1
        super().commit(found)


def find(authorized: AuthorizedSpec) -> None:
    """Open the directory that a principal may watch, if it is one and exists."""
    where = authorized.spec.where
    if isinstance(where, DirectorySpec):
        with suppress(NotFoundError):
            Root(where, LinuxFiles(), within=authorized.within).open()


def reader_of(source: DirectorySource) -> EventReader:
    """Return what reads the kernel's notifications of a tree."""
    notifications = source._notifications
    assert isinstance(notifications, InotifyNotifications)
    assert notifications.reader is not None
    return notifications.reader


@pytest.fixture
def notifications() -> Iterator[Inotify]:
    """Read the kernel's notifications."""
    notifications = Inotify()
    notifications.start()
    yield notifications
    notifications.stop()
    notifications.join(JOIN_DEADLINE_S)
    assert not notifications.is_alive()
