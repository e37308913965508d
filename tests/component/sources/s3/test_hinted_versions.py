"""Hints the keys of a bucket whose versions are read, on the simulated store."""

import pytest

from support.s3.faults import REFUSALS, Failing, Fault
from support.s3.version_fixtures import Begin, as_event, begin, store
from support.s3.versioned import VersionedStore
from support.s3.watched_versions import WatchedVersions
from watcher.model import Rescan
from watcher.spec import HintKind, Notifications
from watcher.versioned import join_version

__all__ = ["begin", "store"]


@pytest.fixture
def watched(store: VersionedStore, begin: Begin) -> WatchedVersions:
    """Watch a bucket that gives hints, once all of it was listed."""
    store.put("in/a")
    watched = begin(fields={"notifications": Notifications(HintKind.WEBHOOK)})
    for observation in watched.source.observe():
        watched.reconciler.apply(observation)
    watched.reconciler.rescan_reason = None
    return watched


def test_all_new_versions_of_a_hinted_key_are_events(
    store: VersionedStore, watched: WatchedVersions
) -> None:
    """In order, and those of keys beside it are none; the next listing has nothing to add."""
    wanted = [
        as_event("modified", store.put("in/a")),
        as_event("deleted", store.delete("in/a")),
        as_event("created", store.put("in/a")),
    ]
    others = [as_event("created", store.put(key)) for key in ("in/a/b", "in/ab")]
    assert watched.hint("in/a", "in/a") == wanted
    assert watched.poll() == others
    assert watched.hint("in/a", "in/ab") == []


@pytest.mark.parametrize("is_grouped", [False, True])
@pytest.mark.parametrize("page_keys", [1, 2, 3])
def test_versions_of_a_hinted_key_span_pages(
    store: VersionedStore, watched: WatchedVersions, page_keys: int, *, is_grouped: bool
) -> None:
    """Up to as many pages as are read for one key."""
    store.page_keys, store.is_grouped = page_keys, is_grouped
    store.put("in/a/b")
    wanted = [
        as_event("modified", store.put("in/a")),
        as_event("deleted", store.delete("in/a")),
        as_event("created", store.put("in/a")),
    ]
    assert watched.hint("in/a") == wanted
    # Four versions of the key, and perhaps one page more that shows that there are no others.
    seen = watched.source._hints.requests
    assert (seen.heads, 0 <= seen.lists - -(-4 // page_keys) <= 1) == (0, True)


def test_key_with_more_pages_is_left_to_a_listing(
    store: VersionedStore, watched: WatchedVersions
) -> None:
    """One is asked for, and finds what is new."""
    store.page_keys = 1
    versions = [store.put("in/a") for _ in range(12)]
    assert watched.hint("in/a") == []
    assert watched.reconciler.rescan_reason is Rescan.HEAD_REFUSED
    assert watched.poll() == [as_event("modified", each) for each in versions]


def test_refused_prefix_means_that_a_listing_is_due(
    store: VersionedStore, watched: WatchedVersions
) -> None:
    """A policy may pin the prefix."""
    store.on_list = Failing(REFUSALS["403"], lambda request: request.prefix != "in/")
    version = store.put("in/a")
    assert watched.hint("in/a") == []
    assert watched.reconciler.rescan_reason is Rescan.HEAD_REFUSED
    assert watched.poll() == [as_event("modified", version)]


def test_deletions_are_not_inferred(store: VersionedStore, watched: WatchedVersions) -> None:
    """A key without versions is left to listings, and so are versions that are gone for good."""
    (version,) = store.versions("in/a")
    store.delete_version("in/a", version.version_id)
    assert watched.hint("in/a", "in/never") == []
    assert watched.rows == {join_version(b"in/a", version.version_id)}
    assert watched.poll() == [] == watched.poll()
    assert watched.rows == set()


def test_wrong_answer_to_a_hint_is_tried_again(
    store: VersionedStore, watched: WatchedVersions
) -> None:
    """It causes no event and no listing."""
    failing = Failing(Fault.OTHER_PREFIX, most=1)
    store.on_list = failing
    version = store.put("in/a")
    assert watched.hint("in/a") == [as_event("modified", version)]
    assert failing.hits
    assert watched.reconciler.rescan_reason is None
