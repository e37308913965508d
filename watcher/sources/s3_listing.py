"""Decides what an answer of S3 says, and whether it may be believed: pages and HEAD answers in, entries out. Pure; never imports botocore.

A listing that is wrong and looks right would be read as deletions. So a page counts only when it names our bucket and prefix, says
whether it is the last one, carries a token when it is not, and holds nothing that does not belong to us. Keys are asked for
URL-encoded, since XML cannot carry all of them, and become here the bytes that they are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
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


class Page(NamedTuple):
    """One page of a listing.

    Attributes:
        entries: Its objects, in the store's order; may be empty, also where more pages follow.
        next_token: What to ask the next page with; None on the last page.
    """

    entries: list[Entry]
    next_token: str | None


def read_page(answer: Mapping[str, Any], spec: BucketSpec) -> Page:
    """Check and translate one answer to ListObjectsV2.

    Args:
        answer: As botocore parses it, with timestamps left as text and keys still encoded as ``EncodingType`` says.
        spec: What was asked for.

    Raises:
        UnavailableError: The answer cannot be the one to our question, or is not complete.
    """
    decode = _decode_url if answer.get("EncodingType") == "url" else str.encode
    problem = _find_problem(answer, spec, decode)
    if problem:
        raise _distrust(problem, spec)
    try:
        entries = [
            Entry(
                path=decode(found["Key"]),
                size=found["Size"],
                mtime_ns=parse_timestamp_ns(found["LastModified"]),
                etag=found.get("ETag", "").strip('"'),
                storage_class=found.get("StorageClass") or _DEFAULT_STORAGE_CLASS,
            )
            for found in answer.get("Contents", ())
        ]
    except KeyError as error:
        raise _distrust(f"an object without {error.args[0]}", spec) from error
    except ValueError as error:
        raise _distrust(str(error), spec) from error
    prefix = spec.prefix.encode()
    for entry in entries:
        if not entry.path or not entry.path.startswith(prefix):
            raise _distrust(f"a key that was not asked for: {entry.path!r}", spec)
    return Page(entries, answer["NextContinuationToken"] if answer["IsTruncated"] else None)


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


def _find_problem(answer: Mapping[str, Any], spec: BucketSpec, decode: Callable[[str], bytes]) -> str | None:
    """Return why the page is not one of ours, or None."""
    name, prefix = answer.get("Name"), answer.get("Prefix", "")
    if not name or (name != spec.bucket and not any(mark in spec.bucket for mark in _ALIAS_MARKS)):
        return f"a page of bucket {name!r}"
    # Some stores (SeaweedFS) encode the keys and leave the prefix as it is.
    if prefix != spec.prefix and decode(prefix) != spec.prefix.encode():
        return f"a page of prefix {prefix!r}"
    if "IsTruncated" not in answer:
        return "a page that does not say whether more follow"
    if answer["IsTruncated"] and not answer.get("NextContinuationToken"):
        return "a page that is not the last one and has no token for the next"
    return None


def _distrust(problem: str, spec: BucketSpec) -> UnavailableError:
    return UnavailableError(
        f"the listing cannot be trusted: {problem}", place=spec.place, hint="check endpoint_url and the proxies on the way to the store"
    )
