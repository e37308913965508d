"""Responses to LIST and HEAD: what they say, and which of them are refused."""

from xml.sax.saxutils import escape

import pytest

from support.s3.contents import NOON_NS, contents
from watcher.errors import UnavailableError
from watcher.model import Entry
from watcher.sources.s3.continuation import TOKEN_MAX_CHARS, LastKey
from watcher.sources.s3.envelopes import is_failure
from watcher.sources.s3.objects import MARKUP_MAX, PARSED_OBJECTS
from watcher.sources.s3.odd_objects import OddObjectError
from watcher.sources.s3.pages import (
    Page,
    PageRequest,
    read_head,
    read_page,
)
from watcher.spec import BucketSpec

SPEC = BucketSpec("landing", prefix="in/")
LAST_MODIFIED = "Mon, 23 Nov 2026 12:00:00 GMT"
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MORE = {"IsTruncated": "true", "NextContinuationToken": "t"}
TOO_MUCH = "more tags and attributes than any"


def found(key: str = "in/a", **fields: str | None) -> str:
    return contents(key, **fields).decode() + "</Contents>"


def rolled(prefix: str) -> str:
    return f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"


def answer(*elements: str, **fields: str | None) -> bytes:
    """Return the last page of a listing.

    Args:
        elements: What it holds behind its fields.
        fields: Further fields, and those that replace the usual ones; None leaves one out.
    """
    usual = {"Name": "landing", "Prefix": "in/", "EncodingType": "url", "IsTruncated": "false"}
    children = (
        f"<{name}>{escape(text)}</{name}>"
        for name, text in (usual | fields).items()
        if text is not None
    )
    inside = "".join((*children, *elements))
    return f'<ListBucketResult xmlns="{NAMESPACE}">{inside}</ListBucketResult>'.encode()


def entries(page: Page) -> list[Entry]:
    return page.reader.read(page.objects).entries


def test_page_becomes_entries() -> None:
    """An object becomes an entry with decoded key, exact time, unquoted etag and storage class."""
    body = answer(found("in/a+b%2B%C3%A9"), found("in/c", ETag="raw", StorageClass=""))
    page = read_page(body, SPEC)
    assert page.next_token is None
    assert entries(page) == [
        Entry("in/a b+é".encode(), 5, NOON_NS, etag="abc-2", storage_class="GLACIER"),
        Entry(b"in/c", 5, NOON_NS, etag="raw", storage_class=""),
    ]


@pytest.mark.parametrize(
    "body",
    [
        answer(**MORE),
        answer(found(), **MORE),
        answer(found(), "<NextContinuationToken>t</NextContinuationToken>", IsTruncated="true"),
    ],
)
def test_truncated_page_has_a_token(body: bytes) -> None:
    """The token of a truncated page is returned, with or without objects, wherever it stands."""
    page = read_page(body, SPEC)
    assert page.next_token == "t"  # noqa: S105 - not a password
    assert len(entries(page)) == body.count(b"<Contents>")


@pytest.mark.parametrize("character", ["&#x1;", "&#1;", "\x01"])
def test_a_token_that_xml_cannot_carry(character: str) -> None:
    """The last key leads on where the token is that key as it is, with a control character."""
    token = f"<NextContinuationToken>in/a{character}</NextContinuationToken>"
    page = read_page(answer(found("in/a%01"), token, IsTruncated="true"), SPEC)
    assert page.next_token == LastKey("in/a\x01")
    assert len(entries(page)) == 1


def test_the_longest_object_is_read() -> None:
    """A key of 1,024 bytes, nearly each a reference, is read, behind a full parse of others."""
    last = found("in/" + "&" * 1021).replace("&amp;", "&quot;")
    read = entries(read_page(answer(*[found()] * PARSED_OBJECTS, last), SPEC))
    assert (len(read), read[-1].path) == (PARSED_OBJECTS + 1, b"in/" + b'"' * 1021)


def test_objects_do_not_depend_on_their_page() -> None:
    """An object is the same bytes on any page, though a store may put lines between objects."""
    page = read_page(answer(found("in/a"), found("in/b")), SPEC)
    with_lines = answer(found("in/a"), "\n  ", found("in/b"), "\n", **MORE)
    assert page.objects == read_page(with_lines, SPEC).objects
    assert page.objects[1:] == read_page(answer(found("in/b")), SPEC).objects
    assert read_page(answer(), SPEC).objects == []


