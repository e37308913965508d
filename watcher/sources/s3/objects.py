"""Reads the objects of a listing: entries of those that can be read, the others apart. Pure.

Objects stay XML until their entries are needed (``batches``) and are then read a thousand at a
time. Where that fails, they are halved until the object is found that cannot be read, which is set
aside (``odd_objects``).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from watcher.errors import UnavailableError
from watcher.model import Entry
from watcher.sources.s3.object_form import read_columns
from watcher.sources.s3.odd_objects import OddObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.sources.s3.object_form import Columns

OBJECT_MAX_BYTES = 8 * 1024
"""Maximum length of an object with its tags in bytes.

A key of 1,024 bytes takes 3 KiB URL-encoded, and 6 KiB when each byte is written as ``&quot;`` is.
"""
PARSED_OBJECTS = 1024
"""Objects that are parsed in one document: together they are no longer than a response."""
MARKUP_MAX = 250_000
"""Maximum number of tags and quotes in a document, eight times what ``PARSED_OBJECTS`` have.

Each costs much more than its byte, and all other threads wait while expat parses.
"""
REPLACED = "\N{REPLACEMENT CHARACTER}".encode()
"""Writers of XML put it in place of a character that XML cannot carry (Go: ``xml.EscapeText``)."""
_NOT_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(x[0-9a-fA-F]{1,8}|[0-9]{1,8});")
_LAST_CODE, _NO_XML = 0x10FFFF, {0xFFFE, 0xFFFF}
_KEY = re.compile(rb"<Key>[^<]*</Key>")
_PLAIN_KEY = re.compile(rb"<Key>([ -%'-;=?-~]*)</Key>")
# Parsers of XML turn a carriage return that is written as it is into a newline.
_LOSSY_KEY = re.compile(rb"<Key>[^<]*(?:\r|%b)" % REPLACED)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NS_MIN, _NS_MAX = -(1 << 63), (1 << 63) - 1
_SIZE_DIGITS = 19


class ReadObjects(NamedTuple):
    """What some objects of a listing are.

    Attributes:
        entries: Those that can be read, in their order.
        odd: Those that cannot, in their order.
    """

    entries: list[Entry]
    odd: list[OddObject]


class ObjectReader(NamedTuple):
    """Reads the objects of one listing.

    Attributes:
        place: The bucket, for messages.
        prefix: Prefix that was requested; each key begins with it.
        is_url: Keys are URL-encoded.
        is_certain: ``is_url`` is known; else keys that depend on it cannot be read.
    """

    place: str
    prefix: bytes
    is_url: bool
    is_certain: bool = True

    def read(self, objects: Sequence[bytes]) -> ReadObjects:
        """Return objects as entries, those that cannot be read apart.

        Args:
            objects: Each a ``Contents`` element without its end tag.

        Raises:
            UnavailableError: One lies outside the prefix, or has more tags than any has.
        """
        entries: list[Entry] = []
        odd: list[tuple[int, OddObject]] = []
        for start in range(0, len(objects), PARSED_OBJECTS):
            self._read_into(objects[start : start + PARSED_OBJECTS], entries, odd)
        for entry in entries:
            if not entry.path.startswith(self.prefix):
                raise distrust(f"a key that was not asked for: {entry.path!r}", self.place)
        return ReadObjects(
            entries,
            [
                each._replace(
                    after=entries[behind - 1].path if behind else b"",
                    before=entries[behind].path if behind < len(entries) else b"",
                )
                for behind, each in odd
            ],
        )

    def key(self, element: bytes) -> bytes:
        """Return the key of one object, the rest of which need not be readable; empty for none.

        Raises:
            UnavailableError: The object lies outside the prefix.
        """
        try:
            key = self._plain_key(element)
        except ValueError:
            key = b""
        if key and key.startswith(self.prefix):
            return key
        entries, odd = self.read([element])
        return odd[0].key if odd else entries[0].path

    def first_key(self, objects: Iterable[bytes]) -> bytes:
        """Return the first key of some objects that can be read; empty for none.

        Raises:
            UnavailableError: An object lies outside the prefix.
        """
        return next(filter(None, map(self.key, objects)), b"")

    def last_key(self, objects: Sequence[bytes]) -> bytes:
        """Return the last key of some objects that can be read; empty for none.

        Raises:
            UnavailableError: An object lies outside the prefix.
        """
        return self.first_key(reversed(objects))

    def decode(self, text: str) -> bytes:
        """Return the bytes of a key or a prefix as it is written in a response.

        Raises:
            ValueError: It depends on the encoding, which is not known.
        """
        if not self.is_url:
            return text.encode()
        key = decode_url(text)
        if not self.is_certain and key != text.encode():
            raise ValueError("it may be URL-encoded or not")
        return key

    def _plain_key(self, element: bytes) -> bytes:
        """Return the only key of an object if it is written plainly; else it is empty.

        It is what ``read`` says, at a tenth of the cost: each page is asked for several keys.

        Raises:
            ValueError: It is not text, or depends on an encoding that is not known.
        """
        is_plain = element.count(b"<Key") == 1 and len(element) <= OBJECT_MAX_BYTES
        if not is_plain or (found := _PLAIN_KEY.search(element)) is None:
            return b""
        key = self.decode(found[1].decode())
        key.decode()
        return key

    def _read_into(
        self, objects: Sequence[bytes], entries: list[Entry], odd: list[tuple[int, OddObject]]
    ) -> None:
        """Append objects to entries, and to the odd ones with the number of entries before."""
        try:
            entries += self._read_all(objects)
        except (KeyError, ValueError, ET.ParseError) as error:
            if len(objects) == 1:
                odd.append((len(entries), self._set_aside(objects[0], error)))
                return
            middle = len(objects) // 2
            self._read_into(objects[:middle], entries, odd)
            self._read_into(objects[middle:], entries, odd)

    def _read_all(self, objects: Sequence[bytes]) -> list[Entry]:
        """Return objects as entries.

        Raises:
            KeyError: One lacks a field.
            ValueError: One has a field that cannot be read.
            ParseError: They are not XML.
        """
        if max(map(len, objects)) > OBJECT_MAX_BYTES:
            raise ValueError(f"it has more than {OBJECT_MAX_BYTES} bytes")
        columns = read_columns(objects)
        entries = self._parse(objects) if columns is None else self._make_entries(columns)
        paths = [entry.path for entry in entries]
        # Joined by a newline, the ends of two keys cannot form one valid character.
        b"\n".join(paths).decode()
        if not all(paths):
            raise ValueError("an empty key")
        return entries

    def _make_entries(self, columns: Columns) -> list[Entry]:
        """Return the entries of objects that are written alike; see ``_read_all``."""
        values = zip(
            map(self.decode, columns.keys),
            map(int, columns.sizes),
            map(parse_timestamp_ns, columns.timestamps),
            repeat(0),
            repeat(0),
            columns.etags,
            columns.storage_classes,
            repeat(False),  # noqa: FBT003 - of map
        )
        # Entry(...) without the cost of its keyword arguments.
        return list(map(partial(tuple.__new__, Entry), values))

    def _parse(self, objects: Sequence[bytes]) -> list[Entry]:
        """Return objects of any form as entries; see ``_read_all``."""
        document = self._join(objects)
        check_markup(document, self.place)
        root = ET.fromstring(document)  # noqa: S314 - without entities it takes no more than its size allows
        entries = [self._read_object(child) for child in root]
        if len(entries) != len(objects):
            raise ValueError("an object within another")
        if (b"\r" in document or REPLACED in document) and _LOSSY_KEY.search(document):
            raise ValueError("a key with characters that XML cannot carry")
        return entries

    def _join(self, objects: Sequence[bytes]) -> bytes:
        """Return a document with some objects."""
        return b"<page>%b</Contents></page>" % b"</Contents>".join(objects)

    def _read_object(self, element: ET.Element) -> Entry:
        fields = {child.tag: child.text or "" for child in element}
        etag, storage_class = fields.get("ETag", "").strip('"'), fields.get("StorageClass", "")
        key, size, mtime_ns = (
            self.decode(fields["Key"]),
            parse_size(fields["Size"]),
            parse_timestamp_ns(fields["LastModified"]),
        )
        # Entry(...) without the cost of its keyword arguments.
        return tuple.__new__(Entry, (key, size, mtime_ns, 0, 0, etag, storage_class, False))

    def _set_aside(self, element: bytes, error: Exception) -> OddObject:
        """Return an object that cannot be read, with its key if that can."""
        problem = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        keys = _KEY.findall(element)
        if len(keys) != 1 or len(keys[0]) > OBJECT_MAX_BYTES:
            return OddObject(b"", element[:OBJECT_MAX_BYTES].decode(errors="replace"), problem)
        text = clean(keys[0]).decode()
        try:
            text = ET.fromstring(text).text or ""  # noqa: S314 - one element without entities
            key = self.decode(text)
            name = key.decode()
        except (ValueError, ET.ParseError):
            return OddObject(b"", text, problem)
        if not key or b"\r" in keys[0] or REPLACED in clean(keys[0]):
            return OddObject(b"", text, problem)
        if not key.startswith(self.prefix):
            raise distrust(f"a key that was not asked for: {key!r}", self.place)
        return OddObject(key, name, problem)


def parse(document: bytes, place: str) -> ET.Element:
    """Return the root of an XML document.

    Args:
        document: Declares no entities.
        place: The bucket, for messages.

    Raises:
        UnavailableError: It is not XML, or has more tags and quotes than any listing.
    """
    check_markup(document, place)
    try:
        return ET.fromstring(document)  # noqa: S314 - without entities it takes no more than its size allows
    except (ET.ParseError, LookupError, ValueError) as error:
        # LookupError, ValueError: an encoding that is unknown, or that expat does not accept.
        raise distrust(f"a page that is not XML ({error})", place) from error


def check_markup(document: bytes, place: str) -> None:
    """Check that an XML document is not too expensive to parse.

    Raises:
        UnavailableError: It has more tags and quotes than any listing.
    """
    if sum(map(document.count, (b"<", b'"', b"'"))) > MARKUP_MAX:
        raise distrust("a page with more tags and attributes than any has", place)


def clean(document: bytes) -> bytes:
    """Return a document with a replacement character for each character that XML cannot carry."""

    def replace(found: re.Match[bytes]) -> bytes:
        digits = found[1]
        if digits is None:
            return REPLACED
        code = int(digits[1:], 16) if digits[:1] == b"x" else int(digits)
        is_legal = code in {9, 10, 13} or (
            0x20 <= code <= _LAST_CODE and not 0xD800 <= code <= 0xDFFF and code not in _NO_XML  # noqa: PLR2004 - surrogates
        )
        return found[0] if is_legal else REPLACED

    return _NOT_XML.sub(replace, document).decode(errors="replace").encode()


def decode_url(text: str) -> bytes:
    """Return the bytes that a URL-encoded text stands for."""
    if "%" not in text and "+" not in text:
        return text.encode()
    # Stores write a space as "+" or "%20", and a plus sign always as "%2B".
    return unquote_to_bytes(text.replace("+", " "))


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
    ns = (moment - _EPOCH) // _MICROSECOND * 1000
    return ns if _NS_MIN < ns < _NS_MAX else max(_NS_MIN, min(ns, _NS_MAX))


def distrust(problem: str, place: str) -> UnavailableError:
    """Return the error for a response that does not answer the request, or is not complete."""
    return UnavailableError(
        f"the listing cannot be trusted: {problem}",
        place=place,
        hint="check endpoint_url and the proxies on the way to the store",
    )
