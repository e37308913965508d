"""Decides what an answer of S3 says, and whether it may be believed: pages and HEAD answers in, entries out. Pure; never imports botocore.

A listing that is wrong and looks right would be read as deletions. So a page counts only when it names our bucket and prefix, says
whether it is the last one, carries a token when it is not, and holds nothing that does not belong to us. Keys are asked for
URL-encoded, since XML cannot carry all of them, and become here the bytes that they are.

Most pages of most listings are as they were the last time. So a page is cut in two: its envelope is read at once; its objects, which
are nearly all of it, are known by a digest and read only by who asks for them. ElementTree parses both (expat limits how far entities
may be amplified), at a third of the cost of the SDK's way.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from watcher.errors import UnavailableError
from watcher.model import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from watcher.spec import BucketSpec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# HEAD leaves the default class out, and so do some stores in listings.
_DEFAULT_STORAGE_CLASS = "STANDARD"
# An access point, and an alias of one, may be answered for by the bucket behind it: there is no name to compare with.
_ALIAS_MARKS = (":", "-s3alias", "--ol-s3")

_ROOT = "ListBucketResult"
_OBJECT = "Contents"
_FIRST_OBJECT, _LAST_OBJECT = b"<Contents>", b"</Contents>"
_HEAD_BYTES = 512


class Page:
    """One page of a listing.

    Attributes:
        digest: Of its objects; pages with the same one hold the same entries. Empty for a page without objects.
        next_token: What to ask the next page with; None on the last page.
    """

    def __init__(self, objects: bytes, next_token: str | None, decode: Callable[[str], bytes], spec: BucketSpec) -> None:
        self.digest = blake2b(objects, digest_size=16).digest() if objects else b""
        self.next_token = next_token
        self._objects = objects
        self._decode = decode
        self._spec = spec

    @cached_property
    def entries(self) -> list[Entry]:
        """Its objects, in the store's order; may be empty, also where more pages follow.

        Raises:
            UnavailableError: They cannot be read, or do not belong to what was asked for.
        """
        spec = self._spec
        try:
            entries = [_read_object(found, self._decode) for found in _parse(b"<page>%b</page>" % self._objects, spec)]
        except KeyError as error:
            raise _distrust(f"an object without {error.args[0]}", spec) from error
        except ValueError as error:
            raise _distrust(str(error), spec) from error
        prefix = spec.prefix.encode()
        for entry in entries:
            if not entry.path or not entry.path.startswith(prefix):
                raise _distrust(f"a key that was not asked for: {entry.path!r}", spec)
        return entries


def read_page(body: bytes, spec: BucketSpec) -> Page:
    """Check one answer to ListObjectsV2 and take it apart.

    Args:
        body: The XML, in UTF-8.
        spec: What was asked for.

    Raises:
        UnavailableError: The answer cannot be the one to our question, or is not complete.
    """
    first, end = body.find(_FIRST_OBJECT), body.rfind(_LAST_OBJECT) + len(_LAST_OBJECT)
    objects = body[first:end] if 0 <= first < end else b""
    root = _parse(body[:first] + body[end:] if objects else body, spec)
    kind = root.tag.rpartition("}")[2]
    if kind != _ROOT:
        raise _distrust(f"a document of the kind {kind!r}", spec)
    objects = objects or _rewritten(root)
    fields = {child.tag.rpartition("}")[2]: child.text or "" for child in root}
    decode = _decode_url if fields.get("EncodingType") == "url" else str.encode
    problem = _find_problem(fields, spec, decode)
    if problem:
        raise _distrust(problem, spec)
    return Page(objects, fields["NextContinuationToken"] if fields["IsTruncated"] == "true" else None, decode, spec)


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
            size=answer["ContentLength"],
            mtime_ns=_count_ns(parsedate_to_datetime(answer["LastModified"])),
            etag=answer.get("ETag", "").strip('"'),
            storage_class=answer.get("StorageClass") or _DEFAULT_STORAGE_CLASS,
        )
    except (KeyError, ValueError) as error:
        raise _distrust(f"an object with unreadable headers ({error})", spec) from error


def is_failure(body: bytes) -> bool:
    """Tell by the two ends of an answer whether it is a listing that is torn, or an error, which S3 may send with status 200."""
    head, tail = body[:_HEAD_BYTES], body[-_HEAD_BYTES:].rstrip()
    return b"<Error" in head or (b"<ListBucketResult" in head and not tail.endswith(b"ListBucketResult>"))


def parse_timestamp_ns(text: str) -> int:
    """Return the nanoseconds since the epoch of a timestamp in a listing, exactly, without a float on the way.

    Args:
        text: ISO 8601 with seconds, milliseconds or microseconds, and ``Z`` or an offset. Digits beyond are cut.

    Raises:
        ValueError: It is none.
    """
    return _count_ns(datetime.fromisoformat(text))


def _count_ns(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(f"a timestamp without a timezone: {moment}")
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _decode_url(key: str) -> bytes:
    # Stores write a space as "+" or "%20", and a plus sign always as "%2B".
    return unquote_to_bytes(key.replace("+", " "))


def _parse(document: bytes, spec: BucketSpec) -> ET.Element:
    try:
        return ET.fromstring(document)  # noqa: S314 - expat stops entities that grow; a listing is ours to ask for
    except ET.ParseError as error:
        raise _distrust(f"a page that is not XML ({error})", spec) from error


def _read_object(found: ET.Element, decode: Callable[[str], bytes]) -> Entry:
    fields = {child.tag: child.text or "" for child in found}
    etag, storage_class = fields.get("ETag", "").strip('"'), fields.get("StorageClass") or _DEFAULT_STORAGE_CLASS
    key, size, mtime_ns = decode(fields["Key"]), int(fields["Size"]), parse_timestamp_ns(fields["LastModified"])
    # What Entry(...) does, without the call through its keyword arguments.
    return tuple.__new__(Entry, (key, size, mtime_ns, 0, 0, etag, storage_class, False))


def _rewritten(root: ET.Element) -> bytes:
    """Return the objects of a listing that writes them with namespaces or attributes as if it wrote them plainly."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return b"".join(ET.tostring(child) for child in root if child.tag == _OBJECT)


def _find_problem(fields: Mapping[str, str], spec: BucketSpec, decode: Callable[[str], bytes]) -> str | None:
    """Return why the page is not one of ours, or None."""
    name, prefix = fields.get("Name"), fields.get("Prefix", "")
    if not name or (name != spec.bucket and not any(mark in spec.bucket for mark in _ALIAS_MARKS)):
        return f"a page of bucket {name!r}"
    # Some stores (SeaweedFS) encode the keys and leave the prefix as it is.
    if prefix != spec.prefix and decode(prefix) != spec.prefix.encode():
        return f"a page of prefix {prefix!r}"
    if fields.get("IsTruncated") not in {"true", "false"}:
        return "a page that does not say whether more follow"
    if fields["IsTruncated"] == "true" and not fields.get("NextContinuationToken"):
        return "a page that is not the last one and has no token for the next"
    return None


def _distrust(problem: str, spec: BucketSpec) -> UnavailableError:
    return UnavailableError(
        f"the listing cannot be trusted: {problem}", place=spec.place, hint="check endpoint_url and the proxies on the way to the store"
    )
