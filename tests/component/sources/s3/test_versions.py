"""Watches the versions of a bucket on the simulated store, listing by listing."""

from collections.abc import Iterator

import pytest

from support.clock import FakeClock
from support.logs import captured_logs
from support.s3.faults import REFUSALS, Failing, Fault
from support.s3.version_fixtures import Begin, as_event, begin, store
from support.s3.versioned import NULL, VersionedStore, Versioning
from support.s3.watched_versions import Reported
from watcher.changes.detector import Appearance
from watcher.sources.s3 import version_batches
from watcher.spec import Conditions
from watcher.state.sqlite import index
from watcher.versioned import join_version

__all__ = ["begin", "store"]


def test_each_version_between_two_listings_is_an_event(store: VersionedStore, begin: Begin) -> None:
    """Two overwrites are two events, and so are an upload and its deletion."""
    store.put("in/old")
    watched = begin()
    versions = [store.put("in/old"), store.put("in/old"), store.put("in/new")]
    marker = store.delete("in/new")
    assert watched.poll() == [
        as_event("created", versions[2]),
        as_event("deleted", marker),
        as_event("modified", versions[0]),
        as_event("modified", versions[1]),
    ]
    assert watched.poll() == []


def test_type_follows_from_what_was_there_before(store: VersionedStore, begin: Begin) -> None:
    """After a delete marker a version is created again, also when the marker was listed before."""
    watched = begin()
    history = [
        ("created", store.put("in/a")),
        ("modified", store.put("in/a")),
        ("deleted", store.delete("in/a")),
    ]
    assert watched.poll() == [as_event(*each) for each in history]
    history = [
        ("deleted", store.delete("in/a")),
        ("created", store.put("in/a")),
        ("modified", store.put("in/a")),
    ]
    assert watched.poll() == [as_event(*each) for each in history]


@pytest.mark.sampled
@pytest.mark.parametrize("is_grouped", [False, True])
@pytest.mark.parametrize("page_keys", [1, 2, 3, 7])
def test_versions_span_pages(
    store: VersionedStore, begin: Begin, page_keys: int, *, is_grouped: bool
) -> None:
    """Wherever pages end, and also where a page has all versions before all delete markers."""
    store.page_keys, store.is_grouped = page_keys, is_grouped
    watched = begin()
    wanted: list[Reported] = []
    for key in ("in/a", "in/a/b", "in/a b%+é"):
        wanted += [
            as_event("created", store.put(key)),
            as_event("modified", store.put(key)),
            as_event("deleted", store.delete(key)),
            as_event("created", store.put(key)),
        ]
    wanted.sort(key=lambda event: event[1].encode())
    assert watched.poll() == wanted
    assert watched.poll() == []


