"""Random histories on the portable backend: it invents and loses nothing either."""

from functools import partial

import pytest

from property.disk import LINKED, UNLINKED
from property.test_directory_property import Watching, run_histories
from watcher.sources.directory.linux.inotify import Inotify
from watcher.spec import Mode


# watchdog's own thread meets a directory twice, and an error would end it.
@pytest.mark.filterwarnings("ignore:Callback with id")
@pytest.mark.parametrize("kinds", [UNLINKED, LINKED], ids=["files", "links"])
def test_the_stream_replayed_is_the_directory(notifications: Inotify, kinds: list[str]) -> None:
    """Scans decide, as when polled, and what an observer hints comes whenever it does."""
    run_histories(partial(Watching, notifications, Mode.POLL, kinds, is_portable=True))
