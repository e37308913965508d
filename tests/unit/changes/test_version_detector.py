"""The types of versions, over all small histories of a key and all ways to poll them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, product

import pytest

from watcher.changes.detector import Appearance
from watcher.changes.version_detector import VersionDetector
from watcher.clock import NS_PER_S
from watcher.model import DELETE_MARKER, Change, ChangeSet, ChangeType, Entry, Gate, Row
from watcher.sources.s3.version_batches import oldest_first
from watcher.versioned import NULL_VERSION, Version, join_version

KEY = b"in/a"
PUT, DELETE, PUT_NULL, DELETE_NULL = "put", "delete", "put null", "delete null"


class Watched:
    """A key, its listing, and an index that the detector keeps.

    Attributes:
        rows: The index.
        versions: What is listed, the newest first.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.versions: list[Version] = []
        self._number = 0
        ids = count(1)
        self._detector = VersionDetector(
            frozenset(ChangeType),
            lambda entries: [Row(next(ids), each) for each in entries],
            self._rows_under,
        )

    def do(self, operation: str) -> str:
        """Put or delete, with or without a version id, and return the id."""
        self._number += 1
        version_id = NULL_VERSION if operation.endswith("null") else str(self._number)
        path, is_marker = join_version(KEY, version_id), operation.startswith("delete")
        version = Version(
            path,
            0 if is_marker else self._number,
            self._number * NS_PER_S,
            etag="" if is_marker else f"etag{self._number}",
            storage_class=DELETE_MARKER if is_marker else "STANDARD",
        )
        self.versions = [version, *(each for each in self.versions if each.path != path)]
        return version_id

    def poll(self) -> list[Change]:
        """Compare the listing with the index, and return the changes."""
        listed = oldest_first([Version(*version) for version in self.versions])
        found = self._detector.compare(self.rows, listed)
        self._commit(found)
        return found.changes

    def _commit(self, found: ChangeSet) -> None:
        for row in found.delta.upserts:
            self.rows[row.entry.path] = row._replace(entry=Entry(*row.entry))

    def _rows_under(self, prefix: bytes) -> Iterator[list[Row]]:
        yield [row for path, row in self.rows.items() if path.startswith(prefix)]


def histories(operations: Sequence[str], length: int) -> Iterator[list[tuple[str, bool]]]:
    """Yield all histories, each operation with whether a poll follows; one follows the last."""
    for history in product(operations, repeat=length):
        for polls in product([False, True], repeat=length - 1):
            yield list(zip(history, (*polls, True), strict=True))


@pytest.mark.parametrize("length", range(1, 6))
def test_types_do_not_depend_on_polls(length: int) -> None:
    """Each version and marker is one event, in order, with the type that its history gives it."""
    for history in histories([PUT, DELETE], length):
        watched, wanted, found, exists = Watched(), [], [], False
        for operation, is_polled in history:
            version_id = watched.do(operation)
            kind = "deleted" if operation == DELETE else "modified" if exists else "created"
            exists = operation == PUT
            wanted.append((kind, KEY, version_id))
            if is_polled:
                found += [
                    (str(each.type), each.entry.path, each.version_id) for each in watched.poll()
                ]
        assert found == wanted, history


@pytest.mark.parametrize("length", range(1, 5))
def test_replay_makes_sense_with_null_versions(length: int) -> None:
    """Whatever replaces whatever: what is created was not there, what is modified was."""
    for history in histories([PUT, DELETE, PUT_NULL, DELETE_NULL], length):
        watched, exists = Watched(), False
        for operation, is_polled in history:
            watched.do(operation)
            for change in watched.poll() if is_polled else ():
                is_created = change.type is ChangeType.CREATED
                assert change.type is ChangeType.DELETED or is_created is not exists, history
                exists = change.type is not ChangeType.DELETED
            if is_polled:
                assert exists is operation.startswith(PUT), history
                assert watched.poll() == []


def test_marker_has_what_the_index_knows_where_the_listing_has_nothing() -> None:
    """The version before it is gone for good already."""
    watched = Watched()
    watched.do(PUT)
    watched.poll()
    watched.do(DELETE)
    del watched.versions[1]
    (change,) = watched.poll()
    assert change.type is ChangeType.DELETED
    assert change.entry == Entry(KEY, 1, NS_PER_S, etag="etag1", storage_class="STANDARD")


