"""Random histories on the portable backend: it invents and loses nothing either."""

from functools import partial

import pytest

from property.disk import LINKED, UNLINKED
from property.test_directory_property import CONDITIONS, Watching, run_histories
from watcher.sources.directory.linux.inotify import Inotify
from watcher.spec import Conditions, Mode


@pytest.mark.parametrize("kinds", [UNLINKED, LINKED], ids=["files", "links"])
def test_the_stream_replayed_is_the_directory(notifications: Inotify, kinds: list[str]) -> None:
    """Scans decide, as when polled, whatever an observer reports and whatever it loses."""
    run_histories(partial(Watching, notifications, Mode.POLL, kinds, is_portable=True))


@pytest.mark.parametrize("conditions", CONDITIONS, ids=["shared", "named", "sizes"])
def test_what_conditions_admit_is_reported(notifications: Inotify, conditions: Conditions) -> None:
    """And nothing else is, whatever comes first and however often markers come and go."""
    run_histories(
        partial(Watching, notifications, Mode.POLL, UNLINKED, conditions, is_portable=True)
    )
