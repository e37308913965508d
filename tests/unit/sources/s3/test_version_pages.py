"""Pages of versions are believed, or refused."""

import pytest

from watcher.errors import UnavailableError
from watcher.sources.s3.continuation import TOKEN_MAX_CHARS
from watcher.sources.s3.envelopes import WrongPageError, is_failure
from watcher.sources.s3.version_pages import VersionMarker, VersionRequest, read_version_page
from watcher.spec import BucketSpec

SPEC = BucketSpec("landing", prefix="in/")
ASKED = VersionRequest("in/")
NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
COMMON = "<LastModified>2026-11-23T12:00:00Z</LastModified>"
VERSION = f"<Version><Key>in/a</Key><VersionId>1</VersionId>{COMMON}<Size>5</Size></Version>"
MARKER = f"<DeleteMarker><Key>in/b+b</Key><VersionId>2</VersionId>{COMMON}</DeleteMarker>"
FIELDS = {"Name": "landing", "Prefix": "in/", "EncodingType": "url", "IsTruncated": "false"}
MORE = {"IsTruncated": "true", "NextKeyMarker": "in/b%2Bb", "NextVersionIdMarker": "2"}


def page(*elements: str, **fields: str | None) -> bytes:
    """Return a page; None leaves a field out."""
    text = "".join(
        f"<{name}>{value}</{name}>"
        for name, value in (FIELDS | fields).items()
        if value is not None
    )
    root = "ListVersionsResult"
    return f"<{root}{NAMESPACE}>{text}{''.join(elements)}</{root}>".encode()


def test_page_is_taken_apart() -> None:
    """Its elements stay as they came, and the last page has no next."""
    found = read_version_page(page(VERSION, MARKER), SPEC, ASKED)
    assert found.elements == [VERSION.encode(), MARKER.encode()]
    assert (found.next, found.last) == (None, b"")


@pytest.mark.parametrize(
    "text",
    [
        page(MARKER, "<VersionIdMarker></VersionIdMarker>", VERSION),
        page(VERSION, MARKER).replace(b"><", b">\n  <"),
        page(VERSION, MARKER).replace(b"<Version>", b'<Version kind="x">'),
        page(VERSION, MARKER).replace(b"<DeleteMarker>", b'<DeleteMarker kind="x">'),
        page(VERSION, MARKER)
        .replace(b"Version>", b"s3:Version>")
        .replace(b"<ListVersionsResult", b'<ListVersionsResult xmlns:s3="x"'),
    ],
    ids=["fields between", "spaces", "attributes", "attributes of markers", "namespace"],
)
def test_elements_written_otherwise_are_read(text: bytes) -> None:
    """None is left out, however a store writes them."""
    found = read_version_page(text, SPEC, ASKED)
    entries, odd = found.reader.read(found.elements)
    assert odd == []
    assert sorted(entry.path for entry in entries) == [b"in/a\x001", b"in/b b\x002"]


@pytest.mark.parametrize(
    ("marker", "key", "last"),
    [
        ("in/b%2Bb", "in/b+b", b""),
        ("in/b+b", "in/b b", b"in/b+b"),
        ("in/b b", "in/b b", b"in/b+b"),
        ("in/a", "in/a", b"in/a"),
        ("in/zz", "in/zz", b""),
    ],
)
def test_next_page_begins_behind_the_markers(marker: str, key: str, last: bytes) -> None:
    """A store may encode the marker or not; it may name another key than the page ends with."""
    found = read_version_page(
        page(VERSION, MARKER, **MORE | {"NextKeyMarker": marker}), SPEC, ASKED
    )
    assert found.next == VersionMarker(key, "2")
    assert found.last == last


def test_key_alone_leads_to_the_next_key() -> None:
    """All versions of that key were listed."""
    found = read_version_page(page(VERSION, **MORE | {"NextVersionIdMarker": None}), SPEC, ASKED)
    assert found.next == VersionMarker("in/b+b", "")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (page(VERSION, IsTruncated="true"), "has no marker for the next"),
        (page(VERSION, IsTruncated=None, MaxKeys="1"), "has no marker for the next"),
        (
            page(VERSION, **MORE | {"NextKeyMarker": "k" * (TOKEN_MAX_CHARS + 1)}),
            "a marker of more than",
        ),
        (page(VERSION, Name="other"), "a page of bucket 'other'"),
        (page(VERSION, Prefix="other/"), "a page of prefix 'other/'"),
        (page(VERSION.replace("in/a", "other/a")), "a key that was not asked for"),
        (page(VERSION)[:-30], "not XML"),
        (b"<!DOCTYPE x>" + page(VERSION), "DOCTYPE"),
        (b"<Error><Code>InternalError</Code></Error>", "a document of the kind 'Error'"),
        (b"", "not XML"),
        (page(Name=None, Prefix=None, IsTruncated=None), "names neither bucket nor prefix"),
    ],
)
def test_page_is_refused(body: bytes, text: str) -> None:
    """Nothing is concluded from it."""
    with pytest.raises(UnavailableError, match=text):
        read_version_page(body, SPEC, ASKED)


def test_circle_is_refused() -> None:
    """A page that leads to itself has no end."""
    asked = VersionRequest("in/", VersionMarker("in/b+b", "2"))
    with pytest.raises(UnavailableError, match="runs in a circle"):
        read_version_page(page(VERSION, **MORE), SPEC, asked)


def test_page_that_says_nothing_is_the_last() -> None:
    """Unless it is full."""
    body = page(VERSION, IsTruncated=None, MaxKeys="2")
    assert read_version_page(body, SPEC, ASKED).next is None


def test_listing_of_objects_says_what_it_is() -> None:
    """So that a store without versions is told from a broken one."""
    with pytest.raises(WrongPageError) as caught:
        read_version_page(page().replace(b"ListVersionsResult", b"ListBucketResult"), SPEC, ASKED)
    assert caught.value.kind == "ListBucketResult"


@pytest.mark.parametrize(
    ("body", "expected"),
    [(page(VERSION), False), (page(VERSION)[:-5], True), (page(VERSION) + b"\n", False)],
)
def test_torn_page_is_a_failure(body: bytes, *, expected: bool) -> None:
    """With status 200, so that the SDK sends the request again."""
    assert is_failure(body) is expected
