"""Decides which versions of a listing make a batch, and gives each the one before it. Pure.

A listing has the newest version of a key first; a batch has the oldest first, since changes are
reported in the order in which they were made. So a batch holds whole keys, also those whose
versions span pages. Like batches of objects (``batches``) they are identified by a digest and end
where the elements say, so that most are the same again in the next listing.

A key with more than ``KEY_MAX_VERSIONS`` is passed on in portions of that many as the listing has
them, the newest portion first, each with the oldest first. Memory is bounded so, and what is new in
such a key still comes in its order, unless more than a portion is new at once.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b
from itertools import groupby, pairwise
from typing import TYPE_CHECKING
from zlib import crc32

from watcher.sources.s3.version_reader import in_order, raw_key
from watcher.versioned import Version, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.filters.path_filter import PathFilter
    from watcher.model import Entry
    from watcher.sources.s3.odd_objects import OddObject
    from watcher.sources.s3.version_pages import VersionPage
    from watcher.sources.s3.version_reader import VersionReader

BATCH_MIN_VERSIONS = 512
"""Minimum number of versions in a batch, but for the last one and portions of a key."""
BATCH_MAX_VERSIONS = 2048
"""Number of versions from which a batch ends with the next key."""
KEY_MAX_VERSIONS = 10_000
"""Maximum number of versions of one key that are put in order, about 5 MB."""
# A key in 64 may end a batch, so that keys with ten versions make batches of about a thousand.
_END_MASK = 63


class VersionBatch:
    """A ``Batch`` of the versions of whole keys, or of a portion of one key.

    Attributes:
        digest: Digest of the versions; batches with the same one hold the same entries. Empty once
            one of them is set aside, so that they are read again in the next listing.
        set_aside: Versions that the filter admits, as far as their keys show, and that cannot be
            read; empty until the entries are read.
    """

    def __init__(
        self,
        elements: Sequence[bytes],
        reader: VersionReader,
        path_filter: PathFilter,
        older: Sequence[bytes] = (),
    ) -> None:
        """Make a batch of at least one version.

        Args:
            elements: As they came, key by key, each key's from the newest to the oldest.
            reader: Reads them.
            path_filter: Which keys count.
            older: What comes before the oldest one, in the next portion of the key; at most one.
        """
        person = b"url" if reader.is_url else b""
        content = b"".join((*elements, b"\n", *older))
        self.digest = blake2b(content, digest_size=16, person=person).digest()
        self.set_aside: Sequence[OddObject] = ()
        self._elements = elements
        self._older = older
        self._reader = reader
        self._filter = path_filter

    def __len__(self) -> int:
        """Return the number of versions, those outside the filter included."""
        return len(self._elements)

    @cached_property
    def entries(self) -> list[Entry]:
        """The versions that the filter admits, key by key, each key's from oldest to newest.

        Raises:
            UnavailableError: A key lies outside the prefix.
        """
        found, odd = self._reader.read(self._elements)
        self.set_aside = [each for each in odd if not each.key or self._filter.admits(each.key)]
        if self.set_aside:
            self.digest = b""
        before: Sequence[Entry] = self._reader.read(self._older).entries if self._older else ()
        entries: list[Entry] = []
        for key, group in groupby(found, lambda entry: key_of(entry.path)):
            if self._filter.admits(key):
                entries += oldest_first([*group, *before])[len(before) :]
        return entries


def oldest_first(versions: Sequence[Entry]) -> list[Entry]:
    """Return versions of one key from oldest to newest, each knowing those beside it.

    Args:
        versions: From the newest to the oldest.
    """
    for version, older in pairwise(versions):
        if isinstance(version, Version) and isinstance(older, Version):
            version.older, older.is_superseded = older, True
    return list(reversed(versions))


class VersionBatchBuilder:
    """Makes batches of the versions of consecutive pages.

    Args:
        path_filter: Which keys count.
    """

    def __init__(self, path_filter: PathFilter) -> None:
        self._filter = path_filter
        self._reader: VersionReader | None = None
        self._complete: list[bytes] = []
        self._current: list[bytes] = []
        self._key = b""

    def add(self, page: VersionPage) -> Iterator[VersionBatch]:
        """Add a page and yield the batches that are complete with it.

        A page whose keys are written in another way than those before ends a batch.
        """
        if page.reader != self._reader:
            yield from self.flush()
            self._reader = page.reader
        for element in in_order(page.elements, first=self._key, last=page.last):
            key = raw_key(element) or self._key
            if key != self._key:
                yield from self._end_key(page.reader)
                self._key = key
            self._current.append(element)
            if len(self._current) > KEY_MAX_VERSIONS:
                yield from self._portion(page.reader)

    def flush(self) -> Iterator[VersionBatch]:
        """Yield the rest as the last batch, which ends with a whole key; nothing if it is empty."""
        elements, self._complete, self._current = [*self._complete, *self._current], [], []
        self._key = b""
        if elements and self._reader is not None:
            yield VersionBatch(elements, self._reader, self._filter)

    def _end_key(self, reader: VersionReader) -> Iterator[VersionBatch]:
        """Take the versions of a key that is complete, which may end a batch."""
        self._complete += self._current
        self._current = []
        count = len(self._complete)
        is_end = count >= BATCH_MIN_VERSIONS and not crc32(self._complete[-1]) & _END_MASK
        if is_end or count >= BATCH_MAX_VERSIONS:
            elements, self._complete = self._complete, []
            yield VersionBatch(elements, reader, self._filter)

    def _portion(self, reader: VersionReader) -> Iterator[VersionBatch]:
        """Yield the keys before, and all versions of the present key but the oldest."""
        elements, self._complete = self._complete, []
        if elements:
            yield VersionBatch(elements, reader, self._filter)
        portion, self._current = self._current[:-1], self._current[-1:]
        yield VersionBatch(portion, reader, self._filter, older=self._current)
