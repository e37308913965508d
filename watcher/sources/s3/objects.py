"""Reads the objects of a listing and decides which of them make a batch. Pure.

Most of a listing is unchanged since the last one. So objects stay XML until their entries are
needed, and are passed on in batches that a digest identifies. A batch must therefore be the same
again when a key before it comes or goes, which a page is not: where a batch ends depends on the
objects at that place (content-defined chunking), not on their number nor on the page that brought
them. A change then nearly always alters one batch, and the next ones are as they were.
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

BATCH_MIN_OBJECTS = 512
"""Minimum number of objects in a batch, but for the last one."""
BATCH_MAX_OBJECTS = 2048
"""Maximum number of objects in a batch."""
PARSED_OBJECTS = 1024
"""Objects that are parsed in one document: together they are no longer than a response."""
MARKUP_MAX = 250_000
"""Maximum number of tags and quotes in a document, eight times what ``PARSED_OBJECTS`` have.

Each costs much more than its byte, and all other threads wait while expat parses.
"""
# One object in 512 may end a batch, which then has 1,000 on average.
_END_MASK = 511

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NS_MIN, _NS_MAX = -(1 << 63), (1 << 63) - 1
_SIZE_DIGITS = 19
DEFAULT_STORAGE_CLASS = "STANDARD"
"""Storage class where none is named: HEAD omits the default, and so do some listings."""


class ObjectReader(NamedTuple):
    """Reads the objects of one listing.

    Attributes:
        place: The bucket, for messages.
        prefix: Prefix that was requested; each key begins with it.
        is_url: Keys are URL-encoded.
    """

    place: str
    prefix: bytes
    is_url: bool

    def read(self, objects: Sequence[bytes]) -> list[Entry]:
        """Return objects as entries, in their order.

        Args:
            objects: Each a ``Contents`` element without its end tag.

        Raises:
            UnavailableError: One cannot be read, or lies outside the prefix.
        """
        if not objects:
            return []
        try:
            slices = (
                objects[start : start + PARSED_OBJECTS]
                for start in range(0, len(objects), PARSED_OBJECTS)
            )
            entries = [self._read_object(child) for part in slices for child in self._parse(part)]
            # Joined by a newline, the ends of two keys cannot form one valid character.
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

    def key(self, element: bytes) -> bytes:
        """Return the key of one object.

        Raises:
            UnavailableError: The object cannot be read, or lies outside the prefix.
        """
        return self.read([element])[0].path

    def decode(self, text: str) -> bytes:
        """Return the bytes of a key or a prefix as it is written in a response."""
        # Stores write a space as "+" or "%20", and a plus sign always as "%2B".
        return unquote_to_bytes(text.replace("+", " ")) if self.is_url else text.encode()

    def _parse(self, objects: Sequence[bytes]) -> ET.Element:
        return parse(b"<page>%b</Contents></page>" % b"</Contents>".join(objects), self.place)

    def _read_object(self, element: ET.Element) -> Entry:
        fields = {child.tag: child.text or "" for child in element}
        etag, storage_class = (
            fields.get("ETag", "").strip('"'),
            fields.get("StorageClass") or DEFAULT_STORAGE_CLASS,
        )
        key, size, mtime_ns = (
            self.decode(fields["Key"]),
            parse_size(fields["Size"]),
            parse_timestamp_ns(fields["LastModified"]),
        )
        # Entry(...) without the cost of its keyword arguments.
        return tuple.__new__(Entry, (key, size, mtime_ns, 0, 0, etag, storage_class, False))


class ObjectBatch:
    """A ``Batch`` of consecutive objects of a listing, whose entries are read when they are needed.

    Attributes:
        digest: Digest of the objects; batches with the same one hold the same entries.
        last_key: Key of the last object.
        is_sorted: Keys ascend strictly by their bytes and follow those of the batch before. Until
            the entries are read, only the first and the last key have been compared.
    """

    def __init__(
        self,
        objects: Sequence[bytes],
        reader: ObjectReader,
        path_filter: PathFilter,
        after: bytes = b"",
    ) -> None:
        """Make a batch of at least one object.

        Args:
            objects: Each a ``Contents`` element without its end tag.
            reader: Reads the objects.
            path_filter: Which keys count.
            after: Last key of the batch before; empty for the first.

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
        """Return the number of objects, those outside the filter included."""
        return len(self._objects)

    @cached_property
    def entries(self) -> list[Entry]:
        """Entries of the objects that the filter admits, in the store's order.

        Raises:
            UnavailableError: An object cannot be read, or lies outside the prefix.
        """
        entries = self._reader.read(self._objects)
        paths = [entry.path for entry in entries]
        self.is_sorted = self.is_sorted and all(map(bytes.__lt__, paths, paths[1:]))
        admits = self._filter.admits
        return [entry for entry in entries if admits(entry.path)]


