"""What tests that put the real parts together share: the kernel's notifications, and an outbox that may lose power."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from watcher.outbox import Outbox
from watcher.sources.inotify import Inotify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.tracker import Step

JOIN_DEADLINE_S = 10.0


class PowerFailure(BaseException):
    """Everything stops here; what was committed is on disk."""


class FallibleOutbox(Outbox):
    """The outbox, until power fails.

    Attributes:
        commits_left: So many commits succeed, and the next one does not; None for no end.
    """

    commits_left: int | None = None

    def commit(self, step: Step) -> None:
        """See ``Outbox``.

        Raises:
            PowerFailure: Nothing was written.
        """
        if self.commits_left is not None:
            if self.commits_left == 0:
                raise PowerFailure
            self.commits_left -= 1
        super().commit(step)


@pytest.fixture
def notifications() -> Iterator[Inotify]:
    """Read the kernel's notifications."""
    notifications = Inotify()
    notifications.start()
    yield notifications
    notifications.stop()
    notifications.join(JOIN_DEADLINE_S)
    assert not notifications.is_alive()