def test_marker_of_nothing_shows_nothing() -> None:
    """Its storage class is the index's own."""
    watched = Watched()
    watched.do(DELETE)
    (change,) = watched.poll()
    assert change.entry == Entry(KEY, 0, NS_PER_S)
    assert change.version_id == "1"


def test_version_whose_time_changes_is_the_same() -> None:
    """VersityGW gives a version another time when a newer one replaces it."""
    watched = Watched()
    watched.do(PUT)
    watched.poll()
    (version,) = watched.versions
    watched.versions = [version._replace(mtime_ns=version.mtime_ns + NS_PER_S)]
    assert watched.poll() == []
    assert watched.rows[version.path].entry == watched.versions[0]


@pytest.mark.parametrize("operation", [PUT_NULL, DELETE_NULL])
@pytest.mark.parametrize("later", [PUT, DELETE])
def test_null_version_whose_time_changes_once_it_is_superseded_is_the_same(
    operation: str, later: str
) -> None:
    """VersityGW does so; only the newer version is a change."""
    watched = Watched()
    watched.do(operation)
    watched.poll()
    newest = watched.do(later)
    *_, null = watched.versions
    watched.versions[-1] = moved = null._replace(mtime_ns=null.mtime_ns + NS_PER_S)
    assert [change.version_id for change in watched.poll()] == [newest]
    assert watched.rows[null.path].entry == moved
    assert watched.poll() == []


@pytest.mark.parametrize(
    ("before", "after", "types"),
    [
        (PUT_NULL, PUT_NULL, ["modified"]),
        (PUT_NULL, DELETE_NULL, ["deleted"]),
        (DELETE_NULL, PUT_NULL, ["created"]),
    ],
)
def test_null_version_that_is_another_one_is_a_change_though_it_is_superseded(
    before: str, after: str, types: list[str]
) -> None:
    watched = Watched()
    watched.do(before)
    watched.poll()
    watched.do(after)
    watched.do(PUT)
    found = watched.poll()
    assert [change.type for change in found if change.version_id == NULL_VERSION] == types
    assert [change.version_id for change in found] == [NULL_VERSION, "3"]


def test_null_version_with_the_same_bytes_stays_known_over_older_ones() -> None:
    """Those came before it, or its row is newer than theirs, whatever times the store gives."""
    watched = Watched()
    watched.do(PUT)
    watched.do(DELETE_NULL)
    marker, older = watched.versions
    watched.versions[1] = older._replace(mtime_ns=marker.mtime_ns + 9 * NS_PER_S)
    watched.poll()
    newest = watched.do(PUT)
    watched.versions[1] = marker._replace(mtime_ns=marker.mtime_ns + NS_PER_S)
    assert [change.version_id for change in watched.poll()] == [newest]


@pytest.mark.parametrize("is_known", [False, True])
def test_null_marker_that_was_made_again_above_others_is_a_change(*, is_known: bool) -> None:
    """Also where they are new themselves."""
    watched = Watched()
    watched.do(DELETE_NULL)
    if not is_known:
        watched.poll()
    between = watched.do(PUT)
    if is_known:
        watched.poll()
    watched.do(DELETE_NULL)
    newest = watched.do(PUT)
    expected = [NULL_VERSION, newest] if is_known else [between, NULL_VERSION, newest]
    assert [change.version_id for change in watched.poll()] == expected


def test_null_version_with_the_same_bytes_is_a_change_while_it_is_the_newest() -> None:
    watched = Watched()
    watched.do(PUT_NULL)
    watched.poll()
    (version,) = watched.versions
    watched.versions = [version._replace(mtime_ns=version.mtime_ns + NS_PER_S)]
    (change,) = watched.poll()
    assert change.type is ChangeType.MODIFIED


