"""Decides how a listing goes on after a page: by its token, its marker or its last key. Pure.

ListObjectsV2 has a token for the next page, ListObjects (version 1) a marker, which is a key and
is given with a delimiter only (S3 API reference: NextMarker). Where a page has neither, the next
one is requested from its last key on. That is complete only where keys ascend, and each such page
must lead beyond the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.sources.s3.objects import REPLACED, decode_url, distrust

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.sources.s3.objects import ObjectReader

TOKEN_MAX_CHARS = 4096
"""Maximum length of a token: it encodes a key, and stores accept URLs of 8 KiB."""
_OF_VERSION_1 = {"Marker", "NextMarker"}
_OF_VERSION_2 = {"KeyCount", "NextContinuationToken", "ContinuationToken", "StartAfter"}
_IS_TRUNCATED = {"true": True, "1": True, "false": False, "0": False}


class Marker(str):
    """A key from which a listing goes on, in place of a token: all further ones come after it."""

    __slots__ = ()


class LastKey(Marker):
    """The last key of a page, where the store gave neither token nor marker; needs its order."""

    __slots__ = ()


def is_version_1(fields: Mapping[str, str]) -> bool:
    """Return whether a page has the shape of a response to ListObjects.

    Args:
        fields: The texts of its fields, by name.
    """
    return bool(_OF_VERSION_1 & fields.keys()) and not _OF_VERSION_2 & fields.keys()


def find_next(  # noqa: PLR0913 - the page, taken apart, and its request
    fields: Mapping[str, str],
    reader: ObjectReader,
    objects: Sequence[bytes],
    prefixes: Sequence[str],
    *,
    after: str,
    max_keys: int,
) -> str | None:
    """Return the token for the next page, or a ``Marker`` in place of it; None for the last page.

    A page that does not say whether it is the last one is, unless it is full or has a token.

    Args:
        fields: The texts of the page's fields, by name.
        reader: Reads the objects.
        objects: The objects of the page.
        prefixes: The common prefixes of the page.
        after: The key after which the page was requested; empty for none, and with a token.
        max_keys: Maximum number of keys that were requested.

    Raises:
        UnavailableError: The page is not the last one, and nothing leads on from it.
    """
    is_truncated = read_truncation(fields)
    if is_truncated is False:
        return None
    token, marker = fields.get("NextContinuationToken"), fields.get("NextMarker")
    if max(map(len, (token or "", marker or ""))) > TOKEN_MAX_CHARS:
        raise distrust(f"a token of more than {TOKEN_MAX_CHARS} characters", reader.place)
    # Ceph's token is the last key as it is, in which XML cannot carry a control character.
    if token and REPLACED.decode() not in token:
        return token
    last = max([reader.last_key(objects), *(prefix.encode() for prefix in prefixes[-1:])])
    if marker:
        return _check_marker(read_marker(marker, reader, last), after, reader.place)
    if is_truncated is None and len(objects) + len(prefixes) < page_keys(fields, max_keys):
        return None
    if not last:
        raise distrust(
            "a page that is not the last one has no token for the next, and no key", reader.place
        )
    return _check_last_key(LastKey(last.decode()), reader.first_key(objects), after, reader.place)


def read_truncation(fields: Mapping[str, str]) -> bool | None:
    """Return whether a page says that it is not the last one; None where it says nothing."""
    return _IS_TRUNCATED.get(fields.get("IsTruncated", "").strip().lower())


def _check_marker(marker: Marker, after: str, place: str) -> Marker:
    if marker == after:
        raise distrust(f"it runs in a circle, the marker {after!r} leads to itself", place)
    return marker


def _check_last_key(last: LastKey, first: bytes, after: str, place: str) -> LastKey:
    if last.encode() <= after.encode():
        raise distrust(
            f"it runs in a circle, the page after {after!r}, which has no token for the next, "
            f"ends with {last!r}",
            place,
        )
    if first > last.encode():
        raise distrust(
            f"a page has no token for the next, and its keys do not ascend: {last!r} comes after "
            f"{first.decode()!r}",
            place,
        )
    return last


def read_marker(text: str, reader: ObjectReader, last: bytes) -> Marker:
    """Return the key of a marker, which may be encoded as keys are or not."""
    readings = [decode_url(text), text.encode()]
    if not reader.is_url:
        readings.reverse()
    key = last if last in readings else readings[0]
    try:
        return Marker(key.decode())
    except UnicodeDecodeError as error:
        raise distrust(f"a marker that is not a key: {text!r}", reader.place) from error


def page_keys(fields: Mapping[str, str], max_keys: int) -> int:
    """Return the number of keys with which a page is full."""
    text = fields.get("MaxKeys", "")
    is_given = text.isascii() and text.isdigit() and int(text[:9]) > 0
    return min(max_keys, int(text[:9])) if is_given else max_keys