def test_common_prefixes() -> None:
    """Common prefixes are returned decoded, beside the objects."""
    body = answer(found(), rolled("in/x+y/"), rolled("in/%C3%A9/"), Delimiter="/")
    page = read_page(body, SPEC)
    assert (page.prefixes, len(page.objects)) == (["in/x y/", "in/é/"], 1)
    below = read_page(answer(found("in/a/b"), Prefix="in/a/"), SPEC, PageRequest("in/a/"))
    assert below.reader.prefix == b"in/a/"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Contents>", '<Contents type="file">'),
        ("<Contents>", f'<Contents xmlns="{NAMESPACE}">'),
        ("<ListBucketResult xmlns", "<ListBucketResult xmlns:x"),
        ("Contents>", "x:Contents>"),
        ("<ListBucketResult", "<?xml version='1.0' encoding='UTF-8'?>\n<ListBucketResult"),
    ],
)
def test_other_ways_to_write_a_page(old: str, new: str) -> None:
    """Attributes, namespaces and a declaration make no difference to what a page says."""
    body = answer(found("in/a"), found("in/b")).decode().replace(old, new)
    if "x:" in new and "xmlns:x" not in body:
        body = body.replace(" xmlns=", f' xmlns:x="{NAMESPACE}" xmlns=')
    expected = entries(read_page(answer(found("in/a"), found("in/b")), SPEC))
    assert entries(read_page(body.encode(), SPEC)) == expected


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "not XML"),
        (b"<html></html>", "of the kind 'html'"),
        (b'<?xml version="1.0" encoding="bogus"?><html></html>', "not XML"),
        (b'<?xml version="1.0" encoding="utf-7"?><html></html>', "not XML"),
        (answer(rolled("in/%FF/")), "can't decode"),
        (answer(rolled("out/")), "prefix that was not asked for"),
        (answer()[:-1], "not XML"),
        (answer(Prefix="out/"), "page of prefix 'out/'"),
        (answer(Name=None, Prefix=None, IsTruncated=None), "names neither bucket nor prefix"),
        (answer(IsTruncated="true"), "no token for the next, and no key"),
        (answer(found("in/b"), found("in/a"), IsTruncated="true"), "keys do not ascend"),
        (answer(found("out/a")), "not asked for"),
        (b'<!DOCTYPE l [<!ENTITY growing "landing">]>' + answer(found()), "has a DOCTYPE"),
        (b'<!DOCTYPE l SYSTEM "file:///etc/passwd">' + answer(found()), "has a DOCTYPE"),
        (answer(found()).decode().encode("utf-16"), "not XML in UTF-8"),
        (answer("<a/>" * MARKUP_MAX), TOO_MUCH),
        (answer("<a", " a=''" * (MARKUP_MAX // 2), "/>"), TOO_MUCH),
        (answer(*[found().replace("5", "<a/>" * 300)] * PARSED_OBJECTS), TOO_MUCH),
        (
            answer(IsTruncated="true", NextContinuationToken="t" * (TOKEN_MAX_CHARS + 1)),
            "a token of more than 4096 characters",
        ),
    ],
)
def test_a_page_that_is_not_one(body: bytes, text: str) -> None:
    """A page that is incomplete, foreign or oversized is refused, with the reason."""
    with pytest.raises(UnavailableError, match=text):
        entries(read_page(body, SPEC))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", False),
        (answer(found()), False),
        (answer(found()) + b"\n", False),
        (answer(found())[:-1], True),
        (b'<?xml version="1.0"?>\n<Error><Code>InternalError</Code></Error>', True),
        (b"<html></html>", False),
    ],
)
def test_failures_that_look_like_success(body: bytes, *, expected: bool) -> None:
    """An error with status 200 and a torn listing are failures to retry; a foreign page is not."""
    assert is_failure(body) is expected


@pytest.mark.parametrize(
    ("bucket", "name", "is_believed"),
    [
        ("landing", "landing", True),
        ("landing", "Landing", False),
        ("landing", None, True),
        ("landing", "", True),
        ("reports-4k2x-s3alias", "landing", True),
        ("reports-4k2x-s3alias", None, True),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/reports", "landing", True),
    ],
)
def test_name_of_the_bucket(bucket: str, name: str | None, *, is_believed: bool) -> None:
    """A page names the bucket or none; an access point may answer with the bucket behind it."""
    page = answer(Name=name)
    if is_believed:
        assert read_page(page, BucketSpec(bucket, prefix="in/")).next_token is None
    else:
        with pytest.raises(UnavailableError, match="page of bucket"):
            read_page(page, BucketSpec(bucket, prefix="in/"))


@pytest.mark.parametrize(
    ("prefix", "sent"),
    [("a b+é", "a%20b%2B%C3%A9"), ("a b+é", "a+b%2B%C3%A9"), ("a b+é", "a b+é"), ("", "")],
)
def test_prefix_may_be_encoded_or_not(prefix: str, sent: str) -> None:
    """A page names the prefix URL-encoded as AWS does or plain as SeaweedFS does."""
    page = read_page(answer(Prefix=sent), BucketSpec("landing", prefix=prefix))
    assert page.reader.prefix == prefix.encode()


def test_an_odd_object_beside_namespaces() -> None:
    """A character that XML cannot carry makes one object unreadable, however pages are written."""
    body = answer(found("in/a"), found("in/b\x01"), found("in/c")).decode()
    for written in (body, body.replace("<Contents>", '<Contents type="file">')):
        page = read_page(written.encode(), SPEC)
        read, odd = page.reader.read(page.objects)
        assert [entry.path for entry in read] == [b"in/a", b"in/c"]
        assert [each.key for each in odd] == [b""]


def test_head_says_the_same_as_a_listing() -> None:
    """HEAD, which leaves out one storage class where a store has any, gives a listing's entry."""
    head = {"ContentLength": 5, "LastModified": LAST_MODIFIED, "ETag": '"abc-2"'}
    (listed,) = entries(read_page(answer(found(StorageClass="STANDARD")), SPEC))
    assert read_head(b"in/a", head, SPEC, "STANDARD") == listed
    assert read_head(b"in/a", head, SPEC) == listed._replace(storage_class="")
    cold = {**head, "StorageClass": "GLACIER"}
    assert read_head(b"in/a", cold, SPEC, "STANDARD").storage_class == "GLACIER"


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"ContentLength": 5},
        {"ContentLength": 5, "LastModified": "yesterday"},
        {"ContentLength": -5, "LastModified": LAST_MODIFIED},
        {"ContentLength": 10**19, "LastModified": LAST_MODIFIED},
    ],
)
def test_unreadable_head_is_unavailable(head: dict[str, object]) -> None:
    """An answer to HEAD without its headers, or with a size that no object has, is not trusted."""
    with pytest.raises(OddObjectError, match="unreadable headers"):
        read_head(b"in/a", head, SPEC)