def test_marker_that_was_replaced_may_have_a_finer_time() -> None:
    """VersityGW lists markers with nanoseconds, and versions with whole seconds."""
    watched = Watched()
    watched.do(PUT)
    watched.do(DELETE_NULL)
    marker = watched.versions[0]
    watched.versions[0] = marker._replace(mtime_ns=marker.mtime_ns + NS_PER_S // 2)
    watched.poll()
    watched.do(PUT_NULL)
    version = watched.versions[0]
    watched.versions[0] = version._replace(mtime_ns=marker.mtime_ns)
    (change,) = watched.poll()
    assert change.type is ChangeType.CREATED


def test_marker_that_was_replaced_may_have_an_older_time_than_what_it_deleted() -> None:
    """VersityGW gives it that of the version before it, and that one the time of the deletion."""
    watched = Watched()
    watched.do(PUT)
    watched.poll()
    watched.do(DELETE_NULL)
    marker, version = watched.versions
    watched.versions = [
        marker._replace(mtime_ns=version.mtime_ns),
        version._replace(mtime_ns=marker.mtime_ns),
    ]
    assert [change.type for change in watched.poll()] == [ChangeType.DELETED]
    watched.do(PUT_NULL)
    (change,) = watched.poll()
    assert change.type is ChangeType.CREATED


def test_null_version_that_was_replaced_within_the_same_second_is_not_what_came_before() -> None:
    """The one that has replaced it came after it, whatever their times."""
    watched = Watched()
    watched.do(PUT_NULL)
    watched.poll()
    watched.do(DELETE_NULL)
    marker = watched.versions[0]
    watched.versions[0] = marker._replace(mtime_ns=marker.mtime_ns - NS_PER_S)
    watched.do(PUT)
    found = [change.type for change in watched.poll()]
    assert found == [ChangeType.DELETED, ChangeType.CREATED]


def test_rows_of_other_keys_are_not_asked() -> None:
    """A key that goes on with a NUL has the same prefix."""
    watched = Watched()
    other = Version(join_version(KEY + b"\0b", "x"), 1, 0, storage_class="STANDARD")
    watched.rows[other.path] = Row(99, other)
    watched.do(PUT)
    (change,) = watched.poll()
    assert change.type is ChangeType.CREATED


def test_row_that_is_gone_for_good_is_no_change() -> None:
    """It is deleted, and nothing is reported."""
    watched = Watched()
    watched.do(PUT)
    watched.poll()
    rows = list(watched.rows.values())
    found = watched._detector.delete(rows)
    assert (found.delta.deletes, found.changes) == (rows, [])


@pytest.mark.parametrize("is_reported", [False, True])
def test_null_version_that_is_listed_unchanged_was_not_replaced(*, is_reported: bool) -> None:
    """Its row is there where a hinted key is compared, or what was held back is reopened."""
    watched = Watched()
    watched.do(DELETE)
    (marker,) = watched.versions
    watched.do(PUT_NULL)
    null = watched.versions[0]
    gate = 0 if is_reported else int(Gate.TOO_SMALL)
    rows = {null.path: Row(1, Entry(*null), gate), marker.path: Row(0, Entry(*marker))}
    watched.rows |= rows
    # A version with the time of the null version, and a marker between them.
    watched.do(PUT)
    version = watched.versions[0]._replace(mtime_ns=null.mtime_ns)
    watched.versions = [null, version, marker]
    found = watched._detector.compare(rows, oldest_first([Version(*v) for v in watched.versions]))
    types = {change.version_id: change.type for change in found.changes}
    assert types["3"] is ChangeType.CREATED


def test_what_could_not_be_committed_exists_until_it_is() -> None:
    """It is remembered as the version that it is, and forgotten once it is reported."""
    watched = Watched()
    detector = watched._detector
    watched.do(PUT)
    detector.appearance = lambda _path: Appearance.EXISTING
    listed = oldest_first([Version(*version) for version in watched.versions])
    detector.restore_existing(detector.compare({}, listed).changes)
    detector.appearance = lambda _path: Appearance.NEW
    for is_existing in (True, False):
        (change,) = detector.compare({}, listed).changes
        assert change.existing is is_existing


def test_versions_of_one_second_that_were_held_back_have_the_types_of_their_order() -> None:
    """Which one is older shows in the ids of their rows, since no listing is there to say it."""
    watched = Watched()
    detector = watched._detector
    for number, version_id in enumerate("cab"):
        entry = Entry(join_version(KEY, version_id), 1, 0, storage_class="STANDARD")
        watched.rows[entry.path] = Row(number, entry, int(Gate.TOO_SMALL))
    entries = sorted(row.entry for row in watched.rows.values())
    found = detector.compare(watched.rows, detector.in_order(entries, watched.rows))
    types = [(change.version_id, str(change.type)) for change in found.changes]
    assert types == [("c", "created"), ("a", "modified"), ("b", "modified")]
