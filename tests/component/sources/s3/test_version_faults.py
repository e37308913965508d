"""Watches the versions of a bucket that fails, answers wrongly, or has no versions."""

import pytest

from support.s3.faults import REFUSALS, Answer, Failing, Fault, Kind, always, edited, error
from support.s3.version_fixtures import Begin, _once, as_event, begin, store
from support.s3.versioned import VersionedStore
from watcher.errors import DeniedError, NotFoundError, UnavailableError, WatcherError
from watcher.versioned import join_version

__all__ = ["_once", "begin", "store"]


FAULTS = [fault for fault in Fault if fault is not Fault.TRICKLE and fault is not Fault.EMPTY]


@pytest.mark.sampled
@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_fault_is_no_deletion(
    store: VersionedStore, begin: Begin, fault: Fault, number: int
) -> None:
    """Whichever page it strikes: the listing fails, or is as it would have been without it."""
    store.page_keys = 2
    for key in ("in/a", "in/b", "in/c"):
        store.put(key)
        store.put(key)
    watched = begin()
    store.on_list = Failing(fault, lambda request: request.number % 3 == number % 3, most=2)
    for _ in range(3):
        try:
            assert watched.poll() == []
        except WatcherError:
            assert watched.reported() == []
    store.on_list = None
    assert watched.poll() == [] == watched.poll()
    assert len(watched.rows) == 6


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (Fault.NO_TOKEN, "has no marker for the next"),
        (Fault.REPEATED_TOKEN, "runs in a circle"),
        (Fault.ENDLESS, "runs in a circle"),
        (Fault.OTHER_BUCKET, "a page of bucket 'other'"),
        (Fault.OTHER_PREFIX, "a page of prefix 'other/'"),
        (edited("<Key>in/", "<Key>out/"), "a key that was not asked for"),
        (edited("ListVersionsResult", "Result"), "a document of the kind 'Result'"),
    ],
    ids=["no-marker", "repeated", "endless", "bucket", "prefix", "key", "kind"],
)
def test_wrong_page_is_refused(
    store: VersionedStore, begin: Begin, effect: Fault, text: str
) -> None:
    """The message says what is wrong with it."""
    store.page_keys = 2
    for number in range(5):
        store.put(f"in/{number}")
    watched = begin()
    store.on_list = always(effect)
    with pytest.raises(WatcherError, match=text):
        watched.poll()
    assert watched.reported() == []


@pytest.mark.parametrize(
    "answer",
    [
        error(501, "NotImplemented"),
        error(405, "MethodNotAllowed"),
        error(400, "InvalidRequest", "unknown subresource"),
        Answer(b"<ListBucketResult><Name>store</Name></ListBucketResult>"),
    ],
    ids=["501", "405", "400", "listing"],
)
def test_store_without_versions_is_refused_at_the_start(
    store: VersionedStore, begin: Begin, answer: Answer
) -> None:
    """With what to do about it."""
    store.on_list = always(answer)
    with pytest.raises(DeniedError, match="leave out versions: true, or watch a store that has"):
        begin()


@pytest.mark.parametrize(
    ("effect", "expected", "text"),
    [
        (Fault.DENIED, DeniedError, "allow s3:ListBucketVersions"),
        (Fault.NO_BUCKET, NotFoundError, "no such bucket"),
        (Fault.INTERNAL_ERROR, UnavailableError, "cannot answer now"),
    ],
)
@pytest.mark.usefixtures("_once")
def test_other_failures_at_the_start(
    store: VersionedStore, begin: Begin, effect: Fault, expected: type[WatcherError], text: str
) -> None:
    """They are those of any bucket, but for the right that is missing."""
    store.on_list = always(effect)
    with pytest.raises(expected, match=text):
        begin()


def test_odd_version_is_set_aside(store: VersionedStore, begin: Begin) -> None:
    """It is named, its rows stay, and all others go on."""
    store.put("in/a")
    odd = store.put("in/b")
    watched = begin()
    store.on_list = always(edited(f"<LastModified>{odd.modified}", "<LastModified>never"))
    version = store.put("in/a")
    assert watched.poll() == [as_event("modified", version)]
    assert watched.poll() == [] == watched.poll()
    assert "'in/b'" in watched.source.degraded
    assert join_version(b"in/b", odd.version_id) in watched.rows
    store.on_list = None
    assert watched.poll() == []
    assert watched.source.degraded == ""


def test_mass_disappearance_makes_no_noise(store: VersionedStore, begin: Begin) -> None:
    """What a lifecycle removes is neither held nor reported, and a sample of it asked for."""
    versions = [store.put(f"in/{number:03}") for number in range(150)]
    watched = begin()
    for version in versions[:140]:
        store.delete_version(version.key, version.version_id)
    result = watched.reconciler.scan(is_baseline=False)
    assert result.held == 0
    assert watched.poll() == []
    assert len(watched.rows) == 10
    assert 1 <= sum(request.kind is Kind.HEAD for request in store.log) <= 20


@pytest.mark.parametrize("missing", [3, 150])
def test_listings_that_lack_versions_are_not_believed(
    store: VersionedStore, begin: Begin, missing: int
) -> None:
    """However often a listing is empty: while HEAD finds versions, none leaves the index."""
    for number in range(missing - 1):
        store.put(f"in/{number:03}")
    store.delete("in/marker")
    watched = begin()
    store.on_list = always(Fault.EMPTY)
    for _ in range(3):
        assert watched.poll() == []
    assert "listings lack versions that are there" in watched.source.degraded
    store.on_list = None
    assert watched.poll() == []
    assert watched.source.degraded == ""
    assert len(watched.rows) == missing


@pytest.mark.usefixtures("_once")
def test_store_that_fails_meanwhile_proves_nothing(store: VersionedStore, begin: Begin) -> None:
    """Versions that cannot be asked for stay, and one request shows that."""
    versions = [store.put(f"in/{number}") for number in range(5)]
    watched = begin()
    for version in versions:
        store.delete_version(version.key, version.version_id)
    failing = Failing(Fault.INTERNAL_ERROR, lambda request: request.kind is Kind.HEAD)
    store.on_request = failing
    assert watched.poll() == [] == watched.poll()
    assert len(failing.hits) == 1
    assert "cannot be checked" in watched.source.degraded
    assert len(watched.rows) == 5
    store.on_request = None
    assert watched.poll() == []
    assert watched.rows == set()


@pytest.mark.parametrize("missing", [3, 150])
@pytest.mark.parametrize("refusal", ["403", "400"])
def test_where_head_is_refused_two_listings_suffice(
    store: VersionedStore, begin: Begin, refusal: str, missing: int
) -> None:
    """A policy without s3:GetObjectVersion keeps no rows for ever."""
    versions = [store.put(f"in/{number:03}") for number in range(missing)]
    watched = begin()
    for version in versions:
        store.delete_version(version.key, version.version_id)
    store.on_request = Failing(REFUSALS[refusal], lambda request: request.kind is Kind.HEAD)
    assert watched.poll() == [] == watched.poll()
    assert watched.rows == set()
