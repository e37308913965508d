"""Reads the versions and delete markers of a listing, and puts those of one key in order. Pure.

S3 lists the versions of a key from the newest to the oldest, delete markers among them. Stores
exist that list all versions of a page before all delete markers; there the times decide, and the
one that is marked as the latest comes first.
"""

from __future__ import annotations

import re
from operator import ne
from typing import TYPE_CHECKING

from watcher.model import DELETE_MARKER, Entry
from watcher.sources.s3.objects import (
    ObjectReader,
    parse_size,
    parse_timestamp_ns,
)
from watcher.versioned import NULL_VERSION, Version, join_version, key_of

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator, Sequence

VERSION, MARKER = "Version", "DeleteMarker"
"""Names of the elements that are listed."""
VERSION_ID_MAX_BYTES = 1024
"""Maximum length of the id of a version in bytes (S3 User Guide, "Using versioning")."""
_MARKER_START = b"<DeleteMarker"
_ELEMENT = re.compile(rb"<(Version|DeleteMarker)>.*?</\1>", re.DOTALL)
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_TIME = re.compile(rb"<LastModified>([^<]*)</LastModified>")
_NULL_ID = b"<VersionId>%b</VersionId>" % NULL_VERSION.encode()
_IS_LATEST = b"<IsLatest>true</IsLatest>"


class VersionReader(ObjectReader):
    """Reads the versions of one listing; an ``ObjectReader`` whose entries are versions.

    An element is a ``Version`` or a ``DeleteMarker`` as it came. The path of an entry is that of
    the version's row.
    """

    __slots__ = ()

    def key(self, element: bytes) -> bytes:
        """Return the key of one version, the rest of which need not be readable; empty for none.

        Raises:
            UnavailableError: It lies outside the prefix.
        """
        entries, odd = self.read([element])
        return odd[0].key if odd else key_of(entries[0].path)

    def _join(self, objects: Sequence[bytes]) -> bytes:
        return b"<page>%b</page>" % b"".join(objects)

    def _read_object(self, element: ET.Element) -> Entry:
        fields = {child.tag: child.text or "" for child in element}
        key, version_id = self.decode(fields["Key"]), fields.get("VersionId") or NULL_VERSION
        if not key:
            raise ValueError("an empty key")
        if "\0" in version_id or len(version_id.encode()) > VERSION_ID_MAX_BYTES:
            raise ValueError(f"a version id of {version_id[:80]!r}")
        path, mtime_ns = join_version(key, version_id), parse_timestamp_ns(fields["LastModified"])
        if element.tag == MARKER:
            return Version(path, 0, mtime_ns, storage_class=DELETE_MARKER)
        size, etag = parse_size(fields["Size"]), fields.get("ETag", "").strip('"')
        storage_class = fields.get("StorageClass", "")
        # Version(...) without the cost of its keyword arguments.
        return tuple.__new__(Version, (path, size, mtime_ns, 0, 0, etag, storage_class, False))


def split_elements(page: bytes) -> tuple[list[bytes], bytes]:
    """Return the versions and delete markers of a page, and the page without them.

    Those that carry namespaces or attributes stay in the page. Fields may stand between (VersityGW
    writes all in the order of their names).
    """
    found: list[bytes] = []
    rest: list[bytes] = []
    end = 0
    for match in _ELEMENT.finditer(page):
        found.append(match[0])
        rest.append(page[end : match.start()])
        end = match.end()
    return found, b"".join((*rest, page[end:]))


def raw_key(element: bytes) -> bytes:
    """Return the key of an element as it is written; empty where it has no single one.

    Two elements of one listing have the same key only if it is written in the same way.
    """
    keys: list[bytes] = _KEY.findall(element)
    return keys[0] if len(keys) == 1 else b""


def in_order(elements: Sequence[bytes], *, first: bytes = b"", last: bytes = b"") -> list[bytes]:
    """Return the elements of a page key by key, each key's from the newest to the oldest.

    Args:
        elements: As they came.
        first: Key, as it is written, that the page before ended with: its elements come first.
        last: Key, as it is written, that the next page may go on with: its elements come last.
    """
    kinds = list(map(_is_marker, elements))
    if sum(map(ne, kinds, kinds[1:])) != 1:
        # One kind alone, or a change from one to the other and back: they are in one order.
        return list(elements)
    groups: dict[bytes, list[bytes]] = {}
    key = b""
    for element in elements:
        # What has no key that can be read belongs to what it follows.
        key = raw_key(element) or key
        groups.setdefault(key, []).append(element)
    keys = sorted(groups, key=lambda key: (key == last, key != first, key))
    return [element for key in keys for element in _merge(groups[key])]


def is_null(element: bytes) -> bool:
    """Return whether a version has the id of those put without versioning, or none."""
    return _NULL_ID in element or b"<VersionId>" not in element


def _is_marker(element: bytes) -> bool:
    return element.startswith(_MARKER_START)


def _merge(elements: Sequence[bytes]) -> Iterator[bytes]:
    """Yield versions and markers of one key, each kind from newest to oldest, as one order.

    Of two with the same time the marker is taken for newer: an object is deleted after it was put.
    """
    markers = [element for element in elements if _is_marker(element)]
    versions = [element for element in elements if not _is_marker(element)]
    while markers and versions:
        yield (markers if _age(markers[0]) >= _age(versions[0]) else versions).pop(0)
    yield from markers or versions


def _age(element: bytes) -> tuple[bool, int]:
    """Return what is greater for the newer one of two elements of a key, as far as they show it."""
    return _IS_LATEST in element, _time_of(element)


def _time_of(element: bytes) -> int:
    """Return the last-modified of an element; that of the epoch where it cannot be read."""
    found = _TIME.search(element)
    try:
        return parse_timestamp_ns(found[1].decode()) if found else 0
    except ValueError:
        return 0
