"""Decides what a response to LIST or HEAD says, and whether it can be believed. Pure.

A listing that is wrong and looks right would be read as deletions. So a page counts only when
nothing in it contradicts the request: another bucket, another prefix, a key outside of it, another
kind of document. Fields that stores leave out are derived from others; ``continuation`` decides how
a listing goes on. Keys are requested URL-encoded, since XML cannot carry all of them, and are
decoded to bytes here, as ``key_encoding`` decides.

A page is cut in two (``envelopes``): its envelope is parsed at once; its objects, which are nearly
all of it, stay as they came until ``objects`` is asked for them.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from watcher.model import Entry
from watcher.sources.cost import KEYS_PER_REQUEST
from watcher.sources.s3.continuation import Marker, find_next, is_version_1
from watcher.sources.s3.envelopes import OBJECTS_ROOT, PageForm, take_apart
from watcher.sources.s3.key_encoding import KeyEncoding, find_evidence
from watcher.sources.s3.objects import (
    ObjectReader,
    count_ns,
    decode_url,
    distrust,
    parse_size,
)
from watcher.sources.s3.odd_objects import OddObjectError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from watcher.spec import BucketSpec

# An access point and its alias may answer with the name of the bucket behind them.
_ALIAS_MARKS = (":", "-s3alias", "--ol-s3")

_OBJECT_START, _OBJECT_END = b"<Contents>", b"</Contents>"
# One of these, or a key, shows that an XML document is a listing.
_OF_ANY_PAGE = {"Name", "Prefix", "IsTruncated", "KeyCount"}


class PageRequest(NamedTuple):
    """One page to be requested.

    Attributes:
        prefix: List keys that begin with it.
        start_after: List keys that are greater; empty for all of them.
        token: ``next_token`` of the page before; None for the first page. A ``Marker`` is a key.
        delimiter: Fold keys that hold it behind the prefix into common prefixes; empty for none.
    """

    prefix: str
    start_after: str = ""
    token: str | None = None
    delimiter: str = ""

    @property
    def after(self) -> str:
        """The key after which the page begins; empty for none, and where a token says it."""
        if self.token is None:
            return self.start_after
        return self.token if isinstance(self.token, Marker) else ""


class Page(NamedTuple):
    """One page of a listing.

    Attributes:
        objects: Its objects in the store's order, each a ``Contents`` element without its end tag.
        reader: Reads the objects.
        next_token: Token for the next page; None on the last page.
        prefixes: Common prefixes, each up to the delimiter; empty where none was asked for.
        is_version_1: It has the shape of a response to ListObjects, not to ListObjectsV2.
        doubtful: Some keys as they are written, where it is not certain whether they are encoded.
    """

    objects: Sequence[bytes]
    reader: ObjectReader
    next_token: str | None
    prefixes: Sequence[str]
    is_version_1: bool = False
    doubtful: Sequence[str] = ()


def read_page(
    body: bytes,
    spec: BucketSpec,
    request: PageRequest | None = None,
    *,
    max_keys: int = KEYS_PER_REQUEST,
    encoding: KeyEncoding | None = None,
) -> Page:
    """Check a response to ListObjectsV2 or ListObjects and take it apart.

    Args:
        body: The XML, in UTF-8.
        spec: The bucket that was listed.
        request: The request; None for the first page of the spec's prefix.
        max_keys: Maximum number of keys that were requested.
        encoding: How the store writes keys; None where only the page can show it.

    Raises:
        UnavailableError: The response does not answer the request, or is not complete.
    """
    asked = request or PageRequest(spec.prefix)
    root, objects = take_apart(body, spec.place, _FORM)
    fields = {child.tag: child.text or "" for child in root}
    is_named = fields.get("EncodingType", "").strip().lower() == "url"
    doubtful: Sequence[str] = ()
    if encoding is None:
        encoding, doubtful = find_evidence(
            b"".join(objects), asked.prefix.encode(), is_named=is_named
        )
    reader = ObjectReader(
        spec.place,
        asked.prefix.encode(),
        encoding is not KeyEncoding.PLAIN,
        encoding is not KeyEncoding.UNCERTAIN,
    )
    check_page(fields, spec, reader, objects)
    prefixes = [
        _decode_prefix(element.text or "", reader)
        for element in root.iterfind("CommonPrefixes/Prefix")
    ]
    next_token = find_next(
        fields,
        reader,
        objects,
        prefixes,
        after=asked.after,
        max_keys=max_keys,
    )
    return Page(objects, reader, next_token, prefixes, is_version_1(fields), doubtful)


def read_head(
    path: bytes, answer: Mapping[str, Any], spec: BucketSpec, unnamed_class: str = ""
) -> Entry:
    """Return the entry that a response to HeadObject describes.

    Args:
        path: The key of the request.
        answer: The response as botocore parses it, with timestamps left as text.
        spec: The bucket of the key.
        unnamed_class: The storage class of an object for which the response names none.

    Raises:
        OddObjectError: A header is missing or cannot be read.
    """
    try:
        return Entry(
            path=path,
            size=parse_size(str(answer["ContentLength"])),
            mtime_ns=count_ns(parsedate_to_datetime(answer["LastModified"])),
            etag=answer.get("ETag", "").strip('"'),
            storage_class=answer.get("StorageClass") or unnamed_class,
        )
    except (KeyError, ValueError, OverflowError) as error:
        # OverflowError: a year or an offset with too many digits.
        raise OddObjectError(
            f"an object with unreadable headers ({error})",
            place=spec.place,
            hint="check endpoint_url and the proxies on the way to the store",
        ) from error


def check_page(
    fields: Mapping[str, str], spec: BucketSpec, reader: ObjectReader, elements: Sequence[bytes]
) -> None:
    """Check that a page is one of the bucket and the prefix that were asked for.

    Args:
        fields: The texts of its fields, by name.
        spec: The bucket that was listed.
        reader: Reads its elements; has the prefix.
        elements: What is listed.

    Raises:
        UnavailableError: It is not, or nothing shows what it is.
    """
    problem = _find_problem(fields, spec, reader.prefix)
    if not problem and not _OF_ANY_PAGE & {name for name, text in fields.items() if text}:
        # An uncertain key says as well as any other that this is a listing.
        is_listing = bool(reader._replace(is_certain=True).first_key(elements))
        problem = "" if is_listing else "a page that names neither bucket nor prefix"
    if problem:
        raise distrust(problem, spec.place)


def _split(body: bytes) -> tuple[list[bytes], bytes]:
    """Return the objects of a page, each without its end tag, and the page without them."""
    first, end = body.find(_OBJECT_START), body.rfind(_OBJECT_END) + len(_OBJECT_END)
    if not 0 <= first < end:
        return [], body
    objects = body[first:end]
    elements = objects.split(_OBJECT_END)[:-1]
    if objects.count(_OBJECT_END + _OBJECT_START) + 1 != len(elements):
        # Text between two objects belongs to neither.
        elements = [element.strip() for element in elements]
    return elements, body[:first] + body[end:]


_FORM = PageForm(OBJECTS_ROOT, ["Contents"], _split, _OBJECT_END)


def _decode_prefix(text: str, reader: ObjectReader) -> str:
    try:
        prefix = reader.decode(text)
        if prefix.startswith(reader.prefix):
            return prefix.decode()
    except ValueError as error:
        raise distrust(str(error), reader.place) from error
    raise distrust(f"a prefix that was not asked for: {prefix!r}", reader.place)


def _find_problem(fields: Mapping[str, str], spec: BucketSpec, asked: bytes) -> str:
    """Return why the page does not answer the request; empty where it does.

    Args:
        fields: The texts of its fields, by name.
        spec: The bucket that was listed.
        asked: The prefix that was requested.

    A field that is missing or empty proves nothing, while there are others that do.
    """
    name, prefix = fields.get("Name", "").strip(), fields.get("Prefix", "")
    if name and name != spec.bucket and not any(mark in spec.bucket for mark in _ALIAS_MARKS):
        return f"a page of bucket {name!r}"
    # Some stores (SeaweedFS) encode the keys and leave the prefix as it is.
    readings = {prefix.encode(), unquote_to_bytes(prefix), decode_url(prefix)}
    if prefix and asked not in readings:
        return f"a page of prefix {prefix!r}"
    return ""
