"""Decides what the objects in the pages of a listing are, and how many of them make a batch. Pure; never imports botocore.

Most of a listing is as it was the last time. So objects stay the XML that they came as until somebody asks for them, and are handed on
in batches that are known by a digest. Therefore a batch should come again although a key before it came or went, which a page does not:
where one batch ends and the next begins depends on the objects there, not on their number and not on the page that brought them, so
nearly always one batch changes, and soon all are as they were.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes
from zlib import crc32

from watcher.errors import UnavailableError
from watcher.model import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.filters.path_filter import PathFilter

LEAST_OBJECTS, MOST_OBJECTS = 512, 2048
"""How many objects a batch has at least (but for the last one) and at most."""
PARSED_OBJECTS = 1024
"""So many objects are parsed at once: together they are no longer than an answer."""
MARKUP_MAX = 250_000
"""So many tags and quotes a document may have, eight times what so many objects have: each costs much more than the byte that it is, and
all other threads wait while expat reads."""
# One object in so many may be the last of a batch, which then has 1,000 on average.
_END_MASK = 511

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NS_MIN, _NS_MAX = -(1 << 63), (1 << 63) - 1
_SIZE_DIGITS = 19
# HEAD leaves the default class out, and so do some stores in listings.
DEFAULT_STORAGE_CLASS = "STANDARD"


class ObjectReader(NamedTuple):
    """Reads the objects of one listing.

    Attributes:
        place: For messages.
        prefix: Their keys begin with it.
        is_url: Their keys are URL-encoded.
    """

    place: str
    prefix: bytes
    is_url: bool

    def read(self, objects: Sequence[bytes]) -> list[Entry]:
        """Return objects as entries, in their order.

        Args:
            objects: Each a ``Contents`` element, without its end tag.

        Raises:
            UnavailableError: They cannot be read, or do not belong to what was asked for.
        """
        if not objects:
            return []
        try:
            slices = (
                objects[start : start + PARSED_OBJECTS]
                for start in range(0, len(objects), PARSED_OBJECTS)
            )
            entries = [self._read_object(found) for some in slices for found in self._parse(some)]
            # A newline is in no place where it could make one character of the ends of two keys.
            b"\n".join([entry.path for entry in entries]).decode()
        except KeyError as error:
            raise distrust(f"an object without {error.args[0]}", self.place) from error
        except ValueError as error:
            raise distrust(str(error), self.place) from error
        if len(entries) != len(objects):
            raise distrust("an object within another", self.place)
        for entry in entries:
            if not entry.path or not entry.path.startswith(self.prefix):
                raise distrust(f"a key that was not asked for: {entry.path!r}", self.place)
        return entries

    def key(self, found: bytes) -> bytes:
        """Return the key of one object.

        Raises:
            UnavailableError: It cannot be read, or does not belong to what was asked for.
        """
        return self.read([found])[0].path

    def decode(self, text: str) -> bytes:
        """Return what a key, a prefix or a delimiter in an answer stands for."""
        # Stores write a space as "+" or "%20", and a plus sign always as "%2B".
        return unquote_to_bytes(text.replace("+", " ")) if self.is_url else text.encode()

    def _parse(self, objects: Sequence[bytes]) -> ET.Element:
        return parse(b"<page>%b</Contents></page>" % b"</Contents>".join(objects), self.place)

    def _read_object(self, found: ET.Element) -> Entry:
        fields = {child.tag: child.text or "" for child in found}
        etag, storage_class = (
            fields.get("ETag", "").strip('"'),
            fields.get("StorageClass") or DEFAULT_STORAGE_CLASS,
        )
        key, size, mtime_ns = (
            self.decode(fields["Key"]),
            parse_size(fields["Size"]),
            parse_timestamp_ns(fields["LastModified"]),
        )
        # What Entry(...) does, without the call through its keyword arguments.
        return tuple.__new__(Entry, (key, size, mtime_ns, 0, 0, etag, storage_class, False))


class ObjectBatch:
    """Objects of a listing that follow each other, read when they are asked for; see ``Batch``.

    Attributes:
        digest: Of the objects; batches with the same one hold the same entries.
        last_key: The key of the last object.
        is_sorted: Their keys ascend strictly, by their bytes, and come after those of the batch before. Until they are read, only their
            ends are known.
    """

    unsettled: Sequence[bytes] = ()

    def __init__(
        self,
        objects: Sequence[bytes],
        reader: ObjectReader,
        path_filter: PathFilter,
        after: bytes = b"",
    ) -> None:
        """Take objects, at least one.

        Args:
            objects: Each a ``Contents`` element, without its end tag.
            reader: Reads them.
            path_filter: Which of them count.
            after: The last key of the batch before; empty for the first.

        Raises:
            UnavailableError: The first or the last object cannot be read.
        """
        first_key, self.last_key = reader.key(objects[0]), reader.key(objects[-1])
        self.is_sorted = after < first_key <= self.last_key
        self.digest = blake2b(
            b"".join(objects), digest_size=16, person=b"url" if reader.is_url else b""
        ).digest()
        self._objects = objects
        self._reader = reader
        self._filter = path_filter

    def __len__(self) -> int:
        """How many objects there are, also those that the filter does not admit."""
        return len(self._objects)

    @cached_property
    def entries(self) -> list[Entry]:
        """Those objects that the filter admits, in the store's order.

        Raises:
            UnavailableError: They cannot be read, or do not belong to what was asked for.
        """
        entries = self._reader.read(self._objects)
        paths = [entry.path for entry in entries]
        self.is_sorted = self.is_sorted and all(map(bytes.__lt__, paths, paths[1:]))
        admits = self._filter.admits
        return [entry for entry in entries if admits(entry.path)]


class Batches:
    """Makes batches of the objects of pages that follow each other.

    Args:
        path_filter: Which keys count.
    """

    def __init__(self, path_filter: PathFilter) -> None:
        self._filter = path_filter
        self._reader: ObjectReader | None = None
        self._waiting: list[bytes] = []
        self._checked = 0
        self._last_key = b""

    def add(self, objects: Sequence[bytes], reader: ObjectReader) -> list[ObjectBatch]:
        """Take in the objects of one page and return the batches that are complete with it.

        Raises:
            UnavailableError: An object cannot be read.
        """
        batches = []
        if reader != self._reader:
            batches += self.flush()
            self._reader = reader
        self._waiting += objects
        while (end := self._find_end()) is not None:
            batches.append(self._take(end, reader))
        return batches

    def flush(self) -> list[ObjectBatch]:
        """Return what is left as the last batch; empty when nothing is.

        Raises:
            UnavailableError: An object cannot be read.
        """
        return (
            [self._take(len(self._waiting), self._reader)]
            if self._waiting and self._reader is not None
            else []
        )

    def _find_end(self) -> int | None:
        """Return how many of the waiting objects make a batch; None when more are needed to tell."""
        waiting = self._waiting
        for index in range(max(LEAST_OBJECTS - 1, self._checked), min(len(waiting), MOST_OBJECTS)):
            if not crc32(waiting[index]) & _END_MASK:
                return index + 1
        self._checked = len(waiting)
        return MOST_OBJECTS if len(waiting) >= MOST_OBJECTS else None

    def _take(self, count: int, reader: ObjectReader) -> ObjectBatch:
        objects, self._waiting, self._checked = self._waiting[:count], self._waiting[count:], 0
        batch = ObjectBatch(objects, reader, self._filter, self._last_key)
        self._last_key = batch.last_key
        return batch


def parse(document: bytes, place: str) -> ET.Element:
    """Return the root of an XML document.

    Args:
        document: It declares no entities.
        place: For messages.

    Raises:
        UnavailableError: It is none, or has more tags and quotes than any listing.
    """
    if sum(map(document.count, (b"<", b'"', b"'"))) > MARKUP_MAX:
        raise distrust("a page with more tags and attributes than any has", place)
    try:
        return ET.fromstring(document)  # noqa: S314 - without entities it takes no more than its size allows
    except (ET.ParseError, LookupError, ValueError) as error:
        # The last two are for an encoding that is unknown or that expat does not take.
        raise distrust(f"a page that is not XML ({error})", place) from error


def parse_size(text: str) -> int:
    """Return a number of bytes.

    Raises:
        ValueError: It is none, or more than any store takes.
    """
    if not (text.isascii() and text.isdigit() and len(text) < _SIZE_DIGITS):
        raise ValueError(f"a size of {text!r}")
    return int(text)


def parse_timestamp_ns(text: str) -> int:
    """Return the nanoseconds since the epoch of a timestamp in a listing, exactly, without a float on the way.

    Args:
        text: ISO 8601 with seconds, milliseconds or microseconds, and ``Z`` or an offset. Digits beyond are cut. What 64 bits do not hold
            (the year 1 stands for no time in Go) becomes the nearest that they do.

    Raises:
        ValueError: It is none.
    """
    return count_ns(datetime.fromisoformat(text))


def count_ns(moment: datetime) -> int:
    """Return the nanoseconds since the epoch of a moment.

    Raises:
        ValueError: It has no timezone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a timestamp without a timezone: {moment}")
    return max(_NS_MIN, min((moment - _EPOCH) // _MICROSECOND * 1000, _NS_MAX))


def distrust(problem: str, place: str) -> UnavailableError:
    """Return the error for an answer that cannot be the one to our question, or is not complete."""
    return UnavailableError(
        f"the listing cannot be trusted: {problem}",
        place=place,
        hint="check endpoint_url and the proxies on the way to the store",
    )