def test_many_versions_of_one_key_come_in_portions(
    store: VersionedStore, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each portion is in order, the newest portion first, and each type is right."""
    monkeypatch.setattr(version_batches, "KEY_MAX_VERSIONS", 4)
    store.page_keys = 3
    watched = begin()
    versions = [store.put("in/a") for _ in range(5)]
    versions += [store.delete("in/a") or store.put("in/a") for _ in range(1)]
    versions += [store.put("in/a") for _ in range(4)]
    events = watched.poll()
    types = ["created", *["modified"] * 4, "deleted", "created", *["modified"] * 3]
    wanted = [as_event(*each) for each in zip(types, versions, strict=True)]
    assert sorted(events) == sorted(wanted)
    assert events == wanted[6:] + wanted[2:6] + wanted[:2]
    assert watched.poll() == []
    # What is new in such a key is in order.
    more = [store.put("in/a") for _ in range(4)]
    assert watched.poll() == [as_event("modified", each) for each in more]


def test_deletion_for_good_is_no_event(store: VersionedStore, begin: Begin) -> None:
    """The row leaves the index after two listings; one that lacks it by mistake does no harm."""
    first, second = store.put("in/a"), store.put("in/a")
    watched = begin()
    assert watched.rows == {join_version(b"in/a", each.version_id) for each in (first, second)}
    store.on_list = Failing(Fault.EMPTY, most=1)
    assert watched.poll() == []
    assert watched.poll() == []
    assert len(watched.rows) == 2
    store.delete_version("in/a", first.version_id)
    assert watched.poll() == []
    assert len(watched.rows) == 2
    assert watched.poll() == []
    assert watched.rows == {join_version(b"in/a", second.version_id)}


def test_undeletion_is_no_event(store: VersionedStore, begin: Begin) -> None:
    """A delete marker that is removed brings its object back without a new version."""
    first = store.put("in/a")
    watched = begin()
    marker = store.delete("in/a")
    assert watched.poll() == [as_event("deleted", marker)]
    assert marker is not None
    store.delete_version("in/a", marker.version_id)
    assert watched.poll() == [] == watched.poll()
    assert watched.rows == {join_version(b"in/a", first.version_id)}
    assert watched.poll() == []


def test_version_that_replaced_one_that_is_gone_is_modified(
    store: VersionedStore, begin: Begin
) -> None:
    """The index knows the version that the listing lacks already."""
    first = store.put("in/a")
    watched = begin()
    second = store.put("in/a")
    store.delete_version("in/a", first.version_id)
    assert watched.poll() == [as_event("modified", second)]


def test_another_storage_class_is_no_event(store: VersionedStore, begin: Begin) -> None:
    """A version that a lifecycle moves to an archive is the same."""
    version = store.put("in/a")
    watched = begin()
    store.transition("in/a", version.version_id, "GLACIER")
    assert watched.poll() == []
    (row,) = (row for page in watched.state.index.rows_under(b"") for row in page)
    assert row.entry.storage_class == "GLACIER"


def test_dates_in_the_prefix_move_on(store: VersionedStore, begin: Begin) -> None:
    """Versions of days that are over leave the index silently, those of new days are events."""
    clock = FakeClock()
    days = ["2023-11-12", "2023-11-13", "2023-11-14", "2023-11-15", "2023-11-16"]
    versions = [store.put(f"in/{day}/a") for day in days]
    watched = begin(prefix="in/{%Y-%m-%d}/", clock=clock)
    rows = [join_version(each.key.encode(), each.version_id) for each in versions]
    assert watched.rows == set(rows[:3])
    clock.advance(24 * 3600)
    assert watched.poll() == [as_event("created", versions[3])]
    assert watched.rows == set(rows[1:4])
    later = [store.put("in/2023-11-15/a"), store.put("in/2023-11-12/a")]
    assert watched.poll() == [as_event("modified", later[0])]


class TestNullVersions:
    """Versions without an id, of buckets whose versioning is suspended or was never enabled."""

    def test_without_versioning_a_put_is_one_event(
        self, store: VersionedStore, begin: Begin
    ) -> None:
        """Overwriting is modified; a deletion leaves nothing behind, and is no event."""
        store.versioning = Versioning.OFF
        watched = begin()
        store.put("in/a")
        assert watched.poll() == [("created", "in/a", NULL)]
        store.put("in/a", size=2)
        assert watched.poll() == [("modified", "in/a", NULL)]
        store.delete("in/a")
        assert watched.poll() == [] == watched.poll()
        assert watched.rows == set()
        store.put("in/a")
        assert watched.poll() == [("created", "in/a", NULL)]

    def test_suspended(self, store: VersionedStore, begin: Begin) -> None:
        """A deletion replaces the null version by a null marker, and a put that marker."""
        kept = store.put("in/a")
        store.versioning = Versioning.SUSPENDED
        watched = begin()
        store.put("in/a")
        assert watched.poll() == [("modified", "in/a", NULL)]
        store.put("in/a", size=3)
        assert watched.poll() == [("modified", "in/a", NULL)]
        store.delete("in/a")
        (event,) = watched.take_reported()
        assert (event["type"], event["version_id"], event["size"]) == ("deleted", NULL, 3)
        store.put("in/a")
        assert watched.poll() == [("created", "in/a", NULL)]
        store.versioning = Versioning.ENABLED
        version = store.put("in/a")
        assert watched.poll() == [as_event("modified", version)]
        assert join_version(b"in/a", kept.version_id) in watched.rows

    @pytest.mark.parametrize(
        ("versioning", "text"),
        [(Versioning.OFF, "versioning is off"), (Versioning.SUSPENDED, "versioning is suspended")],
    )
    @pytest.mark.parametrize("is_told", [True, False])
    def test_is_logged_and_remarked(
        self,
        store: VersionedStore,
        begin: Begin,
        versioning: Versioning,
        text: str,
        *,
        is_told: bool,
    ) -> None:
        """Also where GetBucketVersioning is refused, by what the listing shows."""
        store.versioning = versioning
        store.put("in/a")
        if not is_told:
            refused = REFUSALS["403"]
            store.on_request = Failing(refused, lambda request: "versioning" in request.target)
            text = "versioning is off"
        with captured_logs() as log:
            watched = begin()
        assert [line["event"] for line in log] == ["scan.versioning_off"]
        assert watched.source.remark.startswith(text)

    def test_with_versioning_nothing_is_said(self, store: VersionedStore, begin: Begin) -> None:
        """Nor is anything concluded from a bucket that is empty."""
        refused = Failing(REFUSALS["403"], lambda request: "versioning" in request.target)
        with captured_logs() as log:
            assert begin().source.remark == ""
            store.on_request = refused
            assert begin().source.remark == ""
            store.put("in/a")
            assert begin().source.remark == ""
        assert log == []
        assert refused.hits


class TestPayload:
    """What an event says of a version."""

    def test_version(self, store: VersionedStore, begin: Begin) -> None:
        """It has the key as its path, and the id beside it."""
        watched = begin()
        version = store.put("in/a", size=5)
        (event,) = watched.take_reported()
        assert event["version_id"] == version.version_id
        assert (event["path"], event["uri"]) == ("in/a", f"s3://{store.bucket}/in/a")
        assert (event["size"], event["etag"]) == (5, version.etag)
        assert event["storage_class"] == "STANDARD"

    def test_delete_marker_has_the_values_of_the_version_before_it(
        self, store: VersionedStore, begin: Begin
    ) -> None:
        """Also where another marker lies between, and one was listed before."""
        version = store.put("in/a", size=5)
        watched = begin()
        for _ in range(2):
            marker = store.delete("in/a")
            (event,) = watched.take_reported()
            assert marker is not None
            assert (event["type"], event["version_id"]) == ("deleted", marker.version_id)
            assert (event["size"], event["etag"]) == (5, version.etag)
            assert event["mtime"] == version.modified.replace("000Z", "Z")
            assert event["storage_class"] == "STANDARD"

    def test_delete_marker_without_a_version(self, store: VersionedStore, begin: Begin) -> None:
        """A deletion of what never was: no size, no etag, and the time of the marker."""
        watched = begin()
        marker = store.delete("in/a")
        (event,) = watched.take_reported()
        assert marker is not None
        assert (event["size"], event["etag"], event["storage_class"]) == (0, None, None)
        assert event["mtime"] == marker.modified


class TestExisting:
    """What was there before the watch."""

    def test_all_versions_are_reported_in_order(self, store: VersionedStore, begin: Begin) -> None:
        """With ``existing: report``, each with its type."""
        wanted = [
            as_event("created", store.put("in/a")),
            as_event("modified", store.put("in/a")),
            as_event("deleted", store.delete("in/a")),
        ]
        assert begin(existing=Appearance.EXISTING).existing == wanted

    def test_crash_in_the_baseline(self, store: VersionedStore, begin: Begin) -> None:
        """What is recorded is not reported later, and what was there before has its meaning."""
        store.put("in/a")
        watched = begin()
        watched.end()
        watched.start()
        assert watched.poll() == []
        version = store.put("in/a")
        assert watched.poll() == [as_event("modified", version)]


class TestConditions:
    """Sizes and ages are asked of versions, never of delete markers."""

    def test_sizes(self, store: VersionedStore, begin: Begin) -> None:
        """A version that is held back still precedes the next one."""
        watched = begin(Conditions(min_size=10))
        store.put("in/a", size=5)
        large = store.put("in/a", size=20)
        marker = store.delete("in/a")
        assert watched.poll() == [as_event("modified", large), as_event("deleted", marker)]

    def test_ages(self, store: VersionedStore, begin: Begin) -> None:
        """An old version is recorded, an old delete marker reported."""
        watched = begin(Conditions(max_age_s=1.0))
        store.put("in/a")
        marker = store.delete("in/a")
        assert watched.poll() == [as_event("deleted", marker)]

    @pytest.mark.parametrize("page_rows", [1, 2, 3, 1000])
    def test_what_was_too_small_is_reported_in_order_once_it_may_be(
        self, store: VersionedStore, begin: Begin, monkeypatch: pytest.MonkeyPatch, page_rows: int
    ) -> None:
        """With another configuration, and with the type that it had, whatever its id."""
        monkeypatch.setattr(index, "PAGE_ROWS", page_rows)
        watched = begin(Conditions(min_size=10))
        wanted = []
        for key in ("in/a", "in/a b", "in/c"):
            store.versioning = Versioning.ENABLED
            wanted += [as_event("created", store.put(key, size=1))]
            wanted += [as_event("modified", store.put(key, size=1)) for _ in range(4)]
            store.versioning = Versioning.SUSPENDED
            wanted += [as_event("modified", store.put(key, size=1))]
            store.versioning = Versioning.ENABLED
            wanted += [as_event("modified", store.put(key, size=1)) for _ in range(2)]
        assert watched.poll() == []
        watched.close()
        watched = begin(Conditions(min_size=1), existing=Appearance.NEW)
        assert watched.existing == wanted


def test_unchanged_batches_are_not_read(
    store: VersionedStore, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing whose batches are known parses nothing but the edges of its pages."""
    monkeypatch.setattr(version_batches, "BATCH_MIN_VERSIONS", 2)
    monkeypatch.setattr(version_batches, "BATCH_MAX_VERSIONS", 4)
    for number in range(40):
        store.put(f"in/{number:02}")
        store.put(f"in/{number:02}")
    watched = begin()
    assert watched.poll() == []

    def is_read(batch: version_batches.VersionBatch) -> bool:
        return "entries" in vars(batch)

    store.put("in/20")
    batches: list[version_batches.VersionBatch] = []
    scan = watched.source.scan
    kept = monkeypatch.context()
    with kept as patch:

        def record(*_: object) -> object:
            found = scan()
            original = found._yield  # type: ignore[union-attr]  # of a scan of versions

            def keep(made: Iterator[version_batches.VersionBatch]) -> object:
                for batch in made:
                    batches.append(batch)
                    yield from original([batch])

            found._yield = keep  # type: ignore[union-attr, method-assign]
            return found

        patch.setattr(watched.source, "scan", record)
        assert len(watched.poll()) == 1
    assert len(batches) > 10
    assert sum(map(is_read, batches)) <= 2