class BatchBuilder:
    """Makes batches of the objects of consecutive pages.

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
        """Add the objects of one page and return the batches that are complete with it.

        Args:
            objects: Each a ``Contents`` element without its end tag.
            reader: Reads them; a reader that differs from the one before ends a batch.

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
        """Return the remaining objects as the last batch; an empty list when there are none.

        Raises:
            UnavailableError: An object cannot be read.
        """
        return (
            [self._take(len(self._waiting), self._reader)]
            if self._waiting and self._reader is not None
            else []
        )

    def _find_end(self) -> int | None:
        """Return how many waiting objects make the next batch; None when more are needed."""
        waiting = self._waiting
        for index in range(
            max(BATCH_MIN_OBJECTS - 1, self._checked), min(len(waiting), BATCH_MAX_OBJECTS)
        ):
            if not crc32(waiting[index]) & _END_MASK:
                return index + 1
        self._checked = len(waiting)
        return BATCH_MAX_OBJECTS if len(waiting) >= BATCH_MAX_OBJECTS else None

    def _take(self, count: int, reader: ObjectReader) -> ObjectBatch:
        objects, self._waiting, self._checked = self._waiting[:count], self._waiting[count:], 0
        batch = ObjectBatch(objects, reader, self._filter, self._last_key)
        self._last_key = batch.last_key
        return batch


def parse(document: bytes, place: str) -> ET.Element:
    """Return the root of an XML document.

    Args:
        document: Declares no entities.
        place: The bucket, for messages.

    Raises:
        UnavailableError: It is not XML, or has more tags and quotes than any listing.
    """
    if sum(map(document.count, (b"<", b'"', b"'"))) > MARKUP_MAX:
        raise distrust("a page with more tags and attributes than any has", place)
    try:
        return ET.fromstring(document)  # noqa: S314 - without entities it takes no more than its size allows
    except (ET.ParseError, LookupError, ValueError) as error:
        # LookupError, ValueError: an encoding that is unknown, or that expat does not accept.
        raise distrust(f"a page that is not XML ({error})", place) from error


def parse_size(text: str) -> int:
    """Return a size in bytes.

    Raises:
        ValueError: It is not a number, or more than any store accepts.
    """
    if not (text.isascii() and text.isdigit() and len(text) < _SIZE_DIGITS):
        raise ValueError(f"a size of {text!r}")
    return int(text)


def parse_timestamp_ns(text: str) -> int:
    """Return a timestamp of a listing as exact nanoseconds since the epoch.

    Args:
        text: ISO 8601 with an offset or ``Z``. Digits below microseconds are cut. A year outside of
            64 bits (Go writes the year 1 for no time) becomes the nearest that they hold.

    Raises:
        ValueError: It is not such a timestamp.
    """
    return count_ns(datetime.fromisoformat(text))


def count_ns(moment: datetime) -> int:
    """Return a moment as nanoseconds since the epoch, bounded to 64 bits.

    Raises:
        ValueError: The moment has no timezone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a timestamp without a timezone: {moment}")
    return max(_NS_MIN, min((moment - _EPOCH) // _MICROSECOND * 1000, _NS_MAX))


def distrust(problem: str, place: str) -> UnavailableError:
    """Return the error for a response that does not answer the request, or is not complete."""
    return UnavailableError(
        f"the listing cannot be trusted: {problem}",
        place=place,
        hint="check endpoint_url and the proxies on the way to the store",
    )
