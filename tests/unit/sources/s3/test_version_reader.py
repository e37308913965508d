"""Versions and delete markers of a listing are read, and put in order."""

from itertools import permutations
from xml.sax.saxutils import escape

import pytest

from support.s3.contents import NOON_NS
from watcher.errors import UnavailableError
from watcher.model import DELETE_MARKER, Entry
from watcher.sources.s3.version_reader import VersionReader, in_order, is_null, split_elements
from watcher.versioned import NULL_VERSION, join_version

READER = VersionReader("s3://landing/in/", b"in/", is_url=True)
USUAL = {
    "Key": "in/a",
    "VersionId": "id",
    "IsLatest": "false",
    "LastModified": "2026-11-23T12:00:00.000Z",
    "ETag": '"abc"',
    "Size": "5",
    "StorageClass": "GLACIER",
}


def version(kind: str = "Version", /, **fields: str | None) -> bytes:
    """Return an element with some fields replaced; None leaves one out."""
    text = "".join(
        f"<{name}>{escape(value)}</{name}>"
        for name, value in (USUAL | fields).items()
        if value is not None
    )
    return f"<{kind}>{text}</{kind}>".encode()


def marker(**fields: str | None) -> bytes:
    without: dict[str, str | None] = {"ETag": None, "Size": None, "StorageClass": None}
    return version("DeleteMarker", **without | fields)


def entry_of(element: bytes) -> Entry:
    ((entry,), odd) = READER.read([element])
    assert odd == []
    return entry


def test_version() -> None:
    """Its path is that of its row."""
    path = join_version(b"in/a b", "id")
    expected = Entry(path, 5, NOON_NS, etag="abc", storage_class="GLACIER")
    assert entry_of(version(Key="in/a+b")) == expected


def test_delete_marker() -> None:
    """It has neither size nor etag."""
    expected = Entry(join_version(b"in/a", "id"), 0, NOON_NS, storage_class=DELETE_MARKER)
    assert entry_of(marker()) == expected


@pytest.mark.parametrize("version_id", [None, "", NULL_VERSION])
def test_version_without_an_id_is_null(version_id: str | None) -> None:
    """A store without versioning may leave it out."""
    element = version(VersionId=version_id)
    assert entry_of(element).path == join_version(b"in/a", NULL_VERSION)
    assert is_null(element) is (version_id != "")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"LastModified": "never"}, "never"),
        ({"Size": "-1"}, "a size of"),
        ({"Size": None}, "it has no Size"),
        ({"VersionId": "v" * 1025}, "a version id of"),
    ],
)
def test_odd_version_has_its_key(fields: dict[str, str | None], problem: str) -> None:
    """So that its rows are known."""
    element = version("Version", **fields)
    entries, (odd,) = READER.read([element])
    assert entries == []
    assert odd.key == b"in/a"
    assert problem in odd.problem
    assert READER.key(element) == b"in/a"


@pytest.mark.parametrize("key", ["", None, "in/%FF"])
def test_version_without_a_key_is_odd(key: str | None) -> None:
    """It has none, or none that can be read."""
    entries, (odd,) = READER.read([version(Key=key)])
    assert (entries, odd.key) == ([], b"")


@pytest.mark.parametrize("key", ["other/a", "in"])
def test_key_outside_of_the_prefix_is_refused(key: str) -> None:
    """Also one that the prefix begins with."""
    with pytest.raises(UnavailableError, match="a key that was not asked for"):
        READER.read([version(Key=key)])


def test_elements_are_taken_apart() -> None:
    """As they came, in their order; what is not written plainly stays in the page."""
    elements = [version(), marker(), version(Key="in/b")]
    assert split_elements(b"<P>" + b"".join(elements) + b"</P>") == (elements, b"<P></P>")
    assert split_elements(b"<A/>".join(elements)) == (elements, b"<A/><A/>")
    odd = elements[1].replace(b"<Del", b"<x:Del")
    assert split_elements(elements[0] + odd) == (elements[:1], odd)


# Three versions and markers of a key from the newest to the oldest, and others beside it.
NEWEST = version(VersionId="3", IsLatest="true", LastModified="2026-11-23T12:00:03Z")
MIDDLE = marker(VersionId="2", LastModified="2026-11-23T12:00:02Z")
OLDEST = version(VersionId="1", LastModified="2026-11-23T12:00:01Z")
BEFORE, BEHIND = version(Key="in/0", IsLatest="true"), marker(Key="in/b", IsLatest="true")


def test_listing_in_order_stays_as_it_is() -> None:
    """Also where times say otherwise: an upload in parts has the time of its beginning."""
    late = OLDEST.replace(b":01Z", b":59Z")
    for elements in ([MIDDLE, NEWEST, MIDDLE, late], [BEFORE, NEWEST, OLDEST], [MIDDLE, BEHIND]):
        assert in_order(elements) == elements


def test_kinds_one_after_the_other_are_put_in_order() -> None:
    """Whichever comes first, key by key."""
    expected = [BEFORE, NEWEST, MIDDLE, OLDEST, BEHIND]
    assert in_order([BEFORE, NEWEST, OLDEST, MIDDLE, BEHIND]) == expected
    assert in_order([MIDDLE, BEHIND, BEFORE, NEWEST, OLDEST]) == expected


@pytest.mark.parametrize("keys", list(permutations(["in/0", "in/a", "in/b"])))
def test_pages_join_where_the_store_has_cut(keys: tuple[str, str, str]) -> None:
    """The key of the page before comes first and that of the next page last, in any order."""
    first, middle, last = (key.encode() for key in keys)
    versions = [version(Key=key) for key in keys]
    markers = [marker(Key=key) for key in keys]
    found = in_order([*versions, *markers], first=first, last=last)
    assert [element.partition(b"</Key>")[0].rpartition(b">")[2] for element in found] == [
        *(first, first),
        *(middle, middle),
        *(last, last),
    ]


def test_marker_is_newer_than_a_version_of_the_same_time() -> None:
    """Unless the version is the latest."""
    older, newer = version(VersionId="1"), marker(VersionId="2")
    assert in_order([older, newer]) == [newer, older]
    latest = version(VersionId="3", IsLatest="true")
    assert in_order([latest, older, newer]) == [latest, newer, older]


def test_time_that_cannot_be_read_does_no_harm() -> None:
    """The version is set aside later."""
    odd = version(LastModified="never")
    assert in_order([odd, MIDDLE]) == [MIDDLE, odd]
