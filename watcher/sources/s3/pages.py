"""Decides what an answer of S3 says, and whether it may be believed: pages and HEAD answers. Pure; never imports botocore.

A listing that is wrong and looks right would be read as deletions. So a page counts only when it names our bucket and prefix, says
whether it is the last one, carries a token when it is not, and holds nothing that does not belong to us. Keys are asked for
URL-encoded, since XML cannot carry all of them, and become here the bytes that they are.

A page is cut in two: its envelope is read at once; its objects, which are nearly all of it, stay as they are until ``s3_objects.py``
is asked for them. ElementTree parses both, at a third of the cost of the SDK's way; documents that declare entities are not parsed at
all.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from watcher.model import Entry
from watcher.sources.s3.objects import (
    DEFAULT_STORAGE_CLASS,
    ObjectReader,
    count_ns,
    distrust,
    parse,
    parse_size,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from watcher.spec import BucketSpec

# An access point, and an alias of one, may be answered for by the bucket behind it: there is no name to compare with.
_ALIAS_MARKS = (":", "-s3alias", "--ol-s3")

_ROOT = "ListBucketResult"
_OBJECT = "Contents"
_FIRST_OBJECT, _LAST_OBJECT = b"<Contents>", b"</Contents>"
_HEAD_BYTES = 512

OBJECT_MAX_BYTES = 8 * 1024
"""Of an object with its tags: a key of 1,024 bytes takes 3 KiB URL-encoded, and 6 KiB when each byte is written as ``&quot;`` is."""
TOKEN_MAX_CHARS = 4096
"""Tokens hold a key, encoded in some way. The next request has it in its URL, where stores take 8 KiB."""


class Page(NamedTuple):
    """One page of a listing.

    Attributes:
        objects: Its objects, in the store's order, each a ``Contents`` element without its end tag.
        reader: Reads them.
        next_token: What to ask the next page with; None on the last page.
        prefixes: What the keys that hold the delimiter begin with, up to it; empty where none was asked for.
    """

    objects: Sequence[bytes]
    reader: ObjectReader
    next_token: str | None
    prefixes: Sequence[str]


def read_page(body: bytes, spec: BucketSpec, prefix: str | None = None) -> Page:
    """Check one answer to ListObjectsV2 and take it apart.

    Args:
        body: The XML, in UTF-8.
        spec: What is watched.
        prefix: What was asked for, where that is not the prefix of ``spec``.

    Raises:
        UnavailableError: The answer cannot be the one to our question, or is not complete.
    """
    asked = spec.prefix if prefix is None else prefix
    root, objects = _take_apart(body, spec.place)
    fields = {child.tag: child.text or "" for child in root}
    reader = ObjectReader(spec.place, asked.encode(), fields.get("EncodingType") == "url")
    problem = _find_problem(fields, spec, asked, reader)
    if problem:
        raise distrust(problem, spec.place)
    return Page(
        objects,
        reader,
        fields["NextContinuationToken"] if fields["IsTruncated"] == "true" else None,
        [
            _decode_prefix(found.text or "", reader)
            for found in root.iterfind("CommonPrefixes/Prefix")
        ],
    )


def read_head(path: bytes, answer: Mapping[str, Any], spec: BucketSpec) -> Entry:
    """Translate one answer to HeadObject.

    Args:
        path: The key that was asked for.
        answer: As botocore parses it, with timestamps left as text.
        spec: Where it was asked for.

    Raises:
        UnavailableError: A header is missing or cannot be read.
    """
    try:
        return Entry(
            path=path,
            size=parse_size(str(answer["ContentLength"])),
            mtime_ns=count_ns(parsedate_to_datetime(answer["LastModified"])),
            etag=answer.get("ETag", "").strip('"'),
            storage_class=answer.get("StorageClass") or DEFAULT_STORAGE_CLASS,
        )
    except (KeyError, ValueError, OverflowError) as error:
        # The last one is for a year or an offset that has too many digits.
        raise distrust(f"an object with unreadable headers ({error})", spec.place) from error


def is_failure(body: bytes) -> bool:
    """Tell by the two ends of an answer whether it is a listing that is torn, or an error, which S3 may send with status 200."""
    head, tail = body[:_HEAD_BYTES], body[-_HEAD_BYTES:].rstrip()
    return b"<Error" in head or (
        b"<ListBucketResult" in head and not tail.endswith(b"ListBucketResult>")
    )


def is_plain(document: bytes) -> bool:
    """Tell whether a document surely declares no entities, of which expat would make a hundred times as much; UTF-16 could hide them."""
    return b"<!DOCTYPE" not in document and b"\0" not in document


def _take_apart(body: bytes, place: str) -> tuple[ET.Element, list[bytes]]:
    """Return the envelope of a page, its tags without their namespaces, and the objects that stood in it."""
    first, end = body.find(_FIRST_OBJECT), body.rfind(_LAST_OBJECT) + len(_LAST_OBJECT)
    objects = body[first:end] if 0 <= first < end else b""
    envelope = body[:first] + body[end:] if objects else body
    if not is_plain(envelope):
        raise distrust("a page that is not XML in UTF-8, or has a DOCTYPE", place)
    root = parse(envelope, place)
    kind = root.tag.rpartition("}")[2]
    if kind != _ROOT:
        raise distrust(f"a document of the kind {kind!r}", place)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    found = _split(objects) if objects else _rewrite(root, place)
    if max(map(len, found), default=0) > OBJECT_MAX_BYTES:
        raise distrust(f"an object of more than {OBJECT_MAX_BYTES} bytes", place)
    return root, found


def _split(objects: bytes) -> list[bytes]:
    found = objects.split(_LAST_OBJECT)[:-1]
    if objects.count(_LAST_OBJECT + _FIRST_OBJECT) + 1 != len(found):
        # What stands between two objects belongs to neither.
        return [each.strip() for each in found]
    return found


def _rewrite(root: ET.Element, place: str) -> list[bytes]:
    """Return the objects of a listing that writes them with namespaces or attributes as if it wrote them plainly."""
    try:
        return [
            ET.tostring(child).strip().removesuffix(_LAST_OBJECT)
            for child in root
            if child.tag == _OBJECT
        ]
    except RecursionError as error:
        raise distrust("an object that is nested without end", place) from error


def _decode_prefix(text: str, reader: ObjectReader) -> str:
    prefix = reader.decode(text)
    if not prefix.startswith(reader.prefix):
        raise distrust(f"a prefix that was not asked for: {prefix!r}", reader.place)
    try:
        return prefix.decode()
    except UnicodeDecodeError as error:
        raise distrust(str(error), reader.place) from error


def _find_problem(
    fields: Mapping[str, str], spec: BucketSpec, asked: str, reader: ObjectReader
) -> str | None:
    """Return why the page is not one of ours, or None."""
    name, prefix = fields.get("Name"), fields.get("Prefix", "")
    if not name or (name != spec.bucket and not any(mark in spec.bucket for mark in _ALIAS_MARKS)):
        return f"a page of bucket {name!r}"
    # Some stores (SeaweedFS) encode the keys and leave the prefix as it is.
    if prefix != asked and reader.decode(prefix) != reader.prefix:
        return f"a page of prefix {prefix!r}"
    if fields.get("IsTruncated") not in {"true", "false"}:
        return "a page that does not say whether more follow"
    if fields["IsTruncated"] == "true" and not fields.get("NextContinuationToken"):
        return "a page that is not the last one and has no token for the next"
    if len(fields.get("NextContinuationToken", "")) > TOKEN_MAX_CHARS:
        return f"a token of more than {TOKEN_MAX_CHARS} characters"
    return None
