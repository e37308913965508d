"""Decides what a response to LIST or HEAD says, and whether it can be believed. Pure.

A listing that is wrong and looks right would be read as deletions. So a page counts only when it
names the bucket and the prefix that were asked for, says whether it is the last one, has a token
when it is not, and holds no key outside the prefix. Keys are requested URL-encoded, since XML
cannot carry all of them, and are decoded to bytes here.

A page is cut in two: its envelope is parsed at once; its objects, which are nearly all of it, stay
as they came until ``objects`` is asked for them. ElementTree parses both at a third of the cost of
the SDK; documents that declare entities are not parsed at all.
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

# An access point and its alias may answer with the name of the bucket behind them.
_ALIAS_MARKS = (":", "-s3alias", "--ol-s3")

_ROOT = "ListBucketResult"
_OBJECT = "Contents"
_OBJECT_START, _OBJECT_END = b"<Contents>", b"</Contents>"
_HEAD_BYTES = 512

OBJECT_MAX_BYTES = 8 * 1024
"""Maximum length of an object with its tags in bytes.

A key of 1,024 bytes takes 3 KiB URL-encoded, and 6 KiB when each byte is written as ``&quot;`` is.
"""
TOKEN_MAX_CHARS = 4096
"""Maximum length of a token: it encodes a key, and stores accept URLs of 8 KiB."""


class PageRequest(NamedTuple):
    """One page to be requested.

    Attributes:
        prefix: List keys that begin with it.
        start_after: List keys that are greater; empty for all of them.
        token: ``next_token`` of the page before; None for the first page.
        delimiter: Fold keys that hold it behind the prefix into common prefixes; empty for none.
    """

    prefix: str
    start_after: str = ""
    token: str | None = None
    delimiter: str = ""


class Page(NamedTuple):
    """One page of a listing.

    Attributes:
        objects: Its objects in the store's order, each a ``Contents`` element without its end tag.
        reader: Reads the objects.
        next_token: Token for the next page; None on the last page.
        prefixes: Common prefixes, each up to the delimiter; empty where none was asked for.
    """

    objects: Sequence[bytes]
    reader: ObjectReader
    next_token: str | None
    prefixes: Sequence[str]


def read_page(body: bytes, spec: BucketSpec, prefix: str | None = None) -> Page:
    """Check a response to ListObjectsV2 and take it apart.

    Args:
        body: The XML, in UTF-8.
        spec: The bucket that was listed.
        prefix: The prefix of the request, where that is not the prefix of ``spec``.

    Raises:
        UnavailableError: The response does not answer the request, or is not complete.
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
            _decode_prefix(element.text or "", reader)
            for element in root.iterfind("CommonPrefixes/Prefix")
        ],
    )


def read_head(path: bytes, answer: Mapping[str, Any], spec: BucketSpec) -> Entry:
    """Return the entry that a response to HeadObject describes.

    Args:
        path: The key of the request.
        answer: The response as botocore parses it, with timestamps left as text.
        spec: The bucket of the key.

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
        # OverflowError: a year or an offset with too many digits.
        raise distrust(f"an object with unreadable headers ({error})", spec.place) from error


def is_failure(body: bytes) -> bool:
    """Return whether a body with status 200 is a torn listing or an error, by its two ends."""
    head, tail = body[:_HEAD_BYTES], body[-_HEAD_BYTES:].rstrip()
    return b"<Error" in head or (
        b"<ListBucketResult" in head and not tail.endswith(b"ListBucketResult>")
    )


def is_plain(document: bytes) -> bool:
    """Return whether a document declares no entities, which expat would expand a hundredfold.

    A NUL byte means UTF-16, which could hide a declaration.
    """
    return b"<!DOCTYPE" not in document and b"\0" not in document


def _take_apart(body: bytes, place: str) -> tuple[ET.Element, list[bytes]]:
    """Return the envelope of a page, its tags without namespaces, and the objects it held."""
    first, end = body.find(_OBJECT_START), body.rfind(_OBJECT_END) + len(_OBJECT_END)
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
    elements = _split(objects) if objects else _rewrite(root, place)
    if max(map(len, elements), default=0) > OBJECT_MAX_BYTES:
        raise distrust(f"an object of more than {OBJECT_MAX_BYTES} bytes", place)
    return root, elements


def _split(objects: bytes) -> list[bytes]:
    elements = objects.split(_OBJECT_END)[:-1]
    if objects.count(_OBJECT_END + _OBJECT_START) + 1 != len(elements):
        # Text between two objects belongs to neither.
        return [element.strip() for element in elements]
    return elements


def _rewrite(root: ET.Element, place: str) -> list[bytes]:
    """Return objects that carry namespaces or attributes as if they were written plainly."""
    try:
        return [
            ET.tostring(child).strip().removesuffix(_OBJECT_END)
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
    """Return why the page does not answer the request; None where it does."""
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
